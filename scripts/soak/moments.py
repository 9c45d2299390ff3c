"""The moment of a kill: right behind a change of a folder, seen through inotify(7), so that every step is met."""

import ctypes
import os
import select
import struct
import time
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200  # linux/inotify.h
_CHANGES = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HEADER = struct.Struct("iIII")


class Changes:
    """Counts what happens in some folders (not below them)."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        for folder in folders:
            # One that goes away meanwhile has no changes.
            _LIBC.inotify_add_watch(self._fd, os.fsencode(folder), _CHANGES)

    def close(self) -> None:
        """Watch no more."""
        os.close(self._fd)

    def wait_for(self, count: int, limit_s: float) -> bool:
        """Return as soon as `count` changes were seen; False when the time is up first."""
        ends_s = time.monotonic() + limit_s
        while count > 0:
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or not select.select([self._fd], [], [], left_s)[0]:
                return False
            count -= _count(os.read(self._fd, 1 << 16))
        return True


def _count(data: bytes) -> int:
    events = start = 0
    while start < len(data):
        start += _HEADER.size + _HEADER.unpack_from(data, start)[3]
        events += 1
    return events
