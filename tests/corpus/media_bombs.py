"""Small files that would cost much: pixels, streams, lengths, gaps, tables, and what unpacks to gigabytes."""

import struct
from collections.abc import Iterator

from tests.corpus.bytework import body_of, box, chunk, deflated, png, png_chunk, with_body, with_box
from tests.corpus.case import Case, rejects, renders, survives
from tests.corpus.kit import QUICK, Kit

GROUP = "bombs"
STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
GIB = 1 << 30
LINE_BYTES = 3_000_000
"""Of one frame of 1000² pixels: what a slice of a bomb is measured by."""


def cases(kit: Kit) -> Iterator[Case]:
    """All of them."""
    yield from _stills(kit)
    yield from _large_films(kit)
    yield from _streams(kit)
    yield from _tables(kit)
    yield from _packed(kit)
    yield from _tags(kit)


def _stills(kit: Kit) -> Iterator[Case]:
    too_large = rejects("E105")
    story = "a gigapixel PNG of 120 kB"
    yield kit.picture("png-gigapixel", story, too_large, "png", lambda: png(32768, 32768), group=GROUP)
    story = "a PNG that says it has four gigapixels and holds one row"
    yield kit.picture("png-boast", story, too_large, "png", lambda: png(65535, 65535, rows=1), group=GROUP)
    story = "a PNG as wide as a line can be"
    yield kit.picture("png-line", story, too_large, "png", lambda: png(2**31 - 1, 1, rows=0), group=GROUP)
    story = "a JPEG whose header says 65,500 x 65,500"
    yield kit.picture("jpeg-boast", story, too_large, "jpg", lambda: _boasting_jpeg(kit, 65500), group=GROUP)
    story = "a WebP whose header says 16,384 x 16,384"
    yield kit.picture("webp-boast", story, too_large, "webp", lambda: _boasting_webp(kit), group=GROUP)
    story = "a good small PNG with a text that unpacks to a gigabyte"
    yield kit.picture(
        "png-text-bomb", story, rejects("E105"), "png", lambda: _png_with(b"zTXt", b"c\0\0", 1), group=GROUP
    )
    story = "a good small PNG with four texts that unpack to two gigabytes each"
    yield kit.picture(
        "png-texts-bomb",
        story,
        rejects("E105"),
        "png",
        lambda: _png_with(b"zTXt", b"c\0\0", 2, 4),
        group=GROUP,
        is_slow=True,
    )
    story = "a good small PNG with a colour profile that unpacks to a gigabyte"
    yield kit.picture(
        "png-profile-bomb", story, rejects("E105"), "png", lambda: _png_with(b"iCCP", b"c\0\0", 1), group=GROUP
    )
    story = "a good small PNG behind which a gigabyte of picture data goes on"
    more = deflated(b"\0", GIB)
    yield kit.picture(
        "png-data-bomb", story, survives("E105", "E110"), "png", lambda: _png_with_data(more), group=GROUP, is_slow=True
    )


def _boasting_jpeg(kit: Kit, side_px: int) -> bytes:
    made = bytearray(kit.film("still.jpg", "-frames:v", "1", "-pix_fmt", "yuvj420p").read_bytes())
    struct.pack_into(">HH", made, made.index(b"\xff\xc0") + 5, side_px, side_px)
    return bytes(made)


def _boasting_webp(kit: Kit) -> bytes:
    made = bytearray(kit.film("lossless.webp", "-frames:v", "1", "-c:v", "libwebp", "-lossless", "1").read_bytes())
    at = made.index(b"VP8L") + 9
    bits = struct.unpack_from("<I", made, at)[0]
    struct.pack_into("<I", made, at, bits & ~0xFFFFFFF | 0x3FFF | 0x3FFF << 14)
    return bytes(made)


def _png_with(kind: bytes, begin: bytes, gib: int, times: int = 1) -> bytes:
    packed = png_chunk(kind, begin + deflated(b"A", gib * GIB))
    return png(64, 64, bits=8, more=(packed,) * times)


def _png_with_data(more: bytes) -> bytes:
    return png(64, 64, bits=8).replace(png_chunk(b"IEND", b""), png_chunk(b"IDAT", more) + png_chunk(b"IEND", b""))


def _large_films(kit: Kit) -> Iterator[Case]:
    def png_mov() -> bytes:
        still = kit.folder / "large.png"
        still.parent.mkdir(exist_ok=True)
        still.write_bytes(png(16000, 16000))
        words = ("-f", "png_pipe", "-i", str(still), "-c", "copy", "-frames:v", "1", "-max_pixels", "300000000")
        return kit.made("large.mov", *words).read_bytes()

    story = "a MOV of a PNG with 16,000 x 16,000 pixels (2.4 GB in other programs)"
    yield kit.picture("png-in-mov", story, rejects("E105"), "mov", png_mov, group=GROUP)
    story = "an AVI whose header says 64 x 64 and whose JPEG frames say 16,000 x 16,000"
    yield kit.picture(
        "avi-lies", story, rejects("E105", "E110"), "avi", lambda: _lying_avi(kit, first=True), group=GROUP
    )
    story = "an AVI whose second frame says 16,000 x 16,000"
    yield kit.picture(
        "avi-grows", story, rejects("E105", "E110"), "avi", lambda: _lying_avi(kit, first=False), group=GROUP
    )
    story = "an H.264 film of 9216 x 4352 pixels, a column more than is allowed"
    large = lambda: kit.film("9216.mp4", "-frames:v", "1", "-c:v", "libx264", *QUICK, size="9216x4352").read_bytes()  # noqa: E731
    yield kit.picture("h264-too-large", story, rejects("E105"), "mp4", large, group=GROUP, is_slow=True)
    story = "the largest still that is allowed"
    largest = lambda: png(8192, 4352, bits=8)  # noqa: E731
    yield kit.picture("largest-still", story, renders("take.mp4"), "png", largest, group=GROUP, is_slow=True)
    story = "an MP4 whose track says 64 x 64 and whose H.264 headers say otherwise"
    yield kit.picture("mp4-lies", story, renders("take.mp4"), "mp4", lambda: _lying_mp4(kit), group=GROUP)


def _lying_avi(kit: Kit, *, first: bool) -> bytes:
    made = bytearray(kit.film("mjpeg.avi", "-c:v", "mjpeg").read_bytes())
    at, number = made.index(b"movi"), 0
    while (at := made.find(b"\xff\xc0", at + 1)) >= 0:
        if first or number:
            struct.pack_into(">HH", made, at + 5, 16000, 16000)
        number += 1
    return bytes(made)


def _lying_mp4(kit: Kit) -> bytes:
    made = bytearray(kit.film("128.mp4", "-c:v", "libx264", *QUICK, size="128x96").read_bytes())
    at = made.index(b"avc1") + 4 + 24
    struct.pack_into(">HH", made, at, 30000, 30000)
    return bytes(made)


def _streams(kit: Kit) -> Iterator[Case]:
    def many(count: int, suffix: str) -> bytes:
        maps = [word for _ in range(count - 1) for word in ("-map", "1:a")]
        words = ("-i", str(kit.film("face.mp4")), "-i", str(kit.voice("blip.wav", seconds=0.1)), "-map", "0:v", *maps)
        return kit.made(f"many{count}.{suffix}", *words, "-c:v", "copy", "-c:a", "aac").read_bytes()

    for count, answer in ((64, renders("take.mp4")), (65, rejects("E105")), (120, rejects("E105"))):
        for suffix in ("mkv", "mp4"):
            yield kit.picture(
                f"{count}-streams-{suffix}", f"{count} streams in one file; 64 are allowed", answer, suffix,
                lambda count=count, suffix=suffix: many(count, suffix), group=GROUP, is_slow=count == 120,
            )  # fmt: skip
    story = "3,000 Ogg streams that begin and hold nothing"
    yield kit.sound("ogg-streams", story, rejects("E105", "E101", "E110"), "ogg", lambda: _many_ogg(3000), group=GROUP)
    story = "a transport stream whose table names 250 streams"
    yield kit.picture("ts-programs", story, rejects("E101", "E105", "E110"), "ts", lambda: _many_pids(kit), group=GROUP)


def _many_ogg(count: int) -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 1, 16000, 0, 16000, 0, 0xB8, 1)
    end = bytes([1, len(head)]) + head
    return b"".join(b"OggS\0\2" + bytes(8) + struct.pack("<III", serial, 0, 0) + end for serial in range(count))


def _many_pids(kit: Kit) -> bytes:
    """Packets that each belong to a program map naming ten streams more, before a good transport stream."""
    good = kit.film("h264.ts", "-c:v", "libx264", *QUICK).read_bytes()
    packets = []
    for number in range(25):
        streams = b"".join(struct.pack(">BHH", 0x0F, 0xE000 | 0x200 + number * 10 + i, 0xF000) for i in range(10))
        body = struct.pack(">HBBBHH", number + 1, 0xC1, 0, 0, 0xE1FF, 0xF000) + streams
        section = b"\x02" + struct.pack(">H", 0xB000 | len(body) + 4) + body
        section += struct.pack(">I", _mpeg_crc(section))
        pid = 0x1000 + number
        packets.append((b"\x47" + struct.pack(">HB", 0x4000 | pid, 0x10) + b"\0" + section).ljust(188, b"\xff"))
    programs = b"".join(struct.pack(">HH", n + 1, 0xE000 | 0x1000 + n) for n in range(25))
    pat = b"\x00" + struct.pack(">HHBBB", 0xB000 | 9 + len(programs), 1, 0xC1, 0, 0) + programs
    pat += struct.pack(">I", _mpeg_crc(pat))
    first = (b"\x47\x40\x00\x10\0" + pat).ljust(188, b"\xff")
    return first + b"".join(packets) + good


def _mpeg_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def _tables(kit: Kit) -> Iterator[Case]:
    face = lambda: kit.film("face.mp4").read_bytes()  # noqa: E731
    for name, count in (("3m", 3_000_000), ("100m", 100_000_000), ("2g", 2_000_000_000)):
        story = f"an MP4 of a few kB whose tables tell of {count:,} samples of one byte"
        yield kit.picture(
            f"mp4-samples-{name}", story, rejects("E105", "E110"), "mp4",
            lambda count=count: crowded(face(), count), group=GROUP, is_slow=count > 3_000_000,
        )  # fmt: skip
    voice = lambda: kit.voice("voice.m4a").read_bytes()  # noqa: E731
    story = "an M4A of a few kB whose tables tell of 100,000,000 samples of one byte"
    yield kit.sound(
        "m4a-samples", story, rejects("E105", "E110", "E133"), "m4a", lambda: crowded(voice(), 100_000_000), group=GROUP
    )
    story = "an MP4 whose table of sizes says it has four billion entries"
    yield kit.picture(
        "mp4-entries", story, rejects("E105", "E110"), "mp4", lambda: boasting(face(), b"stsz", 8), group=GROUP
    )
    story = "an MP4 whose table of times says it has four billion entries"
    yield kit.picture(
        "mp4-times", story, rejects("E105", "E110"), "mp4", lambda: boasting(face(), b"stts", 4), group=GROUP
    )
    story = "an MP4 whose boxes lie 20,000 deep in each other"
    yield kit.picture("mp4-depth", story, rejects("E101", "E110"), "mp4", lambda: _deep(20_000), group=GROUP)
    story = "a compressed moov box that unpacks to a gigabyte"
    yield kit.picture("mov-cmov", story, rejects("E101", "E105", "E110"), "mov", lambda: _cmov(1), group=GROUP)
    story = "a compressed moov box that unpacks to three gigabytes"
    yield kit.picture(
        "mov-cmov-3g", story, rejects("E101", "E105", "E110"), "mov", lambda: _cmov(3), group=GROUP, is_slow=True
    )


def crowded(mp4: bytes, count: int) -> bytes:
    """Let the tables of the first track tell of so many samples of one byte each, in one chunk."""
    made = with_body(mp4, (*STBL, b"stsz"), struct.pack(">III", 0, 1, count))
    made = with_body(made, (*STBL, b"stts"), struct.pack(">IIII", 0, 1, count, 1))
    made = with_body(made, (*STBL, b"stsc"), struct.pack(">IIIII", 0, 1, 1, count, 1))
    first = body_of(made, (*STBL, b"stco"))[8:12]
    return with_body(made, (*STBL, b"stco"), struct.pack(">II", 0, 1) + first)


def boasting(mp4: bytes, kind: bytes, at: int) -> bytes:
    """Let a table say that it has as many entries as a number can."""
    body = bytearray(body_of(mp4, (*STBL, kind)))
    struct.pack_into(">I", body, at, 0xFFFFFFFE)
    return with_body(mp4, (*STBL, kind), bytes(body))


def _deep(depth: int) -> bytes:
    nested = b""
    for _ in range(depth):
        nested = struct.pack(">I4s", 8 + len(nested), b"trak") + nested
    return box(b"ftyp", b"isom\0\0\2\0") + box(b"moov", nested)


def _cmov(gib: int) -> bytes:
    packed = struct.pack(">I", gib * GIB) + deflated(b"\0", gib * GIB)
    return box(b"ftyp", b"qt  \0\0\2\0") + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed)))


def _packed(kit: Kit) -> Iterator[Case]:
    story = "an RIFF chunk that says it has four gigabytes"
    wav = lambda: kit.voice("voice.wav").read_bytes()  # noqa: E731
    yield kit.sound(
        "wav-boast", story, renders("take.mp4"), "wav", lambda: wav() + b"junk\xf0\xff\xff\xff", group=GROUP
    )
    story = "five hours of a sound in a FLAC file: an hour more than is allowed"
    long = ("-f", "lavfi", "-i", "aevalsrc=0.25:s=8000:d=18000", "-c:a", "flac", "-frame_size", "65535")
    yield kit.sound(
        "flac-five-hours",
        story,
        rejects("E133"),
        "flac",
        lambda: kit.made("5h.flac", *long).read_bytes(),
        group=GROUP,
        is_slow=True,
    )
    story = "a film of five hours in a few kB: an hour more than is allowed"
    yield kit.picture("film-five-hours", story, rejects("E105"), "mkv", lambda: _long_film(kit), group=GROUP)
    story = "a WAV file that says it has 65,535 channels"
    yield kit.sound(
        "wav-channels", story, rejects("E101", "E105", "E110", "E132"), "wav", lambda: _wav(65535, 16000), group=GROUP
    )
    story = "a WAV file of four billion samples a second"
    yield kit.sound(
        "wav-rate", story, rejects("E101", "E105", "E110", "E132"), "wav", lambda: _wav(1, 2**32 - 1), group=GROUP
    )
    story = "a WAV file of no samples a second"
    yield kit.sound(
        "wav-no-rate", story, rejects("E101", "E105", "E110", "E132"), "wav", lambda: _wav(1, 0), group=GROUP
    )


def _long_film(kit: Kit) -> bytes:
    black = ("-f", "lavfi", "-i", "color=black:s=16x16:r=1/60:d=18060", "-c:v", "mpeg4")
    return kit.made("five-hours.mkv", *black).read_bytes()


def _wav(channels: int, rate_hz: int) -> bytes:
    samples = bytes(range(256)) * 2048
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * 2 & 0xFFFFFFFF, channels * 2 & 0xFFFF, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", samples)
    return chunk(b"RIFF", body)


def _tags(kit: Kit) -> Iterator[Case]:
    story = "a good MP3 whose cover is a gigapixel PNG"

    def covered() -> bytes:
        picture = png(32768, 32768)
        body = b"\0image/png\0\3\0" + picture
        frame = b"APIC" + _syncsafe(len(body)) + b"\0\0" + body
        return b"ID3\4\0\0" + _syncsafe(len(frame)) + frame + kit.voice("voice.mp3").read_bytes()

    yield kit.sound("mp3-cover-bomb", story, renders("take.mp4"), "mp3", covered, group=GROUP)
    story = "an MP3 with a compressed tag that says it unpacks to 256 MB"
    body = struct.pack(">I", 0x7F7F7F7F) + deflated(b"\0", 255 << 20)
    frame = b"TXXX" + _syncsafe(len(body)) + b"\0\x09" + body
    tag = b"ID3\4\0\0" + _syncsafe(len(frame)) + frame
    yield kit.sound(
        "mp3-tag-bomb",
        story,
        renders("take.mp4"),
        "mp3",
        lambda: tag + kit.voice("voice.mp3").read_bytes(),
        group=GROUP,
    )
    story = "a good MP4 with a skip box of another kind for every byte: 200,000 boxes"
    many = box(b"skip") * 200_000
    yield kit.picture(
        "mp4-boxes", story, renders("take.mp4"), "mp4", lambda: kit.film("face.mp4").read_bytes() + many, group=GROUP
    )
    story = "a good MP4 whose movie box holds 100,000 user data boxes"
    yield kit.picture("mp4-user-data", story, renders("take.mp4"), "mp4", lambda: _noted(kit), group=GROUP)


def _noted(kit: Kit) -> bytes:
    mp4 = kit.film("face.mp4").read_bytes()
    moov = body_of(mp4, (b"moov",))
    return with_box(mp4, (b"moov",), box(b"moov", moov, box(b"udta", box(b"name", b"x") * 100_000)))


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
