import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.names import Kind, key_of, kind_of
from heygemd.intake.pairing import Candidate, Pair, Why, group, why_of
from heygemd.intake.settle import Hindrance


def seen(path: str, *, settled: bool = True, hindrance: Hindrance | None = None) -> Candidate:
    folder, _, name = path.rpartition("/")
    is_settled = settled and hindrance is None
    key, kind = key_of(name), kind_of(name)
    return Candidate(folder=folder, name=name, key=key, kind=kind, is_settled=is_settled, hindrance=hindrance)


def only(*candidates: Candidate):
    (found,) = group(candidates)
    return found


def test_two_settled_partners_are_a_pair():
    assert only(seen("s/Anna.mp4"), seen("s/anna.wav")).pair == Pair(folder="s", picture="Anna.mp4", sound="anna.wav")


def test_a_still_is_a_picture():
    assert only(seen("a.png"), seen("a.wav")).pair == Pair(folder="", picture="a.png", sound="a.wav")


def test_a_pair_waits_until_both_have_settled():
    assert only(seen("a.mp4"), seen("a.wav", settled=False)).why is Why.ARRIVING


def test_a_lone_file_waits():
    assert only(seen("a.mp4")).why is Why.PARTNER
    assert only(seen("a.wav", settled=False)).why is Why.ARRIVING


def test_two_of_a_kind_are_never_guessed():
    for third in ("a.mov", "A.jpg", "a.flac"):
        found = only(seen("a.mp4"), seen("a.wav"), seen(third, settled=False))
        assert (found.why, found.pair) == (Why.AMBIGUOUS, None)
    assert only(seen("a.mp4"), seen("a.jpg")).why is Why.AMBIGUOUS


def test_folders_do_not_mix():
    assert {found.why for found in group([seen("x/a.mp4"), seen("y/a.wav")])} == {Why.PARTNER}


@pytest.mark.parametrize(
    ("picture", "sound"),
    [
        ("é.mp4", unicodedata.normalize("NFD", "é.wav")),
        ("Anna.mp4", "ANNA.wav"),
        ("anna .mp4", "anna.wav"),
        ("anna...jpg", "anna\u3000.wav"),
        ("第1集.mp4", "第1集.m4a"),
    ],
)
def test_normal_form_case_and_trailing_dots_do_not_part_partners(picture, sound):
    assert only(seen(picture), seen(sound)).pair == Pair(folder="", picture=picture, sound=sound)


def by_names(*candidates: Candidate):
    return {found.names: found for found in group(candidates)}


def test_a_default_picture_is_the_partner_of_every_lone_sound():
    found = by_names(seen("s/_Default.MP4"), seen("s/a.wav"), seen("s/b.wav"), seen("t/c.wav"))
    for name in ("a.wav", "b.wav"):
        pair = Pair(folder="s", picture="_Default.MP4", sound=name, shared=frozenset({"_Default.MP4"}))
        assert found[name,].pair == pair
    assert found["_Default.MP4",].why is Why.DEFAULT
    assert (found["c.wav",].why, found["c.wav",].lone) == (Why.PARTNER, "c.wav")


def test_a_default_still_will_do():
    assert by_names(seen("_default.jpg"), seen("a.wav"))["a.wav",].pair.picture == "_default.jpg"


def test_a_default_sound_is_the_partner_of_every_lone_picture():
    found = by_names(seen("_default.wav"), seen("a.mp4"), seen("b.png"))
    assert found["a.mp4",].pair == Pair(
        folder="", picture="a.mp4", sound="_default.wav", shared=frozenset({"_default.wav"})
    )
    assert found["b.png",].pair.picture == "b.png"


def test_two_defaults_alone_are_no_pair_and_never_orphans():
    found = only(seen("_default.mp4"), seen("_default.wav"))
    assert (found.why, found.pair, found.lone) == (Why.DEFAULT, None, None)
    assert only(seen("_default.mp4")).lone is None


def test_both_defaults_serve_their_own_kind():
    found = by_names(seen("_default.mp4"), seen("_default.wav"), seen("a.wav"), seen("b.mp4"))
    assert found["a.wav",].pair.picture == "_default.mp4"
    assert found["b.mp4",].pair.sound == "_default.wav"


def test_a_file_with_a_partner_of_its_own_never_takes_the_default():
    found = by_names(seen("_default.mp4"), seen("a.wav"), seen("a.mp4"))
    assert found["a.mp4", "a.wav"].pair == Pair(folder="", picture="a.mp4", sound="a.wav")
    found = by_names(seen("_default.mp4"), seen("a.wav"), seen("a.mp4", settled=False))
    assert found["a.mp4", "a.wav"].why is Why.ARRIVING


def test_a_lone_file_waits_for_an_unsettled_default_and_is_no_orphan():
    found = by_names(seen("_default.mp4", hindrance=Hindrance.INCOMPLETE), seen("a.wav"))["a.wav",]
    assert (found.why, found.lone, found.pair) == (Why.INCOMPLETE, None, None)


def test_two_default_pictures_are_ambiguous_for_the_lone_ones():
    found = by_names(seen("_default.mp4"), seen("_default.jpg"), seen("a.wav"), seen("b.mp4"), seen("b.wav"))
    assert found["a.wav",].why is Why.AMBIGUOUS
    assert found["_default.jpg", "_default.mp4"].why is Why.AMBIGUOUS
    assert found["b.mp4", "b.wav"].pair is not None


def test_only_a_settled_lone_file_is_an_orphan_to_be():
    assert only(seen("a.mp4")).lone == "a.mp4"
    assert only(seen("a.mp4", settled=False)).lone is None


def test_why_a_pair_waits_is_what_people_should_know():
    assert only(seen("a.mp4", hindrance=Hindrance.QUIET), seen("a.wav", hindrance=Hindrance.HOLES)).why is Why.HOLES
    assert only(seen("a.mp4", hindrance=Hindrance.INCOMPLETE), seen("a.wav", settled=False)).why is Why.INCOMPLETE
    assert only(seen("a.mp4"), seen("a.wav", hindrance=Hindrance.COMMIT)).why is Why.COMMIT
    for hindrance in (Hindrance.EMPTY, Hindrance.WRITER, Hindrance.QUIET, None):
        assert why_of([hindrance]) is Why.ARRIVING


STEMS = st.sampled_from(["a", "A", "b", "_default"])
SUFFIXES = st.sampled_from(["mp4", "jpg", "wav", "mp3"])
FILES = st.lists(st.tuples(st.sampled_from(["", "s"]), STEMS, SUFFIXES, st.booleans()), unique_by=lambda item: item[:3])


@given(FILES)
def test_every_file_is_in_exactly_one_group_and_pairs_are_clean(files):
    candidates = [seen(f"{folder}/{stem}.{suffix}", settled=settled) for folder, stem, suffix, settled in files]
    groups = group(candidates)
    assert sorted((found.folder, name) for found in groups for name in found.names) == sorted(
        (candidate.folder, candidate.name) for candidate in candidates
    )
    for found in groups:
        assert (found.pair is None) == (found.why is not None)
        if found.pair is not None:
            assert found.key != "_default"
            in_pair = {found.pair.picture, found.pair.sound}
            members = [c for c in candidates if c.folder == found.folder and c.name in in_pair]
            assert {c.name for c in members if c.key == "_default"} == found.pair.shared
            assert set(found.names) == in_pair - found.pair.shared
            assert len(members) == 2
            assert all(member.is_settled for member in members)
            assert {member.kind is Kind.AUDIO for member in members} == {True, False}
