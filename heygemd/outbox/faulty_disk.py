"""A disk that fails at a chosen step: how the promises about crashes are tested."""

import errno
import os
from collections.abc import Callable

from typing_extensions import override

from heygemd.outbox.disk import Disk

BARE = {
    "rename_noreplace": errno.EINVAL,
    "link": errno.EPERM,
    "clone": errno.EOPNOTSUPP,
    "copy": errno.EXDEV,
}
"""`without` of a FAT disk or a plain CIFS mount: no renameat2, no hard links, no reflinks, no copy in the kernel."""


class FaultyDisk(Disk):
    """Asks `fault(step, call)` before every change; `fault` may raise an OSError or end the process.

    Steps count from 0 and `calls` lists the names of those begun, so a first run without a fault tells how many
    there are. `without` names calls that this file system does not know (`rename_noreplace`, `link`, `copy`, `clone`).
    It clones only when told to, so that a copy has steps to fail at.
    """

    copy_chunk_bytes = 1024

    def __init__(
        self, fault: Callable[[int, str], None], *, without: dict[str, int] | None = None, clones: bool = False
    ) -> None:
        self.calls: list[str] = []
        self._fault = fault
        self._without = without or {}
        self._clones = clones and "clone" not in self._without

    def _begin(self, call: str) -> None:
        step = len(self.calls)
        self.calls.append(call)
        self._fault(step, call)
        if call in self._without:
            raise OSError(self._without[call], f"this disk knows no {call}")

    @override
    def make_folder(self, name: str, folder_fd: int) -> None:
        self._begin("make_folder")
        super().make_folder(name, folder_fd)

    @override
    def create(self, name: str, folder_fd: int) -> int:
        self._begin("create")
        return super().create(name, folder_fd)

    @override
    def clone(self, source_fd: int, target_fd: int) -> bool:
        if not self._clones:
            return False
        self._begin("clone")
        return super().clone(source_fd, target_fd)

    @override
    def copy(self, source_fd: int, target_fd: int, max_bytes: int) -> int:
        if "copy" in self._without:
            return self.write(target_fd, os.read(source_fd, max_bytes))
        self._begin("copy")
        return super().copy(source_fd, target_fd, max_bytes)

    @override
    def write(self, target_fd: int, data: bytes) -> int:
        self._begin("write")
        return super().write(target_fd, data)

    @override
    def sync(self, fd: int) -> None:
        self._begin("sync")
        super().sync(fd)

    @override
    def rename(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        self._begin("rename")
        super().rename(name, from_fd, new, to_fd)

    @override
    def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        self._begin("rename_noreplace")
        super().rename_noreplace(name, from_fd, new, to_fd)

    @override
    def link(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
        self._begin("link")
        super().link(name, from_fd, new, to_fd)

    @override
    def unlink(self, name: str, folder_fd: int) -> None:
        self._begin("unlink")
        super().unlink(name, folder_fd)

    @override
    def remove_folder(self, name: str, folder_fd: int) -> None:
        self._begin("remove_folder")
        super().remove_folder(name, folder_fd)
