"""Every step that changes a share, one at a time, so that a crash between any two can be thought about and tested.

`StoppingDisk` is the same disk with the power cut at a chosen step.
"""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from heygemd import filesystem

_FICLONE = 0x40049409
"""linux/fs.h, _IOW(0x94, 9, int): let one file share the blocks of another (Btrfs, XFS, bcachefs, ZFS)."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_COPY_CALL = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})
"""copy_file_range(2) is not known, or not between these two files; reading and writing works everywhere."""
_READ_BYTES = 4 << 20


class Disk:
    """Durable steps: when a method has returned, a power cut cannot undo it."""

    def reach(self, step: str, path: Path) -> None:
        """Be told of each single step before it happens; a real disk has nothing to do here."""

    def write_whole(self, path: Path, data: bytes) -> None:
        """Put `data` under `path`, whole or not at all; raises OSError and then leaves no part behind."""
        part = path.with_name(f".{path.name}.part")
        try:
            self.reach("write", part)
            part.unlink(missing_ok=True)
            number = os.open(part, _NEW_FILE, 0o640)
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                self.reach("sync", part)
                os.fsync(number)
            self.reach("rename", path)
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Create one folder; raises FileExistsError."""
        self.reach("mkdir", path)
        path.mkdir()

    def move(self, source: Path, target: Path) -> None:
        """Rename within the file system; raises FileExistsError rather than replace anything."""
        self.reach("rename", target)
        filesystem.rename_no_replace(source, target)

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file of ours over a file of ours that is not what its name says."""
        self.reach("rename", target)
        source.replace(target)

    def make_file(self, path: Path) -> None:
        """Create one empty file of ours; raises FileExistsError. Not durable before `sync_file`, as its content."""
        self.reach("create", path)
        os.close(os.open(path, _NEW_FILE, 0o640))

    def clone(self, source_fd: int, path: Path) -> bool:
        """Let the empty file share all blocks of the source; False where the file system cannot.

        All or nothing, and only a short cut: whatever is wrong, the copying that follows a False meets it too.
        """
        self.reach("write", path)
        number = os.open(path, _OWN_FILE)
        try:
            fcntl.ioctl(number, _FICLONE, source_fd)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(number)

    def copy_slice(self, source_fd: int, path: Path, start_byte: int, count_bytes: int) -> int:
        """Copy one slice to the same place in `path`; returns how many bytes it was, 0 at the end of the source."""
        self.reach("write", path)
        number = os.open(path, _OWN_FILE)
        try:
            return _copy_range(source_fd, number, start_byte, count_bytes)
        finally:
            os.close(number)

    def sync_file(self, path: Path) -> None:
        """Make the content of a file of ours survive a power cut."""
        self.reach("sync", path)
        number = os.open(path, _OWN_FILE)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def remove(self, path: Path) -> None:
        """Delete one file of ours, if it is there."""
        self.reach("unlink", path)
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Delete a folder if it is there and empty; what somebody else put into it stays."""
        self.reach("rmdir", path)
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise

    def sync_folder(self, path: Path) -> None:
        """Make the entries of a folder survive a power cut."""
        self.reach("sync", path)
        filesystem.sync_folder(path)


class PowerCut(BaseException):
    """The fake disk has stopped; no handler may act on it, as none could."""


class StoppingDisk(Disk):
    """A disk that works for `steps` steps and then stops for good."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self.log: list[str] = []

    @override
    def reach(self, step: str, path: Path) -> None:
        """Count one step; raises PowerCut when none is left."""
        if self._left == 0:
            raise PowerCut(f"{step} {path}")
        self._left -= 1
        self.log.append(f"{step} {path.name}")


class FullDisk(Disk):
    """A disk on which the steps named in `failing` end with the error `number` (ENOSPC, EIO …)."""

    def __init__(self, number: int, failing: frozenset[str]) -> None:
        self._number, self.failing = number, failing

    @override
    def reach(self, step: str, path: Path) -> None:
        """Fail the chosen steps."""
        if step in self.failing:
            raise OSError(self._number, os.strerror(self._number), str(path))


def _copy_range(source_fd: int, target_fd: int, start_byte: int, count_bytes: int) -> int:
    """Copy inside the kernel where it can, else through this process, which may be fewer bytes at once."""
    try:
        count = os.copy_file_range(source_fd, target_fd, count_bytes, start_byte, start_byte)
    except OSError as error:
        if error.errno not in _NO_COPY_CALL:
            raise
        count = 0
    if count:
        return count
    # Some file systems answer 0 where there is more to read: only a read tells the end.
    data = os.pread(source_fd, min(count_bytes, _READ_BYTES), start_byte)
    written = 0
    while written < len(data):
        written += os.pwrite(target_fd, data[written:], start_byte + written)
    return written
