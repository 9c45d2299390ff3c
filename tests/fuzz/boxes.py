"""MP4 and MOV: boxes within boxes. A picture that moves in the file takes the tables that point at it along."""

from tests.fuzz.parts import Part, bare, unsigned

HOLDERS = {
    **dict.fromkeys(
        (b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"moof", b"traf", b"mvex", b"udta", b"ilst"), 0
    ),
    b"meta": 4,
    b"stsd": 8,
    b"dref": 8,
    **dict.fromkeys((b"avc1", b"hvc1", b"hev1", b"av01", b"mp4v", b"apch", b"apcn", b"jpeg", b"png ", b"vp09"), 78),
    b"mp4a": 28,
}
"""Boxes that hold boxes: how many bytes of their own stand before these."""

LARGE = b"64"
TO_THE_END = b"0"
CHUNK_TABLES = {b"stco": 4, b"co64": 8}
TABLE_HEAD_BYTES = 8


def _seal(part: Part, content: bytes) -> bytes:
    if part.form == TO_THE_END:
        return unsigned(0, 4) + part.name + content
    size = 8 + len(content) + part.lie
    if part.form == LARGE:
        return unsigned(1, 4) + part.name + unsigned(size + 8, 8) + content
    return unsigned(size, 4) + part.name + content


def take_apart(data: bytes) -> list[Part]:
    """Boxes of a file, or of another box; what is none stands at the end without a name."""
    parts, at = [], 0
    while at + 8 <= len(data):
        size, name, head, form = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8, b""
        if size == 1:
            size, head, form = int.from_bytes(data[at + 8 : at + 16], "big"), 16, LARGE
        elif size == 0:
            size, form = len(data) - at, TO_THE_END
        if size < head or at + size > len(data):
            break
        content = data[at + head : at + size]
        own = HOLDERS.get(name, len(content))
        parts.append(Part(name, _seal, content[:own], take_apart(content[own:]), form))
        at += size
    if at < len(data):
        parts.append(Part(b"", bare, data[at:]))
    return parts


def mend(parts: list[Part], before: int | None) -> None:
    """Let the chunk tables point at where the media lie now; `before` is where they lay (`media_at`)."""
    now = media_at(parts)
    if before is not None and now is not None:
        _shift(parts, now - before)


def media_at(parts: list[Part]) -> int | None:
    """Where the first `mdat` begins."""
    at = 0
    for part in parts:
        if part.name == b"mdat":
            return at
        at += len(part.write())
    return None


def _shift(parts: list[Part], by: int) -> None:
    for part in parts:
        _shift(part.inner, by)
        width = CHUNK_TABLES.get(part.name)
        if width and by:
            table = part.body[TABLE_HEAD_BYTES:]
            whole = len(table) // width * width
            moved = [
                unsigned(int.from_bytes(table[at : at + width], "big") + by, width) for at in range(0, whole, width)
            ]
            part.body = part.body[:TABLE_HEAD_BYTES] + b"".join(moved) + table[whole:]
