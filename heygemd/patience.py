"""Looks at a share that may be dead: each is made in a child process, and nobody waits for it longer than a limit.

A read on a share whose server is gone may not come back, and a process with such a thread cannot even be ended. So
the child does it; it is left behind when it does not answer. The processes that use this have one thread.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import TypeVar

from heygemd.errors import HeygemdError, ResourceError, error_for

CHUNK_BYTES = 1 << 16
_GOOD, _BAD = b"+", b"-"

Key = TypeVar("Key", bound=Hashable)


class Look:
    """One call of `function` in a child; what it returns, or its error of ours, comes back through a pipe."""

    def __init__(self, function: Callable[[], bytes]) -> None:
        self._pipe, theirs = os.pipe()
        self._told = b""
        self._pid = os.fork()
        if self._pid == 0:
            _answer(function, theirs)
        os.close(theirs)
        os.set_blocking(self._pipe, False)
        self.has_ended = False

    def fileno(self) -> int:
        """Readable when there is something to poll for."""
        return self._pipe

    def poll(self) -> bool:
        """Take what has come; True when that is all."""
        while not self.has_ended:
            try:
                told = os.read(self._pipe, CHUNK_BYTES)
            except BlockingIOError:
                return False
            self._told += told
            if not told:
                self._end()
        return True

    def answer(self) -> bytes:
        """Return what the function returned, or raise what it raised; after `poll` has said True."""
        mark, body = self._told[:1], self._told[1:]
        if mark == _GOOD:
            return body
        if mark == _BAD:
            code, _, message = body.decode("utf-8", "surrogateescape").partition(" ")
            raise error_for(code, message)
        raise ResourceError("E201", "it did not answer")

    def give_up(self) -> None:
        """Leave it; the child ends as soon as its share lets it."""
        if not self.has_ended:
            self._told = b""
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self.has_ended = True
            os.close(self._pipe)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, os.WNOHANG)

    def _end(self) -> None:
        self.has_ended = True
        os.close(self._pipe)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)  # its end of the pipe is closed: it has nothing left to wait for


def look_within(limit_s: float, functions: Mapping[Key, Callable[[], bytes]]) -> dict[Key, bytes | HeygemdError]:
    """Call all functions at once; what has not answered within the limit counts as ResourceError E201."""
    looks = {key: Look(function) for key, function in functions.items()}
    ends_s = time.monotonic() + limit_s
    while not all([look.poll() for look in looks.values()]):  # each of them is polled, not only the first
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            break
        select.select([look for look in looks.values() if not look.has_ended], [], [], left_s)
    found: dict[Key, bytes | HeygemdError] = {}
    for key, look in looks.items():
        if not look.has_ended:
            look.give_up()
            found[key] = ResourceError("E201", f"it did not answer within {limit_s:g} s")
            continue
        try:
            found[key] = look.answer()
        except HeygemdError as error:
            found[key] = error
    return found


def _answer(function: Callable[[], bytes], pipe: int) -> None:
    """Be the child: call, tell, and end without any clean-up, which belongs to the parent."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_DFL)
        try:
            told = _GOOD + function()
        except HeygemdError as error:
            told = _BAD + f"{error.code} {error.message}".encode("utf-8", "surrogateescape")
        except OSError as error:
            told = _BAD + f"E201 {error.strerror or error}".encode("utf-8", "surrogateescape")
        while told:
            told = told[os.write(pipe, told) :]
    finally:
        os._exit(0)
