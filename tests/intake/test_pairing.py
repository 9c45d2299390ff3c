from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.names import Kind, key_of, kind_of
from heygemd.intake.pairing import Candidate, Pair, Why, group


def seen(path: str, *, settled: bool = True) -> Candidate:
    folder, _, name = path.rpartition("/")
    return Candidate(folder=folder, name=name, key=key_of(name), kind=kind_of(name), is_settled=settled)


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


FILES = st.lists(
    st.tuples(
        st.sampled_from(["", "s"]), st.sampled_from("aAb"), st.sampled_from(["mp4", "jpg", "wav", "mp3"]), st.booleans()
    ),
    unique_by=lambda item: item[:3],
)


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
            members = [c for c in candidates if (c.folder, c.key) == (found.folder, found.key)]
            assert len(members) == 2
            assert all(member.is_settled for member in members)
            assert {member.kind is Kind.AUDIO for member in members} == {True, False}
