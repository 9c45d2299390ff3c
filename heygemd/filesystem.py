"""Names that replace nothing, and files that appear whole or not at all: the two promises every room builds on."""

import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_FDCWD = -100
"""fcntl.h: in place of a folder's descriptor, the working directory; a full path asks for none."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE = 1  # linux/fs.h
_NO_SUCH_CALL = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL})


class NameCalls:
    """The system calls that `rename_no_replace` is made of, one method each: a fake can stop at any of them."""

    def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        """Rename by renameat2(RENAME_NOREPLACE); raises FileExistsError, or OSError where the call is not known."""
        code = _renameat2(name, from_fd, new, to_fd)
        if code:
            raise OSError(code, os.strerror(code), name, None, new)

    def rename(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        """Rename, replacing what has the new name."""
        os.rename(name, new, src_dir_fd=from_fd, dst_dir_fd=to_fd)

    def link(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        """Give a file a second name; raises FileExistsError."""
        os.link(name, new, src_dir_fd=from_fd, dst_dir_fd=to_fd, follow_symlinks=False)

    def unlink(self, name: str, folder_fd: int) -> None:
        """Remove a file's name."""
        os.unlink(name, dir_fd=folder_fd)


NAME_CALLS = NameCalls()


def rename_no_replace(
    source: str | Path,
    target: str | Path,
    *,
    from_fd: int = AT_FDCWD,
    to_fd: int = AT_FDCWD,
    calls: NameCalls = NAME_CALLS,
) -> None:
    """Give a file or folder its new name unless that is taken; raises FileExistsError and changes nothing then.

    Where renameat2 is not known (NFS, some FUSE), a hard link does the same in two steps: a crash between them leaves
    both names on one complete file, and the same call again takes the old one away. Where there are no hard links
    either (FAT, exFAT, some CIFS mounts) and for folders, it looks first and renames then: a foreign file that
    appears between the two calls would be replaced. An O_EXCL placeholder would close that gap, but show an empty
    file under a final name; partial files are worse.
    """
    name, new = os.fspath(source), os.fspath(target)
    try:
        calls.rename_noreplace(name, from_fd, new, to_fd)
        return
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    try:
        calls.link(name, from_fd, new, to_fd)
    except FileExistsError:
        # Either somebody's file, or our own second name of a rename that was cut in the middle.
        if not _is_one_file(_look_at(name, from_fd), _look_at(new, to_fd)):
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if _look_at(new, to_fd) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name, None, new) from error
        calls.rename(name, from_fd, new, to_fd)
        return
    calls.unlink(name, from_fd)


def _renameat2(name: str, from_fd: int, new: str, to_fd: int) -> int:
    """Return 0 or the errno; ENOSYS where the C library has no renameat2."""
    try:
        call = _LIBC.renameat2
    except AttributeError:
        return errno.ENOSYS
    status = call(from_fd, os.fsencode(name), to_fd, os.fsencode(new), _RENAME_NOREPLACE)
    return 0 if status == 0 else ctypes.get_errno()


def _look_at(name: str, folder_fd: int) -> os.stat_result | None:
    """Return what has this name, a dangling link too; None when nothing has."""
    try:
        return os.lstat(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return None


def _is_one_file(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    return one is not None and other is not None and os.path.samestat(one, other)


@contextmanager
def whole_file(path: Path, *, part: Path | None = None) -> Iterator[int]:
    """Yield a descriptor open for reading and writing on `part`; a clean exit gives it the name `path`, durably.

    `part` lies in the same folder, and is `path` + `.part` unless given. Other processes write to it as `/dev/fd/N`.
    An exception removes it; a file that had the name stays then.
    """
    part = part or path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        yield fd
        os.fsync(fd)
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all, and on the disk when this returns."""
    with whole_file(path) as fd, os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
        file.write(text)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256_of(path: Path) -> str:
    """Read a regular file whole; raises OSError on anything else, and never waits for a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        return hashlib.file_digest(file, "sha256").hexdigest()
