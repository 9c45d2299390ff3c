"""MP3 and ADTS: frames that stand one behind the other to the very end (ISO 11172-3, 13818-3, 13818-7)."""

from collections.abc import Callable

from heygemd.intake.structure.tags import skip_id3, stop_before_tags
from heygemd.intake.structure.window import Unjudgeable, Window
from heygemd.media.sniff import MPEG_1, adts_frame_bytes, mp3_frame_bytes

_TAIL_BYTES = 32 << 10
_IN_A_ROW = 3
"""So many consistent headers are no chance."""
_ADTS_HEAD_BYTES, _MP3_HEAD_BYTES = 7, 4
_XING_AT = {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}
"""Bytes of side information by (is MPEG-1, is mono): the Xing tag stands behind them."""
_VBRI_AT = 32
_HAS_FRAMES, _HAS_BYTES = 1, 2
_MONO = 3
_MAX_FRAME_BYTES = 2881
_SEARCH_BYTES = 8 << 10
_ZEROS_BYTES = 64


def find_gap_in_mp3(window: Window) -> str | None:
    """Say what an MP3 lacks: the end of its last frame, or bytes that its Xing or VBRI tag counts."""
    start, stop = skip_id3(window), stop_before_tags(window)
    if start >= stop:
        return "no sound in it yet"
    gap = _find_cut(window, start, stop, mp3_frame_bytes, _MP3_HEAD_BYTES)
    declared = _declared_bytes(window, start)
    if gap is None and declared is not None:
        first, length = declared
        missing = first + length - stop
        if missing > _MAX_FRAME_BYTES:
            return f"{missing} of {length} bytes are missing"
    return gap


def find_gap_in_aac(window: Window) -> str | None:
    """Say what an ADTS stream lacks: the end of its last frame (how many there are is written nowhere)."""
    start, stop = skip_id3(window), stop_before_tags(window)
    if start >= stop:
        return "no sound in it yet"
    return _find_cut(window, start, stop, adts_frame_bytes, _ADTS_HEAD_BYTES)


def _find_cut(
    window: Window, start: int, stop: int, frame_bytes: Callable[[bytes, int], int], head_bytes: int
) -> str | None:
    """Follow the frames of the tail to its end; raises Unjudgeable when something else stands there."""
    tail = window.tail(stop, min(_TAIL_BYTES, stop - start))
    at = 0
    while (at := tail.find(b"\xff", at)) >= 0:
        here, seen = at, 0
        while step := frame_bytes(tail, here):
            here, seen = here + step, seen + 1
        left = len(tail) - here
        if seen >= _IN_A_ROW or (seen and len(tail) == stop - start and here >= len(tail)):
            if left <= 0:
                return f"the last frame lacks {-left} bytes" if left else None
            if left < head_bytes and tail[here] == 0xFF:  # noqa: PLR2004  # the sync of a next frame
                return "the last frame is cut"
            at = here
        else:
            at += 1
    if not tail[-_ZEROS_BYTES:].strip(b"\0"):
        return "it ends in zeros"
    raise Unjudgeable("something else than frames stands at the end")


def _declared_bytes(window: Window, start: int) -> tuple[int, int] | None:
    """Return where the first frame begins and how many bytes its Xing, Info or VBRI tag counts from there."""
    head = window.at(start, _SEARCH_BYTES)
    at = next((at for at in range(len(head)) if head[at] == 0xFF and mp3_frame_bytes(head, at)), None)  # noqa: PLR2004
    if at is None:
        return None
    is_mpeg1, is_mono = head[at + 1] >> 3 & 3 == MPEG_1, head[at + 3] >> 6 == _MONO
    xing = at + _MP3_HEAD_BYTES + _XING_AT[is_mpeg1, is_mono]
    if head[xing : xing + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(head[xing + 4 : xing + 8])
        place = xing + 8 + (4 if flags & _HAS_FRAMES else 0)
        return (start + at, int.from_bytes(head[place : place + 4])) if flags & _HAS_BYTES else None
    vbri = at + _MP3_HEAD_BYTES + _VBRI_AT
    if head[vbri : vbri + 4] == b"VBRI":
        return start + at, int.from_bytes(head[vbri + 10 : vbri + 14])
    return None
