"""From rows and files to films: names, patterns, twins, strictness."""

import unicodedata
from collections.abc import Collection
from typing import Any

import pytest

from heygemd.intake.manifests.expansion import expand, fits, patterns_of
from heygemd.intake.manifests.model import Manifest
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest
from heygemd.jobs.batch import Row
from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions

LIMITS = ManifestLimits(max_bytes=1 << 20, max_rows=1000)
PAIR = '{"video": "a.mp4", "audio": "b.wav"}'
SHA = "ab" * 32


def read(*rows: str, strict: bool = False, defaults: str = "{}", max_rows: int = 1000) -> Manifest:
    text = f'{{"heygem": 1, "strict": {str(strict).lower()}, "defaults": {defaults}, "jobs": [{", ".join(rows)}]}}'
    return read_manifest(text.encode(), "lines.heygem.json", ManifestLimits(max_bytes=1 << 20, max_rows=max_rows))


def expanded(manifest: Manifest, files: Collection[str] = (), **others: Any) -> tuple[Row, ...]:
    settings: dict[str, Any] = {"stem": "lines", "folder": "", "options": RenderOptions(), "priority": 0} | others
    return expand(manifest, files=files, **settings)


def films(rows: tuple[Row, ...]) -> list[str]:
    return [f"{row.film_folder}/{row.film_name}" for row in rows]


def codes(rows: tuple[Row, ...]) -> list[str | None]:
    return [row.error.code if row.error else None for row in rows]


# Names of films -----------------------------------------------------------------------------------------------------


def test_a_film_is_named_by_output_then_id_then_sound():
    manifest = read(
        '{"video": "a.mp4", "audio": "b.wav", "id": "x", "output": "films/one.MP4"}',
        '{"video": "a.mp4", "audio": "c.wav", "id": "ep 02"}',
        '{"video": "a.mp4", "audio": "sub/d.v2.wav"}',
        '{"video": "a.mp4", "audio": "e.wav", "output": "Mr. Smith"}',
    )
    assert films(expanded(manifest)) == ["/films/one"[1:], "lines/ep 02", "lines/d.v2", "/Mr. Smith"]
    assert films(expanded(manifest, folder="shows/x")) == [
        "shows/x/films/one", "shows/x/lines/ep 02", "shows/x/lines/d.v2", "shows/x/Mr. Smith",
    ]  # fmt: skip


def test_a_sound_that_several_rows_use_is_told_apart_by_its_picture():
    manifest = read(
        '{"video": "anna.mp4", "audio": "hello.wav"}',
        '{"video": "ben.mp4", "audio": "hello.wav"}',
        '{"video": "ben.mp4", "audio": "bye.wav"}',
        '{"video": "ben.mp4", "audio": "x/BYE.wav"}',
        '{"video": "ben.mp4", "audio": "alone.wav"}',
    )
    assert films(expanded(manifest)) == [
        "lines/hello-anna", "lines/hello-ben", "lines/bye-ben", "lines/BYE-ben", "lines/alone",
    ]  # fmt: skip
    assert codes(expanded(manifest)) == [None, None, None, "E128", None]


def test_two_rows_with_one_id_or_one_film_leave_the_first():
    manifest = read(
        '{"id": "a", "video": "a.mp4", "audio": "b.wav"}',
        '{"id": "a", "video": "a.mp4", "audio": "c.wav", "output": "other"}',
        '{"id": "A", "video": "a.mp4", "audio": "d.wav"}',
        '{"id": "b", "video": "a.mp4", "audio": "e.wav", "output": "lines/\u00c9"}',
        '{"id": "c", "video": "a.mp4", "audio": "f.wav", "output": "Lines/e\u0301.mp4"}',
        '{"id": "d", "video": "a.mp4", "audio": "g.wav"}',
    )
    rows = expanded(manifest)
    assert codes(rows) == [None, "E128", "E128", None, "E128", None]
    assert rows[1].error is not None
    assert rows[1].error.message == "row 1 has the id 'a' already"
    assert rows[1].error.line == rows[1].line == 1


def test_a_bad_row_takes_no_id_and_no_film_away():
    manifest = read(
        '{"id": "a", "video": "../a.mp4", "audio": "b.wav"}', '{"id": "a", "video": "a.mp4", "audio": "b.wav"}'
    )
    assert codes(expanded(manifest)) == ["E126", None]


# What lies under the row --------------------------------------------------------------------------------------------


def test_options_and_priority_of_the_folder_lie_under_those_of_the_manifest():
    manifest = read(
        PAIR,
        '{"video": "a.mp4", "audio": "c.wav", "priority": 0, "options": {"crf": 0}}',
        defaults='{"options": {"length": "loop"}}',
    )
    first, second = expanded(manifest, options=RenderOptions(engine=EngineName.ATLAS, crf=30), priority=9)
    assert (first.priority, second.priority) == (9, 0)
    assert first.options == RenderOptions(engine=EngineName.ATLAS, crf=30, length=LengthPolicy.LOOP)
    assert second.options.crf == 0


def test_what_a_row_declares_travels_with_its_member():
    row = f'{{"video": "a.mp4", "audio": "b.wav", "sha256": {{"audio": "{SHA}"}}, "size": {{"video": 7}}}}'
    (made,) = expanded(read(row))
    assert made.video is not None
    assert made.audio is not None
    assert (made.video.size_bytes, made.video.sha256) == (7, None)
    assert (made.audio.size_bytes, made.audio.sha256) == (None, SHA)


# Which file is meant ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["shows/b.wav", "shows/B.WAV"], "shows/b.wav"),
        (["shows/B.WAV"], "shows/B.WAV"),
        (["shows/B.WAV", "shows/B.wav"], "shows/b.wav"),
        (["SHOWS/b.wav"], "shows/b.wav"),
        (["b.wav"], "shows/b.wav"),
        ([], "shows/b.wav"),
    ],
)
def test_a_name_means_that_file_or_the_only_one_that_nearly_has_it(files, found):
    (row,) = expanded(read(PAIR), files, folder="shows")
    assert row.audio is not None
    assert row.audio.path == found
    assert row.error is None


def test_a_name_written_in_another_normal_form_is_found():
    nfd = unicodedata.normalize("NFD", "Füße/épisode.wav")
    (row,) = expanded(read('{"video": "a.mp4", "audio": "Füße/Épisode.wav"}'), [nfd, "a.mp4"])
    assert row.audio is not None
    assert row.audio.path == nfd


# Patterns -----------------------------------------------------------------------------------------------------------


def test_a_pattern_gives_one_row_for_each_file_in_the_order_people_count():
    manifest = read(PAIR, '{"video": "a.mp4", "audio": "lines/ep*.wav"}', '{"video": "z.mp4", "audio": "z.wav"}')
    files = [
        "lines/ep10.wav",
        "lines/ep2.wav",
        "lines/EP1.WAV",
        "lines/ep2.mp4",
        "lines/sub/ep3.wav",
        "ep4.wav",
        "a.mp4",
    ]
    rows = expanded(manifest, files)
    assert [row.audio.path for row in rows if row.audio] == [
        "b.wav", "lines/EP1.WAV", "lines/ep2.wav", "lines/ep10.wav", "z.wav",
    ]  # fmt: skip
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert films(rows) == ["lines/b", "lines/EP1", "lines/ep2", "lines/ep10", "lines/z"]
    assert len({row.line for row in rows}) == 1


def test_a_pattern_may_name_the_pictures():
    rows = expanded(read('{"video": "faces/*", "audio": "hello.wav"}'), ["faces/b.jpg", "faces/a.mov", "faces/c.wav"])
    assert [row.video.path for row in rows if row.video] == ["faces/a.mov", "faces/b.jpg"]
    assert films(rows) == ["lines/hello-a", "lines/hello-b"]


def test_placeholders_are_filled_once_and_never_read_again():
    manifest = read('{"id": "s1", "video": "a.mp4", "audio": "x/*.wav", "output": "{id}/{number} {name} {stem}.mp4"}')
    rows = expanded(manifest, ["x/{id}.wav", "x/{0.__class__}.wav"], folder="")
    assert films(rows) == ["s1/1 {0.__class__}.wav {0.__class__}", "s1/2 {id}.wav {id}"]
    assert [row.row_id for row in rows] == ["s1/x/{0.__class__}.wav", "s1/x/{id}.wav"]


def test_an_id_of_a_pattern_names_its_films_with_their_files():
    rows = expanded(read('{"id": "s1", "video": "a.mp4", "audio": "*.wav"}'), ["1.wav", "2.wav"])
    assert films(rows) == ["lines/s1-1", "lines/s1-2"]


def test_placeholders_that_do_not_tell_files_apart_leave_the_first():
    rows = expanded(read('{"video": "a.mp4", "audio": "**/x.wav", "output": "{stem}"}'), ["1/x.wav", "2/x.wav"])
    assert codes(rows) == [None, "E128"]


def test_a_filled_output_is_checked_again():
    rows = expanded(read('{"video": "a.mp4", "audio": "*.wav", "output": "{name}"}'), ["x.wav"])
    assert codes(rows) == ["E124"]


def test_a_pattern_without_files_is_an_error_of_its_row():
    rows = expanded(read(PAIR, '{"video": "a.mp4", "audio": "no/*.wav"}'), ["no/a.mp4"])
    assert codes(rows) == [None, "E127"]
    assert rows[1].error is not None
    assert "'no/*.wav'" in rows[1].error.message


@pytest.mark.parametrize(
    ("pattern", "path", "is_fit"),
    [
        ("*.wav", "a.wav", True),
        ("*.wav", "A.WAV", True),
        ("*.wav", "x/a.wav", False),
        ("**/*.wav", "a.wav", True),
        ("**/*.wav", "x/y/a.wav", True),
        ("**", "x/y/a.wav", True),
        ("x/**/a.wav", "x/a.wav", True),
        ("x/**/a.wav", "y/a.wav", False),
        ("**/b/**/a.wav", "b/c/b/a.wav", True),
        ("ep?.wav", "ep1.wav", True),
        ("ep?.wav", "ep10.wav", False),
        ("ep[0-9].wav", "ep1.wav", True),
        ("ep[!0-9].wav", "ep1.wav", False),
        ("E*p?[a-c]*.wav", "exp1b.wav", True),
        ("a*a", "a", False),
        ("take [1].wav", "take [1].wav", True),
        ("take [1].wav", "take 1.wav", True),
        ("é*.wav", "e\u0301a.wav", True),
        ("*", "\n.wav", True),
        ("[z-a]*", "b.wav", False),
        ("[[]*", "[b.wav", True),
    ],
)
def test_what_a_pattern_fits(pattern, path, is_fit):
    assert fits(pattern, path) is is_fit


def test_a_file_with_brackets_in_its_name_is_meant_before_the_pattern():
    manifest = read('{"video": "v [1].mp4", "audio": "a [1].wav"}')
    (row,) = expanded(manifest, ["v [1].mp4", "a [1].wav", "a 1.wav", "v 1.mp4"])
    assert row.video is not None
    assert row.audio is not None
    assert (row.video.path, row.audio.path, row.error) == ("v [1].mp4", "a [1].wav", None)
    assert codes(expanded(manifest, ["v 1.mp4"])) == ["E124"]


def test_patterns_are_told_relative_to_the_inbox_and_a_folder_is_never_one():
    manifest = read(
        '{"video": "a.mp4", "audio": "x/*.wav"}',
        '{"video": "[ab].mp4", "audio": "x.wav"}',
        '{"video": "../*.mp4", "audio": "x.wav"}',
    )
    assert patterns_of(manifest, "") == ("x/*.wav", "[ab].mp4")
    assert patterns_of(manifest, "show [1]/*") == ("show [[]1]/[*]/x/*.wav", "show [[]1]/[*]/[ab].mp4")
    files = ["show [1]/x/1.wav", "show 1/x/2.wav"]
    rows = expanded(read('{"video": "a.mp4", "audio": "x/*.wav"}'), files, folder="show [1]")
    assert [row.audio.path for row in rows if row.audio] == ["show [1]/x/1.wav"]
    assert fits("show [[]1]/x/*.wav", files[0])
    assert not fits("show [[]1]/x/*.wav", files[1])


def test_a_pattern_never_reaches_a_folder_that_differs_in_case():
    rows = expanded(read('{"video": "a.mp4", "audio": "*.wav"}'), ["shows/1.wav", "Shows/2.wav"], folder="shows")
    assert [row.audio.path for row in rows if row.audio] == ["shows/1.wav"]


def test_a_pattern_may_not_make_more_rows_than_a_manifest_may_have():
    manifest = read('{"video": "a.mp4", "audio": "*.wav"}', PAIR, max_rows=10)
    assert codes(expanded(manifest, [f"{n}.wav" for n in range(9)])) == [None] * 10
    assert codes(expanded(manifest, [f"{n}.wav" for n in range(10)])) == ["E125", None]


# Strict -------------------------------------------------------------------------------------------------------------


def test_one_bad_row_of_a_strict_manifest_stops_all():
    rows = expanded(read(PAIR, '{"video": "a.mp4", "audio": "*.mp3"}', strict=True))
    assert codes(rows) == ["E129", "E127"]
    assert rows[0].error is not None
    assert "row 2 cannot be used" in rows[0].error.message


def test_a_strict_manifest_without_bad_rows_runs():
    assert codes(expanded(read(PAIR, strict=True))) == [None]


# A hundred rows -----------------------------------------------------------------------------------------------------


def test_of_a_hundred_csv_rows_exactly_the_seven_bad_ones_have_errors():
    bad = {
        7: ("x7,faces/anna.mp4,../lines/7.wav,,", "E126"),
        13: ("x13,faces/anna.mp4,lines/13.wav,high,", "E124"),
        29: ('x29,"faces/anna.mp4,lines/29.wav,,', "E121"),
        44: ("x43,faces/anna.mp4,lines/44.wav,,", "E128"),
        61: ("x61,faces/anna.mp4,none/*.wav,,", "E127"),
        88: ("x88,faces/anna.mp4,lines/88.txt,,", "E101"),
        100: ("x100,faces/anna.mp4,,,", "E124"),
    }
    lines = [bad[n][0] if n in bad else f"x{n},faces/anna.mp4,lines/{n}.wav,,18" for n in range(1, 101)]
    text = "id,video,audio,priority,crf\r\n" + "\r\n".join(lines) + "\r\n"
    manifest = read_manifest(text.encode(), "lines.heygem.csv", LIMITS)
    rows = expanded(manifest, [f"lines/{n}.wav" for n in range(1, 101)] + ["faces/anna.mp4"])
    assert len(rows) == 100
    assert {row.number: row.error.code for row in rows if row.error} == {n: code for n, (_, code) in bad.items()}
    assert [row.error.line for row in rows if row.error] == [n + 1 for n in bad]
    assert len({(row.film_folder, row.film_name) for row in rows if row.error is None}) == 93
