"""A picture and a sound that are nothing special, made of bytes alone: for cases whose oddity lies elsewhere."""

import io
import math
import os
import struct
import wave
import zlib
from functools import cache
from pathlib import Path

SIDE_PX = 64
RATE_HZ = 8000
SOUND_S = 0.4
TONE_HZ = 220


@cache
def sound(seconds: float = SOUND_S) -> bytes:
    """Return a WAV file: a tone, mono, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        turns = (2 * math.pi * TONE_HZ * index / RATE_HZ for index in range(int(RATE_HZ * seconds)))
        out.writeframes(b"".join(struct.pack("<h", int(12_000 * math.sin(turn))) for turn in turns))
    return file.getvalue()


def picture(mark: str = "") -> bytes:
    """Return a PNG file; its bytes differ with `mark`, what it shows does not."""
    rows = b"".join(
        b"\0" + bytes(channel for x in range(SIDE_PX) for channel in (4 * x, 4 * y, 128)) for y in range(SIDE_PX)
    )
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 2, 0, 0, 0)),
        (b"tEXt", b"Comment\0" + mark.encode("utf-8", "surrogateescape").hex().encode()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file below a folder that is made, too; bytes of a name that are no UTF-8 are surrogates."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put_pair(folder: Path, stem: str, mark: str = "", *, sound_stem: str | None = None) -> None:
    """Write a still and a sound of one name; without a mark the film is one that was made before."""
    put(folder, f"{stem}.png", picture(mark))
    put(folder, f"{stem if sound_stem is None else sound_stem}.wav", sound())


def put_long_way(folder: Path, stem: str, part: str, inbox_bytes: int) -> Path:
    """Write a pair so deep below `folder` that the path of its sound has at most `inbox_bytes`; returns where.

    Every folder on the way is made through the descriptor of the one above: a path may be longer than the kernel takes.
    """
    left = inbox_bytes - len(os.fsencode(folder)) - len(f"/{stem}.wav".encode())
    depth = left // len(f"/{part}".encode())
    number = os.open(folder, os.O_DIRECTORY)
    try:
        for _ in range(depth):
            os.mkdir(part, dir_fd=number)
            inner = os.open(part, os.O_DIRECTORY, dir_fd=number)
            os.close(number)
            number = inner
        for name, data in ((f"{stem}.png", picture("far")), (f"{stem}.wav", sound())):
            with os.fdopen(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=number), "wb") as file:
                file.write(data)
    finally:
        os.close(number)
    return folder.joinpath(*[part] * depth)
