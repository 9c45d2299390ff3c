"""Ogg (Opus, Vorbis, Theora, FLAC): pages stand one behind the other, and the last is marked as the last (RFC 3533)."""

from heygemd.intake.structure.window import Unjudgeable, Window

_CAPTURE = b"OggS"
_HEAD_BYTES = 27
_MAX_PAGE_BYTES = _HEAD_BYTES + 255 + 255 * 255
_END_OF_STREAM = 4


def find_gap(window: Window) -> str | None:
    """Say what is missing; None when nothing is. Raises Unjudgeable when only the mark of the end is missing."""
    tail = window.tail(window.size_bytes, 2 * _MAX_PAGE_BYTES)
    at, last = tail.find(_CAPTURE), -1
    while at >= 0:
        last, at = at, tail.find(_CAPTURE, _page_stop(tail, at))
    if last < 0:
        return "no page at the end"
    stop = _page_stop(tail, last)
    if stop > len(tail):
        return f"the last page lacks {stop - len(tail)} bytes"
    if stop < len(tail):
        return f"{len(tail) - stop} bytes behind the last page are no page"
    page = tail[last:]
    if _checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
        return "the last page is damaged"
    if not page[5] & _END_OF_STREAM:
        raise Unjudgeable("its last page is not marked as the last")
    return None


def _page_stop(data: bytes, at: int) -> int:
    """Where the page at `at` ends; behind the data when even its header is cut."""
    head = data[at : at + _HEAD_BYTES]
    table_at = at + _HEAD_BYTES
    count = head[26] if len(head) == _HEAD_BYTES else 255
    table = data[table_at : table_at + count]
    return table_at + count + sum(table) if len(table) == count else max(table_at + count, len(data) + 1)


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x8000_0000 else value << 1) & 0xFFFF_FFFF
        table.append(value)
    return tuple(table)


_CRC = _table()


def _checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFF_FFFF) ^ _CRC[value >> 24 ^ byte]
    return value
