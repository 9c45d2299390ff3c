"""One external process on a leash: own session, bounded memory, bounded patience, bounded chatter.

Everything goes through pipes that are waited for with a limit, so neither a decoder that hangs nor an encoder that
no longer reads can hold the caller for ever; leaving the `with` block ends the whole process group. With `setpriv`
at hand the kernel also ends the process when its parent is killed (PR_SET_PDEATHSIG: tied to the *thread* that
started it, which must therefore outlive it); without it a killed parent breaks the pipes.
"""

import contextlib
import fcntl
import io
import os
import re
import resource
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from typing_extensions import override

from heygemd.media.pipes import ReadPipe, StalledError

STDERR_KEPT_BYTES = 64 << 10
"""The last words of a process that are kept; everything before is only counted."""

LINE_BYTES = 4096
PIPE_BYTES = 1 << 20
"""Asked of the kernel for picture pipes: a 1080p frame then comes in 16 pieces instead of 53 (mean of 250)."""

OPEN_FILES = 64

OVERTIME_S = 2
"""Processor time from SIGXCPU to SIGKILL. Without it the kernel sends SIGKILL at once, which means something else: that
it was short of memory itself."""

KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
"""What a child may see of our environment (FFREPORT, for one, makes ffmpeg write files): it sees the worker's card."""

SEARCHED_VARIABLES = ("PATH", "LD_LIBRARY_PATH")
"""Lists of folders in which programs and libraries are looked for."""

OWN_VARIABLES = {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1", "MALLOC_ARENA_MAX": "2"}
"""Arenas are address space, which RLIMIT_AS counts: 64 MiB for each thread otherwise."""

_living: "set[Child]" = set()
"""Whatever this process has started here and not yet ended; a set changes in one step, whichever threads do so."""

ADDRESS = re.compile(r"\[[^\]]*@ 0x[0-9a-f]+\] *|\[(?:error|fatal|warning|info)\] *")


def living_pids() -> list[int]:
    """Process ids of everything that was started here and still holds memory."""
    return [child.pid for child in _living.copy()]


def kill_children_of(thread: int) -> None:
    """End whatever this thread (`threading.get_ident`) has started and may be waiting for; the thread frees it."""
    for child in _living.copy():
        if child.thread == thread:
            child.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leash:
    """What one process may cost; None is no limit."""

    stall_s: float = 120.0
    """Longest single wait for a byte, or for room for one."""
    wall_s: float | None = None
    """Longest life. Its processor time is then bounded too."""
    waits_s: float | None = None
    """Longest sum of all waits for it: the wall clock of a process whose reader takes its time, or feeds it slowly.
    It bounds the processor time, too."""
    memory_bytes: int | None = None
    """Address space; of a process that drives a card, its own writable memory."""
    file_bytes: int | None = None
    """Longest file it may write; 0 for a process that only writes to pipes."""
    drives_card: bool = False
    """CUDA reserves more addresses than any machine has memory."""
    open_files: int = OPEN_FILES
    """Descriptors; a driver of a graphics card opens dozens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a process ended."""

    returncode: int
    errors: int
    """Lines of level `error` or `fatal`."""
    stderr: str
    """Its last 64 KiB, with levels and addresses."""
    stdout: bytes = b""

    @property
    def ok(self) -> bool:
        """It ended by itself, with status 0."""
        return self.returncode == 0

    def says(self, text: str) -> bool:
        """`text` occurs in what is kept of its stderr."""
        return text in self.stderr

    @property
    def reason(self) -> str:
        """Its first complaint, in one printable line; the last line where no complaint is marked."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        marked = [line for line in lines if "[error]" in line or "[fatal]" in line]
        text = (marked or lines[-1:] or [f"exit status {self.returncode}"])[0]
        return "".join(c if c.isprintable() else "?" for c in ADDRESS.sub("", text))[:200]


class Child:
    """A running process; leaving the `with` block ends it, whatever it was doing."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        leash: Leash,
        pass_fds: Sequence[int] = (),
        feed: bool = False,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv`; `feed` opens a pipe to its stdin, which is empty otherwise."""
        self._leash = leash
        self._born = time.monotonic()
        self._waited_s = 0.0
        self.thread = threading.get_ident()
        self._process = subprocess.Popen(
            [os.fspath(part) for part in argv],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            env=environment_of(os.environ),
            cwd=cwd,
        )
        _living.add(self)
        _limit(self._process.pid, leash)
        assert self._process.stdout is not None and self._process.stderr is not None
        _widen(self._process.stdout.fileno())
        self.stdout = self.reads(self._process.stdout.fileno())
        self._errors = 0
        self._kept: deque[bytes] = deque()
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        self._stdin_poll = select.poll()
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
            _widen(self._process.stdin.fileno())
            self._stdin_poll.register(self._process.stdin.fileno(), select.POLLOUT)

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group and session."""
        return self._process.pid

    def reads(self, fd: int) -> ReadPipe:
        """Wrap one more pipe from this process, under the same leash."""
        return ReadPipe(fd, self._patience, self._note_wait)

    def write(self, data: memoryview) -> None:
        """Feed all of `data` (bytes); raises BrokenPipeError when it no longer listens."""
        stdin = self._process.stdin
        assert stdin is not None, "not started with feed=True"
        done = 0
        while done < len(data):
            patience_s = self._patience()
            try:
                done += os.write(stdin.fileno(), data[done:])
            except BlockingIOError:
                began_s = time.monotonic()
                is_ready = self._stdin_poll.poll(patience_s * 1000)
                self._note_wait(time.monotonic() - began_s)
                if not is_ready:
                    raise StalledError("no input taken within the limit") from None

    def finish(self, *, stdout_bytes: int = 64 << 10) -> Outcome:
        """Close its stdin, keep at most `stdout_bytes` of the rest of its output, and wait for its end."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        kept = memoryview(bytearray(stdout_bytes))
        got = self.stdout.fill(kept)
        waste = memoryview(bytearray(64 << 10))
        while got == stdout_bytes and self.stdout.fill(waste):
            pass
        try:
            self._process.wait(self._patience())
        except subprocess.TimeoutExpired:
            raise StalledError("did not end within the limit") from None
        return self._outcome(bytes(kept[:got]))

    def end(self) -> Outcome:
        """End it now if it still runs, and free what it held."""
        if self._process.poll() is None:
            self.kill()
            self._process.wait()
        _living.discard(self)
        outcome = self._outcome(b"")
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return outcome

    def kill(self) -> None:
        """Kill it, from any thread; whoever waits for its pipes then sees them end."""
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:  # else its number may be another's by now
                os.killpg(self._process.pid, signal.SIGKILL)

    def _outcome(self, stdout: bytes) -> Outcome:
        self._listener.join()
        text = b"".join(self._kept).decode("utf-8", "replace")
        return Outcome(returncode=self._process.returncode, errors=self._errors, stderr=text, stdout=stdout)

    def _patience(self) -> float:
        patience_s, leash = self._leash.stall_s, self._leash
        for most_s, spent_s in ((leash.wall_s, time.monotonic() - self._born), (leash.waits_s, self._waited_s)):
            if most_s is not None:
                if spent_s >= most_s:
                    raise StalledError(f"not finished after {most_s:g} s")
                patience_s = min(patience_s, most_s - spent_s)
        return patience_s

    def _note_wait(self, waited_s: float) -> None:
        self._waited_s += waited_s

    def _listen(self, stream: IO[bytes]) -> None:
        size = 0
        with io.BufferedReader(cast("io.RawIOBase", stream)) as lines:
            while line := lines.readline(LINE_BYTES):
                self._errors += b"[error]" in line or b"[fatal]" in line
                self._kept.append(line)
                size += len(line)
                while size > STDERR_KEPT_BYTES:
                    size -= len(self._kept.popleft())

    @override
    def __repr__(self) -> str:
        return f"<Child {self._process.args!r}>"


def environment_of(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what of `ours` a child is given, and what it is given beside."""
    kept = {name: ours[name] for name in KEPT_VARIABLES if name in ours}
    kept |= {name: absolute_only(kept[name]) for name in SEARCHED_VARIABLES if name in kept}
    return {name: value for name, value in kept.items() if value or name not in SEARCHED_VARIABLES} | OWN_VARIABLES


def absolute_only(folders: str) -> str:
    """Leave out what such a list says of the current folder: anybody may have put a library into it.

    An empty part means that folder, and `import cv2` leaves one at the end of LD_LIBRARY_PATH.
    """
    return ":".join(folder for folder in folders.split(":") if folder.startswith("/"))


def _widen(fd: int) -> None:
    with contextlib.suppress(OSError):  # more than the system allows: the usual 64 KiB do as well
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def bounds_of(leash: Leash) -> dict[int, int]:
    """`RLIMIT_…` → what a process on this leash may have, soft; never more than this process may have."""
    clock_s = min((most_s for most_s in (leash.wall_s, leash.waits_s) if most_s is not None), default=None)
    wanted: dict[int, int | None] = {
        resource.RLIMIT_DATA if leash.drives_card else resource.RLIMIT_AS: leash.memory_bytes,
        resource.RLIMIT_FSIZE: leash.file_bytes,
        resource.RLIMIT_NOFILE: leash.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: None if clock_s is None else int(clock_s * (os.cpu_count() or 1)) + 1,
    }
    bounds = {}
    for kind, most in wanted.items():
        if most is not None:
            ceiling = resource.getrlimit(kind)[1]
            bounds[kind] = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
    return bounds


def hard_bound(kind: int, bound: int) -> int:
    """Return the hard limit that goes with a soft one."""
    ceiling = resource.getrlimit(kind)[1]
    wanted = bound + OVERTIME_S if kind == resource.RLIMIT_CPU else bound
    return wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)


def _limit(pid: int, leash: Leash) -> None:
    """Set the limits from outside: a preexec function is not safe beside threads.

    It may come late on a busy machine: where there is `prlimit`, `ffmpeg.py` has it set them before the program starts.
    """
    with contextlib.suppress(ProcessLookupError):
        for kind, bound in bounds_of(leash).items():
            resource.prlimit(pid, kind, (bound, hard_bound(kind, bound)))
