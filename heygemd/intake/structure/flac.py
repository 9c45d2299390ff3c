"""FLAC: the last frame ends where the file ends, and with it the samples that the head declares (RFC 9639)."""

from typing import NamedTuple

from heygemd.intake.structure.tags import skip_id3, stop_before_tags
from heygemd.intake.structure.window import Window

_STREAMINFO = 0
_FRAME_BYTES = 64 << 10
_MAX_FRAME_BYTES = 256 << 10
_MAX_HEAD_BYTES = 16
_SYNCS = (b"\xff\xf8", b"\xff\xf9")
"""Blocks of fixed and of variable length."""
_MAX_CANDIDATES, _MAX_SYNCS = 8, 4096
"""A false sync is one byte pair in 32,768, and 255 of 256 of them fail their CRC-8."""
_LAST_BLOCK = 0x80


class StreamInfo(NamedTuple):
    """What the head declares; 0 where it does not know."""

    block_frames: int
    max_frame_bytes: int
    sample_count: int


class Frame(NamedTuple):
    """Header of one frame."""

    at: int
    stop_sample: int


def find_gap(window: Window) -> str | None:
    """Say what is missing; None when nothing is."""
    info, at = _read_head(window)
    stop = stop_before_tags(window)
    if info is None or at >= stop:
        return "the head is cut"
    wanted = min(info.max_frame_bytes or _FRAME_BYTES, _MAX_FRAME_BYTES) + _MAX_HEAD_BYTES
    frames = window.tail(stop, min(wanted, stop - at))
    for frame in _frames_backwards(frames, info):
        if _crc(frames[frame.at :], _CRC16, 8) == 0:
            missing = info.sample_count - frame.stop_sample
            return f"{missing} of {info.sample_count} samples are missing" if missing > 0 else None
    return "the last frame is cut"


def _read_head(window: Window) -> tuple[StreamInfo | None, int]:
    """Return what STREAMINFO says, None when a metadata block is cut; and where the frames begin."""
    at = skip_id3(window) + 4
    info = None
    while len(head := window.at(at, 4)) == 4:  # noqa: PLR2004  # a flag and type, and a length of 24 bits
        body, stop = at + 4, at + 4 + int.from_bytes(head[1:])
        if head[0] & 0x7F == _STREAMINFO:
            block = window.at(body, 18)
            samples = int.from_bytes(block[13:18]) & 0xF_FFFF_FFFF
            info = StreamInfo(int.from_bytes(block[:2]), int.from_bytes(block[7:10]), samples)
        if stop > window.size_bytes:
            return None, stop
        at = stop
        if head[0] & _LAST_BLOCK:
            return info, at
    return None, at


def _frames_backwards(data: bytes, info: StreamInfo) -> list[Frame]:
    """Return what looks like a frame's header (its own CRC-8 agrees), the last one first."""
    found: list[Frame] = []
    at = len(data)
    for _ in range(_MAX_SYNCS):
        at = max(data.rfind(sync, 0, at + 1) for sync in _SYNCS)
        if at < 0 or len(found) == _MAX_CANDIDATES:
            break
        if frame := _frame(data, at, info):
            found.append(frame)
    return found


def _frame(data: bytes, at: int, info: StreamInfo) -> Frame | None:
    head = data[at : at + _MAX_HEAD_BYTES]
    if len(head) < 6 or head[3] & 1:  # noqa: PLR2004  # the shortest header
        return None
    number, end = _coded_number(head, 4)
    code = head[2] >> 4
    length, width = _block_frames(code, head[end:])
    end += width + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if not length or number is None or end >= len(head) or _crc(head[: end + 1], _CRC8, 0) != 0:
        return None
    is_fixed = head[1] == _SYNCS[0][1]
    return Frame(at, (number * info.block_frames if is_fixed else number) + length)


def _block_frames(code: int, rest: bytes) -> tuple[int, int]:
    """Return the samples of a frame (0: reserved), and how many bytes at its header's end say it."""
    if code in (6, 7):
        width = code - 5
        return int.from_bytes(rest[:width]) + 1, width
    if code >= 8:  # noqa: PLR2004  # RFC 9639, table 14
        return 256 << (code - 8), 0
    return (0, 192, 576, 1152, 2304, 4608)[code], 0


def _coded_number(head: bytes, at: int) -> tuple[int | None, int]:
    """Read a number coded like a character of UTF-8, up to 36 bits; returns it and where it ends."""
    first = head[at]
    width = 8 - (first ^ 0xFF).bit_length()
    if width == 0:
        return first, at + 1
    if width in (1, 8) or at + width > len(head):
        return None, at
    number = first & (0x7F >> width)
    for byte in head[at + 1 : at + width]:
        number = number << 6 | byte & 0x3F
    return number, at + width


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return tuple(table)


_CRC8, _CRC16 = _table(0x07, 8), _table(0x8005, 16)


def _crc(data: bytes, table: tuple[int, ...], shift: int) -> int:
    """Return the remainder: 0 when the data ends with its own checksum."""
    value, mask = 0, (1 << (shift + 8)) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value
