"""Worker processes as the daemon sees them: start, send, listen, end.

    daemon ── tasks pipe (also the leash: its end ends the worker) ──▶ worker
           ◀── events pipe, one JSON object a line ───────────────────
           ◀── stdout and stderr: what libraries print goes to the log as `worker.wrote`

Nothing here waits: `events` reads what is there, and ending a worker goes on in the calls that follow.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import psutil
import structlog
from pydantic import ValidationError
from typing_extensions import override

from heygemd.errors import ResourceError
from heygemd.log import LogChoice
from heygemd.planning.plan import EngineChoice, Event, Task, from_json, to_json
from heygemd.scheduler.stray import StrayText

log = structlog.get_logger(__name__)

LINE_LIMIT_BYTES = 1 << 20
"""A longer line is no event of ours."""
READ_BYTES = 1 << 16
READS_AT_ONCE = 32
"""A worker that talks without pause must not keep the daemon from the others."""
TERM_AFTER_S = 2.0
"""From letting go of the leash to SIGTERM."""
KILL_AFTER_S = 5.0
"""From letting go of the leash to SIGKILL; and from the end of the events pipe to SIGKILL."""
DEFAULT_LOGS = LogChoice()
WORKER_COMMAND = (sys.executable, "-P", "-u", "-X", "faulthandler", "-m", "heygemd.render")
"""Unbuffered, and with the stack of a crash: a worker's last words must reach the log. `-P`: a `torch.py` in the folder
where somebody stands is not imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last thing that is heard of a worker."""

    returncode: int
    """Exit status; negative: the signal that ended it."""
    reason: str = ""
    """Why the daemon ended it; empty when it ended by itself."""

    @override
    def __str__(self) -> str:
        if self.returncode < 0:
            how = f"ended by signal {-self.returncode}, {signal.strsignal(-self.returncode)}"
        else:
            how = f"exited with status {self.returncode}"
        return f"{how} ({self.reason})" if self.reason else how


class WorkerPool(Protocol):
    """Where workers live; a cluster could implement it as well as this machine."""

    def start(self, engine: EngineChoice, device: str) -> int:
        """Begin to start a worker and return its number; raises ResourceError E302 when that is impossible now."""
        ...

    def send(self, worker: int, task: Task) -> None:
        """Hand a task over; a worker that died meanwhile shows as `Ended`."""
        ...

    def events(self) -> list[tuple[int, Event | Ended]]:
        """Return what was said since the last call, oldest first for each worker; never waits."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker at once, with everything it started; `Ended` follows."""
        ...

    def stop(self, worker: int) -> None:
        """Ask a worker to end; SIGTERM and SIGKILL follow by themselves; `Ended` comes last."""
        ...

    def log_as(self, logs: LogChoice) -> None:
        """Let workers that are started from now on log so."""
        ...

    def close(self) -> None:
        """End all workers; waits a few seconds at most."""
        ...

    def pids(self) -> dict[int, int]:
        """Worker → process, of those on this machine that have not ended."""
        ...

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when `events` has something to return."""
        ...

    def wait(self, most_s: float) -> None:
        """Sleep until `events` has something to return, or for `most_s`."""
        ...


@dataclass(slots=True)
class _Child:
    popen: subprocess.Popen[bytes]
    tasks_fd: int | None
    events_fd: int | None
    exit_fd: int | None
    """Readable once the process has ended."""
    stray: StrayText
    heard: bytearray = field(default_factory=bytearray)
    """Begin of a line whose end has not come yet."""
    reason: str = ""
    term_at_s: float | None = None
    kill_at_s: float | None = None


class LocalWorkers:
    """Workers as child processes of this machine, each in a session of its own.

    `uuids` says what a card is called whatever its number: device label → UUID. `threads`: cores that one worker may
    count on; 0: all there are. `backend`: what computes a network on a CPU (setting `render.backend`); `cache_dir`:
    where workers keep what they measured of this machine.
    """

    def __init__(
        self,
        *,
        logs: LogChoice = DEFAULT_LOGS,
        command: Sequence[str] = WORKER_COMMAND,
        clock: Callable[[], float] = time.monotonic,
        uuids: Mapping[str, str] = MappingProxyType({}),
        threads: int = 0,
        backend: str = "auto",
        cache_dir: Path | None = None,
    ) -> None:
        self._logs = logs
        self._command = (
            *command,
            *(("--threads", str(threads)) if threads > 0 else ()),
            *(("--backend", backend) if backend != "auto" else ()),
            *(("--cache", str(cache_dir)) if cache_dir else ()),
        )
        self._clock = clock
        self._uuids = dict(uuids)
        self._children: dict[int, _Child] = {}
        self._next = 1

    def log_as(self, logs: LogChoice) -> None:
        """Let workers that are started from now on log so."""
        self._logs = logs

    def start(self, engine: EngineChoice, device: str) -> int:
        """Begin to start a worker and return its number; raises ResourceError E302 when that is impossible now."""
        try:
            child = self._spawn(self._next, engine, device)
        except OSError as error:
            raise ResourceError("E302", f"no worker can be started: {error}") from error
        worker, self._next = self._next, self._next + 1
        self._children[worker] = child
        log.info("worker.started", worker=worker, pid=child.popen.pid, engine=engine.name, device=device)
        return worker

    def _spawn(self, worker: int, engine: EngineChoice, device: str) -> _Child:
        with contextlib.ExitStack() as undo:
            tasks_read, tasks_write = _pipe(undo)
            events_read, events_write = _pipe(undo)
            stray_read, stray_write = _pipe(undo)
            for fd in (tasks_write, events_read, stray_read):
                os.set_blocking(fd, False)
            log_fd = os.dup(2)
            undo.callback(os.close, log_fd)
            weights = ("--weights", str(engine.weights)) if engine.weights else ()
            if engine.weights_sha256:
                weights = (*weights, "--weights-sha256", engine.weights_sha256)
            torch_device, sight = self._sight(device)
            popen = subprocess.Popen(
                [
                    *(*self._command, "--engine", engine.name.value, *weights),
                    *("--device", device, "--torch-device", torch_device),
                    *("--tasks-fd", str(tasks_read), "--events-fd", str(events_write)),
                    *("--log-fd", str(log_fd), *self._logs.settled().as_arguments()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stray_write,  # whatever a library prints is a log; our own stdout belongs to the command line
                stderr=stray_write,
                pass_fds=(tasks_read, events_write, log_fd),
                start_new_session=True,  # Ctrl-C reaches the daemon only, and a kill reaches the whole group
                # NVML counts in bus order; CUDA would put the fastest card first.
                env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ, **sight},
            )
            undo.pop_all()
        for fd in (tasks_read, events_write, stray_write, log_fd):
            os.close(fd)
        stray = StrayText(stray_read, worker=worker, pid=popen.pid, clock=self._clock)
        return _Child(popen, tasks_write, events_read, _exit_fd(popen.pid), stray)

    def _sight(self, device: str) -> tuple[str, dict[str, str]]:
        """What torch calls the device, and the environment in which it is called so.

        A worker sees no card but its own, by UUID: numbers change when a card falls off the bus, and a library must
        not open a context on another card by accident.
        """
        if device == "cpu":
            return "cpu", {"CUDA_VISIBLE_DEVICES": ""}
        if uuid := self._uuids.get(device):
            return "cuda:0", {"CUDA_VISIBLE_DEVICES": uuid}
        return device, {}

    def send(self, worker: int, task: Task) -> None:
        """Hand a task over; a worker that died meanwhile shows as `Ended`."""
        child = self._children.get(worker)
        if child is None or child.tasks_fd is None:
            return
        line = (to_json(task) + "\n").encode()
        try:
            written = os.write(child.tasks_fd, line)
        except BrokenPipeError:
            return
        except BlockingIOError:
            written = 0
        if written < len(line):  # 64 KiB of tasks not read: it listens no more
            self._end_now(worker, child, "it did not read its tasks")

    def events(self) -> list[tuple[int, Event | Ended]]:
        """Return what was said since the last call, oldest first for each worker; never waits."""
        said: list[tuple[int, Event | Ended]] = []
        for worker, child in list(self._children.items()):
            is_over = _has_exited(child.popen.pid)  # asked first: what it said before its end is then all there
            said.extend((worker, event) for event in self._listen(worker, child))
            child.stray.listen()
            if is_over:
                said.append((worker, self._bury(worker, child)))
            else:
                self._press(worker, child)
        return said

    def kill(self, worker: int) -> None:
        """End a worker at once, with everything it started; `Ended` follows."""
        if child := self._children.get(worker):
            self._end_now(worker, child, "killed by the daemon")

    def stop(self, worker: int) -> None:
        """Ask a worker to end; SIGTERM and SIGKILL follow by themselves; `Ended` comes last."""
        child = self._children.get(worker)
        if child is None or child.tasks_fd is None:
            return
        os.close(child.tasks_fd)
        child.tasks_fd = None
        child.reason = child.reason or "stopped by the daemon"
        child.term_at_s = self._clock() + TERM_AFTER_S
        child.kill_at_s = self._clock() + KILL_AFTER_S

    def close(self) -> None:
        """End all workers; waits a few seconds at most."""
        for worker in list(self._children):
            self.stop(worker)
        ends_s = time.monotonic() + KILL_AFTER_S
        while self._children and time.monotonic() < ends_s:
            self.wait(0.1)
            self.events()
        for worker, child in list(self._children.items()):
            self._end_now(worker, child, "killed by the daemon")
            self._bury(worker, child)

    def pids(self) -> dict[int, int]:
        """Worker → process, of those that have not ended as far as `events` has told."""
        return {worker: child.popen.pid for worker, child in self._children.items()}

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when `events` has something to return."""
        fds = [fd for child in self._children.values() for fd in (child.events_fd, child.exit_fd)]
        return tuple(fd for fd in fds if fd is not None)

    def wait(self, most_s: float) -> None:
        """Sleep until `events` has something to return, or for `most_s`."""
        select.select(self.filenos(), [], [], most_s)

    def _listen(self, worker: int, child: _Child) -> list[Event]:
        events: list[Event] = []
        for _ in range(READS_AT_ONCE):
            if child.events_fd is None:
                break
            try:
                data = os.read(child.events_fd, READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._hang_up(child)
                break
            *lines, rest = (child.heard + data).split(b"\n")
            child.heard = rest
            try:
                events.extend(from_json(Event, bytes(line)) for line in lines)
            except ValidationError:
                self._end_now(worker, child, "it said something that is no event")
            if len(rest) > LINE_LIMIT_BYTES:
                self._end_now(worker, child, "it said a line without end")
        return events

    def _hang_up(self, child: _Child) -> None:
        """Listen no more; a worker that has nothing to say with is over, or will soon be."""
        if child.events_fd is not None:
            os.close(child.events_fd)
            child.events_fd = None
        if child.kill_at_s is None:
            child.kill_at_s = self._clock() + KILL_AFTER_S

    def _press(self, worker: int, child: _Child) -> None:
        """Carry on with ending a worker that was asked to end."""
        now_s = self._clock()
        if child.kill_at_s is not None and now_s >= child.kill_at_s:
            self._end_now(worker, child, "it did not end when told to")
        elif child.term_at_s is not None and now_s >= child.term_at_s:
            _signal_group(child.popen.pid, signal.SIGTERM)
            child.term_at_s = None

    def _end_now(self, worker: int, child: _Child, reason: str) -> None:
        if not child.reason:
            child.reason = reason
            log.warning("worker.killed", worker=worker, pid=child.popen.pid, reason=reason)
        self._hang_up(child)
        # Its decoders live in sessions of their own, so they are looked up while their parent still lives.
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(child.popen.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        _signal_group(child.popen.pid, signal.SIGKILL)

    def _bury(self, worker: int, child: _Child) -> Ended:
        _signal_group(child.popen.pid, signal.SIGKILL)  # what it left behind; its number is ours until the wait
        ended = Ended(returncode=child.popen.wait(), reason=child.reason)
        for fd in (child.tasks_fd, child.events_fd, child.exit_fd):
            if fd is not None:
                os.close(fd)
        child.stray.end(failed=ended.returncode != 0 and not ended.reason)
        del self._children[worker]
        log.info("worker.ended", worker=worker, returncode=ended.returncode, reason=ended.reason)
        return ended


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for fd in ends:
        undo.callback(os.close, fd)
    return ends


def _exit_fd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # old kernels and some sandboxes: the end is then seen at the next look
        return None


def _has_exited(pid: int) -> bool:
    """Ask without collecting: until it is collected, no other process can get its number."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
