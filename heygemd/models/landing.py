"""Where a model file is made before it gets its name: locked, beside its place, and the daemon's when it is done."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import HeygemdError, ResourceError, SetupError
from heygemd.filesystem import sync_folder

DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
TRIES = 100
MODE = 0o644
"""The daemon reads what an operator fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """A file in the making."""

    part: Path
    fd: int
    """Open for reading and writing, and locked."""

    def name_it(self, target: Path) -> None:
        """Give it its name, durably; what had the name is replaced."""
        os.fchmod(self.fd, MODE)
        os.fsync(self.fd)
        self.part.replace(target)
        sync_folder(target.parent)

    def discard(self) -> None:
        """Remove it."""
        self.part.unlink(missing_ok=True)


@contextmanager
def landing(part: Path) -> Iterator[Landing]:
    """Open `part`, which stays when the caller fails; raises SetupError E408 when another process has it.

    Made by root, it belongs to whom the folder belongs to: the daemon must be able to read, and to remove it.
    """
    fd = _locked(part)
    try:
        if os.geteuid() == 0:
            owner = part.parent.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
        yield Landing(part=part, fd=fd)
    finally:
        os.close(fd)


def _locked(part: Path) -> int:
    for _ in range(TRIES):
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), part.lstat()):
                return fd
        except BlockingIOError as error:
            os.close(fd)
            raise SetupError("E408", f"another command is making {part} just now; let it end") from error
        except FileNotFoundError:
            pass
        os.close(fd)  # between the opening and the lock, the other command gave it its name
    raise SetupError("E408", f"other commands keep making {part}; let them end")


def made(folder: Path) -> Path:
    """Return the folder, made with its parents if need be; by root for the owner of what was there before."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if missing and os.geteuid() == 0:
        owner = missing[-1].parent.stat()
        for place in missing:
            os.chown(place, owner.st_uid, owner.st_gid)
    return folder


@contextmanager
def disk_troubles(folder: Path) -> Iterator[None]:
    """Turn an OSError into E202 (full, read-only, failing) or E407 (not ours to write)."""
    try:
        yield
    except HeygemdError:
        raise
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise ResourceError("E202", f"{folder} cannot be written: {error.strerror}") from error
        raise SetupError("E407", f"{folder} cannot be used by this user: {error.strerror or error}") from error
