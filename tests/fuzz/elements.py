"""Matroska and WebM: EBML elements, whose identifiers and lengths have as many bytes as they need."""

from tests.fuzz.parts import Part, bare, unsigned

_HOLDERS = (
    "1a45dfa3 18538067 114d9b74 4dbb 1549a966 1654ae6b ae e0 e1 55b0 55d0 6d80 6240 5034 5035 1f43b675 a0 75a1 a6 "
    "1c53bb6b bb b7 1254c367 7373 63c0 67c8 1043a770 45b9 b6 80 1941a469 61a7"
)
HOLDERS = frozenset(map(bytes.fromhex, _HOLDERS.split()))
"""Elements that hold elements, by the names of RFC 9559: EBML, Segment, SeekHead, Seek, Info, Tracks, TrackEntry, …"""

UNKNOWN = b"?"
"""A length of nothing but ones: the element goes on until another of its level begins."""


def _seal(part: Part, content: bytes) -> bytes:
    """`form` is the length as it was written: its width is kept where the new length fits in."""
    size, width = len(content) + part.lie, len(part.form) or 1
    if part.form.startswith(UNKNOWN):
        width = len(part.form) - 1
        return part.name + unsigned((1 << (7 * width + 1)) - 1, width) + content
    while width < 8 and not 0 <= size < (1 << 7 * width) - 1:
        width += 1
    return part.name + unsigned((1 << 7 * width) | size % (1 << 7 * width), width) + content


def take_apart(data: bytes) -> list[Part]:
    """Elements of a file or of another element; what is none stands at the end without a name."""
    parts, at = [], 0
    while at < len(data):
        name_bytes = _width(data[at])
        size_at = at + name_bytes
        if name_bytes > 4 or size_at >= len(data):
            break
        width = _width(data[size_at])
        start = size_at + width
        if width > 8 or start > len(data):
            break
        size, form = int.from_bytes(data[size_at:start], "big") - (1 << 7 * width), data[size_at:start]
        if size == (1 << 7 * width) - 1:
            size, form = len(data) - start, UNKNOWN + form
        if start + size > len(data):
            break
        name, content = data[at:size_at], data[start : start + size]
        inner = take_apart(content) if name in HOLDERS else []
        parts.append(Part(name, _seal, b"" if inner else content, inner, form))
        at = start + size
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def _width(first: int) -> int:
    """Bytes of a number that begins with this byte: one more than it has leading zeros."""
    return 9 - first.bit_length()
