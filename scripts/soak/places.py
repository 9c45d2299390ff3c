"""Where adversaries write: a folder of this machine, or the same folder through a Samba server."""

import itertools
import os
from pathlib import Path
from typing import Protocol

from tests.share.samba import Samba
from tests.share.wire import Wire, WireFile

FIRST_DAY_S = {2001: 978_307_200, 2101: 4_133_980_800}
"""1 January of the years that clients are made to lie about."""


class OpenFile(Protocol):
    """A file that is open for writing."""

    def write(self, data: bytes, offset: int) -> None:
        """Write in place."""

    def set_size(self, size_bytes: int) -> None:
        """Set the end of the file."""

    def set_mtime(self, year: int) -> None:
        """Set the time of the last write to the first day of a year."""

    def rename(self, path: str, *, is_replacing: bool = False) -> None:
        """Give it another path in the root; it stays open."""

    def close(self) -> None:
        """Close it."""


class Place(Protocol):
    """Opens files by their path in the root."""

    root: Path

    def open(self, path: str, *, is_new: bool = True, is_solid: bool = False) -> OpenFile:
        """`is_solid`: what is set aside for the file has no holes. Raises FileNotFoundError when it should be there."""
        ...


class LocalPlace:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, path: str, *, is_new: bool = True, is_solid: bool = False) -> "LocalFile":
        """Open one file."""
        flags = os.O_CREAT | os.O_TRUNC if is_new else 0
        return LocalFile(self.root, path, os.open(self.root / path, os.O_RDWR | flags, 0o644), is_solid)


class LocalFile:
    """One open file."""

    def __init__(self, root: Path, path: str, number: int, is_solid: bool) -> None:
        self._root, self._path, self.number, self._is_solid = root, path, number, is_solid

    def write(self, data: bytes, offset: int) -> None:
        """Write in place."""
        while data:
            written = os.pwrite(self.number, data, offset)
            data, offset = data[written:], offset + written

    def set_size(self, size_bytes: int) -> None:
        """Set the end of the file."""
        os.ftruncate(self.number, size_bytes)
        if self._is_solid and size_bytes:
            os.posix_fallocate(self.number, 0, size_bytes)

    def set_mtime(self, year: int) -> None:
        """Set the time of the last write."""
        os.utime(self.number, (FIRST_DAY_S[year], FIRST_DAY_S[year]))

    def rename(self, path: str, *, is_replacing: bool = False) -> None:
        """Give it another path; it stays open."""
        del is_replacing  # always, here
        (self._root / self._path).rename(self._root / path)
        self._path = path

    def close(self) -> None:
        """Close it."""
        os.close(self.number)


class SmbPlace:
    """A share of a running server: `soft` leaves holes, `solid` allocates in full; both export the same root."""

    def __init__(self, root: Path, samba: Samba, connections: int) -> None:
        self.root = root
        self._wires = {
            is_solid: [Wire(samba.port, "solid" if is_solid else "soft") for _ in range(connections)]
            for is_solid in (False, True)
        }
        self._turns = {is_solid: itertools.cycle(wires) for is_solid, wires in self._wires.items()}

    def open(self, path: str, *, is_new: bool = True, is_solid: bool = False) -> WireFile:
        """Open one file on the next connection."""
        return next(self._turns[is_solid]).open(path, is_new=is_new)

    def close(self) -> None:
        """Log off."""
        for wire in itertools.chain(*self._wires.values()):
            wire.close()
