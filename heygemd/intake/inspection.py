"""Sights and sums of claimed files: one look at a file, and its sha256 while nobody changes it."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from heygemd.errors import InputError
from heygemd.intake.settle import Sighting, Writer
from heygemd.intake.writers import OPEN_FLAGS, find_writer

CHUNK_BYTES = 4 << 20


def sighting_of(status: os.stat_result, *, at_s: float, writer: Writer) -> Sighting:
    """Make a sighting of what stat said."""
    return Sighting(
        ino=status.st_ino, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns,
        blocks=status.st_blocks, at_s=at_s, writer=writer,
    )  # fmt: skip


def look_at(path: Path, *, at_s: float, is_local: bool) -> Sighting:
    """Look at one file; raises OSError when it is not there, InputError E111 when it is no regular file any more."""
    writer = find_writer(path, is_local=is_local) if stat.S_ISREG(path.lstat().st_mode) else Writer.BUSY
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError("E111", f"{path.name} is no regular file any more")
    return sighting_of(status, at_s=at_s, writer=writer)


class Digest:
    """The sha256 of one file, computed in slices so that no single look takes long."""

    def __init__(self, path: Path, seen: Sighting) -> None:
        self._path, self._seen = path, seen
        self._sum = hashlib.sha256()
        self._done_bytes = 0
        self.sha256: str | None = None

    def go_on(self, is_late: Callable[[], bool]) -> bool:
        """Read on until the end (True) or until `is_late()`, but at least one chunk.

        Raises InputError E111 when the file is not, before and after, exactly as it was seen.
        """
        if self.sha256 is not None:
            return True
        number = os.open(self._path, OPEN_FLAGS)
        with os.fdopen(number, "rb", buffering=0) as file:
            self._compare(os.fstat(number))
            file.seek(self._done_bytes)
            while self._done_bytes < self._seen.size_bytes:
                chunk = file.read(CHUNK_BYTES)
                if not chunk:
                    raise InputError("E111", f"{self._path.name} is shorter than its size")
                self._sum.update(chunk)
                self._done_bytes += len(chunk)
                if is_late():
                    break
            self._compare(os.fstat(number))
        if self._done_bytes == self._seen.size_bytes:
            self.sha256 = self._sum.hexdigest()
        return self.sha256 is not None

    def _compare(self, status: os.stat_result) -> None:
        if sighting_of(status, at_s=0.0, writer=Writer.FREE).face != self._seen.face:
            raise InputError("E111", f"{self._path.name} changed while it was read")
