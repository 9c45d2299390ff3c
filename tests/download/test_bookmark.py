"""What is noted beside a part survives a crash, and joins only what belongs together."""

import json

import pytest

from heygemd.download.bookmark import Bookmark, length_past_end, range_begin

URL = "https://a.example/x"


def test_it_is_read_as_it_was_written(tmp_path):
    bookmark = Bookmark.of(URL, {"ETag": '"e"', "Content-Length": "7"})
    bookmark.write(tmp_path / "b.json")
    assert Bookmark.read(tmp_path / "b.json") == bookmark


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"address_sha256": "x"}', '{"a": 1}', "\x00"])
def test_a_damaged_note_is_none(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    assert Bookmark.read(tmp_path / "b.json") is None
    assert Bookmark.read(tmp_path / "missing.json") is None


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"e"', "Last-Modified": "Mon"}, '"e"'),
        ({"ETag": 'W/"e"', "Last-Modified": "Mon"}, "Mon"),
        ({"ETag": 'W/"e"'}, ""),
        ({}, ""),
    ],
)
def test_only_what_changes_with_the_bytes_is_a_validator(headers, validator):
    assert Bookmark.of(URL, headers).validator == validator


@pytest.mark.parametrize(
    ("headers", "total"),
    [
        ({"Content-Length": "12"}, 12),
        ({"Content-Length": "-1"}, None),
        ({"Content-Length": "²"}, None),
        ({"Content-Length": "9" * 30}, None),
        ({"Content-Range": "bytes 5-9/12", "Content-Length": "5"}, 12),
        ({"Content-Range": "bytes 5-9/*", "Content-Length": "5"}, None),
        ({"Content-Range": "nonsense", "Content-Length": "5"}, None),
        ({}, None),
    ],
)
def test_the_length_of_the_whole_is_taken_where_it_stands(headers, total):
    assert Bookmark.of(URL, headers).total_bytes == total


def test_ranges_are_read_strictly():
    assert range_begin({"Content-Range": "bytes 5-9/12"}) == 5
    assert range_begin({"Content-Range": "bytes=5-9/12"}) is None
    assert range_begin({}) is None
    assert length_past_end({"Content-Range": "bytes */12"}) == 12
    assert length_past_end({"Content-Range": "bytes 1-2/12"}) is None


def test_the_address_itself_is_not_kept(tmp_path):
    Bookmark.of("https://a.example/x?token=secret", {}).write(tmp_path / "b.json")
    assert "secret" not in (tmp_path / "b.json").read_text()
    assert set(json.loads((tmp_path / "b.json").read_text())) == {"address_sha256", "validator", "total_bytes"}
