"""One manifest in four formats, and what JSON, JSON Lines and CSV say about types, quotes and places."""

import pytest

from heygemd.intake.manifests.expansion import ManifestKind, kind_of_manifest, stem_of_manifest
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy
from tests.intake.manifest_texts import CSV, JSON, SHA, YAML, contents, json_lines, json_row, only_row, read, refusal


def test_one_manifest_written_in_four_formats_gives_equal_rows():
    read_all = [read(JSON), read(YAML, "yaml"), read(CSV, "csv"), read(json_lines(), "jsonl")]
    assert all(manifest.strict and manifest.bundle for manifest in read_all)
    for other in read_all[1:]:
        assert contents(other) == contents(read_all[0])
    first, second, third = read_all[0].rows
    assert first.options == OptionChoice(
        engine=EngineName.ATLAS, length=LengthPolicy.AUTO, crf=16, audio_offset_ms=-40
    )  # fmt: skip
    assert (first.priority, first.audio_declared.sha256, first.audio_declared.size_bytes) == (5, SHA, 4711)
    assert (second.row_id, second.audio, third.video, third.audio) == ("007", "no.wav", 'a "b", c.mp4', "12:30.wav")
    assert not any(row.error for row in read_all[0].rows)


def test_every_row_knows_its_line():
    assert [row.line for row in read(JSON).rows] == [2, 5, 6]
    assert [row.line for row in read(YAML, "yaml").rows] == [6, 15, 18]
    assert [row.line for row in read(CSV, "csv").rows] == [4, 5, 6]
    assert [row.line for row in read(json_lines(), "jsonl").rows] == [2, 3, 4]
    assert [row.number for row in read(CSV, "csv").rows] == [1, 2, 3]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_counted(ending):
    for text, suffix in ((YAML, "yaml"), (CSV, "csv"), (JSON, "json"), (json_lines(), "jsonl")):
        manifest = read(text.replace("\n", ending), suffix)
        assert [row.line for row in manifest.rows] == [row.line for row in read(text, suffix).rows]


def test_places_behind_characters_outside_the_basic_plane_are_right():
    text = 'heygem: 1\njobs:\n  - {id: "😀😀", video: 😀.mp4, oudio: b.wav}\n'
    error = only_row(text, "yaml").error
    assert error is not None
    assert text.splitlines()[error.line - 1][error.column - 1 :].startswith("oudio")


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("lines.heygem.json", ManifestKind.JSON, "lines"),
        ("Lines.HEYGEM.YML", ManifestKind.YAML, "Lines"),
        ("a.b.heygem.yaml", ManifestKind.YAML, "a.b"),
        ("台词.heygem.csv", ManifestKind.CSV, "台词"),
        ("x.heygem.JSONL", ManifestKind.JSON_LINES, "x"),
        ("x.json", None, "x.json"),
        ("x.heygem.txt", None, "x.heygem.txt"),
        (".heygem.json", None, ".heygem.json"),
        ("x.heygem.json.mp4", None, "x.heygem.json.mp4"),
    ],
)
def test_the_suffix_decides_the_format(name, kind, stem):
    assert kind_of_manifest(name) is kind
    assert stem_of_manifest(name) == stem


def test_a_json_manifest_named_yaml_is_read_as_yaml():
    assert contents(read(JSON, "yaml")) == contents(read(JSON))


# JSON ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"heygem": 1,}', "line 1, column 13: JSON has no comma before }"),
        ('{"heygem": 1 "jobs": []}', "line 1, column 14: a comma or } is expected here"),
        ('{"heygem" 1}', "line 1, column 11: a : is expected after the key"),
        ("{heygem: 1}", "line 1, column 2: a key in double quotes is expected here"),
        ("{'heygem': 1}", 'line 1, column 2: texts and keys stand between two "'),
        ('{"heygem": NaN}', "line 1, column 12: NaN and Infinity are no numbers"),
        ('{"heygem": -Infinity}', "line 1, column 12: NaN and Infinity are no numbers"),
        ('{"heygem": 01}', "line 1, column 13: a comma or } is expected here"),
        ('{"heygem": 1}\n{}', "line 2, column 1: something stands after the end"),
        ('{"heygem": 1, "jobs": [', "line 1, column 24: the file ends too early"),
        ('// hello\n{"heygem": 1}', "line 1, column 1: JSON has no comments"),
        ('{"heygem": "a\nb"}', 'line 1, column 12: the " that opens this text is not closed on its line'),
        ('{"heygem": "a\tb"}', "line 1, column 14: this text holds a control character"),
        ('{"heygem": "a\\b\\q"}', "line 1, column 16: \\ is written \\\\ in JSON"),
        ('{"heygem": "\\ud800"}', "line 1, column 12: this text holds half a character"),
        ("\\", "line 1, column 1: a value is expected here"),
    ],
)
def test_broken_json_is_refused_with_its_place(text, message):
    error = refusal(text)
    assert error.code == "E121"
    assert error.message.startswith(message)


def test_json_escapes_are_read():
    row = json_row(r'{"id": "\u4f60\ud83d\ude00", "video": "a\/b.mp4", "audio": "\u00e9.wav"}')
    assert (row.row_id, row.video, row.audio) == ("你😀", "a/b.mp4", "é.wav")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ('{"id": 7, "video": "a.mp4", "audio": "b.wav"}', 31),
        ('{"video": "a.mp4", "audio": "b.wav", "priority": "5"}', 73),
        ('{"video": "a.mp4", "audio": "b.wav", "priority": 5.0}', 73),
        ('{"video": "a.mp4", "audio": "b.wav", "priority": true}', 73),
        ('{"video": "a.mp4", "audio": "b.wav", "priority": 1001}', 73),
        ('{"video": null, "audio": "b.wav"}', 34),
        ('{"video": ["a.mp4"], "audio": "b.wav"}', 34),
        ('"a.mp4"', 24),
        ("[]", 24),
        ("null", 24),
    ],
)
def test_a_value_of_the_wrong_type_is_an_error_of_its_row(row, column):
    error = json_row(row).error
    assert error is not None
    assert (error.code, error.line, error.column) == ("E124", 1, column)


# JSON Lines ---------------------------------------------------------------------------------------------------------


def test_json_lines_need_no_first_line_of_their_own():
    text = '{"video": "a.mp4", "audio": "b.wav"}\n\n{"video": "c.mp4", "audio": "d.wav"}'
    manifest = read(text, "jsonl")
    assert (manifest.strict, [row.line for row in manifest.rows]) == (False, [1, 3])


def test_a_broken_line_of_json_lines_is_an_error_of_that_row():
    good, bad, fine = read(
        '{"video": "a.mp4", "audio": "b.wav"}\n  {"video": \n{"video": "c.mp4", "audio": "d.wav"}', "jsonl"
    ).rows
    assert (good.error, fine.error) == (None, None)
    assert bad.error is not None
    assert (bad.error.code, bad.error.line, bad.line) == ("E121", 2, 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"heygem": 1, "strict": tru}\n{"video": "a.mp4", "audio": "b.wav"}', "E121"),
        ('{"strict": true}\n{"video": "a.mp4", "audio": "b.wav"}', "E124"),
        ('{"heygem": 2}\n{"video": "a.mp4", "audio": "b.wav"}', "E124"),
        ('{"heygem": 1, "strikt": true}\n{"video": "a.mp4", "audio": "b.wav"}', "E123"),
        ('{"heygem": 1, "heygem": 1}\n{"video": "a.mp4", "audio": "b.wav"}', "E122"),
        ('{"heygem": 1}\n', "E124"),
    ],
)
def test_a_wrong_first_line_is_never_overlooked(text, code):
    assert refusal(text, "jsonl").code == code


def test_a_first_line_further_down_is_an_error_of_its_row():
    _, second = read('{"video": "a.mp4", "audio": "b.wav"}\n{"heygem": 1, "strict": true}', "jsonl").rows
    assert second.error is not None
    assert second.error.code == "E123"


# CSV ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_the_one_with_which_the_header_makes_sense(delimiter):
    table = [["id", "video", "audio", "audio_sha256", "size_audio"], ["a;b,c", "a.mp4", "b.wav", SHA, "12"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in cells) for cells in table)
    row = only_row(text, "csv")
    assert (row.row_id, row.video, row.audio_declared.sha256, row.audio_declared.size_bytes) == (
        "a;b,c",
        "a.mp4",
        SHA,
        12,
    )


def test_a_comma_in_a_name_does_not_mislead_a_semicolon_table():
    row = only_row("video;audio;output\na,b,c.mp4;d.wav;e,f\n", "csv")
    assert (row.video, row.output) == ("a,b,c.mp4", "e,f")


def test_what_spreadsheets_add_is_overlooked():
    above = "sep=;\r\n# strict: true;;;\r\n# written by Anna: in May;;\r\n"
    text = f"{above}ID;Video;Audio;;\r\n 1 ; a.mp4 ;b.wav;;\r\n;;;;\r\n\r\n"
    manifest = read(text, "csv")
    assert manifest.strict
    assert [(row.row_id, row.video, row.line, row.error) for row in manifest.rows] == [("1", "a.mp4", 5, None)]


def test_a_misspelt_setting_above_the_header_is_refused():
    error = refusal("# strikt: true\nvideo,audio\na.mp4,b.wav\n", "csv")
    assert (error.code, "did you mean strict?" in error.message) == ("E123", True)


@pytest.mark.parametrize(
    ("header", "code", "message"),
    [
        ("id,video,sound", "E123", "line 1, column 10: there is no column 'sound'"),
        ("id,video,audo", "E123", "line 1, column 10: there is no column 'audo' (did you mean audio?)"),
        ("id,,audio", "E123", "line 1, column 4: column 2 has no name"),
        ("id,video,audio,ID", "E122", "line 1, column 16: the column 'ID' stands there twice"),
        ("video,audio,sha256.audio,audio_sha256", "E122", "line 1, column 26"),
        ('id,"video,audio', "E121", 'line 1, column 4: the " that opens this cell is not closed'),
        ("a.mp4 b.wav", "E123", "line 1, column 1: there is no column"),
    ],
)
def test_a_wrong_header_concerns_the_whole_file(header, code, message):
    error = refusal(f"{header}\n1,a.mp4,b.wav,x\n", "csv")
    assert error.code == code
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ('1,"a.mp4,b.wav', "E121", 3),
        ('1,a"b.mp4,b.wav', "E121", 4),
        ('1,"a"b.mp4,b.wav', "E121", 6),
        ("1,a.mp4,b.wav,more", "E124", 15),
    ],
)
def test_an_open_quote_is_an_error_of_its_line_and_swallows_nothing(line, code, column):
    before, bad, after = read(f"id,video,audio\n0,a.mp4,b.wav\n{line}\n2,c.mp4,d.wav\n", "csv").rows
    assert (before.error, after.error, after.row_id) == (None, None, "2")
    assert bad.error is not None
    assert (bad.error.code, bad.error.line, bad.error.column) == (code, 3, column)


def test_csv_words_that_yaml_would_take_for_something_else_are_texts():
    row = only_row("id,video,audio,output\nnull,true.mp4,b.wav,false\n", "csv")
    assert (row.row_id, row.output, row.error) == ("null", "false", None)
