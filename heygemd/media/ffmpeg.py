"""The guarded door: the only code that starts ffmpeg or ffprobe, and the only importer of ffmpeg-python.

A stranger's file is opened by `openfile`, without following links and without blocking, is a regular file, and reaches
ffmpeg as `/dev/fd/N`: no native library ever sees a user's file name. The demuxer is forced to what the first bytes
showed, and both whitelists stand, so a playlist in disguise can open nothing (measured: `-protocol_whitelist` alone
does not stop it). Outputs are descriptors of ours, too.
"""

import contextlib
import functools
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from heygemd.errors import FaultError, HeygemdError, InputError, ResourceError, SetupError
from heygemd.limits import Limits
from heygemd.media.child import OPEN_FILES, Child, Leash, Outcome, bounds_of, environment_of, hard_bound
from heygemd.media.openfile import OpenFile
from heygemd.media.pipes import StalledError

Stream = Any
"""A node of ffmpeg-python's graph; the package has no types."""

LIBAVUTIL_5_1 = (57, 28)
"""libavutil of ffmpeg 5.1; asked instead of the version, which builds from git do not carry."""

DECODER_THREADS = 4
"""Each costs frames of memory; more hardly speed up a decoder that feeds one renderer."""

CORES_PER_THREAD = 4
"""One thread decodes 1080p twelve times as fast as it is played, and whoever reads takes frames ahead; two cost 6 to
13 % more processor time (250 frames: 0.73 and 0.80 CPU s)."""

CARD_FILES = 1024
"""Descriptors of a decoder that drives a card: the driver opens its device files again and again."""

PROTOCOLS = "file,pipe,fd"

SLOWEST_FRAME_S = 0.1
SLOWEST_PIXEL_S = 200e-9
"""A decoder that needs more for one frame, 0.5 s at 1080p, is fed something that is no film: 10-bit HEVC of that size
takes 0.03 s of one core. What frames do not cost is not waited for, so a file that drips has a longest wait in all."""

SLOWEST_BYTES_PER_S = 2 << 20
"""A disk or share that gives less counts as standing still: 20 GB of ProRes may well need longer than a probe."""

MEMORY_BYTES = 1 << 30
PIXEL_BYTES = 96
"""Address space of a decoder: code, threads and what stands beside a picture; and for each of its pixels 16 frames of
16 bits and as many again on the way. More is asked for by what is no film: texts in a PNG that unpack to gigabytes."""

UNSEEN_PIXELS = 1 << 23
"""What is granted to a probe that does not know the picture yet: most containers tell its size before it is decoded."""

LOG_LEVEL = "repeat+level+error"
"""Every complaint on a line of its own, with its level: that makes errors countable."""

TOO_LARGE = ("max_streams", "max pixel count", "Picture size", "Cannot allocate memory")
"""What ffmpeg says when a file goes beyond its limits."""

DISK_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
DISK_BROKEN = ("Input/output error", "Read-only file system", "Stale file handle")
UNFINISHED = "Error writing trailer"
"""ffmpeg up to 6.0 ends well with that: the last bytes of a file, an MP4's whole index, found no room."""
NO_MEMORY = ("Cannot allocate memory", "malloc of size")

BOUND_WORDS = {
    resource.RLIMIT_AS: "--as",
    resource.RLIMIT_DATA: "--data",
    resource.RLIMIT_FSIZE: "--fsize",
    resource.RLIMIT_NOFILE: "--nofile",
    resource.RLIMIT_CORE: "--core",
    resource.RLIMIT_CPU: "--cpu",
}
"""What util-linux's `prlimit` calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The programs of this machine."""

    ffmpeg: str
    ffprobe: str
    version: str
    leash: tuple[str, ...]
    """Words before each command: `setpriv` that lets the kernel end a child with its parent, and lets it gain no
    rights, where there is one."""
    prlimit: str = ""
    """What sets limits before a program begins; empty where there is none."""


@functools.cache
def require_tools() -> Tools:
    """Find ffmpeg and ffprobe ≥ 5.1 with libx264; raises SetupError E403. Asked once per process."""
    paths = [shutil.which(name) for name in ("ffmpeg", "ffprobe")]
    if None in paths:
        raise SetupError("E403", "ffmpeg or ffprobe is not in PATH")
    binary, probe = (str(path) for path in paths)
    _, answer = _answer(binary, "-h", "encoder=libx264")  # and its banner: one start less
    found = re.search(r"^ *libavutil +(\d+)\. *(\d+)\.", answer, re.MULTILINE)
    named = re.search(r"^ffmpeg version (\S+)", answer, re.MULTILINE)
    version = named[1] if named else "unknown"
    if found is None or (int(found[1]), int(found[2])) < LIBAVUTIL_5_1:
        raise SetupError("E403", f"{binary} is version {version}; 5.1 or newer is needed")
    if "Encoder libx264" not in answer:
        raise SetupError("E403", f"{binary} was built without libx264")
    leash = _working("setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--")
    return Tools(
        ffmpeg=binary,
        ffprobe=probe,
        version=version,
        leash=leash,
        prlimit="".join(_working("prlimit", "--core=0", "--")[:1]),
    )


def _working(name: str, *words: str) -> tuple[str, ...]:
    """Return a program and the words before a command of its own; nothing where it does not work.

    In a sandbox it may be there and not be allowed to do its work.
    """
    program = shutil.which(name)
    if program is None or _answer(program, *words, program, "--version")[0] != 0:
        return ()
    return (program, *words)


def _answer(*argv: str) -> tuple[int, str]:
    """How a program ends, and what it says on both of its outputs."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False,
            env=environment_of(os.environ),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError("E403", f"{argv[0]} does not run: {error}") from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


def guards(demuxer: str, limits: Limits) -> dict[str, Any]:
    """Input options without which no stranger's file is opened, by ffmpeg or by ffprobe."""
    return {
        "f": demuxer,
        "format_whitelist": demuxer,
        "protocol_whitelist": PROTOCOLS,
        "max_pixels": limits.max_pixels,
        "max_streams": limits.max_streams,
        "threads": decoder_threads(len(os.sched_getaffinity(0))),
    }


def decoder_threads(cores: int) -> int:
    """How many a machine with so many cores should spend on one decoder."""
    return max(1, min(DECODER_THREADS, cores // CORES_PER_THREAD))


def source(file: OpenFile, demuxer: str, limits: Limits, **options: Any) -> Stream:  # noqa: ANN401  # ffmpeg's own words
    """Make a stranger's file the input of a graph; `options` are further input options, None for a bare flag."""
    return ffmpeg.input(file.url, **guards(demuxer, limits), **options)


def own_source(url: str, demuxer: str, **options: Any) -> Stream:  # noqa: ANN401  # ffmpeg's own words
    """Make a pipe or a list of ours the input of a graph."""
    return ffmpeg.input(url, f=demuxer, **options)


def sink(*streams: Stream, url: str, muxer: str, **options: Any) -> Stream:  # noqa: ANN401  # ffmpeg's own words
    """End a graph; `options` are output options, with `_` for `:` in their names (`c_v` is `-c:v`)."""
    spelt = {re.sub(r"_(?=[vas]$)", ":", name): value for name, value in options.items()}
    return ffmpeg.output(*streams, url, f=muxer, **spelt)


def several(*outputs: Stream) -> Stream:
    """Write several outputs by one process, which decodes what they share only once."""
    return ffmpeg.merge_outputs(*outputs)


def decoder_leash(
    limits: Limits,
    *,
    wall_s: float | None = None,
    waits_s: float | None = None,
    file_bytes: int = 0,
    card: str | None = None,
    pixels: int = 0,
) -> Leash:
    """Measure the leash of a process that reads a stranger's file, with the help of `card` or without.

    `pixels` are those of the picture it decodes.
    """
    enough_bytes = MEMORY_BYTES + PIXEL_BYTES * pixels if card is None else limits.memory_bytes
    return Leash(
        stall_s=limits.stall_s,
        wall_s=wall_s,
        waits_s=waits_s,
        memory_bytes=min(limits.memory_bytes, enough_bytes),
        file_bytes=file_bytes,
        drives_card=card is not None,
        open_files=OPEN_FILES if card is None else CARD_FILES,
    )


def reading_s(size_bytes: int) -> float:
    """Wall clock that merely reading so many bytes is granted, on top of everything else."""
    return size_bytes / SLOWEST_BYTES_PER_S


def decoding_s(frames: int, pixels: int) -> float:
    """How long so many frames of so many pixels may be waited for, on top of everything else."""
    return frames * (SLOWEST_FRAME_S + pixels * SLOWEST_PIXEL_S)


def start(
    output: Stream,
    *,
    leash: Leash,
    pass_fds: Sequence[int] = (),
    feed: bool = False,
    level: str = LOG_LEVEL,
    cwd: Path | None = None,
) -> Child:
    """Start ffmpeg on a graph; use the result as a context manager."""
    tools = require_tools()
    threads = decoder_threads(len(os.sched_getaffinity(0)))  # filters take one for each core otherwise
    words = ["-hide_banner", "-nostdin", "-y", "-v", level, "-filter_threads", str(threads)]
    argv = [*_leashed(tools, leash), tools.ffmpeg, *words, *ffmpeg.get_args(output)]
    return Child(argv, leash=leash, pass_fds=pass_fds, feed=feed, cwd=cwd)


def run(
    output: Stream, *, leash: Leash, pass_fds: Sequence[int] = (), level: str = LOG_LEVEL, cwd: Path | None = None
) -> Outcome:
    """Run ffmpeg on a graph to its end; raises StalledError past its wall clock."""
    with start(output, leash=leash, pass_fds=pass_fds, level=level, cwd=cwd) as child:
        return child.finish()


def start_probe(file: OpenFile, demuxer: str, limits: Limits, *questions: str, pixels: int = UNSEEN_PIXELS) -> Child:
    """Start ffprobe on a stranger's file; `questions` are its options for what to show and how."""
    tools = require_tools()
    inputs = [word for name, value in guards(demuxer, limits).items() for word in (f"-{name}", str(value))]
    leash = decoder_leash(limits, wall_s=limits.probe_wall_s + reading_s(file.size_bytes), pixels=pixels)
    argv = [*_leashed(tools, leash), tools.ffprobe, "-hide_banner", "-v", "repeat+level+warning", *questions, *inputs]
    return Child([*argv, "-i", file.url], leash=leash, pass_fds=(file.fd,))


def _leashed(tools: Tools, leash: Leash) -> list[str]:
    """Words before a command that bind it before it begins."""
    if not tools.prlimit:
        return list(tools.leash)
    bounds = [f"{BOUND_WORDS[kind]}={bound}:{hard_bound(kind, bound)}" for kind, bound in bounds_of(leash).items()]
    return [*tools.leash, tools.prlimit, *bounds, "--"]


def input_error(outcome: Outcome, what: str, file: OpenFile) -> HeygemdError:
    """Say what a failed decoder of a stranger's file means: too large (E105), out of reach (E201) or damaged (E110).

    Or nothing about the file (E303): all limits of ours show otherwise, so SIGKILL comes from outside, and most likely
    from a kernel that is short of memory.

    ffmpeg calls it an input/output error, too, when elements of Matroska do not fit into each other: so `file` is read
    to its end, and only one that cannot be read is a matter of the share.
    """
    if outcome.returncode == -signal.SIGXCPU or any(outcome.says(text) for text in TOO_LARGE):
        return InputError("E105", f"{what}: {outcome.reason}")
    if outcome.returncode == -signal.SIGKILL:
        return ResourceError("E303", f"{what}: {outcome.reason}")
    if (outcome.says("Stale file handle") or outcome.says("Input/output error")) and not file.is_readable():
        return ResourceError("E201", f"{what}: {outcome.reason}")
    return InputError("E110", f"{what}: {outcome.reason}")


def is_unwritten(outcome: Outcome) -> bool:
    """Tell whether the disk did not take all of an output, whatever the status says."""
    return any(outcome.says(text) for text in (*DISK_FULL, UNFINISHED))


def output_error(outcome: Outcome, what: str) -> HeygemdError:
    """Say what a failed encoder of ours means: no room on the disk (E202) or in memory (E303), or a fault (E500)."""
    message = f"{what}: {outcome.reason}"
    if any(outcome.says(text) for text in (*DISK_FULL, *DISK_BROKEN)):
        return ResourceError("E202", message)
    # It has no limits that a signal would enforce: who kills it is the kernel, for memory.
    if outcome.returncode == -signal.SIGKILL or any(outcome.says(text) for text in NO_MEMORY):
        return ResourceError("E303", message)
    return FaultError("E500", message)


@contextlib.contextmanager
def patience_as(code: str, what: str) -> Iterator[None]:
    """Turn a StalledError inside the block into the InputError or FaultError of `code`."""
    try:
        yield
    except StalledError as error:
        family = InputError if code.startswith("E1") else FaultError
        raise family(code, f"{what}: {error}") from error
