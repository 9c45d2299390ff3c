"""Files without an outermost box: frames, pages, packets and segments, one behind the other."""

from collections.abc import Callable
from itertools import pairwise

from heygemd.media.sniff import adts_frame_bytes, mp3_frame_bytes
from tests.fuzz.parts import Part, bare, unsigned, unsigned_little

ID3_HEAD_BYTES = 10
OGG_HEAD_BYTES = 27
OGG_POLYNOMIAL = 0x04C11DB7
PACKET_BYTES = 188
FLAC_SYNCS = (b"\xff\xf8", b"\xff\xf9")


def _rest(data: bytes, at: int) -> list[Part]:
    return [Part(b"", bare, data[at:])] if at < len(data) else []


def _seal_id3(part: Part, content: bytes) -> bytes:
    size = len(content) + part.lie
    return part.form + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + content


def _id3(data: bytes) -> tuple[list[Part], int]:
    if not data.startswith(b"ID3"):
        return [], 0
    size = sum(byte << shift for byte, shift in zip(data[6:ID3_HEAD_BYTES], (21, 14, 7, 0), strict=True))
    end = ID3_HEAD_BYTES + size
    return [Part(b"ID3", _seal_id3, data[ID3_HEAD_BYTES:end], form=data[:6])], end


def _framed(data: bytes, name: bytes, length_of: Callable[[bytes, int], int]) -> list[Part]:
    parts, at = _id3(data)
    while size := length_of(data, at):
        if at + size > len(data):
            break
        parts.append(Part(name, bare, data[at : at + size]))
        at += size
    return parts + _rest(data, at)


def take_mp3_apart(data: bytes) -> list[Part]:
    """MPEG layer III frames, behind an ID3 tag."""
    return _framed(data, b"mp3", mp3_frame_bytes)


def take_adts_apart(data: bytes) -> list[Part]:
    """AAC frames with ADTS headers."""
    return _framed(data, b"adts", adts_frame_bytes)


def _seal_flac(part: Part, content: bytes) -> bytes:
    return part.form + unsigned(len(content) + part.lie, 3) + content


def take_flac_apart(data: bytes) -> list[Part]:
    """FLAC: blocks of facts, then pieces that begin where a frame may begin."""
    parts, at, is_last = [Part(b"fLaC", bare, data[:4])], 4, False
    while not is_last and at + 4 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        is_last = bool(data[at] & 0x80)
        parts.append(Part(b"block", _seal_flac, data[at + 4 : at + 4 + size], form=data[at : at + 1]))
        at += 4 + size
    starts = [at, *(here for here in range(at + 2, len(data)) if data[here : here + 2] in FLAC_SYNCS), len(data)]
    return parts + [Part(b"frame", bare, data[start:stop]) for start, stop in pairwise(starts) if start < stop]


def _ogg_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        rest = byte << 24
        for _ in range(8):
            rest = (rest << 1) ^ (OGG_POLYNOMIAL if rest & 0x80000000 else 0)
        table.append(rest & 0xFFFFFFFF)
    return tuple(table)


_OGG_TABLE = _ogg_table()


def ogg_sum(page: bytes) -> int:
    """Sum of a page whose own sum is zero (RFC 3533, 6): CRC-32 without reflection."""
    rest = 0
    for byte in page:
        rest = (rest << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[rest >> 24 ^ byte]
    return rest


def _seal_ogg(part: Part, content: bytes) -> bytes:
    """`body`: the page without its sum; a demuxer skips pages whose sum is wrong, so it is made right."""
    page = content[:22] + bytes(4) + content[22:]
    return page[:22] + unsigned_little(ogg_sum(page), 4) + page[26:]


def take_ogg_apart(data: bytes) -> list[Part]:
    """Ogg pages."""
    parts, at = [], 0
    while data.startswith(b"OggS", at) and at + OGG_HEAD_BYTES <= len(data):
        table = data[at + OGG_HEAD_BYTES : at + OGG_HEAD_BYTES + data[at + 26]]
        end = at + OGG_HEAD_BYTES + len(table) + sum(table)
        if end > len(data):
            break
        parts.append(Part(b"page", _seal_ogg, data[at : at + 22] + data[at + 26 : end]))
        at = end
    return parts + _rest(data, at)


def take_packets_apart(data: bytes) -> list[Part]:
    """MPEG-TS packets."""
    whole = len(data) // PACKET_BYTES * PACKET_BYTES
    starts = range(0, whole, PACKET_BYTES)
    return [Part(b"packet", bare, data[at : at + PACKET_BYTES]) for at in starts] + _rest(data, whole)


def take_start_codes_apart(data: bytes) -> list[Part]:
    """MPEG-PS: pieces that begin with 00 00 01."""
    pieces = data.split(b"\0\0\1")
    first = [Part(b"", bare, pieces[0])] if pieces[0] else []
    return first + [Part(piece[:1], bare, b"\0\0\1" + piece) for piece in pieces[1:]]


def _seal_jpeg(part: Part, content: bytes) -> bytes:
    return part.name + unsigned(2 + len(content) + part.lie, 2) + content


def take_jpeg_apart(data: bytes) -> list[Part]:
    """JPEG: segments up to the scan, then all the rest."""
    parts, at = [Part(b"\xff\xd8", bare, data[:2])], 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(Part(data[at : at + 2], _seal_jpeg, data[at + 4 : at + 2 + size]))
        at += 2 + size
        if parts[-1].name == b"\xff\xda":
            break
    return parts + _rest(data, at)
