"""A stranger's file, opened once: what was looked at is what is read, whatever gets its name."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import InputError, ResourceError
from heygemd.media.sniff import HEAD_BYTES, sniff

_SCRATCH = bytearray(1 << 20)
"""What is read only to see that it can be read; its content means nothing, so threads may share it."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file, open for reading, that children know by its descriptor alone."""

    fd: int
    size_bytes: int

    @property
    def url(self) -> str:
        """What ffmpeg is given: it opens the same file again, at its beginning."""
        return f"/dev/fd/{self.fd}"

    def head(self) -> bytes:
        """Its first 64 KiB."""
        try:
            return os.pread(self.fd, HEAD_BYTES, 0)
        except OSError as error:
            raise ResourceError("E201", f"the file cannot be read: {error.strerror}") from error

    def is_readable(self) -> bool:
        """Tell whether all that is left of it can be read now; takes as long as reading it does."""
        at = 0
        try:
            while got := os.preadv(self.fd, [_SCRATCH], at):
                at += got
        except OSError:
            return False
        return True

    def demuxer(self) -> str:
        """Name the demuxer its first bytes ask for; raises InputError E101."""
        return sniff(self.head())


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[OpenFile]:
    """Open what a stranger gave us: never through a link, never waiting for a FIFO's other end.

    Nor through a folder that is a link: people who may write on one share could lead us to the films of another.
    Raises InputError E101 for anything but a regular file, ResourceError E201 when it cannot be opened.
    """
    try:
        with _folder_of(path.absolute()) as folder_fd:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            fd = os.open(path.name, flags, dir_fd=folder_fd)
    except OSError as error:
        if stat.S_ISLNK(_mode(path)) or stat.S_ISSOCK(_mode(path)):
            raise InputError("E101", "not a regular file") from error
        if any(stat.S_ISLNK(_mode(folder)) for folder in path.absolute().parents):
            raise InputError("E101", "a folder on the way to the file is a link") from error
        raise ResourceError("E201", f"the file cannot be opened: {error.strerror}") from error
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError("E101", "not a regular file")
        yield OpenFile(fd, facts.st_size)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _folder_of(path: Path) -> Iterator[int]:
    """Step down to the folder of an absolute path; raises NotADirectoryError at a link."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path.anchor, flags)
    try:
        for part in path.parts[1:-1]:
            inner = os.open(part, flags, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
