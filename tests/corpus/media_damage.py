"""Good files that were cut or hit: every container at several places, and bits that were flipped on the way."""

import random
from collections.abc import Iterator

from tests.corpus.case import Answer, Case, rejects, renders, survives
from tests.corpus.kit import QUICK, Kit

CUTS, FLIPS = "truncations", "bit flips"
KEPT_PERCENT = (5, 50, 95)
OFTEN = frozenset({"mp4-50", "faststart-50", "mkv-50", "wav-50", "mp3-50", "flac-50", "jpg-50", "ts-50", "wmv-50"})
SHORTER = survives("E110", "E101", "E132")
"""Nobody can see that something is missing: the container does not say how long it is, so what is there is taken."""
X264 = ("-c:v", "libx264", *QUICK, "-g", "10")
FILMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4": ("mp4", X264),
    "faststart": ("mp4", (*X264, "-movflags", "+faststart")),
    "fragments": ("mp4", (*X264, "-movflags", "+frag_keyframe+empty_moov")),
    "mov": ("mov", ("-c:v", "prores_ks", "-profile:v", "0")),
    "mkv": ("mkv", X264),
    "webm": ("webm", ("-c:v", "libvpx")),
    "avi": ("avi", ("-c:v", "mjpeg")),
    "3gp": ("3gp", ("-c:v", "mpeg4")),
    "ts": ("ts", X264),
    "mpg": ("mpg", ("-c:v", "mpeg2video", "-f", "vob")),
    "wmv": ("wmv", ("-c:v", "wmv2")),
    "flv": ("flv", ("-c:v", "flv")),
    "ogv": ("ogv", ("-c:v", "libtheora")),
    "mxf": ("mxf", ("-c:v", "mpeg2video")),
    "jpg": ("jpg", ("-frames:v", "1", "-pix_fmt", "yuvj420p")),
    "png": ("png", ("-frames:v", "1")),
    "webp": ("webp", ("-frames:v", "1", "-c:v", "libwebp")),
}
SOUNDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "wav": ("wav", ()),
    "aiff": ("aiff", ()),
    "flac": ("flac", ()),
    "mp3": ("mp3", ("-c:a", "libmp3lame")),
    "m4a": ("m4a", ("-c:a", "aac")),
    "aac": ("aac", ("-c:a", "aac")),
    "ogg": ("ogg", ("-c:a", "libvorbis")),
    "opus": ("opus", ("-c:a", "libopus")),
    "caf": ("caf", ("-c:a", "pcm_s16be")),
    "wma": ("wma", ("-c:a", "wmav2")),
}
UNKNOWING = frozenset({"ts", "mpg", "aac", "caf", "flv", "ogv", "mxf", "wmv", "wma"})
"""Containers that do not say where they end, or not in a way that can be relied on."""
FORGIVING = frozenset({"flac", "mp3"})
"""Players cut there, so frames at the end may be missing, as long as no half second is."""
DAMAGE = survives("E101", "E104", "E105", "E110", "E132", "E133")
"""Whatever a flipped bit says: but never a fault, a hang, or a code that blames the machine."""
FLIPPED_BITS = (1, 40)


def cases(kit: Kit) -> Iterator[Case]:
    """Every container, cut and hit."""
    for kind, (suffix, words) in FILMS.items():

        def film(kind: str = kind, suffix: str = suffix, words: tuple[str, ...] = words) -> bytes:
            return kit.film(
                f"whole-{kind}.{suffix}", *words, seconds=2 if suffix not in ("jpg", "png", "webp") else 0.04
            ).read_bytes()

        for percent in KEPT_PERCENT:
            name, answer = f"{kind}-{percent}", _answer(kind, percent)
            story = f"{percent} % of a film ({kind})"
            yield kit.picture(
                f"cut-{name}", story, answer, suffix, lambda f=film, p=percent: cut(f(), p), group=CUTS,
                is_slow=name not in OFTEN,
            )  # fmt: skip
        for bits in FLIPPED_BITS:
            yield kit.picture(
                f"flip-{kind}-{bits}", f"{bits} flipped bits in a film ({kind})", DAMAGE, suffix,
                lambda f=film, b=bits, k=kind: hit(f(), b, f"{k}{b}"), group=FLIPS, is_slow=kind != "mkv",
            )  # fmt: skip
    for kind, (suffix, words) in SOUNDS.items():

        def sound(kind: str = kind, suffix: str = suffix, words: tuple[str, ...] = words) -> bytes:
            return kit.voice(f"whole-{kind}.{suffix}", *words, seconds=3).read_bytes()

        for percent in KEPT_PERCENT:
            name, answer = f"{kind}-{percent}", _answer(kind, percent)
            story = f"{percent} % of a sound ({kind})"
            yield kit.sound(
                f"cut-{name}", story, answer, suffix, lambda f=sound, p=percent: cut(f(), p), group=CUTS,
                is_slow=name not in OFTEN,
            )  # fmt: skip
        for bits in FLIPPED_BITS:
            yield kit.sound(
                f"flip-{kind}-{bits}", f"{bits} flipped bits in a sound ({kind})", DAMAGE, suffix,
                lambda f=sound, b=bits, k=kind: hit(f(), b, f"{k}{b}"), group=FLIPS, is_slow=kind != "flac",
            )  # fmt: skip
    yield from _ends(kit)


def _answer(kind: str, percent: int) -> Answer:
    is_little = percent > 90 and kind in FORGIVING
    return SHORTER if kind in UNKNOWING or is_little else rejects("E110")


def _ends(kit: Kit) -> Iterator[Case]:
    """What stands behind the end of a good file, or was filled in for what has not come."""
    face = lambda: kit.film("face.mp4").read_bytes()  # noqa: E731
    voice = lambda: kit.voice("voice.wav").read_bytes()  # noqa: E731
    faststart = lambda: kit.film("fast.mp4", *X264, "-movflags", "+faststart", seconds=2).read_bytes()  # noqa: E731
    still = lambda: kit.film("still.jpg", "-frames:v", "1", "-pix_fmt", "yuvj420p").read_bytes()  # noqa: E731
    good = renders("take.mp4")
    yield kit.picture("zeros-behind-mp4", "4 zeros behind an MP4", good, "mp4", lambda: face() + bytes(4), group=CUTS)
    story = "an MP4 whose second half are zeros: its size was set first"
    yield kit.picture("mp4-half-zeros", story, rejects("E110"), "mp4", lambda: filled(faststart(), 50), group=CUTS)
    story = "a kilobyte of zeros behind an MP4: a recorder that takes its space in advance"
    yield kit.picture("kilobyte-behind-mp4", story, good, "mp4", lambda: face() + bytes(1024), group=CUTS)
    yield kit.sound("junk-behind-wav", "junk behind a WAV", good, "wav", lambda: voice() + b"junk" * 9, group=CUTS)
    yield kit.picture(
        "film-behind-jpg",
        "a film behind a JPEG: a phone's motion photo",
        good,
        "jpg",
        lambda: still() + face(),
        group=CUTS,
    )
    yield kit.picture(
        "line-before-mp4",
        "a line of text before an MP4",
        rejects("E101", "E110"),
        "mp4",
        lambda: b"\r\n" + face(),
        group=CUTS,
    )
    yield kit.picture("mp4-twice", "an MP4 behind itself", survives("E110"), "mp4", lambda: face() + face(), group=CUTS)
    yield kit.picture("mp4-as-text", "an MP4 whose line ends were converted by FTP", rejects("E101", "E110"), "mp4",
                      lambda: faststart().replace(b"\n", b"\r\n"), group=CUTS)  # fmt: skip


def cut(data: bytes, percent: int) -> bytes:
    """Keep so much of the beginning."""
    return data[: max(1, len(data) * percent // 100)]


def filled(data: bytes, percent: int) -> bytes:
    """Keep so much of the beginning, and zeros for the rest."""
    return cut(data, percent).ljust(len(data), b"\0")


def hit(data: bytes, bits: int, seed: str) -> bytes:
    """Flip so many bits, anywhere but in the first 16 bytes: a file is still what it was."""
    dice, made = random.Random(seed), bytearray(data)
    for _ in range(bits):
        made[dice.randrange(16, len(made))] ^= 1 << dice.randrange(8)
    return bytes(made)
