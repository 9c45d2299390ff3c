"""Counts every segment that is finished, seen through inotify(7): one that is rendered twice is counted twice."""

import ctypes
import json
import os
import re
import struct
from collections import Counter
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MOVED_TO = 0x80  # linux/inotify.h
_HEADER = struct.Struct("iIII")
_SEGMENT = re.compile(r"\d{5}\.mp4")


class Births:
    """Segments get their names by rename; what has a name when its folder is first seen counts once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._folders: dict[int, Path] = {}
        self.counts: Counter[str] = Counter()
        """Times that each segment, `<folder>/<file>`, was finished."""
        self.needed = 0
        """Segments of the plan; 0 before there is one."""
        self.is_analysed = False

    def look(self) -> None:
        """Take in what has happened since the last look."""
        for folder in set(self._work.glob("*/segments-*")) - set(self._folders.values()):
            watch = _LIBC.inotify_add_watch(self._fd, os.fsencode(folder), _MOVED_TO)
            if watch >= 0:  # else the film is finished, and its folder gone
                self._folders[watch] = folder
                # Renames from here on come as events; of one in between both tell, which `max` settles.
                there = [path.name for path in folder.iterdir()]
                self._read()
                for name in filter(_SEGMENT.fullmatch, there):
                    key = f"{folder.name}/{name}"
                    self.counts[key] = max(1, self.counts[key])
        self._read()
        for plan in self._work.glob("*/plan.json") if not self.needed else ():
            self.needed = len(json.loads(plan.read_bytes())["segments"])
        self.is_analysed = self.is_analysed or any(self._work.glob("*/analysis.json"))

    @property
    def done(self) -> int:
        """Different segments finished so far."""
        return len(self.counts)

    def close(self) -> None:
        """Watch no more."""
        os.close(self._fd)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            start = 0
            while start < len(data):
                watch, _, _, length = _HEADER.unpack_from(data, start)
                name = data[start + _HEADER.size :][:length].rstrip(b"\0").decode()
                if _SEGMENT.fullmatch(name) and watch in self._folders:
                    self.counts[f"{self._folders[watch].name}/{name}"] += 1
                start += _HEADER.size + length
