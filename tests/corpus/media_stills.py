"""Odd but good stills: what phones, browsers and drawing programs write."""

import struct
import zlib
from collections.abc import Iterator

from tests.corpus.bytework import png_chunk
from tests.corpus.case import Case, renders
from tests.corpus.kit import Kit
from tests.corpus.media_codecs import FIRST, GOOD, Row, recipe

GROUP = "odd but good stills"
OFTEN = frozenset({"jpeg-exif-6", "png-alpha", "webp"})


def cases(kit: Kit) -> Iterator[Case]:
    """All of them."""
    for name, (story, suffix, content, answer) in _stills(kit).items():
        yield kit.picture(name, story, answer, suffix, content, group=GROUP, is_slow=name not in OFTEN)


def _stills(kit: Kit) -> dict[str, Row]:
    def still(story: str, suffix: str, *words: str, size: str = "96x64") -> Row:
        return recipe(kit, story, suffix, *FIRST, *words, size=size)

    def turned(orientation: int, width: int, height: int) -> Row:
        def content() -> bytes:
            flat = kit.film("flat.jpg", *FIRST, "-pix_fmt", "yuvj420p", size="96x64").read_bytes()
            tiff = b"MM\0\x2a\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)
            return flat[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff + flat[2:]

        return (
            f"JPEG of a phone, EXIF orientation {orientation}",
            "jpg",
            content,
            renders("take.mp4", width_px=width, height_px=height),
        )

    def laced() -> bytes:
        rows = b"".join(
            b"\0" * (1 + 3 * width) * height
            for width, height in ((8, 8), (8, 8), (16, 8), (16, 16), (32, 16), (32, 32), (64, 32))
        )
        head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 1)
        return (
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", head)
            + png_chunk(b"IDAT", zlib.compress(rows))
            + png_chunk(b"IEND", b"")
        )

    def padded() -> bytes:
        return kit.film("flat.jpg", *FIRST, "-pix_fmt", "yuvj420p", size="96x64").read_bytes() + bytes(65 << 10)

    jpeg = ("-pix_fmt", "yuvj420p")
    return {
        "jpeg": still("a JPEG", "jpg", *jpeg),
        "jpeg-exif-6": turned(6, 64, 96),
        "jpeg-exif-3": turned(3, 96, 64),
        "jpeg-exif-8": turned(8, 64, 96),
        "jpeg-exif-5": turned(5, 64, 96),
        "jpeg-444": still("a JPEG of 4:4:4", "jpeg", "-pix_fmt", "yuvj444p"),
        "jpeg-gray": still("a gray JPEG", "jpg", "-pix_fmt", "gray", "-c:v", "mjpeg", "-strict", "-1"),
        "jpeg-odd": still("a JPEG of 641 x 361", "jpg", "-vf", "scale=641:361", *jpeg),
        "jpeg-padded": ("a JPEG with 64 kB of zeros behind it", "jpg", padded, GOOD),
        "png-rgb": still("a PNG", "png", "-pix_fmt", "rgb24"),
        "png-alpha": still("a PNG with alpha", "png", "-pix_fmt", "rgba"),
        "png-16-bit": still("a PNG of 16 bits", "png", "-pix_fmt", "rgb48be"),
        "png-gray-alpha": still("a gray PNG with alpha", "png", "-pix_fmt", "ya8"),
        "png-palette": still("a PNG with a palette", "png", "-vf", "palettegen", size="16x16"),
        "png-bilevel": still("a PNG of one bit", "png", "-pix_fmt", "monob"),
        "png-interlaced": ("an interlaced PNG", "png", laced, GOOD),
        "png-animated": recipe(kit, "an animated PNG", "png", "-c:v", "apng", "-f", "apng"),
        "webp": still("a WebP", "webp", "-c:v", "libwebp"),
        "webp-lossless": still(
            "a lossless WebP with alpha", "webp", "-c:v", "libwebp", "-lossless", "1", "-pix_fmt", "bgra"
        ),
    }
