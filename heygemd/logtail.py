"""Reads a log file from its end, through what logrotate made of it, and follows it as it grows and is rotated."""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 1 << 16
LINE_BYTES = 1 << 20
"""What is longer without a line end is no log of ours."""


def generations(path: Path) -> list[Path]:
    """Return the file and its rotated forms (`.1`, `.2.gz`, `-20260713`) that this user may list, newest first."""
    try:
        with os.scandir(path.parent) as entries:
            found = [
                (entry.name != path.name, -entry.stat().st_mtime_ns, entry.path)
                for entry in entries
                if entry.is_file()
                and (entry.name == path.name or entry.name.startswith((f"{path.name}.", f"{path.name}-")))
            ]
    except FileNotFoundError:
        return []
    return [Path(name) for *_, name in sorted(found)]


def lines_backwards(path: Path, stop: int | None = None) -> Iterator[bytes]:
    """Yield the whole lines of a file, the last one first, without their ends; `stop`: of the first bytes only.

    A packed file is unpacked once to find its lines; of a damaged one the part that can be read. Raises OSError.
    """
    if path.suffix == ".gz":
        yield from _lines_of_packed(path)
        return
    with path.open("rb") as file:
        at = os.fstat(file.fileno()).st_size if stop is None else stop
        rest = b""
        """Beginning of a line whose start lies further up."""
        is_whole = False
        while at > 0:
            size = min(BLOCK_BYTES, at)
            at -= size
            block = os.pread(file.fileno(), size, at) + rest
            first, *others = block.split(b"\n")
            for line in reversed(others):
                if is_whole and line:
                    yield line
                is_whole = True  # what stands behind the last line end is still being written
            rest = first
            if len(rest) > LINE_BYTES:
                return
        if is_whole and rest:
            yield rest


def _lines_of_packed(path: Path) -> Iterator[bytes]:
    blocks: deque[bytes] = deque()
    try:
        with gzip.open(path, "rb") as file:
            while block := b"".join(file.readlines(BLOCK_BYTES)):
                blocks.append(zlib.compress(block, 1))  # a log of hundreds of megabytes would not fit otherwise
    except (EOFError, gzip.BadGzipFile, zlib.error):
        pass
    while blocks:
        yield from (line for line in reversed(zlib.decompress(blocks.pop()).split(b"\n")) if line)


class Follower:
    """What is written to a file from now on, whoever renames, replaces or empties it meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._at = 0
        self._rest = b""
        self._open()
        if self._fd is not None:
            self._at = os.fstat(self._fd).st_size
        self.begins = self._at
        """Bytes that were there when this began, in the file of that time."""

    def poll(self) -> list[bytes]:
        """Return the lines that were finished since the last call, without their ends; raises OSError."""
        if self._fd is None:
            self._open()
        lines = self._read()
        if self._fd is not None and not self._has_the_name():
            lines += self._read()  # what was written between the look and the renaming
            self.close()
            self._open()
            lines += self._read()
        return lines

    def close(self) -> None:
        """Give the file back."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        self._at, self._rest = 0, b""

    def _has_the_name(self) -> bool:
        assert self._fd is not None
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _read(self) -> list[bytes]:
        if self._fd is None:
            return []
        if os.fstat(self._fd).st_size < self._at:
            self._at, self._rest = 0, b""
        while block := os.pread(self._fd, BLOCK_BYTES, self._at):
            self._at += len(block)
            self._rest += block
        *lines, self._rest = self._rest.split(b"\n")
        return [line for line in lines if line]
