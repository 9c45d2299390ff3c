"""From bytes to text: never guessed, never half."""

import codecs

import pytest

from heygemd.errors import InputError
from heygemd.intake.manifests.model import Manifest
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest

LIMITS = ManifestLimits(max_bytes=1 << 20, max_rows=100)
CSV = "id,video,audio\n第一集,张伟.mp4,“你好”:一.wav\n"
YAML = "heygem: 1\njobs:\n  - {id: 第一集, video: 张伟.mp4, audio: 你好.wav}\n"
JSON = '{"heygem": 1, "jobs": [{"id": "第一集", "video": "张伟.mp4", "audio": "你好.wav"}]}'


def read(data: bytes, suffix: str) -> Manifest:
    return read_manifest(data, f"m.heygem.{suffix}", LIMITS)


def refusal(data: bytes, suffix: str = "csv") -> InputError:
    with pytest.raises(InputError) as caught:
        read(data, suffix)
    return caught.value


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("gb18030"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16 le", "utf-16 be", "gb18030"],
)
@pytest.mark.parametrize(("text", "suffix"), [(CSV, "csv"), (YAML, "yaml"), (JSON, "json"), (JSON[23:-2], "jsonl")])
def test_every_format_is_read_in_every_encoding(text, suffix, encode):
    (row,) = read(encode(text), suffix).rows
    assert (row.row_id, row.video, row.error) == ("第一集", "张伟.mp4", None)


@pytest.mark.parametrize("declaration", ["# encoding: gb18030", "# -*- coding: GBK -*-", "#encoding=gb2312"])
@pytest.mark.parametrize(("text", "suffix"), [(CSV, "csv"), (YAML, "yml")])
def test_gb18030_that_is_declared_may_hold_rare_characters(text, suffix, declaration):
    rare = f"{declaration}\n{text}".replace("张伟", "镕喆é").encode("gb18030")
    (row,) = read(rare, suffix).rows
    assert row.video == "镕喆é.mp4"


@pytest.mark.parametrize(
    "text",
    [
        CSV.replace("张伟", "镕喆堃"),
        CSV.replace("张伟", "カラ"),
        CSV.replace("张伟", "Привет"),
        CSV.replace("张伟", "\x01"),
    ],
)
def test_gb18030_that_could_be_something_else_has_to_be_declared(text):
    error = refusal(text.encode("gb18030"))
    assert error.code == "E120"
    assert "line 2 is not UTF-8" in error.message
    assert "# encoding: gb18030" in error.message


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café.mp4", "cp1252"),
        ("Übergrößenträger.mp4", "cp1252"),
        ("Привет, как дела.mp4", "cp1251"),
        ("привет.mp4", "cp1251"),
        ("беда.mp4", "cp1251"),
        ("こんにちは.mp4", "cp932"),
        ("こんにちは.mp4", "euc-jp"),
    ],
)
def test_other_encodings_are_not_taken_for_chinese(text, encoding):
    assert refusal(b"id,video,audio\n" + f"a,{text},b.wav\n".encode(encoding)).code == "E120"


def test_json_is_not_told_to_declare_an_encoding():
    assert "encoding:" not in refusal(b'{"caf\xe9": 1}', "json").message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"# encoding: latin-1\nvideo,audio\n", "the encoding latin-1 is not known"),
        (b"# encoding: gb18030\nvideo,audio\n\xff\xff\n", "says that it is gb18030"),
        (codecs.BOM_UTF8 + b"\xff", "has the mark of UTF-8, but"),
        (codecs.BOM_UTF16_LE + b"a", "has the mark of UTF-16, but"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8a\x00", "has the mark of UTF-16, but"),
        (codecs.BOM_UTF32_LE + "video,audio\n".encode("utf-32-le"), "zero byte"),
        ("video,audio\n".encode("utf-16-le"), "zero byte"),
        (b"video,audio\na.mp4,b\x00.wav\n", "line 2 holds a zero byte"),
        (b"\xed\xa0\x80", "not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(data, message):
    error = refusal(data)
    assert error.code == "E120"
    assert message in error.message


def test_a_mark_wins_over_a_declaration():
    assert read(codecs.BOM_UTF8 + b"# encoding: gb18030\n" + CSV.encode(), "csv").rows[0].video == "张伟.mp4"


@pytest.mark.parametrize("suffix", ["json", "yaml", "csv", "jsonl"])
@pytest.mark.parametrize("data", [b"", b" \n\r\n\t", codecs.BOM_UTF8])
def test_an_empty_file_says_so(data, suffix):
    error = refusal(data, suffix)
    assert (error.code, error.message) == ("E124", "the manifest is empty")


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    error = refusal(b"\x00" * (LIMITS.max_bytes + 1))
    assert (error.code, "intake.max_manifest_mib" in error.message) == ("E120", True)


def test_a_name_without_format_is_refused():
    with pytest.raises(InputError) as caught:
        read_manifest(b"{}", "m.json", LIMITS)
    assert caught.value.code == "E121"
