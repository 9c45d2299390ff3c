"""What workers and their libraries print past the log: read by the daemon, and told to the log in bounded portions.

A crash of a library says its reason only on stderr, and a package that cannot be imported does so before the worker
has a log at all. Nothing here waits, and nobody is woken: the pipe is looked at whenever the worker's events are.
"""

import os
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

READ_BYTES = 1 << 16
READS_AT_ONCE = 8
KEPT_BYTES = 8192
"""Of one portion the end is kept: there stands what happened."""
LINE_CHARACTERS = 500
"""Python's list of extension modules after a crash is one line of thousands."""
PORTION_S = 0.5
"""Text that comes within this time is told together."""
PORTIONS = 20
"""A worker may say so many at once, and one more every `REFILL_S`; of the rest only the number of bytes is told."""
REFILL_S = 60.0


class StrayText:
    """The reading end of the pipe that is stdout and stderr of one worker."""

    def __init__(self, fd: int, *, worker: int, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd, self._worker, self._pid, self._clock = fd, worker, pid, clock
        self._text = bytearray()
        self._since_s = 0.0
        """When the first byte of this portion came."""
        self._cut_bytes = 0
        self._portions = float(PORTIONS)
        self._refilled_s = clock()

    def listen(self) -> None:
        """Take what is there, and tell it when its time has come."""
        self._read()
        if self._text and self._clock() - self._since_s >= PORTION_S:
            self._tell(is_last=False, failed=False)

    def end(self, *, failed: bool) -> None:
        """Tell the rest and close the pipe; `failed`: the worker has ended by itself, and badly."""
        self._read()
        if self._text or self._cut_bytes:
            self._tell(is_last=True, failed=failed)
        os.close(self._fd)

    def _read(self) -> None:
        for _ in range(READS_AT_ONCE):
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            if not self._text:
                self._since_s = self._clock()
            self._text += data
            excess = len(self._text) - KEPT_BYTES
            if excess > 0:
                del self._text[:excess]
                self._cut_bytes += excess

    def _tell(self, *, is_last: bool, failed: bool) -> None:
        now_s = self._clock()
        self._portions = min(PORTIONS, self._portions + (now_s - self._refilled_s) / REFILL_S)
        self._refilled_s = now_s
        text, self._text = self._text, bytearray()
        if self._portions < 1 and not is_last:
            self._cut_bytes += len(text)
            return
        self._portions -= 1
        lines = text.decode("utf-8", "backslashreplace").splitlines()
        printed = "\n".join(line[:LINE_CHARACTERS] for line in lines if line.strip())
        cut_bytes, self._cut_bytes = self._cut_bytes, 0
        if failed:
            log.error("worker.wrote", worker=self._worker, pid=self._pid, printed=printed, cut_bytes=cut_bytes)
        elif printed or cut_bytes:
            log.warning("worker.wrote", worker=self._worker, pid=self._pid, printed=printed, cut_bytes=cut_bytes)
