"""What a row may say, what is wrong with it, and whom that concerns."""

import json
from typing import Any

import pytest

from heygemd.errors import InputError
from heygemd.intake.manifests.model import Manifest
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest
from heygemd.jobs.batch import RowError
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy

LIMITS = ManifestLimits(max_bytes=1 << 20, max_rows=1000)
GOOD = {"video": "a.mp4", "audio": "b.wav"}
SHA = "0123456789ABCDEF" * 4


def read_whole(**manifest: Any) -> Manifest:
    return read_manifest(json.dumps({"heygem": 1, **manifest}).encode(), "m.heygem.json", LIMITS)


def error_of(**row: Any) -> RowError | None:
    """Read a manifest with a row of this and two good ones; these must stay good."""
    before, read, after = read_whole(jobs=[GOOD, GOOD | row, GOOD]).rows
    assert (before.error, after.error) == (None, None)
    return read.error


def refusal(**manifest: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read_whole(**manifest)
    return caught.value


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        ({"vidoe": "a.mp4"}, "E123", "a row has no key 'vidoe' (did you mean video?)"),
        ({"options": {"enigne": "atlas"}}, "E123", "options has no key 'enigne' (did you mean engine?)"),
        ({"sha256": {"sound": SHA}}, "E123", "sha256 has no key 'sound'"),
        ({"x" * 1000: 1}, "E123", "a row has no key 'xxx"),
        ({"id": ""}, "E124", "id is empty"),
        ({"id": "a/b"}, "E124", "id 'a/b' is a plain name"),
        ({"id": "..\\b"}, "E124", "is a plain name"),
        ({"id": "a\u0000b"}, "E124", "id 'a%00b' is a plain name"),
        ({"id": ".."}, "E124", "id '..' has a name to it, and does not begin with a dot"),
        ({"id": "长" * 67}, "E124", "longer than 200 bytes"),
        ({"options": {"engine": "wave2lip"}}, "E124", "wav2lip, passthrough, not 'wave2lip' (did you mean wav2lip?)"),
        ({"options": {"length": "bounce"}}, "E124", "length is one of auto, loop, freeze, keep_video, pingpong"),
        ({"options": {"silence": "off"}}, "E124", "silence is one of close, source"),
        ({"options": {"preset": "fastest"}}, "E124", "preset is one of ultrafast"),
        ({"options": {"crf": 41}}, "E124", "crf is a whole number from 0 to 40, not '41'"),
        ({"options": {"audio_offset_ms": -60001}}, "E124", "audio_offset_ms is a whole number from -60000 to 60000"),
        ({"options": []}, "E124", "options has keys and values, not a list"),
        ({"priority": 10**400}, "E124", "priority is a whole number from -1000 to 1000"),
        ({"priority": "5"}, "E124", "take the quotes away"),
        ({"sha256": {"audio": "9f"}}, "E124", "sha256 of audio has 64 hexadecimal digits, not '9f'"),
        ({"size": {"video": 0}}, "E124", "size of video is a whole number from 1"),
        ({"video": "/data/a.mp4"}, "E126", "paths are relative to the manifest"),
        ({"video": "C:/a.mp4"}, "E126", "paths are relative to the manifest"),
        ({"video": "c:a.mp4"}, "E126", "paths are relative to the manifest"),
        ({"video": "//server/a.mp4"}, "E126", "paths are relative to the manifest"),
        ({"video": "faces\\anna.mp4"}, "E126", "write / between folders, not \\ ('faces/anna.mp4')"),
        ({"video": "../a.mp4"}, "E126", "it leads out of the manifest's folder"),
        ({"video": "a/../../a.mp4"}, "E126", "it leads out of the manifest's folder"),
        ({"video": "../*.mp4"}, "E126", "it leads out of the manifest's folder"),
        ({"video": "./a.mp4"}, "E126", "leave out ./"),
        ({"video": "a//b.mp4"}, "E126", "a name before or after a / is missing"),
        ({"video": "a.mp4/"}, "E126", "a name before or after a / is missing"),
        ({"video": "a\n.mp4"}, "E126", "it holds control characters"),
        ({"video": "a\u0000.mp4"}, "E126", "it holds control characters"),
        ({"video": "a\u2028.mp4"}, "E126", "it holds control characters"),
        ({"video": ".hidden/a.mp4"}, "E126", "'.hidden' is ignored"),
        ({"video": "~a.mp4"}, "E126", "'~a.mp4' is ignored"),
        ({"video": "a.mp4.part"}, "E126", "'a.mp4.part' is ignored"),
        ({"video": "长" * 84 + ".mp4"}, "E126", "a part is longer than 255 bytes"),
        ({"video": "/".join(["abc"] * 1001) + "/a.mp4"}, "E126", "it is longer than 4000 bytes"),
        ({"video": " . .mp4"}, "E126", "nothing but blanks and dots"),
        ({"video": "a.txt"}, "E101", "the suffix is that of neither a picture nor a sound"),
        ({"video": "anna"}, "E101", "the suffix is that of neither a picture nor a sound"),
        ({"video": "b.wav"}, "E124", "video 'b.wav' is a sound"),
        ({"audio": "still.jpg"}, "E124", "audio 'still.jpg' is a picture"),
        ({"video": "*.mp4", "audio": "*.wav"}, "E124", "only one of video and audio may be a pattern"),
        ({"audio": "*.wav", "sha256": {"audio": SHA}}, "E124", "size and sha256 belong to one file"),
        ({"audio": "*.wav", "output": "{steam}.mp4"}, "E124", "{stem}, {name}, {id}, {number} (did you mean stem?)"),
        ({"audio": "*.wav", "output": "{stem.__class__}"}, "E124", "output has '{stem.__class__}'"),
        ({"audio": "*.wav", "output": "{}"}, "E124", "output has '{}'"),
        ({"audio": "*.wav", "output": "{stem"}, "E124", "output has '{'"),
        ({"audio": "*.wav", "output": "{id}.mp4"}, "E124", "output has {id}, but the row has no id"),
        ({"output": "film.mov"}, "E124", "output 'film.mov' ends in .mp4, or has no suffix"),
        ({"output": "../film.mp4"}, "E126", "it leads out of the manifest's folder"),
        ({"output": "/film.mp4"}, "E126", "paths are relative"),
        ({"output": "films/ .mp4"}, "E126", "nothing but blanks and dots is left"),
        ({"output": "films\\film.mp4"}, "E126", "write / between folders"),
    ],
)  # fmt: skip
def test_a_bad_row_has_its_error_and_the_others_stay_good(row, code, message):
    error = error_of(**row)
    assert error is not None
    assert error.code == code
    assert message in error.message
    assert (error.line, error.column is not None) == (1, True)
    assert error.message.isprintable()


@pytest.mark.parametrize(
    "row",
    [
        {"output": "Mr. Smith"},
        {"output": "films/第 1 集.MP4"},
        {"output": "{stem}.mp4"},
        {"video": "a [live].mp4"},
        {"video": "still.JPG"},
        {"video": "take 1:2.mp4"},
        {"options": {"engine": "passthrough", "silence": "source", "preset": "veryslow"}},
        {"sha256": {"audio": SHA}, "size": {"video": 1}},
        {"audio": "**/*.wav", "output": "{number} {name} {stem}.mp4"},
        {"priority": -1000},
    ],
)
def test_what_is_unusual_but_right_is_taken(row):
    assert error_of(**row) is None


def test_the_place_of_an_error_is_that_of_the_key_or_value():
    text = (
        '{"heygem": 1,\n "jobs": [\n  {"video": "a.mp4",\n   "audoi": "b.wav"},\n'
        '  {"video": "a.mp4", "audio": "../b.wav"},\n  {"video": "a.mp4"}]}'
    )
    rows = read_manifest(text.encode(), "m.heygem.json", LIMITS).rows
    places = [(row.line, row.error.code, row.error.line, row.error.column) for row in rows if row.error]
    assert places == [(3, "E123", 4, 4), (5, "E126", 5, 31), (6, "E124", 6, 3)]


def test_what_could_be_read_of_a_bad_row_is_kept():
    (row,) = read_whole(jobs=[{"id": "ep01", "video": "../a.mp4", "audio": "b.wav", "priority": 3}]).rows
    assert (row.row_id, row.video, row.audio, row.priority) == ("ep01", None, "b.wav", 3)


def test_a_key_that_stands_twice_in_a_row_concerns_that_row():
    twice = '{"video": "a.mp4", "audio": "b.wav", "audio": "c.wav"}'
    text = f'{{"heygem": 1, "jobs": [{twice}, {json.dumps(GOOD)}]}}'
    bad, good = read_manifest(text.encode(), "m.heygem.json", LIMITS).rows
    assert good.error is None
    assert bad.error is not None
    assert (bad.error.code, bad.error.column) == ("E122", 61)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('{"heygem": 1, "heygem": 1, "jobs": []}', "E122", "line 1, column 15: the key 'heygem' stands there twice"),
        ('{"heygem": 1, "defaults": {"crf": 1}, "jobs": []}', "E124", "the manifest has no rows"),
    ],
)
def test_a_flaw_above_the_rows_concerns_the_whole_file(text, code, message):
    with pytest.raises(InputError) as caught:
        read_manifest(text.encode(), "m.heygem.json", LIMITS)
    assert (caught.value.code, message in caught.value.message) == (code, True)


@pytest.mark.parametrize(
    ("manifest", "code", "message"),
    [
        ({"heygem": 2, "jobs": [GOOD]}, "E124", "heygem is the number 1"),
        ({"heygem": "1", "jobs": [GOOD]}, "E124", "heygem is the number 1"),
        ({"heygem": True, "jobs": [GOOD]}, "E124", "heygem is the number 1"),
        ({"jobs": {}}, "E124", "jobs is a list, not keys and values"),
        ({"jobs": []}, "E124", "the manifest has no rows"),
        ({}, "E124", "the manifest has no jobs"),
        ({"rows": [GOOD]}, "E123", "the manifest has no key 'rows'"),
        ({"jobs": [GOOD], "strickt": True}, "E123", "(did you mean strict?)"),
        ({"jobs": [GOOD], "strict": "true"}, "E124", "strict is true or false, not the text 'true'"),
        ({"jobs": [GOOD], "bundle": 1}, "E124", "bundle is true or false"),
        ({"jobs": [GOOD], "defaults": {"id": "x"}}, "E123", "defaults has no key 'id'"),
        ({"jobs": [GOOD], "defaults": {"video": "../a.mp4"}}, "E126", "it leads out"),
        ({"jobs": [GOOD], "defaults": {"options": {"crf": "18"}}}, "E124", "crf is a whole number"),
        ({"jobs": [GOOD] * 1001}, "E125", "more than 1000 rows (intake.max_manifest_rows)"),
    ],
)
def test_an_error_of_the_whole_file_is_raised_with_its_place(manifest, code, message):
    error = refusal(**manifest)
    assert error.code == code
    assert message in error.message
    assert error.message.startswith("line 1, column ")


def test_the_protocol_number_is_needed():
    with pytest.raises(InputError) as caught:
        read_manifest(b'{"jobs": []}', "m.heygem.json", LIMITS)
    assert caught.value.code == "E124"
    assert "heygem" in caught.value.message


def test_too_many_rows_are_refused_in_every_format():
    rows = 1001
    row = json.dumps(GOOD)
    texts = {
        "yaml": "heygem: 1\njobs:\n" + f"  - {row}\n" * rows,
        "jsonl": f"{row}\n" * rows,
        "csv": "video,audio\n" + "a.mp4,b.wav\n" * rows,
    }
    for suffix, text in texts.items():
        with pytest.raises(InputError) as caught:
            read_manifest(text.encode(), f"m.heygem.{suffix}", LIMITS)
        assert caught.value.code == "E125"
        assert f"line {rows + (suffix == 'csv') + 2 * (suffix == 'yaml')}" in caught.value.message


def test_defaults_lie_under_the_rows_key_by_key():
    defaults = {
        "video": "anna.mp4", "priority": 5, "output": "x.mp4",
        "options": {"length": "pingpong", "crf": 20}, "sha256": {"video": SHA}, "size": {"video": 9},
    }  # fmt: skip
    own = {"video": "b.mp4", "audio": "b.wav", "priority": 0, "output": "y", "options": {"crf": 0, "engine": "atlas"}}
    plain, changed = read_whole(defaults=defaults, jobs=[{"audio": "a.wav"}, own]).rows
    assert (plain.video, plain.priority, plain.output) == ("anna.mp4", 5, "x.mp4")
    assert plain.options == OptionChoice(length=LengthPolicy.AUTO, crf=20)
    assert (plain.video_declared.sha256, plain.video_declared.size_bytes) == (SHA.lower(), 9)
    assert (changed.video, changed.priority, changed.output) == ("b.mp4", 0, "y")
    assert changed.options == OptionChoice(length=LengthPolicy.AUTO, crf=0, engine=EngineName.ATLAS)
    assert (changed.video_declared.sha256, changed.video_declared.size_bytes) == (None, None)


def test_a_missing_member_is_an_error_after_the_defaults_are_known():
    rows = read_whole(defaults={"video": "v.mp4"}, jobs=[{"audio": "a.wav"}, {"priority": 1}]).rows
    assert rows[0].error is None
    assert rows[1].error is not None
    assert (rows[1].error.code, "names no audio" in rows[1].error.message) == ("E124", True)


def test_the_example_of_the_protocol_is_read():
    text = """{"heygem": 1, "strict": false, "bundle": true,
     "defaults": {"video": "anna.mp4", "priority": 5, "options": {"length": "pingpong"}},
     "jobs": [{"id": "ep01", "audio": "ep01.wav", "sha256": {"audio": "%s"}},
              {"audio": "lines/*.wav", "output": "lines/{stem}.mp4"}]}"""
    manifest = read_manifest((text % SHA).encode(), "m.heygem.json", LIMITS)
    assert (manifest.strict, manifest.bundle) == (False, True)
    assert [(row.video, row.error) for row in manifest.rows] == [("anna.mp4", None)] * 2
