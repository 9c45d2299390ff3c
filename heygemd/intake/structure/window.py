"""The bytes of a stranger's file, a few at a time: no parser can read, or ask, more than its budget."""

from collections.abc import Callable

PAGE_BYTES = 4 << 10
AHEAD_BYTES = 64 << 10
"""Jumps read one page; whoever goes on where the last read ended gets more and more, up to this."""

BUDGET_BYTES = 4 << 20
BUDGET_ASKS = 50_000
"""What one file may cost: at most 1,000 reads, and less than 0.1 s on a local disk, whatever it holds (measured)."""


class Unjudgeable(Exception):  # not an error: an answer
    """The structure cannot tell whether this file is whole."""


class Window:
    """A file of `size_bytes` bytes behind `read(offset, count)`; raises Unjudgeable when the budget is spent."""

    def __init__(self, read: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._read, self.size_bytes = read, size_bytes
        self._start, self._bytes, self._ahead_bytes = 0, b"", PAGE_BYTES
        self._bytes_left, self._asks_left = BUDGET_BYTES, BUDGET_ASKS

    def at(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`; fewer only at the end of the file."""
        self._asks_left -= 1
        if self._asks_left < 0:
            raise Unjudgeable("it has too many parts to look at")
        stop = min(offset + count, self.size_bytes)
        if offset >= stop:
            return b""
        if not self._start <= offset <= stop <= self._start + len(self._bytes):
            self._load(offset, stop - offset)
        return self._bytes[offset - self._start : stop - self._start]

    def tail(self, stop: int, count: int) -> bytes:
        """Return the last `count` bytes before `stop`; fewer when there are not so many."""
        start = max(0, stop - count)
        return self.at(start, stop - start)

    def _load(self, offset: int, count: int) -> None:
        is_next = self._start <= offset <= self._start + len(self._bytes)
        self._ahead_bytes = min(2 * self._ahead_bytes, AHEAD_BYTES) if is_next else PAGE_BYTES
        wanted = min(max(count, self._ahead_bytes), self.size_bytes - offset)
        self._bytes_left -= wanted
        if self._bytes_left < 0:
            raise Unjudgeable("it has too many parts to look at")
        self._start, self._bytes = offset, self._read(offset, wanted)
