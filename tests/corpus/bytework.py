"""Bytes of containers, written and changed by hand: boxes of an MP4, chunks of a RIFF file, PNG pictures."""

import struct
import zlib
from collections.abc import Iterable
from functools import cache

MIB = 1 << 20


def box(kind: bytes, *bodies: bytes) -> bytes:
    """One box of an MP4."""
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def body_of(data: bytes, path: Iterable[bytes]) -> bytes:
    """What the box at the end of `path` holds."""
    at, stop = _find(data, tuple(path))[-1]
    return data[at + 8 : stop]


def with_body(data: bytes, path: Iterable[bytes], body: bytes) -> bytes:
    """Give the box at the end of `path` another body; all boxes around it grow or shrink. (`moov` must come last.)"""
    return with_box(data, path, box(tuple(path)[-1], body))


def with_box(data: bytes, path: Iterable[bytes], new: bytes) -> bytes:
    """Put other bytes in the place of the box at the end of `path`."""
    found = _find(data, tuple(path))
    at, stop = found[-1]
    made = bytearray(data[:at] + new + data[stop:])
    for above, above_stop in found[:-1]:
        struct.pack_into(">I", made, above, above_stop - above + len(new) - (stop - at))
    return bytes(made)


def _find(data: bytes, path: tuple[bytes, ...]) -> list[tuple[int, int]]:
    """Where each box of the path begins and ends."""
    found: list[tuple[int, int]] = []
    start, stop = 0, len(data)
    for kind in path:
        at = start
        while data[at + 4 : at + 8] != kind:
            at += struct.unpack_from(">I", data, at)[0]
            if at >= stop:
                raise LookupError(f"no {kind!r} there")
        size = struct.unpack_from(">I", data, at)[0]
        found.append((at, at + size))
        start, stop = at + 8, at + size
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a RIFF file."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG picture."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width_px: int,
    height_px: int,
    *,
    bits: int = 1,
    colour: int = 0,
    rows: int | None = None,
    more: tuple[bytes, ...] = (),
) -> bytes:
    """A PNG picture of zeros, and up to a MiB more of them than it needs. `rows`: fewer than it says.

    Of gray with one bit a pixel, a gigapixel fits in 120 kB.
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line_bytes = 1 + (width_px * bits * channels + 7) // 8
    total = line_bytes * (height_px if rows is None else rows)
    packed = deflated(b"\0", -(-total // MIB) * MIB) if total > MIB else zlib.compress(bytes(total))
    head = struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, 0)
    parts = (png_chunk(b"IHDR", head), *more, png_chunk(b"IDAT", packed), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@cache
def deflated(byte: bytes, count: int) -> bytes:
    """So many bytes (whole MiB) of one value as a zlib stream: a thousandth of their size.

    A block that ends in a full flush needs nothing of those before it, so one is packed and repeated.
    """
    piece, times = byte * MIB, count // MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(times):
        checksum = zlib.adler32(piece, checksum)
    return b"\x78\xda" + block * times + packer.flush() + struct.pack(">I", checksum)
