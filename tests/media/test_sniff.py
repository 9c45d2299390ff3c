"""First bytes decide which demuxer may read a file."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.errors import InputError
from heygemd.media.sniff import missing_bytes, sniff

MP3_FRAME = bytes.fromhex("fffb9000") + bytes(413)  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes
ADTS_FRAME = bytes.fromhex("fff15080061ffc") + bytes(41)  # 48 bytes
BMP = b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + struct.pack("<I", 40)


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp_pipe"),
        (b"FORM\0\0\0\x10AIFFCOMM", "aiff"),
        (bytes.fromhex("726966662e91cf11a5d628db04c10000"), "w64"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"#!AMR\n\x3c", "amr"),
        (b"#!AMR-WB\n\x44", "amr"),
        (bytes.fromhex("060e2b34020501010d0102010102040083000068"), "mxf"),
        (b"OggS\0\x02", "ogg"),
        (b"\xff\xd8\xff\xe0", "jpeg_pipe"),
        (b"\x89PNG\r\n\x1a\n", "png_pipe"),
        (b"\0\0\x01\xba\x21", "mpeg"),
        ((b"\x47" + bytes(187)) * 5, "mpegts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 5, "mpegts"),
        (MP3_FRAME * 4, "mp3"),
        (b"junk" + MP3_FRAME * 4, "mp3"),
        (b"ID3\x04\0\0\0\0\0\x05tags!" + MP3_FRAME * 4, "mp3"),
        (b"ID3\x04\0\0\0\0\0\x05tags!" + ADTS_FRAME * 4, "aac"),
        (b"ID3\x04\0\0\0\0\0\x05tags!fLaC", "flac"),
        (b"ID3\x04\0\0\x7f\x7f\x7f" + bytes(60000), "mp3"),
        (ADTS_FRAME * 4, "aac"),
        (BMP, "bmp_pipe"),
    ],
)
def test_known_beginnings_name_their_demuxer(head: bytes, demuxer: str) -> None:
    assert sniff(head) == demuxer


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\n",
        b"\xef\xbb\xbf#EXTM3U\n",
        b"\r\n  #extm3u\n",
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"<?xml version='1.0'?><MPD/>",
        b"<MPD xmlns='x'>",
        b"[playlist]\nFile1=http://x/\n",
        b"\0\0\0\x20ftypheic",
        b"%PDF-1.7",
        b"\x7fELF\x02",
        b"PK\x03\x04",
        b"",
    ],
)
def test_texts_and_foreign_files_are_refused(head: bytes) -> None:
    with pytest.raises(InputError) as caught:
        sniff(head)
    assert caught.value.code == "E101"


def test_a_lone_sync_word_is_no_mp3() -> None:
    with pytest.raises(InputError):
        sniff(bytes(100) + MP3_FRAME[:4] + bytes(5000))


@given(st.binary(max_size=4096))
def test_any_bytes_are_either_known_or_refused(head: bytes) -> None:
    try:
        assert sniff(head).islower() or sniff(head) == "w64"
    except InputError as error:
        assert error.code == "E101"
    assert missing_bytes(head, len(head)) >= 0


@pytest.mark.parametrize(
    ("declared", "size", "missing"),
    [(100_000, 50_000, 50_008), (100_000, 100_008, 0), (100_000, 99_000, 0), (0xFFFFFFFF, 50_000, 0), (0, 50_000, 0)],
)
def test_a_riff_header_tells_what_is_missing(declared: int, size: int, missing: int) -> None:
    assert missing_bytes(b"RIFF" + struct.pack("<I", declared) + b"WAVEfmt ", size) == missing
