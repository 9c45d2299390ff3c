"""The event log `events.jsonl`: one JSON line for each transition, in order, each exactly once.

    event table ─▶ append ─▶ fsync ─▶ offset in the store

A kill between two steps leaves lines that the store does not know of, or half a line. So whoever opens the file cuts
what is not whole and goes on behind the last whole line. What lies behind the stored offset was perhaps never synced:
there a power cut may leave anything, and the first line that does not fit ends what is believed.

logrotate may rename the file (`copytruncate` would lose what is written meanwhile): the next lines go to a new one.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from heygemd.errors import ResourceError
from heygemd.filesystem import sync_folder
from heygemd.jobs.questions import EventLine
from heygemd.jobs.store import JobStore

log = structlog.get_logger(__name__)

LINES_AT_ONCE = 1000
BLOCK_BYTES = 1 << 20
"""Most that is written between two syncs, so most that can be in doubt after a power cut."""
TEXT_CHARACTERS = 4096
"""Longer messages are cut; so a line stays far shorter than a block."""
TAIL_BYTES = 2 * BLOCK_BYTES
"""Holds everything that can be in doubt, and the last line before that."""
ROTATED_READ = 8
"""Newest rotated files that are looked at; most have a line, but a start that was killed may have left an empty one."""
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNSHOWABLE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON may hold as it is, and would steer a terminal, end a line or turn it round: written as `\\u202e`."""
_IDENTITY = ("seq", "at", "job", "state")


class LogCalls:
    """The system calls that change the file, one method each: a fake can stop at any of them."""

    def append(self, fd: int, data: bytes | memoryview) -> int:
        """Write at the end; returns how many bytes were taken."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Bring it to the disk."""
        os.fsync(fd)

    def cut(self, fd: int, size_bytes: int) -> None:
        """Keep only the first bytes."""
        os.ftruncate(fd, size_bytes)


LOG_CALLS = LogCalls()


class EventLog:
    """Appends what is new to the file. One process writes it: the daemon, which holds the lock."""

    def __init__(self, path: Path, store: JobStore, *, calls: LogCalls = LOG_CALLS) -> None:
        self._path, self._store, self._calls = path, store, calls
        self._fd: int | None = None
        self._seq = 0
        """Of the last line that was written."""
        self._size_bytes = 0
        """Of the file as it was left; whole lines only."""

    def write_new(self) -> int:
        """Append the transitions that are not in the file yet; returns how many.

        Raises ResourceError E202 when the disk refuses; nothing is lost, and the next call goes on.
        """
        count = 0
        while True:
            with self._faults():
                fd = self._current_file()
            lines = self._store.event_lines(self._seq, LINES_AT_ONCE)
            if not lines:
                return count
            block, written = _block(lines)
            with self._faults():
                self._append(fd, block)
            self._seq = _seq_of(written[-1])
            self._store.set_event_offset(self._seq)
            count += len(written)

    def close(self) -> None:
        """Give the file back; the next `write_new` opens it again."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _current_file(self) -> int:
        """Return a descriptor of the file that has the name now, ready for the next line."""
        if self._fd is not None:
            if self._is_untouched(self._fd):
                return self._fd
            log.info("eventlog.reopened", path=str(self._path))
            self.close()
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _OPEN_FLAGS, 0o644)
        try:
            self._take_up(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return fd

    def _is_untouched(self, fd: int) -> bool:
        """Tell whether nobody has renamed, replaced, cut or lengthened the file."""
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(fd), there) and there.st_size == self._size_bytes

    def _take_up(self, fd: int) -> None:
        """Find the place where the log goes on; what is not whole is cut away."""
        offset = self._store.event_offset()
        size, line = _last_line(fd, offset)
        excess_bytes = os.fstat(fd).st_size - size
        if excess_bytes:
            log.warning("eventlog.cut", path=str(self._path), bytes=excess_bytes)
            self._calls.cut(fd, size)
        if size == 0:
            sync_folder(self._path.parent)
            line = self._last_line_rotated(offset)
        known = max(offset, self._seq)
        last = self._known_seq(line)
        if last > known:
            self._calls.sync(fd)
            self._store.set_event_offset(last)
        self._seq, self._size_bytes = max(known, last), size

    def _last_line_rotated(self, offset: int) -> EventLine | None:
        """Return the last line of the files that had the name before: a kill may have left it ahead of the store."""
        prefixes = (self._path.name + ".", self._path.name + "-")
        with os.scandir(self._path.parent) as entries:
            others = [(entry.stat().st_mtime_ns, entry.path) for entry in entries if entry.name.startswith(prefixes)]
        for _, path in sorted(others, reverse=True)[:ROTATED_READ]:
            with suppress(OSError):  # it may be anybody's by now; then the store's offset has to do
                fd = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
                try:
                    _, line = _last_line(fd, offset)
                    if line is not None:
                        self._calls.sync(fd)
                        return line
                finally:
                    os.close(fd)
        return None

    def _known_seq(self, line: EventLine | None) -> int:
        """Return the `seq` of a line that tells a transition of this store, else 0: the store may be an older copy."""
        if line is None:
            return 0
        seq = _seq_of(line)
        same = self._store.event_lines(seq - 1, 1)
        if same and all(same[0][key] == line.get(key) for key in _IDENTITY):
            return seq
        log.warning("eventlog.foreign", path=str(self._path), seq=seq)
        return 0

    def _append(self, fd: int, block: bytes) -> None:
        left = memoryview(block)
        try:
            while left:
                left = left[self._calls.append(fd, left) :]
            self._calls.sync(fd)
        except OSError:
            # After a failed fsync the pages count as clean though they are not on the disk: they are written anew.
            with suppress(OSError):
                self._calls.cut(fd, self._size_bytes)
            raise
        self._size_bytes += len(block)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise ResourceError("E202", f"{self._path}: {error.strerror or error}") from error


def _block(lines: list[EventLine]) -> tuple[bytes, list[EventLine]]:
    """Write out the first lines, up to the size of a block; returns them too."""
    parts: list[bytes] = []
    size = 0
    for line in lines:
        written = json.dumps({key: _cut(value) for key, value in line.items()}, ensure_ascii=False)
        text = _UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", written).encode() + b"\n"
        if parts and size + len(text) > BLOCK_BYTES:
            break
        parts.append(text)
        size += len(text)
    return b"".join(parts), lines[: len(parts)]


def _cut(value: str | int | None) -> str | int | None:
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS:
        return value[: TEXT_CHARACTERS - 1] + "…"
    return value


def _last_line(fd: int, offset: int) -> tuple[int, EventLine | None]:
    """Return where the whole lines of a file end, and the last of them, if it can be read.

    `offset`: every line up to this `seq` is certain.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("this is not a regular file")
    start = max(0, status.st_size - TAIL_BYTES)
    tail = _read(fd, start, status.st_size)
    if start:
        head, end, tail = tail.partition(b"\n")
        if not end:
            raise OSError("this is no event log: it has no lines")
        start += len(head) + 1
    return _end_of_lines(tail, start, offset)


def _end_of_lines(tail: bytes, start: int, offset: int) -> tuple[int, EventLine | None]:
    """Find the last line that is certain, then go on while whole lines follow whose `seq` grows."""
    texts = tail.splitlines(keepends=True)
    lines = [_line_of(text) for text in texts]
    certain = [number for number, line in enumerate(lines) if line and _seq_of(line) <= offset]
    count = certain[-1] + 1 if certain else 0
    last = lines[count - 1] if count else None
    for line in lines[count:]:
        if line is None or (last is not None and _seq_of(line) <= _seq_of(last)):
            break
        last = line
        count += 1
    return start + sum(map(len, texts[:count])), last


def _seq_of(line: EventLine) -> int:
    seq = line["seq"]
    if not isinstance(seq, int):
        raise TypeError(f"{seq!r} is no sequence number")
    return seq


def _line_of(text: bytes) -> EventLine | None:
    """Read a line; None when it is not whole, or none of ours."""
    if not text.endswith(b"\n"):
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or type(line.get("seq")) is not int:
        return None
    return line


def _read(fd: int, start: int, stop: int) -> bytes:
    parts = []
    while start < stop and (part := os.pread(fd, stop - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)
