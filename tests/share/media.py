"""Small real media of which no two are alike: the door knows equal bytes again, so every test brings its own."""

import random
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

RATE_HZ = 8000
FILM_PX = (64, 48)
REFUSED_PX = (160, 120)
"""More than `max_pixels` of the tests' configuration allows."""
MAX_PIXELS = 10_000


@dataclass(frozen=True, slots=True)
class Pair:
    """What a writer means to hand in."""

    video: bytes
    audio: bytes


def pair(seed: str, *, is_refused: bool = False, seconds: float = 0.4, padding_bytes: int = 20_000) -> Pair:
    """Return a picture of 0.4 s and a sound of `seconds`.

    A pair that `is_refused` is claimed, hashed and checked like any other; then its picture is found to be too large,
    and it lies in `failed/` with its sums in `error.json` in half a second, where a film takes three.
    """
    return Pair(picture(seed, is_refused=is_refused, padding_bytes=padding_bytes), sound(seed, seconds))


def picture(seed: str, *, is_refused: bool = False, is_moov_last: bool = False, padding_bytes: int = 20_000) -> bytes:
    """Return an MP4 that plays from its first bytes (or `is_moov_last`); a `free` box in it makes it one of a kind."""
    base = _base(REFUSED_PX if is_refused else FILM_PX, is_moov_last)
    free = struct.pack(">I4s", 8 + padding_bytes, b"free") + random.Random(seed).randbytes(padding_bytes)
    # Nothing that moov points at may move: the free box comes after the media data.
    at = base.index(b"moov") - 4 if is_moov_last else len(base)
    return base[:at] + free + base[at:]


def sound(seed: str, seconds: float = 0.4) -> bytes:
    """Return a WAV file of audible noise."""
    samples = random.Random(seed).randbytes(2 * round(seconds * RATE_HZ))
    return wave_header(len(samples)) + samples


def wave_header(size_bytes: int) -> bytes:
    """Return the head of a WAV file, 16 bits mono."""
    riff = struct.pack("<4sI4s", b"RIFF", 36 + size_bytes, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", size_bytes)


@cache
def _base(size_px: tuple[int, int], is_moov_last: bool) -> bytes:
    width, height = size_px
    flags = [] if is_moov_last else ["-movflags", "+faststart"]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "base.mp4"
        source = f"testsrc2=size={width}x{height}:rate=25:duration=0.4"
        encode = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", *flags]
        make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", source, *encode, str(file)]
        subprocess.run(make, check=True)
        return file.read_bytes()
