"""What an MP4 file of ours says once about all its pictures: the H.264 parameter sets (`avcC` of ISO/IEC 14496-15).

Joining copies packets behind the description of the first segment. Segments by one encoder with one set of options
have the same one; cards of two generations may not, and some players would show a torn picture from the joint on.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from heygemd.errors import FaultError, ResourceError

INSIDE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
"""Boxes that hold nothing but boxes, on the way to the description of the samples."""
STSD_HEAD_BYTES = 8
"""Version and count, before the entries of `stsd` (ISO/IEC 14496-12, 8.5.2)."""
VISUAL_ENTRY_BYTES = 78
"""Fixed part of an `avc1` entry, before its boxes (ISO/IEC 14496-12, 12.1.3)."""


def require_same(segments: Sequence[Path]) -> None:
    """Raise ResourceError E304 unless all segments have the parameter sets of the first."""
    if len({parameter_sets(segment) for segment in segments}) > 1:
        raise ResourceError("E304", "the segments were written by encoders that differ; one film needs one")


def parameter_sets(segment: Path) -> bytes:
    """Return `avcC` of the first track with one; raises FaultError E500 for a file without."""
    with segment.open("rb") as file:
        found = next(_avcc(file, 0, os.fstat(file.fileno()).st_size), None)
    if found is None:
        raise FaultError("E500", f"{segment.name} has no H.264 parameter sets")
    return found


def _avcc(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    for kind, inside, end in _boxes(file, start, stop):
        if kind in INSIDE:
            yield from _avcc(file, inside, end)
        elif kind == b"stsd":
            yield from _avcc(file, inside + STSD_HEAD_BYTES, end)
        elif kind == b"avc1":
            yield from _avcc(file, inside + VISUAL_ENTRY_BYTES, end)
        elif kind == b"avcC":
            file.seek(inside)
            yield file.read(end - inside)


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start of the content and end of every box in the range; a torn one ends it."""
    while start + 8 <= stop:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:  # the length follows in 64 bits: `mdat` of more than 4 GiB
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        if size < head or start + size > stop:
            return
        yield kind, start + head, start + size
        start += size
