"""Texts and colour profiles in a PNG: ffmpeg unpacks them whole, though nobody reads them, and 1 MB may hold 1 GB."""

import os
import zlib

from heygemd.errors import InputError, ResourceError

TEXTS_BYTES = 16 << 20
"""What all of them may unpack to; the colour profile of a printer has 3 MB."""

DEFLATE_MOST = 1032
"""No byte of a zlib stream unpacks to more."""
PACKED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
SIGNATURE_BYTES, HEAD_BYTES, FRAME_BYTES = 8, 8, 12
"""Length and kind stand before the content, a checksum behind it."""
CHUNKS = 65_536
"""So many are looked at; a picture in lines of 8 kB each has fewer."""


def refuse_texts(fd: int) -> None:
    """Raise InputError E105 when what stands beside the picture in the PNG behind `fd` unpacks to too much.

    Raises ResourceError E201 when it cannot be read.
    """
    try:
        _refuse_texts(fd)
    except OSError as error:
        raise ResourceError("E201", f"the file cannot be read: {error.strerror}") from error


def _refuse_texts(fd: int) -> None:
    at, left_bytes = SIGNATURE_BYTES, TEXTS_BYTES
    for _ in range(CHUNKS):
        head = os.pread(fd, HEAD_BYTES, at)
        if len(head) < HEAD_BYTES:
            return
        length, kind = int.from_bytes(head[:4]), head[4:]
        if kind in PACKED:
            left_bytes -= _unpacked_bytes(os.pread(fd, min(length, left_bytes), at + HEAD_BYTES), kind, left_bytes)
            if left_bytes <= 0:
                raise InputError("E105", f"the texts in the picture have more than {TEXTS_BYTES >> 20} MiB")
        at += length + FRAME_BYTES
    raise InputError("E105", f"the picture has more than {CHUNKS} parts")


def _unpacked_bytes(content: bytes, kind: bytes, most_bytes: int) -> int:
    """How long the text is, up to `most_bytes`; of an `iTXt` the flag behind its keyword says whether it is packed."""
    at = content.find(b"\0") + 2  # behind the keyword and the method, or the flag
    if kind == b"iTXt":
        if content[at - 1 : at] != b"\1":
            return len(content)
        at += 1
        for _ in range(2):  # the language, the keyword in it
            at = content.find(b"\0", at) + 1
    try:
        return len(zlib.decompressobj().decompress(content[at:], most_bytes))
    except zlib.error:
        return len(content) * DEFLATE_MOST  # it may have been far before it failed
