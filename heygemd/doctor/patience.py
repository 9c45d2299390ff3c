"""Calls that may hang or fail, each in a child process of its own: a dead share, a driver in trouble, a bug of ours.

A child that stands still inside the kernel cannot even be killed, so nobody waits for its end. Children are forks: the
doctor has one thread, and what they are asked needs no way through a pipe; only their answers do.
"""

import io
import os
import pickle
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from heygemd.doctor.account import Account, become
from heygemd.errors import HeygemdError

T = TypeVar("T")

_READ_BYTES = 1 << 16
_LAST_WORD = pickle.dumps(("done", None))


class StillWaitingError(Exception):
    """The call had not ended when its time was up."""


class BrokenCallError(Exception):
    """The call ended with an error that it should not have; the text is its traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a child has said until its end or until its time was up."""

    values: tuple[Any, ...]
    end: Literal["done", "failed", "broken", "hanging"]
    error: HeygemdError | OSError | None = None
    """What a failed one raised: an error that says by itself what is wrong."""
    trouble: str = ""
    """The traceback of a broken one."""


@dataclass(slots=True)
class Child:
    """A call on its way."""

    pid: int
    fd: int
    limit_s: float
    began_s: float = field(default_factory=time.monotonic)
    _said: bytearray = field(default_factory=bytearray)
    _has_ended: bool = False

    def hear(self) -> Heard:
        """Wait for the rest, at most until the limit, and end the child and everything it has started."""
        try:
            while not self._has_ended and self._is_ready():
                self._take()
        finally:
            self.end()
        return _understood(_frames(bytes(self._said)), "broken" if self._has_ended else "hanging")

    def end(self) -> None:
        """Kill what is left of it; a second call does nothing."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        for target in (os.killpg, os.kill):  # it may not have made its group yet
            try:
                target(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._has_ended:
            os.waitpid(self.pid, 0)

    def _is_ready(self) -> bool:
        left_s = self.began_s + self.limit_s - time.monotonic()
        return bool(select.select([self.fd], [], [], max(0.0, left_s))[0])

    def _take(self) -> None:
        data = os.read(self.fd, _READ_BYTES)
        self._said += data
        # Not only at the end of the pipe: a grandchild that hangs may keep it open.
        self._has_ended = not data or self._said.endswith(_LAST_WORD)


def begin(call: Callable[[], Iterable[object]], *, limit_s: float, account: Account | None = None) -> Child:
    """Start a call whose values are heard one by one, as `account` when there is one."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with warnings.catch_warnings():
        # Newer Pythons warn when there are threads (those of a test runner); the child takes none of their locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading, limit_s)
    try:
        os.close(reading)
        _answer(call, writing, account)
    finally:
        os._exit(0)


def bounded(call: Callable[[], T], *, limit_s: float, account: Account | None = None) -> T:
    """Return what a call returns or raise what it raises (ours and OSError); StillWaitingError, BrokenCallError."""

    def once() -> Iterable[T]:
        yield call()

    heard = begin(once, limit_s=limit_s, account=account).hear()
    if heard.end == "done":
        answer: T = heard.values[0]
        return answer
    if heard.end == "hanging":
        raise StillWaitingError
    if heard.error is not None:
        raise heard.error
    raise BrokenCallError(heard.trouble or "the child process was ended from outside")


def _answer(call: Callable[[], Iterable[object]], writing: int, account: Account | None) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    is_told = False
    try:
        if account is not None:
            become(account)
        for value in call():
            _send(writing, "value", value)
        os.write(writing, _LAST_WORD)
        is_told = True
    except StillWaitingError:
        _send(writing, "hanging", None)
        is_told = True
    except (HeygemdError, OSError) as error:
        _send(writing, "failed", error)
        is_told = True
    finally:
        if not is_told:
            _send(writing, "broken", traceback.format_exc())


def _send(writing: int, kind: str, value: object) -> None:
    data = memoryview(pickle.dumps((kind, value)))
    while data:
        data = data[os.write(writing, data) :]


def _understood(frames: list[tuple[str, Any]], end: Literal["broken", "hanging"]) -> Heard:
    """Sort what was sent; without a last word the end is the one that was seen from outside."""
    values = tuple(value for kind, value in frames if kind == "value")
    match frames[-1] if frames else ("value", None):
        case ("done", _):
            return Heard(values=values, end="done")
        case ("failed", error):
            return Heard(values=values, end="failed", error=error)
        case ("broken", trouble):
            return Heard(values=values, end="broken", trouble=trouble)
        case ("hanging", _):
            return Heard(values=values, end="hanging")
    return Heard(values=values, end=end)


def _frames(data: bytes) -> list[tuple[str, Any]]:
    """Read what was sent whole; a child may have been ended in the middle of a word."""
    stream, frames = io.BytesIO(data), []
    while True:
        try:
            frames.append(pickle.load(stream))  # from our own child
        except (EOFError, pickle.UnpicklingError):
            return frames
