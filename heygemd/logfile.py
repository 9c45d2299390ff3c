"""The debug log: a file to which many processes append, one write a line, and that logrotate may take away.

Each line first looks whether the name still leads to the open file, so `rename` and `create` are seen at once;
after `copytruncate` the next line simply stands at the new end. A file that cannot be written stops nobody.
"""

import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MODE = 0o640
RETRY_S = 30.0
"""After a failure the file is left alone for so long."""
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Fate(StrEnum):
    """What became of a line."""

    WRITTEN = "written"
    LOST = "lost"
    FAILED = "failed"
    """Lost, and the first since it last went well: to be said."""
    RESUMED = "resumed"
    """Written, and the first after a failure: to be said."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a line, and why."""

    fate: Fate
    reason: str = ""
    lost: int = 0
    """Lines lost since it last went well; of `resumed`."""


_WRITTEN = Written(Fate.WRITTEN)
_LOST = Written(Fate.LOST)


class LogFile:
    """Appends lines to the file that has the name now; safe for threads, never raises."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._fd: int | None = None
        self._identity = (0, 0)
        self._is_torn = False
        """The last write was cut short: the next line begins with a line end."""
        self._retry_at_s: float | None = None
        self._lost = 0
        self._lock = threading.Lock()

    def write(self, line: bytes) -> Written:
        """Append one line, with its line end."""
        with self._lock:
            if self._retry_at_s is not None and self._clock() < self._retry_at_s:
                self._lost += 1
                return _LOST
            try:
                self._append(line)
            except OSError as error:
                self._close()
                return self._failed(error)
            return self._went_well()

    def close(self) -> None:
        """Give the file back; the next line opens it again."""
        with self._lock:
            self._close()

    def _append(self, line: bytes) -> None:
        if self._fd is None or not self._has_the_name():
            self._open()
        assert self._fd is not None
        data = b"\n" + line if self._is_torn else line
        count = os.write(self._fd, data)
        self._is_torn = count < len(data)
        if self._is_torn:
            raise OSError(None, f"only {count} of {len(data)} bytes were taken")

    def _has_the_name(self) -> bool:
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == self._identity

    def _open(self) -> None:
        self._close()
        fd = os.open(self.path, _FLAGS, MODE)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(None, "this is not a regular file")
        identity = (status.st_dev, status.st_ino)
        self._is_torn = self._is_torn and identity == self._identity
        self._fd, self._identity = fd, identity

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _failed(self, error: OSError) -> Written:
        is_first = self._retry_at_s is None
        self._retry_at_s = self._clock() + RETRY_S
        self._lost += 1
        return Written(Fate.FAILED, error.strerror or str(error)) if is_first else _LOST

    def _went_well(self) -> Written:
        if self._retry_at_s is None:
            return _WRITTEN
        lost, self._lost, self._retry_at_s = self._lost, 0, None
        return Written(Fate.RESUMED, lost=lost)
