"""From the first bytes of a file to the one ffmpeg demuxer that may read it. Pure.

A playlist that calls itself `.mp4` makes an unguarded ffmpeg open other files, so the name of a file says nothing
here, and only containers that hold their own pictures and sounds are known at all.
"""

import struct
from collections.abc import Callable

from heygemd.errors import InputError

HEAD_BYTES = 64 << 10
"""How much of a file `sniff` wants to see."""

STILLS = frozenset({"jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe"})
"""Demuxers of one picture. (`image2` is never used: it expands `%03d` in names.)"""

AT_START: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"\x89PNG\r\n\x1a\n", "png_pipe"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"FLV\x01", "flv"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "asf"),
    (bytes.fromhex("726966662e91cf11a5d628db04c10000"), "w64"),
    (b"caff\x00\x01", "caf"),
    (b"#!AMR\n", "amr"),
    (b"#!AMR-WB\n", "amr"),
    (bytes.fromhex("060e2b34020501010d0102"), "mxf"),
)

IN_CHUNKS: dict[tuple[bytes, bytes], str] = {
    (b"RIFF", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"BW64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"RIFF", b"AVIX"): "avi",
    (b"RIFF", b"WEBP"): "webp_pipe",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}

MOV_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"})

TEXTS: tuple[tuple[bytes, str], ...] = (
    (b"#extm3u", "an HLS playlist"),
    (b"ffconcat", "an ffconcat list"),
    (b"v=0", "an SDP description"),
    (b"<mpd", "a DASH manifest"),
    (b"<?xml", "an XML text"),
    (b"[playlist]", "a playlist"),
    (b"<asx", "a playlist"),
    (b"<html", "a web page"),
    (b"<!doctype", "a web page"),
)

UNKNOWN_SIZE = 0x7FFFF000
"""RIFF sizes from here on are what streaming writers put in when they do not know (sox, ffmpeg)."""

SLACK_BYTES = 4096
"""A RIFF size that exceeds the file by less is a sloppy writer, not a cut-off copy."""

FRAMES_IN_A_ROW = 3
"""So many consistent headers make raw MPEG audio; one alone is chance (11 bits)."""

ID3_BYTES = 10
ADTS_SYNC, ADTS_RATES, ADTS_BYTES = 0xFFF, range(13), 7
MP3_SYNC, MPEG_1, LAYER_3 = 0x7FF, 3, 1

MP3_KBPS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
"""ISO 11172-3 and 13818-3, layer III: MPEG-1, then MPEG-2 and 2.5."""
MP3_RATES_HZ: dict[int, tuple[int, ...]] = {
    MPEG_1: (44100, 48000, 32000),
    2: (22050, 24000, 16000),
    0: (11025, 12000, 8000),
}


def sniff(head: bytes) -> str:
    """Name the demuxer for a file that begins with `head` (at most `HEAD_BYTES` of it).

    Raises InputError E101 for everything that is not a known container of pictures or sound.
    """
    for magic, demuxer in AT_START:
        if head.startswith(magic):
            return demuxer
    if found := IN_CHUNKS.get((head[:4], head[8:12])):
        return found
    if head[4:8] in MOV_BOXES:
        return _mov(head)
    _refuse_texts(head)
    if _is_transport_stream(head):
        return "mpegts"
    if raw := _raw_audio(head):
        return raw
    if head[:2] == b"BM" and head[6:10] == bytes(4) and head[14:18] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return "bmp_pipe"
    raise InputError(
        "E101", "the content is no picture, film or sound that can be read" if head else "the file is empty"
    )


def missing_bytes(head: bytes, size_bytes: int) -> int:
    """How many bytes a RIFF or AIFF file lacks according to its own header; 0 when it seems whole."""
    if (head[:4], head[8:12]) not in IN_CHUNKS:
        return 0
    declared: int = struct.unpack(">I" if head[:4] == b"FORM" else "<I", head[4:8])[0] + 8
    missing = declared - size_bytes
    return missing if declared < UNKNOWN_SIZE and missing > SLACK_BYTES else 0


def _mov(head: bytes) -> str:
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        raise InputError("E101", "HEIC and AVIF stills cannot be read: save the picture as JPEG or PNG")
    return "mov"


def _refuse_texts(head: bytes) -> None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    for beginning, what in TEXTS:
        if start.startswith(beginning):
            raise InputError("E101", f"the content is {what}, not a film or a sound")


def _is_transport_stream(head: bytes) -> bool:
    """188-byte packets, or 192 with a time stamp before each (M2TS)."""
    for packet, first in ((188, 0), (192, 4)):
        marks = head[first : first + 8 * packet : packet]
        if len(marks) >= FRAMES_IN_A_ROW and set(marks) == {0x47}:
            return True
    return False


def _raw_audio(head: bytes) -> str | None:
    start = 0
    if head.startswith(b"ID3"):
        start = ID3_BYTES + sum(byte << shift for byte, shift in zip(head[6:ID3_BYTES], (21, 14, 7, 0), strict=False))
        if head[start : start + 4] == b"fLaC":
            return "flac"
        if start >= len(head):  # a cover picture fills the head: nothing else carries ID3 in practice
            return "mp3"
    for demuxer, length in (("aac", adts_frame_bytes), ("mp3", mp3_frame_bytes)):
        if _has_frames(head, start, length):
            return demuxer
    return None


def _has_frames(head: bytes, start: int, length: Callable[[bytes, int], int]) -> bool:
    """Say whether a few frames stand one behind the other, after at most 4 KiB of something else."""
    at = start
    while (at := head.find(b"\xff", at, start + 4096)) >= 0:
        here, seen = at, 0
        while seen < FRAMES_IN_A_ROW and (step := length(head, here)):
            here, seen = here + step, seen + 1
        if seen == FRAMES_IN_A_ROW or (seen and here == len(head)):
            return True
        at += 1
    return False


def adts_frame_bytes(data: bytes, at: int) -> int:
    """Length of the ADTS frame whose header stands at `at`, 0 if none does (ISO 13818-7, 6.2)."""
    head = data[at : at + ADTS_BYTES]
    word = int.from_bytes(head)
    sync, layer, rate, length = word >> 44, word >> 41 & 3, word >> 34 & 15, word >> 13 & 0x1FFF
    is_frame = len(head) == ADTS_BYTES and sync == ADTS_SYNC and layer == 0 and rate in ADTS_RATES
    return length if is_frame and length > ADTS_BYTES else 0


def mp3_frame_bytes(data: bytes, at: int) -> int:
    """Length of the layer III frame whose header stands at `at`, 0 if none does."""
    word = int.from_bytes(data[at : at + 4])
    sync, version, layer = word >> 21, word >> 19 & 3, word >> 17 & 3
    step, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    rates_hz, kbps = MP3_RATES_HZ.get(version, ()), MP3_KBPS[version != MPEG_1]
    if sync != MP3_SYNC or layer != LAYER_3 or rate >= len(rates_hz) or not 0 < step < len(kbps):
        return 0
    return (144_000 if version == MPEG_1 else 72_000) * kbps[step] // rates_hz[rate] + padding
