"""Honest mistakes: a wrong suffix, something else than media, a file that is empty or is not yet there."""

import random
import struct
from collections.abc import Callable, Iterator

from tests.corpus.bytework import box, chunk, png, png_chunk
from tests.corpus.case import Answer, Case, rejects, renders, waits
from tests.corpus.kit import QUICK, Kit

GROUP = "wrong suffixes and empty files"
FILM = renders("take.mp4", frames=25)
NO_MEDIA = rejects("E101")


def cases(kit: Kit) -> Iterator[Case]:
    """All of them."""
    yield from _wrong_pictures(kit)
    yield from _wrong_sounds(kit)
    yield from _other_things(kit)
    yield from _little(kit)


def _wrong_pictures(kit: Kit) -> Iterator[Case]:
    x264 = ("-c:v", "libx264", *QUICK)
    goods: dict[str, tuple[str, Callable[[], bytes]]] = {
        "mp4": ("mkv avi jpg ts mxf", lambda: kit.film("face.mp4").read_bytes()),
        "mkv": ("mp4 webm", lambda: kit.film("h264.mkv", *x264).read_bytes()),
        "webm": ("mov", lambda: kit.film("vp8.webm", "-c:v", "libvpx").read_bytes()),
        "avi": ("mp4", lambda: kit.film("mjpeg.avi", "-c:v", "mjpeg").read_bytes()),
        "ts": ("mp4", lambda: kit.film("h264.ts", *x264).read_bytes()),
        "jpeg": ("png mp4 webp", lambda: kit.film("still.jpg", "-frames:v", "1", "-pix_fmt", "yuvj420p").read_bytes()),
        "png": ("jpg mov", lambda: kit.film("still.png", "-frames:v", "1").read_bytes()),
        "bmp": ("jpg", lambda: kit.film("still.bmp", "-frames:v", "1").read_bytes()),
    }
    for kind, (suffixes, content) in goods.items():
        for suffix in suffixes.split():
            story = f"a good {kind.upper()} whose name ends in .{suffix}"
            name, is_slow = f"{kind}-named-{suffix}", suffix in ("webm", "webp", "ts", "avi")
            yield kit.picture(name, story, FILM, suffix, content, group=GROUP, is_slow=is_slow)
    story = "a good MP4 whose suffix is in capitals"
    yield kit.picture("mp4-capitals", story, FILM, "MP4", goods["mp4"][1], group=GROUP)


def _wrong_sounds(kit: Kit) -> Iterator[Case]:
    goods: dict[str, tuple[str, Callable[[], bytes]]] = {
        "wav": ("mp3 m4a aif", lambda: kit.voice("voice.wav").read_bytes()),
        "mp3": ("wav ogg", lambda: kit.voice("voice.mp3").read_bytes()),
        "flac": ("wav", lambda: kit.voice("voice.flac").read_bytes()),
        "m4a": ("aac wav", lambda: kit.voice("voice.m4a").read_bytes()),
        "opus": ("mp3 ogg", lambda: kit.voice("voice.opus").read_bytes()),
        "film": ("wav m4a", lambda: _spoken(kit)),
    }
    for kind, (suffixes, content) in goods.items():
        for suffix in suffixes.split():
            story = f"a good {kind.upper()} sound whose name ends in .{suffix}"
            yield kit.sound(
                f"{kind}-named-{suffix}-sound", story, renders("take.mp4"), suffix, content, group=GROUP,
                is_slow=suffix in ("ogg", "aif", "aac"),
            )  # fmt: skip
    story = "a film with three sounds, named like a sound: the first of them is heard"
    many = lambda: _with_sounds(kit)  # noqa: E731
    yield kit.sound("film-of-sounds-named-m4a", story, renders("take.mp4"), "m4a", many, group=GROUP)
    story = "a sound alone, named like a film"
    yield kit.picture("sound-named-mp4", story, NO_MEDIA, "mp4", goods["m4a"][1], group=GROUP)
    story = "a sound with a cover, named like a film"
    yield kit.picture("covered-named-mp4", story, NO_MEDIA, "mp4", lambda: _covered(kit), group=GROUP)
    story = "a film without a sound, named like a sound"
    yield kit.sound(
        "film-without-sound", story, rejects("E132"), "m4a", lambda: kit.film("face.mp4").read_bytes(), group=GROUP
    )


def _spoken(kit: Kit) -> bytes:
    inputs = ("-i", str(kit.film("face.mp4")), "-i", str(kit.voice("voice.wav")))
    return kit.made("spoken.mp4", *inputs, "-c:v", "copy", "-c:a", "aac").read_bytes()


def _with_sounds(kit: Kit) -> bytes:
    inputs = ("-i", str(kit.film("face.mp4")), "-i", str(kit.voice("voice.wav")))
    maps = ("-map", "0:v", *("-map", "1:a") * 3)
    return kit.made("three-sounds.mkv", *inputs, *maps, "-c:v", "copy", "-c:a", "aac").read_bytes()


def _covered(kit: Kit) -> bytes:
    inputs = ("-i", str(kit.voice("voice.m4a")), "-i", str(kit.film("still.png", "-frames:v", "1")))
    return kit.made("covered.m4a", *inputs, "-c", "copy", "-disposition:v", "attached_pic", "-f", "mp4").read_bytes()


def _other_things(kit: Kit) -> Iterator[Case]:
    noise = random.Random(8).randbytes(64 << 10)
    things = {
        "pdf": (b"%PDF-1.7\n" + noise[:4000], "a PDF"),
        "exe": (b"MZ\x90\0\3\0\0\0" + noise[:4000], "a Windows program"),
        "elf": (b"\x7fELF\2\1\1\0" + noise[:4000], "a Linux program"),
        "script": (b"#!/bin/sh\ntouch /tmp/owned\n", "a shell script"),
        "gzip": (b"\x1f\x8b\x08\0\0\0\0\0" + noise[:4000], "a gzip archive"),
        "rar": (b"Rar!\x1a\7\1\0" + noise[:4000], "a RAR archive"),
        "seven-zip": (b"7z\xbc\xaf\x27\x1c\0\4" + noise[:4000], "a 7z archive"),
        "sqlite": (b"SQLite format 3\0" + noise[:4000], "a database"),
        "gif": (b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0) + b";", "a GIF"),
        "tiff": (b"II*\0\x08\0\0\0\0\0" + noise[:400], "a TIFF"),
        "psd": (b"8BPS\0\1" + bytes(6) + noise[:400], "a Photoshop picture"),
        "heic": (box(b"ftyp", b"heic\0\0\0\0mif1heic") + noise[:4000], "a HEIC still of a phone"),
        "midi": (b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk\0\0\0\4\0\xff\x2f\0", "a MIDI file"),
        "swf": (b"CWS\x0a" + noise[:4000], "a Flash film"),
        "text": ("这不是视频。\n".encode() * 20, "a text"),
        "json": (b'{"heygem": 1}', "a JSON text"),
        "noise": (noise, "random bytes"),
        "zeros": (bytes(64 << 10), "zeros: a copy that never began to write"),
        "ones": (b"\xff" * (64 << 10), "bytes that are all 255"),
        "newlines": (b"\n" * 5000, "nothing but line ends"),
    }
    for kind, (content, story) in things.items():
        yield kit.picture(
            f"{kind}-named-mp4", f"{story}, named .mp4", NO_MEDIA, "mp4", lambda c=content: c, group=GROUP
        )
        is_slow = kind not in ("gif", "midi", "noise", "zeros")
        named = "jpg" if kind in ("gif", "tiff", "psd", "heic") else "wav"
        make = kit.picture if named == "jpg" else kit.sound
        yield make(
            f"{kind}-named-{named}",
            f"{story}, named .{named}",
            NO_MEDIA,
            named,
            lambda c=content: c,
            group=GROUP,
            is_slow=is_slow,
        )


def _little(kit: Kit) -> Iterator[Case]:
    """Files that hold nothing, or nothing but a beginning."""
    yield kit.picture("empty-mp4", "an empty film: it may still be written", waits(), "mp4", lambda: b"", group=GROUP)
    yield kit.sound("empty-wav", "an empty sound: it may still be written", waits(), "wav", lambda: b"", group=GROUP)
    ftyp, form = box(b"ftyp", b"isom\0\0\2\0isom"), chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16))
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    beginnings: tuple[tuple[str, str, Answer, str, bytes], ...] = (
        ("byte-mp4", "one byte", NO_MEDIA, "mp4", b"\0"),
        ("byte-jpg", "one byte", NO_MEDIA, "jpg", b"\xff"),
        ("ftyp-alone", "the first box of an MP4", rejects("E110"), "mp4", ftyp),
        ("mdat-alone", "an MP4 whose recorder died: no moov", rejects("E110"), "mp4",
         ftyp + box(b"mdat", bytes(range(256)) * 64)),
        ("moov-empty", "an MP4 without tracks", rejects("E101", "E110"), "mp4", ftyp + box(b"moov")),
        ("ebml-alone", "the first element of a Matroska file", rejects("E110"), "mkv", b"\x1a\x45\xdf\xa3\x80"),
        ("soi-alone", "the first marker of a JPEG", rejects("E110"), "jpg", b"\xff\xd8\xff\xe0"),
        ("png-without-data", "a PNG without picture data", rejects("E110"), "png",
         b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IEND", b"")),
        ("png-pixel", "a PNG of one pixel", renders("take.mp4"), "png", png(1, 1, bits=8)),
        ("avi-empty", "an AVI without a film", rejects("E110"), "avi", chunk(b"RIFF", b"AVI ")),
    )  # fmt: skip
    for name, story, answer, suffix, content in beginnings:
        yield kit.picture(name, story, answer, suffix, lambda c=content: c, group=GROUP)
    sounds: tuple[tuple[str, str, Answer, str, bytes], ...] = (
        ("byte-wav", "one byte", NO_MEDIA, "wav", b"R"),
        ("byte-mp3", "one byte", NO_MEDIA, "mp3", b"\xff"),
        ("wav-no-samples", "a WAV file without a sample", rejects("E132"), "wav",
         chunk(b"RIFF", b"WAVE" + form + chunk(b"data", b""))),
        ("wav-no-data", "a WAV file that ends before its data", rejects("E110"), "wav", chunk(b"RIFF", b"WAVE" + form)),
        ("wav-silence", "a second of digital silence", rejects("E132"), "wav",
         chunk(b"RIFF", b"WAVE" + form + chunk(b"data", bytes(32000)))),
        ("flac-alone", "the first four bytes of a FLAC file", rejects("E110"), "flac", b"fLaC"),
        ("ogg-alone", "the first four bytes of an Ogg file", rejects("E110"), "ogg", b"OggS"),
        ("id3-alone", "a tag, and no sound", rejects("E110"), "mp3", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)),
    )  # fmt: skip
    for name, story, answer, suffix, content in sounds:
        yield kit.sound(name, story, answer, suffix, lambda c=content: c, group=GROUP)
