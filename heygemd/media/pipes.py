"""The reading end of a pipe from a process that may hang, flood, or die."""

import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

CHUNK_BYTES = 64 << 10
"""One piece of a stream of lines."""
NEWLINE = ord("\n")

Got = TypeVar("Got", int, bytes)


class StalledError(Exception):
    """The process said nothing for longer than its leash allows, or ran past its wall clock; it is ended."""


class ReadPipe:
    """The reading end of a pipe, waited for no longer than `patience()` seconds at a time."""

    def __init__(
        self, fd: int, patience: Callable[[], float], note_wait: Callable[[float], None] = lambda _: None
    ) -> None:
        """`note_wait` is told how many seconds each wait took."""
        self._fd = fd
        self._patience = patience
        self._note_wait = note_wait
        os.set_blocking(fd, False)  # first read, then wait: a full pipe needs no waiting
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._rest = b""
        self.is_at_end = False
        """The end of the stream was seen; only ever true after a read."""

    def fill(self, *views: memoryview) -> int:
        """Fill `views` (bytes), one after the other; returns how many bytes came: fewer only at the end of the stream.

        Not to be mixed with reading lines.
        """
        rest = [view for view in views if len(view)]
        done = 0
        while rest:
            got = self._now_or_later(lambda: os.readv(self._fd, rest))
            if not got:
                self.is_at_end = True
                break
            done += got
            while rest and got >= len(rest[0]):
                got -= len(rest.pop(0))
            if rest:
                rest[0] = rest[0][got:]
        return done

    def head(self, most_bytes: int) -> bytes:
        """Read the first line of a stream that goes on with `fill`: byte by byte, and no more than `most_bytes`."""
        taken = bytearray()
        byte = memoryview(bytearray(1))
        while len(taken) < most_bytes and self.fill(byte):
            if byte[0] == NEWLINE:
                break
            taken += byte
        return bytes(taken)

    def line(self) -> bytes:
        """Wait for the next line, without its newline; empty at the end of the stream. Not to be mixed with `fill`."""
        while b"\n" not in self._rest:
            got = self._chunk()
            if not got:
                line, self._rest = self._rest, b""
                return line
            self._rest += got
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def lines(self) -> Iterator[bytes]:
        """Every non-empty line to the end of the stream."""
        while not self.is_at_end:
            yield from self.some_lines()

    def some_lines(self) -> list[bytes]:
        """Wait for a piece of the stream; returns the non-empty lines that it completes; at the end, the last one."""
        got = self._chunk()
        *whole, self._rest = (self._rest + got).split(b"\n")
        if not got:
            whole, self._rest = [*whole, self._rest], b""
        return [line for line in whole if line]

    def _chunk(self) -> bytes:
        got = self._now_or_later(lambda: os.read(self._fd, CHUNK_BYTES))
        self.is_at_end = not got
        return got

    def _now_or_later(self, read: Callable[[], Got]) -> Got:
        while True:
            patience_s = self._patience()  # also where nothing is waited for: a flood has a wall clock, too
            try:
                return read()
            except BlockingIOError:
                if not _wait(self._poll, patience_s, self._note_wait):
                    raise StalledError("no output within the limit") from None

    @staticmethod
    def ready(pipes: "Sequence[ReadPipe]") -> "list[ReadPipe]":
        """Wait until some of `pipes`, all from one process, can be read or are at their end; returns those."""
        poll = select.poll()
        for pipe in pipes:
            poll.register(pipe._fd, select.POLLIN)
        found = {fd for fd, _ in _wait(poll, pipes[0]._patience(), pipes[0]._note_wait)}
        if not found:
            raise StalledError("no output within the limit")
        return [pipe for pipe in pipes if pipe._fd in found]


def _wait(poll: select.poll, most_s: float, note_wait: Callable[[float], None]) -> list[tuple[int, int]]:
    began_s = time.monotonic()
    found = poll.poll(most_s * 1000)
    note_wait(time.monotonic() - began_s)
    return found
