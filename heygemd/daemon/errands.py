"""Blocking work in killable child processes, so that a dead share or a full disk never stops the daemon's loop.

An `Errand` is one call of a plain function; a `Resident` is a child that keeps an object and answers calls, one at
a time. Both are asked with `poll()` and never waited for; both are killed when they take longer than their limit.
Children are forked from multiprocessing's fork server, which has imported the light rooms once, and die with it.
"""

import ctypes
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import structlog

from heygemd.errors import HeygemdError, ResourceError, error_for
from heygemd.log import LogChoice, configure

log = structlog.get_logger(__name__)

START_TRIES = 10
START_PAUSE_S = 0.05
"""The only wait of the loop: half a second at most, when somebody has killed the fork server."""

PRELOADED = (
    "heygemd.daemon.clerk", "heygemd.daemon.desk", "heygemd.outbox.again", "heygemd.outbox.bundle",
    "heygemd.outbox.originals", "heygemd.outbox.publish", "heygemd.outbox.retention",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: a value, an error of ours, or a fault with its traceback."""

    value: Any = None
    error: HeygemdError | None = None
    fault: str = ""

    @property
    def is_good(self) -> bool:
        """The call returned."""
        return self.error is None and not self.fault


@dataclass(frozen=True, slots=True)
class _Failure:
    code: str
    message: str
    traceback: str


@dataclass(slots=True)
class Nursery:
    """Where children come from, and how those that are started from now on log."""

    server: ForkServerContext
    logs: LogChoice


def open_nursery(logs: LogChoice) -> Nursery:
    """Prepare the fork server; it starts with the first child."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(PRELOADED))
    return Nursery(server, logs)


class _Child:
    """A child process and the pipe to it."""

    def __init__(self, nursery: Nursery, target: Callable[..., None], *args: object) -> None:
        self._pipe, theirs = nursery.server.Pipe()
        self._process = _start(nursery, target, (theirs, nursery.logs, *args))
        theirs.close()

    def fileno(self) -> int:
        """Becomes readable when there is an answer, or when the child died."""
        return self._pipe.fileno()

    def send(self, message: object) -> None:
        """Hand one message to the child; a dead child shows at the next `receive`."""
        try:
            self._pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Answer | None:
        """The answer if it is there; a death is an answer too."""
        try:
            if not self._pipe.poll():
                return None
            message = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self.end()
            return Answer(fault=f"the helper process died (exit {self._process.exitcode})")
        if isinstance(message, _Failure):
            if message.code:
                return Answer(error=error_for(message.code, message.message))
            return Answer(fault=message.traceback)
        return Answer(value=message)

    def end(self) -> None:
        """Kill the child if it still runs, and collect it."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(5)
        self._pipe.close()


@contextmanager
def _on_guard() -> Iterator[None]:
    """Let Python programs that are started now, as the fork server is, import nothing from where somebody stands."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _start(nursery: Nursery, target: Callable[..., None], args: tuple[object, ...]) -> ForkServerProcess:
    """Start a child. A fork server that was killed is replaced by the next start, as soon as its death is seen."""
    for attempt in reversed(range(START_TRIES)):
        process = nursery.server.Process(target=target, args=args, daemon=True)
        try:
            with _on_guard():
                process.start()
        except (ConnectionError, EOFError):
            if not attempt:
                raise
            log.warning("daemon.nursery_lost")
            time.sleep(START_PAUSE_S)
        else:
            return process
    raise AssertionError("unreachable")


class Errand:
    """One call of `function(*args)`."""

    def __init__(
        self, nursery: Nursery, function: Callable[..., object], *args: object, now_s: float, limit_s: float
    ) -> None:
        self._child = _Child(nursery, _run_once, function, args)
        self._ends_s = now_s + limit_s
        self._limit_s = limit_s

    def fileno(self) -> int:
        """Readable when `poll` has something to say."""
        return self._child.fileno()

    def poll(self, now_s: float) -> Answer | None:
        """The answer, once; None while it is under way."""
        answer = self._child.receive()
        if answer is None and now_s >= self._ends_s:
            answer = _late(self._limit_s)
        if answer is not None:
            self._child.end()
        return answer

    def end(self) -> None:
        """Kill it, wherever it is."""
        self._child.end()


class Resident:
    """A child that holds `factory(*args)` and answers one call at a time; started when first asked."""

    def __init__(self, nursery: Nursery, factory: Callable[..., object], *args: object) -> None:
        self._nursery, self._factory, self._args = nursery, factory, args
        self._child: _Child | None = None
        self._ends_s = 0.0
        self._limit_s = 0.0
        self.is_busy = False

    def fileno(self) -> int | None:
        """Readable when `poll` has something to say; None while nothing is asked."""
        return self._child.fileno() if self._child is not None and self.is_busy else None

    def ask(self, method: str, *args: object, now_s: float, limit_s: float) -> None:
        """Call a method of the held object; only while nothing else is asked."""
        if self.is_busy:
            raise RuntimeError("the resident is still busy")
        if self._child is None:
            self._child = _Child(self._nursery, _reside, self._factory, self._args)
        self._child.send((method, args))
        self._ends_s, self._limit_s, self.is_busy = now_s + limit_s, limit_s, True

    def poll(self, now_s: float) -> Answer | None:
        """The answer, once. After a hang or a fault the child is replaced at the next call."""
        if self._child is None or not self.is_busy:
            return None
        answer = self._child.receive()
        if answer is None and now_s >= self._ends_s:
            answer = _late(self._limit_s)
            self.end()
        if answer is not None:
            self.is_busy = False
            if answer.fault:
                self.end()
        return answer

    def end(self) -> None:
        """Kill the child; the object it held is gone."""
        if self._child is not None:
            self._child.end()
            self._child = None
        self.is_busy = False


def _late(limit_s: float) -> Answer:
    return Answer(error=ResourceError("E201", f"no answer within {limit_s:g} s"))


def _run_once(pipe: Connection, logs: LogChoice, function: Callable[..., object], args: tuple[object, ...]) -> None:
    _settle_in(logs)
    with _parent_there():
        pipe.send(_guarded(function, *args))


def _reside(pipe: Connection, logs: LogChoice, factory: Callable[..., object], args: tuple[object, ...]) -> None:
    _settle_in(logs)
    with _parent_there():
        _answer_calls(pipe, factory, args)


@contextmanager
def _parent_there() -> Iterator[None]:
    """A daemon that was killed is no fault of its children: they end without a word."""
    with suppress(EOFError, ConnectionResetError, BrokenPipeError):
        yield


def _answer_calls(pipe: Connection, factory: Callable[..., object], args: tuple[object, ...]) -> None:
    held: object = None
    while True:
        method, call_args = pipe.recv()
        if held is None:
            held = _guarded(factory, *args)
        if isinstance(held, _Failure):
            pipe.send(held)
            held = None
            continue
        pipe.send(_guarded(getattr(held, method), *call_args))


def _guarded(function: Callable[..., object], *args: object) -> object:
    """The result, or what went wrong; the daemon sorts it."""
    try:
        return function(*args)
    except HeygemdError as error:
        return _Failure(error.code, error.message, "")
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError):
        return _Failure("", "", traceback.format_exc())


def _settle_in(logs: LogChoice) -> None:
    """The daemon answers signals, not its children; and no child outlives the fork server."""
    configure(logs)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
