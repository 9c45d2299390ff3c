import re
import unicodedata
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.naming import job_folder
from heygemd.outbox import names

ANY_NAME = st.text(st.characters(codec=None), max_size=400) | st.text("漢é👩‍🚀\u0301 .:%4CON", max_size=200)


def longest_companions(stem: str) -> list[str]:
    film = f"{stem}.v99999.mp4"
    parts = [names.part_name(film, "abcdefgh", companion) for companion in ("", ".json", ".jpg")]
    batch = f"{stem}.v99999"
    batch_files = [f"{batch}.report.json", f"{batch}.report.csv", f"{batch}.zip", f"{stem}__abcdefgh.99.report.json"]
    parts += [names.part_name(name, "abcdefgh", name[name.rindex(".") :]) for name in batch_files]
    return [film, names.report_name(film), names.sheet_name(film), job_folder(stem, "abcdefgh"), *batch_files, *parts]


@given(ANY_NAME)
def test_every_companion_fits_and_every_system_can_hold_it(name: str) -> None:
    stem = names.film_stem(name)
    for companion in longest_companions(stem):
        assert len(companion.encode()) <= 255
    assert stem
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f]', stem)
    assert stem[0] != "."
    assert stem[-1] not in ". "
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *", stem.split(".")[0])


@given(ANY_NAME)
def test_stem_made_here_comes_back_unchanged(name: str) -> None:
    assert names.film_stem(names.film_stem(name)) == names.film_stem(name)


@pytest.mark.parametrize(
    "name", ["anna", "安娜 的 演讲", "Ünïcode (2) [x] & co's #1 100%", "👩‍🚀", "e\u0301te", "-rf", "a.b"]
)
def test_ordinary_name_stays_as_written(name: str) -> None:
    assert names.film_name(name) == name + ".mp4"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("CON", "%43ON"),
        ("nul.part1", "%6Eul.part1"),
        ("COM1 .x", "%43OM1 .x"),
        ("CONE", "CONE"),
        ("a:b?", "a%3Ab%3F"),
        ("a/../b", "a%2F..%2Fb"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("end. ", "end.%20"),
        ("two\nlines\x1b[31m", "two%0Alines%1B[31m"),
        ("exe\u202e4pm", "exe%E2%80%AE4pm"),
        ("\udcc4\udce3", "%C4%E3"),
        ("\ud800", "%ED%A0%80"),
        ("", "untitled"),
    ],
)
def test_name_that_windows_cannot_hold_is_escaped(name: str, stem: str) -> None:
    assert names.film_stem(name) == stem


def test_long_chinese_name_is_cut_between_characters() -> None:
    stem = names.film_stem("漢" * 85)
    assert re.fullmatch("漢+~[0-9a-f]{6}", stem)
    assert names.MAX_STEM_BYTES - 3 < len(stem.encode()) <= names.MAX_STEM_BYTES


def test_names_that_differ_only_behind_the_cut_stay_different() -> None:
    assert names.film_stem("漢" * 100 + "a") != names.film_stem("漢" * 100 + "b")


@pytest.mark.parametrize("unit", ["e\u0301", "👩‍🚀", "👍🏽", "🇩🇪", "각", "%0A"])
def test_cut_never_splits_what_people_see_as_one(unit: str) -> None:
    unit = unicodedata.normalize("NFD", unit)
    written = "\n" if unit == "%0A" else unit
    for shift in range(len(unit.encode())):
        stem = names.film_stem("x" * shift + written * 200)
        body = stem[shift:].rpartition("~")[0]
        assert body
        assert body == unit * (len(body) // len(unit))


def test_versions_count_from_two() -> None:
    assert list(islice(names.versions("a"), 3)) == ["a.mp4", "a.v2.mp4", "a.v3.mp4"]
    assert all(names.is_version_of("a", name) for name in islice(names.versions("a"), 30))


def test_versions_of_a_zip_count_alike() -> None:
    assert list(islice(names.versions("a", ".zip"), 2)) == ["a.zip", "a.v2.zip"]
    assert names.is_version_of("a", "a.v2.zip", ".zip")
    assert not names.is_version_of("a", "a.v2.zip")


@pytest.mark.parametrize("name", ["a.v1.mp4", "a.v02.mp4", "ab.mp4", "a.v2x.mp4", "a.mp4.json", "a", ".mp4", "a.v2"])
def test_other_names_are_no_versions(name: str) -> None:
    assert not names.is_version_of("a", name)


def test_part_of_a_name_typed_at_full_length_fits_too() -> None:
    assert len(names.part_name("漢" * 83 + ".mp4", "abcdefgh", ".json").encode()) <= 255


def test_part_name_gives_its_id_back() -> None:
    for companion in ("", ".json", ".jpg"):
        assert names.id8_of_part(names.part_name("a.b.mp4", "abcdefgh", companion)) == "abcdefgh"
    for final in ("lines.report.json", "lines.v2.report.csv", "lines.zip"):
        part = names.part_name(final, "abcdefgh", final[final.rindex(".") :])
        assert names.id8_of_part(part) == "abcdefgh"
    assert names.id8_of_part("a.abcdefgh.part") is None
    assert names.id8_of_part(".a.abc.part") is None


@pytest.mark.parametrize(
    ("folder", "parts"),
    [("", ()), ("a/b", ("a", "b")), ("../../etc", ("%2E%2E", "%2E%2E", "etc")), ("/etc//x/.", ("etc", "x"))],
)
def test_mirrored_folder_cannot_climb_out(folder: str, parts: tuple[str, ...]) -> None:
    assert names.mirrored(folder) == parts


def test_key_ignores_case_and_composition() -> None:
    assert names.key("ÉTE\u0301") == names.key("E\u0301t\u00e9")
