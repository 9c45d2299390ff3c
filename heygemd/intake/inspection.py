"""Sights and sums of claimed files: one look at a file, and its sha256 while nobody changes it."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    try:
        writer = find_writer(path, is_local=is_local) if stat.S_ISREG(path.lstat().st_mode) else Writer.BUSY
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link took its place between the two calls
            raise InputError("E111", f"{path.name} is no regular file any more") from error
        raise
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError("E111", f"{path.name} is no regular file any more")
    return sighting_of(status, at_s=at_s, writer=writer)


def is_as_seen(path: Path, seen: Sighting, *, is_local: bool) -> bool:
    """Tell whether the file still looks exactly as it did, and nobody writes to it."""
    try:
        now = look_at(path, at_s=seen.at_s, is_local=is_local)
    except (FileNotFoundError, NotADirectoryError, InputError):
        return False
    return now.face == seen.face and now.writer is not Writer.BUSY


def is_folder(path: Path) -> bool:
    """Tell whether a real folder has this name, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def leads_straight(top: Path, folder: str) -> bool:
    """Tell whether every step from `top` down to `folder` (`/` between parts) is a real folder, and no link."""
    place = top
    for part in folder.split("/") if folder else ():
        place = place / part
        if not is_folder(place):
            return False
    return is_folder(top)


@contextmanager
def open_as_seen(path: Path, seen: Sighting) -> Iterator[int]:
    """Yield a descriptor to read from; raises InputError E111 unless the file is as seen, before and after."""
    try:
        number = os.open(path, OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError("E111", f"{path.name} is gone") from error
    try:
        _compare(number, path, seen)
        yield number
        _compare(number, path, seen)
    finally:
        os.close(number)


def _compare(number: int, path: Path, seen: Sighting) -> None:
    if sighting_of(os.fstat(number), at_s=0.0, writer=Writer.FREE).face != seen.face:
        raise InputError("E111", f"{path.name} changed while it was read")


def sha256_of(path: Path) -> str:
    """Hash a file as it is now, links not followed; raises OSError."""
    with os.fdopen(os.open(path, OPEN_FLAGS), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digest:
    """The sha256 of one file, computed in slices so that no single look takes long."""

    def __init__(self, path: Path, seen: Sighting) -> None:
        self.path = path
        self._seen = seen
        self._sum = hashlib.sha256()
        self._done_bytes = 0
        self.sha256: str | None = None

    def go_on(self, is_late: Callable[[], bool]) -> bool:
        """Read on until the end (True) or until `is_late()`, but at least one chunk.

        Raises InputError E111 when the file is not, before and after, exactly as it was seen.
        """
        if self.sha256 is not None:
            return True
        with open_as_seen(self.path, self._seen) as number:
            while self._done_bytes < self._seen.size_bytes:
                chunk = os.pread(number, CHUNK_BYTES, self._done_bytes)
                if not chunk:
                    raise InputError("E111", f"{self.path.name} is shorter than its size")
                self._sum.update(chunk)
                self._done_bytes += len(chunk)
                if is_late():
                    break
        if self._done_bytes == self._seen.size_bytes:
            self.sha256 = self._sum.hexdigest()
        return self.sha256 is not None
