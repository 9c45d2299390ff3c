"""Every step that changes a share, one at a time, so that a crash between any two can be thought about and tested.

`StoppingDisk` is the same disk with the power cut at a chosen step.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from heygemd import filesystem


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
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
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
