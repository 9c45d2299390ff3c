"""What an ffmpeg can do, against what heygemd asks of it; for the doctor, who looks at any ffmpeg of the machine.

`ffmpeg.require_tools` decides whether the daemon starts; this says why not, and what kinds of files would be refused.
"""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from heygemd.media.ffmpeg import LIBAVUTIL_5_1
from heygemd.media.sniff import AT_START, IN_CHUNKS

LIMIT_S = 15.0

NEEDED: dict[str, frozenset[str]] = {
    "encoders": frozenset({"libx264", "aac", "wrapped_avframe"}),
    "decoders": frozenset({"h264", "aac", "pcm_s16le", "rawvideo"}),
    "demuxers": frozenset({"mov", "concat", "rawvideo", "wav"}),
    "muxers": frozenset({"mp4", "yuv4mpegpipe", "f32le", "null"}),
    "protocols": frozenset({"file", "pipe"}),
    "filters": frozenset({
        "settb", "select", "trim", "metadata", "scale", "format", "setsar", "setparams", "null", "asetpts", "aresample",
        "apad", "atrim", "aformat", "volumedetect",
    }),
}  # fmt: skip
"""Without any of these no film is made."""
WANTED: dict[str, frozenset[str]] = {
    "decoders": frozenset({
        "hevc", "vp8", "vp9", "prores", "mpeg4", "mjpeg", "png", "webp", "mp3", "flac", "opus", "vorbis", "pcm_s24le",
    }),
    "demuxers": frozenset({*(name for _, name in AT_START), *IN_CHUNKS.values(), "mpegts", "mp3", "aac", "bmp_pipe"}),
}  # fmt: skip
"""Without one of these, files of that kind are refused."""
ON_CARDS: dict[str, frozenset[str]] = {"encoders": frozenset({"h264_nvenc"})}
"""Needed where graphics cards are to write films."""
CARD_TRIAL = (
    "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", "512x288", "-i", "/dev/zero",
    "-frames:v", "8", "-c:v", "h264_nvenc", "-bf", "0", "-f", "null", "-",
)  # fmt: skip
"""A few grey frames; whether a card has an encoder, and the driver suits this ffmpeg, is nowhere to be read."""
SAME = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8", "mp3float": "mp3",
        "libopus": "opus", "libvorbis": "vorbis"}  # fmt: skip
"""Decoders that do the work of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """One ffmpeg, as it describes itself."""

    version: str
    """`5.1.6-0+deb12u1`; `unknown` for some builds."""
    is_new_enough: bool
    missing: tuple[str, ...] = ()
    """What it needs and has not: `encoder libx264`."""
    wanting: tuple[str, ...] = ()
    """The same for what only some files need."""
    wanting_on_cards: tuple[str, ...] = ()
    """The same for what only writing films on graphics cards needs."""


def abilities_of(program: str, run: Callable[..., str | None] | None = None) -> Abilities | str:
    """Ask a program for all it can do; returns why not when it does not run."""
    ask = run or _answer
    banner = ask(program, "-version")
    if banner is None:
        return "it does not run"
    version, is_new_enough = version_of(banner)
    if not is_new_enough:
        return Abilities(version=version, is_new_enough=False)
    found = {kind: _names(kind, ask(program, "-hide_banner", f"-{kind}") or "") for kind in NEEDED}
    return Abilities(
        version=version,
        is_new_enough=True,
        missing=_lacking(NEEDED, found),
        wanting=_lacking(WANTED, found),
        wanting_on_cards=_lacking(ON_CARDS, found),
    )


def card_refusal(program: str) -> str:
    """Let a program write a few frames on a graphics card; returns why it cannot, or an empty text."""
    argv = [program, *CARD_TRIAL]
    try:
        done = _ask(*argv)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"]
    return "" if done.returncode == 0 else re.sub(r"^\[[^\]]*\] *", "", lines[0])


def version_of(banner: str) -> tuple[str, bool]:
    """Read what `-version` says: the name of the version, and whether it is 5.1 or newer."""
    named = re.match(r"ff\w+ version (\S+)", banner)
    found = re.search(r"^libavutil +(\d+)\. *(\d+)\.", banner, re.MULTILINE)
    is_new_enough = found is not None and (int(found[1]), int(found[2])) >= LIBAVUTIL_5_1
    return named[1] if named else "unknown", is_new_enough


def probe_version(program: str) -> str | None:
    """Version of an ffprobe; None when it does not run."""
    banner = _answer(program, "-version")
    return None if banner is None else version_of(banner)[0]


def _lacking(wanted: dict[str, frozenset[str]], found: dict[str, frozenset[str]]) -> tuple[str, ...]:
    return tuple(
        f"{kind.removesuffix('s')} {name}" for kind, names in wanted.items() for name in sorted(names - found[kind])
    )


def _names(kind: str, listing: str) -> frozenset[str]:
    """Read one of its lists: flags and a name a line, several names of one thing separated by commas."""
    names: set[str] = set()
    for line in listing.splitlines():
        words = line.split()
        if kind == "protocols":
            names.update(words)
        elif line.startswith(" ") and len(words) > 1 and words[1] != "=":
            names.update(words[1].split(","))
    return frozenset(names | {SAME[name] for name in names & SAME.keys()})


def _ask(*argv: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip


def _answer(*argv: str) -> str | None:
    try:
        done = _ask(*argv)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
