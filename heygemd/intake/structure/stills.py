"""JPEG and PNG: the mark of the end is there."""

from heygemd.intake.structure.window import Unjudgeable, Window

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_BYTES = 12
"""Length, name and checksum around the content."""
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_LONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
_TRAILER_BYTES = 64 << 10
_STRIDE_BYTES = 256 << 10


def find_gap_in_png(window: Window) -> str | None:
    """Say what is missing; what stands behind the end does not matter."""
    if window.tail(window.size_bytes, len(_PNG_END)) == _PNG_END:
        return None
    at = _PNG_SIGNATURE_BYTES
    while len(head := window.at(at, _PNG_CHUNK_BYTES)) == _PNG_CHUNK_BYTES:
        if not head[4:8].isalpha():
            return f"no chunk at byte {at}"
        if head == _PNG_END:
            return None
        at += _PNG_CHUNK_BYTES + int.from_bytes(head[:4])
    return "its end is missing"


def find_gap_in_jpeg(window: Window) -> str | None:
    """Say what is missing. Phones put whole films behind a picture: the end is looked for from its beginning, too."""
    scan = _find_scan(window)
    if scan is None:
        return "no picture in it yet"
    end = window.size_bytes
    if _JPEG_END in window.tail(end, min(_TRAILER_BYTES, end - scan)):
        return None
    while scan < end - 1:
        if _JPEG_END in window.at(scan, _STRIDE_BYTES):
            return None
        scan += _STRIDE_BYTES - 1
    return "its end is missing"


def _find_scan(window: Window) -> int | None:
    """Return where the coded picture begins: behind all segments, of which one may hold a thumbnail with its end."""
    at = 2
    while len(head := window.at(at, 4)) == 4:  # noqa: PLR2004  # marker and length
        if head[0] != 0xFF:  # noqa: PLR2004
            raise Unjudgeable("it has no proper segments")
        if head[1] == 0xFF or head[1] in _JPEG_LONE:  # noqa: PLR2004  # fill bytes
            at += 1 if head[1] == 0xFF else 2  # noqa: PLR2004
            continue
        at += 2 + int.from_bytes(head[2:])
        if head[1] == _JPEG_SCAN:
            return min(at, window.size_bytes)
    return None
