"""Matroska and WebM: elements tile the file, and a Segment of known size fits (RFC 8794, RFC 9559)."""

from typing import NamedTuple

from heygemd.intake.structure.window import Window

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_ANYWHERE = frozenset({0xEC, 0xBF})
"""Void and CRC-32."""
_IN_SEGMENT = frozenset({
    0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0x1B538667,
})  # fmt: skip
"""SeekHead, Info, Tracks, Cues, Attachments, Chapters, Tags, and the signature that EBML once had."""
_IN_CLUSTER = frozenset({0xE7, 0xAB, 0xA7, 0xA3, 0xA0, 0xAF, 0x5854})
"""Timestamp, PrevSize, Position, SimpleBlock, BlockGroup, EncryptedBlock, SilentTracks."""
_HEAD_BYTES = 12
_ID_BYTES = 4


class Element(NamedTuple):
    """`size_bytes` is None while a live writer does not know it."""

    id: int
    body: int
    size_bytes: int | None


def find_gap(window: Window) -> str | None:
    """Say what is missing; None when nothing is."""
    at, end = 0, window.size_bytes
    is_open, has_cluster = False, False
    while at < end:
        element = _element(window, at)
        if element is None:
            return f"no element at byte {at}"
        is_opened = element.id == _SEGMENT or (element.id == _CLUSTER and element.size_bytes is None)
        if not is_opened and element.id not in _known(is_open=is_open):
            return f"no element at byte {at}"
        stop = end if element.size_bytes is None else element.body + element.size_bytes
        if stop > end:
            return f"the last element lacks {stop - end} bytes"
        if element.id == _CLUSTER:
            is_open, has_cluster = element.size_bytes is None, True
        elif element.size_bytes is None and not is_opened:
            return f"no element at byte {at}"
        at = element.body if is_opened else stop
    return None if has_cluster else "no film or sound in it yet"


def _known(*, is_open: bool) -> frozenset[int]:
    return (_ALL | _IN_CLUSTER) if is_open else _ALL


_ALL = _ANYWHERE | _IN_SEGMENT | {_EBML, _CLUSTER}


def _element(window: Window, at: int) -> Element | None:
    head = window.at(at, _HEAD_BYTES)
    id_bytes = _width(head, 0)
    size_bytes = _width(head, id_bytes)
    body = id_bytes + size_bytes
    if not 0 < id_bytes <= _ID_BYTES or not size_bytes or body > len(head):
        return None
    ones = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(head[id_bytes:body]) & ones
    return Element(int.from_bytes(head[:id_bytes]), at + body, None if size == ones else size)


def _width(head: bytes, at: int) -> int:
    """Length of the number at `at`: the zeros before its first one, and one; 0 when there is none."""
    if at >= len(head) or not head[at]:
        return 0
    return 9 - head[at].bit_length()
