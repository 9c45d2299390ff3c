"""WAV, RF64, AIFF, AVI and WebP: chunks whose declared lengths must fit into the file."""

from typing import NamedTuple

from heygemd.intake.structure.window import Unjudgeable, Window
from heygemd.media.sniff import UNKNOWN_SIZE

_HEAD_BYTES = 8
_FORM_BYTES = 12
_IN_DS64 = 0xFFFFFFFF
_ZEROS_BYTES = 64


class Chunk(NamedTuple):
    """`[body, stop)` is what it holds; the next one begins at an even offset."""

    name: bytes
    body: int
    size_bytes: int

    @property
    def stop(self) -> int:
        """End of the content."""
        return self.body + self.size_bytes

    @property
    def next(self) -> int:
        """Where the next chunk begins."""
        return self.stop + (self.size_bytes & 1)


def find_gap_in_sound(window: Window) -> str | None:
    """Say what a WAV, RF64 or AIFF file lacks; None when nothing. Raises Unjudgeable when it is a stream."""
    is_big = window.at(0, 4) == b"FORM"
    at, wide_bytes = _FORM_BYTES, None
    while chunk := _chunk(window, at, is_big=is_big):
        if chunk.name == b"ds64":
            wide_bytes = int.from_bytes(window.at(chunk.body + 8, 8), "little")
        if chunk.name in (b"data", b"SSND"):
            return _short_of(window, chunk.body, _length(window, chunk, wide_bytes))
        at = chunk.next
    return f"no chunk at byte {at}" if at < window.size_bytes else "no sound in it yet"


def find_gap_in_avi(window: Window) -> str | None:
    """Say what an AVI lacks: it is one `RIFF` chunk, or several behind each other (OpenDML)."""
    at, has_film = 0, False
    while (riff := _chunk(window, at)) and riff.name == b"RIFF":
        if gap := _short_of(window, riff.body, _length(window, riff, None)):
            return gap
        inner = riff.body + 4
        while inner + _HEAD_BYTES <= riff.stop:
            chunk = _chunk(window, inner)
            if chunk is None:
                return f"no chunk at byte {inner}"
            if chunk.stop > riff.stop:
                return f"a chunk lacks {chunk.stop - riff.stop} bytes"
            has_film |= chunk.name == b"LIST" and window.at(chunk.body, 4) == b"movi"
            inner = chunk.next
        at = riff.next
    return None if has_film else "no film in it yet"


def find_gap_in_webp(window: Window) -> str | None:
    """Say what a WebP picture lacks."""
    riff = _chunk(window, 0)
    if riff is None:
        return "no chunk at byte 0"
    if gap := _short_of(window, riff.body, riff.size_bytes):
        return gap
    at = riff.body + 4
    while at + _HEAD_BYTES <= riff.stop:
        chunk = _chunk(window, at)
        if chunk is None:
            return f"no chunk at byte {at}"
        at = chunk.next
    return None if window.tail(riff.stop, _ZEROS_BYTES).strip(b"\0") else "it ends in zeros"


def _chunk(window: Window, at: int, *, is_big: bool = False) -> Chunk | None:
    head = window.at(at, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES or min(head[:4]) < ord(" "):
        return None
    return Chunk(head[:4], at + _HEAD_BYTES, int.from_bytes(head[4:], "big" if is_big else "little"))


def _length(window: Window, chunk: Chunk, wide_bytes: int | None) -> int:
    """Return the length that counts; what a streaming writer puts in (0, or a huge one) says nothing."""
    if chunk.size_bytes == _IN_DS64 and wide_bytes:
        return wide_bytes
    if chunk.size_bytes == 0 or (chunk.size_bytes >= UNKNOWN_SIZE and chunk.stop > window.size_bytes):
        raise Unjudgeable("a stream that does not declare its length")
    return chunk.size_bytes


def _short_of(window: Window, body: int, length_bytes: int) -> str | None:
    missing = body + length_bytes - window.size_bytes
    return f"{missing} of {length_bytes} bytes are missing" if missing > 0 else None
