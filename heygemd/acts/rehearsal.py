"""What a prune would delete: the daemon's own sweep, on a disk that only takes notes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from typing_extensions import override

from heygemd.jobs.roots import Root
from heygemd.outbox.disk import Disk
from heygemd.outbox.keepsakes import id8_of_folder
from heygemd.outbox.retention import CACHE_FOLDERS, sweep_root


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldGo:
    """One folder that would be deleted."""

    path: Path
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What one prune would do to a root."""

    root: Root
    folders: list[WouldGo] = field(default_factory=list)
    reports: int = 0
    kept: tuple[str, ...] = ()
    """Folders whose time is over, but in which lies somebody's own file."""


class NotingDisk(Disk):
    """Changes nothing, and remembers the sizes of what it was told to delete."""

    def __init__(self) -> None:
        self._bytes = 0
        self.folders: list[WouldGo] = []

    @override
    def unlink(self, name: str, folder_fd: int) -> None:
        found = os.lstat(name, dir_fd=folder_fd)
        self._bytes += found.st_blocks * 512 if found.st_nlink == 1 else 0

    @override
    def remove_folder(self, name: str, folder_fd: int) -> None:
        if id8_of_folder(name) is None:
            return  # a folder within a job's, or an empty day
        self.folders.append(WouldGo(path=_path_of(folder_fd) / name, size_bytes=self._bytes))
        self._bytes = 0

    @override
    def rename(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        return

    @override
    def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        return

    @override
    def link(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        return

    @override
    def create(self, name: str, folder_fd: int) -> int:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    @override
    def make_folder(self, name: str, folder_fd: int) -> None:
        return

    @override
    def sync(self, fd: int) -> None:
        return


def rehearse(root: Root, *, today: date, done_days: int, failed_days: int, keeps: Mapping[str, int]) -> Rehearsal:
    """Go through a root as the daemon's sweep does, and change nothing; raises ResourceError E201 or E202."""
    disk = NotingDisk()
    swept = sweep_root(
        root, today=today, done_days=done_days, failed_days=failed_days, keeps=keeps, low_water_bytes=0, disk=disk
    )  # fmt: skip
    return Rehearsal(root=root, folders=disk.folders, reports=swept.reports, kept=swept.kept)


def cache_bytes(state_dir: Path) -> int:
    """Return how large the caches are, which a prune with `cache` empties."""
    total = 0
    for folder in CACHE_FOLDERS:
        try:
            with os.scandir(state_dir / "cache" / folder) as entries:
                total += sum(
                    entry.stat(follow_symlinks=False).st_size
                    for entry in entries
                    if entry.name.endswith(".npz") and entry.is_file(follow_symlinks=False)
                )
        except OSError:
            continue  # not made yet, or not for this user to look into
    return total


def _path_of(folder_fd: int) -> Path:
    """Return where an open folder lies."""
    return Path(f"/proc/self/fd/{folder_fd}").readlink()
