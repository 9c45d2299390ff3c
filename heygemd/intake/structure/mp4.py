"""MP4, MOV, M4A: the boxes tile the file, `moov` is there, and no sample lies after the end (ISO 14496-12)."""

from collections.abc import Iterator
from typing import NamedTuple

from heygemd.intake.structure.window import Window

_HEAD_BYTES, _LONG_HEAD_BYTES = 8, 16
_IS_LONG, _TO_THE_END = 1, 0
_CONTAINERS = frozenset({b"trak", b"mdia", b"minf", b"stbl"})
_OFFSET_BYTES = {b"stco": 4, b"co64": 8}
_ZEROS_BYTES = 4096
"""No codec ends its last sample with so many zeros; a client that sets the size first leaves them."""


class Box(NamedTuple):
    """`[body, stop)` is what it holds."""

    kind: bytes
    body: int
    stop: int


def find_gap(window: Window) -> str | None:
    """Say what is missing; None when nothing is."""
    end, last = window.size_bytes, b""
    has_moov = False
    at = 0
    while at < end and not (has_moov and end - at < _HEAD_BYTES):
        box = _box(window, at, end)
        if box is None:
            return f"no box at byte {at}"
        if box.stop > end:
            return f"the last box lacks {box.stop - end} bytes"
        if box.kind == b"moov":
            has_moov = True
            if any(offset >= end for offset in _last_chunks(window, box)):
                return "samples lie after the end"
        at, last = box.stop, box.kind
    if not has_moov:
        return "no moov box"
    if last == b"mdat" and end > _ZEROS_BYTES and not window.tail(end, _ZEROS_BYTES).strip(b"\0"):
        return "it ends in zeros"
    return None


def _box(window: Window, at: int, stop: int) -> Box | None:
    head = window.at(at, _LONG_HEAD_BYTES)
    size, kind, body = int.from_bytes(head[:4]), head[4:8], at + _HEAD_BYTES
    if size == _IS_LONG:
        size, body = int.from_bytes(head[8:]), at + _LONG_HEAD_BYTES
    elif size == _TO_THE_END:
        size = stop - at
    if body - at > len(head) or size < body - at or min(kind) < ord(" "):
        return None
    return Box(kind, body, at + size)


def _last_chunks(window: Window, moov: Box) -> Iterator[int]:
    """Yield where the last chunk of each track begins (offsets ascend within a track).

    Open boxes are kept in a list: a stranger may nest them deeper than Python can call.
    """
    open_boxes = [moov]
    while open_boxes:
        at, stop = open_boxes[-1].body, open_boxes[-1].stop
        box = _box(window, at, stop) if at < stop else None
        if box is None:
            open_boxes.pop()
            continue
        open_boxes[-1] = open_boxes[-1]._replace(body=box.stop)
        if box.kind in _CONTAINERS:
            open_boxes.append(box)
        elif width := _OFFSET_BYTES.get(box.kind):
            count = int.from_bytes(window.at(box.body + 4, 4))
            last = box.body + 8 + width * (count - 1)
            if count and last + width <= box.stop:
                yield int.from_bytes(window.at(last, width))
