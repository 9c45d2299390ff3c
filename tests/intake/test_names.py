import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake import names
from heygemd.intake.names import Kind

PROGRAMS_OWN = (
    ".hidden.mp4 ._anna.mp4 .DS_Store ~$anna.mp4 Thumbs.db THUMBS.DB desktop.ini @eaDir #recycle .stfolder .nfs000123 "
    "a.mp4.part a.partial a.mp4.filepart a.crdownload a.tmp A.TEMP a.download a.!sync a.aspx"
)


@pytest.mark.parametrize("name", PROGRAMS_OWN.split())
def test_names_of_programs_are_ignored(name):
    assert names.is_ignored(name)


@pytest.mark.parametrize(
    "name", ["anna.mp4", "part.mp4", "a.part.mp4", "temp.wav", "eaDir", "a~.wav", "recycle", "a b.wav"]
)
def test_names_of_people_are_not_ignored(name):
    assert not names.is_ignored(name)


@pytest.mark.parametrize(
    "name",
    ["job.toml", "error.json", "REASON.txt", "CONFIG-ERROR.txt", "CANCEL", "a.ready", "a.mp4.ready", "STATUS.txt"],
)
def test_files_of_our_own_are_never_media_and_not_ignored(name):
    assert names.kind_of(name) is None
    assert not names.is_ignored(name)
    assert not names.is_manifest(name)


@pytest.mark.parametrize(
    "name", ["b.heygem.json", "B.HEYGEM.CSV", "你好.heygem.yaml", "x.heygem.yml", "x.y.heygem.jsonl"]
)
def test_manifests_are_known_by_their_name(name):
    assert names.is_manifest(name)
    assert names.kind_of(name) is None
    assert not names.is_ignored(name)


@pytest.mark.parametrize("name", ["heygem.json", "a.json", "a.heygem.txt", "a.heygem.json.part", "aheygem.json"])
def test_other_texts_are_no_manifests(name):
    assert not names.is_manifest(name)


@pytest.mark.parametrize("name", [" .heygem.json", " .mp4", "\u3000. .wav"])
def test_a_name_of_blanks_alone_is_blank(name):
    assert names.is_blank(name)
    assert not names.is_blank(f"a{name}")


@pytest.mark.parametrize(
    "name", ["a\n.mp4", "\x1b[31m.wav", "a\x00", "a\u2028.wav", b"\xc4\xe3.mp4".decode("utf-8", "surrogateescape")]
)
def test_names_that_break_a_line_or_are_not_utf8_are_refused(name):
    assert names.is_refused(name)
    shown = names.shown(name)
    assert shown.isprintable()
    shown.encode()


@pytest.mark.parametrize(
    "name", ["你好.mp4", "a\u0301.wav", "👩‍👩‍👧.mp4", "CON.mp4", "-rf.wav", "a:b.mp4", 'it\'s "x".wav', "a\u3000b.wav"]
)
def test_odd_but_honest_names_are_taken(name):
    assert not names.is_refused(name)
    assert names.shown(name) == name


def test_kind_is_the_suffix_in_any_case():
    assert names.kind_of("a.MP4") is Kind.VIDEO
    assert names.kind_of("a.JPeG") is Kind.STILL
    assert names.kind_of("a.b.wav") is Kind.AUDIO
    assert names.kind_of("a.txt") is None
    assert names.kind_of("mp4") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna.mp4", "anna.WAV"),
        ("é.mp4", unicodedata.normalize("NFD", "é.wav")),
        ("が.mp4", unicodedata.normalize("NFD", "が.wav")),
        ("anna .mp4", "anna.wav"),
        ("anna. .mp4", "anna\u3000.wav"),
        ("STRASSE.mp4", "straße.wav"),
        ("第1集.mp4", "第1集.m4a"),
    ],
)
def test_partners_have_one_key(one, other):
    assert names.key_of(one) == names.key_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("a.1.mp4", "a.wav"), ("a b.mp4", "ab.wav"), (" a.mp4", "a.wav"), ("２.mp4", "2.wav")]
)
def test_different_names_have_different_keys(one, other):
    assert names.key_of(one) != names.key_of(other)


@given(st.text(max_size=8))
def test_the_short_way_for_ascii_gives_the_same_key(stem):
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
    while folded and (folded[-1] == "." or folded[-1].isspace()):
        folded = folded[:-1]
    assert names.key_of(f"{stem}.mp4") == folded


@given(st.text(st.sampled_from("a. \u3000\u00a0é"), max_size=6))
def test_blank_means_an_empty_key(stem):
    assert names.is_blank(f"{stem}.mp4") == (names.key_of(f"{stem}.mp4") == "")


def test_numbered_names_keep_their_suffix_and_fit():
    assert names.numbered("a.b.mp4", 0) == "a.b.mp4"
    assert names.numbered("a.b.mp4", 2) == "a.b (2).mp4"
    long = names.numbered("你" * 83 + ".mp4", 12)
    assert len(long.encode()) <= 255
    assert long.endswith(" (12).mp4")
