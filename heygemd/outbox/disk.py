"""The system calls that change a share, one method each, and safe ways to look at what lies there.

Folders are held open and every name is reached through the descriptor, never through a path: no symbolic link
below the starting folder is followed, no path is too long, and a folder that is swapped meanwhile is not met.
"""

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from heygemd.errors import ResourceError
from heygemd.filesystem import NameCalls
from heygemd.naming import printable

_FICLONE = 0x40049409
"""linux/fs.h: _IOW(0x94, 9, int)."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BUFFER_BYTES = 1 << 20
_LOCK_TRIES = 100
_LOCK_PAUSE_S = 0.1

_E = errno
_UNREACHABLE = frozenset({
    _E.ENOENT, _E.ESTALE, _E.ENODEV, _E.ENXIO, _E.ENOTCONN, _E.EHOSTDOWN, _E.EHOSTUNREACH, _E.ENETDOWN,
    _E.ENETUNREACH, _E.ETIMEDOUT, _E.ECONNREFUSED, _E.ECONNRESET, _E.ECONNABORTED, _E.ESHUTDOWN, _E.EREMOTEIO,
})  # fmt: skip
_UNWRITABLE = frozenset({
    _E.ENOSPC, _E.EDQUOT, _E.EROFS, _E.EIO, _E.EFBIG, _E.EMFILE, _E.ENFILE, _E.ENOMEM, _E.EACCES, _E.EPERM,
    _E.ENAMETOOLONG, _E.EILSEQ, _E.EBUSY, _E.EAGAIN, _E.ELOOP, _E.ENOTDIR, _E.EISDIR, _E.ENOTEMPTY, _E.EEXIST,
})  # fmt: skip
_NO_FILE = frozenset({_E.ENOENT, _E.ELOOP, _E.ENXIO, _E.EACCES, _E.EPERM})
"""Nothing, a link, a socket or somebody's secret has the name."""
_NO_SUCH_CALL = frozenset({_E.ENOSYS, _E.EINVAL, _E.EOPNOTSUPP, _E.ENOTTY, _E.EXDEV, _E.ETXTBSY})


class Disk(NameCalls):
    """Every change that this room makes to a share is one of these methods, or of those of `NameCalls`."""

    copy_chunk_bytes = 64 << 20
    """Asked of the kernel at once; where the file system can clone, nothing is copied at all."""

    def make_folder(self, name: str, folder_fd: int) -> None:
        """Make a folder; its mode is left to umask and default ACL."""
        os.mkdir(name, dir_fd=folder_fd)

    def create(self, name: str, folder_fd: int) -> int:
        """Open a new file for writing and reading; raises FileExistsError."""
        return os.open(name, _NEW, 0o666, dir_fd=folder_fd)

    def clone(self, source_fd: int, target_fd: int) -> bool:
        """Share the source's blocks (btrfs, xfs, …); False where that cannot be."""
        try:
            fcntl.ioctl(target_fd, _FICLONE, source_fd)
        except OSError:
            return False
        return True

    def copy(self, source_fd: int, target_fd: int, max_bytes: int) -> int:
        """Copy on from where both descriptors stand, in the kernel if possible; returns bytes copied, 0 at the end."""
        try:
            copied = os.copy_file_range(source_fd, target_fd, max_bytes)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
            copied = 0
        if copied:
            return copied
        # Some file systems answer 0 for a file that has more: only read() tells the end.
        return self.write(target_fd, os.read(source_fd, min(max_bytes, _BUFFER_BYTES)))

    def write(self, target_fd: int, data: bytes) -> int:
        """Write all of `data`."""
        left = memoryview(data)
        while left:
            left = left[os.write(target_fd, left) :]
        return len(data)

    def sync(self, fd: int) -> None:
        """Bring a file's contents, or a folder's names, safely to the disk."""
        os.fsync(fd)

    def remove_folder(self, name: str, folder_fd: int) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=folder_fd)


DISK = Disk()


@contextmanager
def share_faults(place: Path) -> Iterator[None]:
    """Turn the operating system's complaints about a share into E201 (unreachable) or E202 (cannot be written)."""
    try:
        yield
    except OSError as error:
        code = "E201" if error.errno in _UNREACHABLE else "E202" if error.errno in _UNWRITABLE else None
        if code is None:
            raise
        name = f" ({printable(os.fsdecode(error.filename))})" if isinstance(error.filename, str | bytes) else ""
        raise ResourceError(code, f"{printable(str(place))}: {error.strerror}{name}") from error


@contextmanager
def open_folder(top: Path, *parts: str, make: Disk | None = None, follow: bool = False) -> Iterator[int]:
    """Open `top`, then step into `parts` one by one.

    With `make`, parts that are missing are made, durably; `top` never is. No symbolic link is followed, save `top`
    itself with `follow`: a link among the parts is a ResourceError E202, because anybody on the share could have
    made it and taking it away lets the work go on.
    """
    fd = os.open(top, _FOLDER | (0 if follow else os.O_NOFOLLOW))
    try:
        for depth, part in enumerate(parts):
            try:
                inner = _step_into(fd, part, make)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                where = printable(str(top.joinpath(*parts[: depth + 1])))
                raise ResourceError("E202", f"{where} is a link or a file, not a folder") from error
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


@contextmanager
def folder_if_there(top: Path, *parts: str) -> Iterator[int | None]:
    """Open `parts` below `top` as `open_folder` does; None when one is missing, or is a link or a file."""
    with ExitStack() as stack:
        fd = None
        with suppress(FileNotFoundError, ResourceError):
            fd = stack.enter_context(open_folder(top, *parts))
        yield fd


def _step_into(folder_fd: int, name: str, make: Disk | None) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder_fd)
    except FileNotFoundError:
        if make is None:
            raise
    with suppress(FileExistsError):
        make.make_folder(name, folder_fd)
    make.sync(folder_fd)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder_fd)


@contextmanager
def locked(folder_fd: int) -> Iterator[None]:
    """Hold off our own other processes from this folder.

    Only makes races rarer that are decided by renames anyway: where the file system knows no locks, or somebody
    else holds the lock for longer than ours ever do, it goes on without.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        except OSError:
            break
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(folder_fd, fcntl.LOCK_UN)


def write_new(disk: Disk, folder_fd: int, name: str, data: bytes, *, durable: bool = True) -> None:
    """Write a new file; a leftover of that name goes first."""
    remove(disk, folder_fd, name)
    fd = disk.create(name, folder_fd)
    try:
        disk.write(fd, data)
        if durable:
            disk.sync(fd)
    finally:
        os.close(fd)


def copy_new(disk: Disk, folder_fd: int, name: str, source_fd: int) -> None:
    """Copy an open file durably into a new one; a leftover of that name goes first."""
    remove(disk, folder_fd, name)
    fd = disk.create(name, folder_fd)
    try:
        if not disk.clone(source_fd, fd):
            os.lseek(source_fd, 0, os.SEEK_SET)
            while disk.copy(source_fd, fd, disk.copy_chunk_bytes):
                pass
        disk.sync(fd)
        # What is read back for the check should come from the disk, not from the page cache.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def replace_with(disk: Disk, folder_fd: int, name: str, part: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file of our own anew in one step: readers see the old contents or the new."""
    write_new(disk, folder_fd, part, data, durable=durable)
    disk.rename(part, folder_fd, name, folder_fd)


def names_in(folder_fd: int) -> list[str]:
    """List an open folder."""
    return os.listdir(folder_fd)  # pathlib cannot list a descriptor


def remove(disk: Disk, folder_fd: int, name: str) -> None:
    """Remove a name that may be missing."""
    if exists(folder_fd, name):
        disk.unlink(name, folder_fd)


def exists(folder_fd: int, name: str) -> bool:
    """Tell whether anything, a dangling link too, has this name."""
    try:
        os.lstat(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return False
    return True


def sha256_of(folder_fd: int, name: str) -> str | None:
    """Hash a regular file: None when there is nothing, empty text when it is no regular file or not for us to read."""
    try:
        if not stat.S_ISREG(os.lstat(name, dir_fd=folder_fd).st_mode):
            return ""
        fd = os.open(name, _READ, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    except PermissionError:
        return ""
    with os.fdopen(fd, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_file(folder_fd: int, name: str) -> int | None:
    """Open a regular file for reading; None when there is none, something else, or it is not for us to read."""
    try:
        fd = os.open(name, _READ, dir_fd=folder_fd)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def read_at_most(folder_fd: int, name: str, max_bytes: int) -> bytes | None:
    """Read a small regular file; None when there is none or it is larger."""
    fd = open_file(folder_fd, name)
    if fd is None:
        return None
    with os.fdopen(fd, "rb") as file:
        data = file.read(max_bytes + 1)
    return data if len(data) <= max_bytes else None
