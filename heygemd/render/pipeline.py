"""Reading ahead and writing behind: the decoder and the encoder never wait while a picture is painted.

    reader thread: decoder ─▶ belt ─▶ main thread: paint ─▶ belt ─▶ writer thread: encoder

A pipe holds less than one frame, so a decoder whose frames nobody takes stands still, and so does an encoder that
nobody feeds. The belts hold a few frames for each. Frames are passed on, never copied. Each thread starts the
processes that it talks to and ends after them (PR_SET_PDEATHSIG ends a child with the *thread* that started it).

Whatever fails, fails in the main thread as what it was: the reader's error where a frame is asked for, the writer's
where one is given. Leaving the `with` block ends the thread, if need be by killing what it waits for.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from types import TracebackType
from typing import Generic, TypeVar

from heygemd.media.child import kill_children_of

Item = TypeVar("Item")

BELT_BYTES = 64 << 20
"""Most that waits on one belt, though a batch may be larger: 20 frames of 1080p, 5 of 4K."""
FEWEST_WAITING = 2
GRACE_S = 0.5
"""A thread that is no longer wanted ends by itself within a frame's time; after this its children are killed."""
KILL_AGAIN_S = 0.1
"""And again, for it may be about to start the next one."""


def frames_waiting(batch: int, frame_bytes: int) -> int:
    """Tell how many frames a belt holds beside batches of this size.

    As many as a batch: with fewer the painter waits for the rest of each. (Measured with 1080p on two cores, where
    painting alone takes 5.8 s of wav2lip's 250 frames: batches of 16 take 8.6 s without belts, 8.1 with belts of
    eight; batches of eight 6.5.)
    """
    return max(FEWEST_WAITING, min(batch, BELT_BYTES // frame_bytes))


class StoppedError(Exception):
    """Nobody wants what is on the belt any more."""


class Belt(Generic[Item]):
    """Carries items from one thread to another, in order and no more than `most` at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_complete = self._is_stopped = self._is_awaited = False

    def put(self, item: Item) -> None:
        """Wait for room; raises StoppedError when nobody takes anything more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or len(self._items) < self._most)
            if self._is_stopped:
                raise StoppedError
            self._items.append(item)
            self._changed.notify_all()

    def take(self) -> Item:
        """Wait for an item; raises StopIteration after the last one, StoppedError when no more are wanted."""
        with self._changed:
            self._is_awaited = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_stopped or self._items or self._is_complete)
            self._is_awaited = False
            if self._is_stopped:
                raise StoppedError
            if not self._items:
                raise StopIteration
            self._changed.notify_all()
            return self._items.popleft()

    def complete(self) -> None:
        """Say that nothing follows."""
        with self._changed:
            self._is_complete = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drop what is on the belt; whoever waits at either end waits no longer."""
        with self._changed:
            self._is_stopped = True
            self._items.clear()
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until everything was taken, and what was taken last is done with: more is asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or (self._is_awaited and not self._items))
            if self._is_stopped:
                raise StoppedError


class _Hand:
    """A thread of its own for one piece of work, with a belt to or from it."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._thread = 0
        self._ended: Future[None] | None = None
        self.cpu_s = 0.0
        """Processor time of the thread when it last passed an item on."""

    def start(self, work: Callable[[], None]) -> None:
        """Begin; `work` logs with what is bound in the thread that calls."""
        self._ended = self._threads.submit(copy_context().run, self._run, work)

    def _run(self, work: Callable[[], None]) -> None:
        self._thread = threading.get_ident()
        with suppress(StoppedError):
            work()

    def note(self) -> None:
        """Take down what the thread, which is the one that calls, has cost."""
        self.cpu_s = time.thread_time()

    def result(self) -> None:
        """Wait for the end; raises what the work has raised."""
        if self._ended is not None:
            self._ended.result()

    def end(self) -> None:
        """Wait for the end of a thread that has no reason to go on, and help where it is stuck."""
        if self._ended is not None:
            patience_s = GRACE_S
            while not _has_ended(self._ended, patience_s):
                kill_children_of(self._thread)
                patience_s = KILL_AGAIN_S
        self._threads.shutdown()
        self._ended = None  # what it raised holds frames


def _has_ended(work: "Future[None]", within_s: float) -> bool:
    with suppress(TimeoutError):
        work.exception(within_s)
        return True
    return False


class ReadAhead(Generic[Item]):
    """What an iterator gives, taken from it by a thread of its own before it is asked for.

    with ReadAhead(lambda: source.read(…), most=8) as frames:
        for planes in frames: …
    """

    def __init__(self, open_source: Callable[[], Iterator[Item]], *, most: int) -> None:
        """Call `open_source` in the thread; `most` items wait here, one more is on its way."""
        self._open = open_source
        self._belt: Belt[Item] = Belt(most)
        self._hand = _Hand("reader")

    def __enter__(self) -> "ReadAhead[Item]":
        self._hand.start(self._read)
        return self

    def __iter__(self) -> "ReadAhead[Item]":
        return self

    def __next__(self) -> Item:
        try:
            return self._belt.take()
        except StopIteration:
            self._hand.result()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._belt.stop()
        self._hand.end()

    @property
    def cpu_s(self) -> float:
        """Processor time of the thread so far."""
        return self._hand.cpu_s

    def _read(self) -> None:
        try:
            with ExitStack() as stack:
                source = self._open()
                if isinstance(source, Generator):
                    stack.callback(source.close)  # here, so that its processes are ended by the thread they belong to
                for item in source:
                    self._belt.put(item)
                    del item  # one that waits to be replaced is one too many
                    self._hand.note()
        finally:
            self._hand.note()
            self._belt.complete()


class WriteBehind(Generic[Item]):
    """Takes what is given to it and lets a thread of its own do the rest.

    with WriteBehind(write_all, most=8) as sink:      # write_all(items) returns when they end
        sink.put(planes)

    Leaving the block waits for `write_all` to return; leaving it by an error ends it: what it asks for then never
    comes, and StoppedError is raised there.
    """

    def __init__(self, write_all: Callable[[Iterator[Item]], None], *, most: int) -> None:
        """Call `write_all` in the thread; `most` items wait here, one more is being written."""
        self._write_all = write_all
        self._belt: Belt[Item] = Belt(most)
        self._hand = _Hand("writer")

    def __enter__(self) -> "WriteBehind[Item]":
        self._hand.start(self._write)
        return self

    def put(self, item: Item) -> None:
        """Hand over; raises what the thread has raised, with a frame before or with this one."""
        try:
            self._belt.put(item)
        except StoppedError:
            self._hand.result()
            raise

    def drain(self) -> None:
        """Wait until all is written; raises what the thread has raised."""
        try:
            self._belt.drain()
        except StoppedError:
            self._hand.result()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._belt.complete()
                self._hand.result()
        finally:
            self._belt.stop()
            self._hand.end()

    @property
    def cpu_s(self) -> float:
        """Processor time of the thread so far."""
        return self._hand.cpu_s

    def _write(self) -> None:
        try:
            self._write_all(self._items())
        finally:
            self._hand.note()
            self._belt.stop()

    def _items(self) -> Iterator[Item]:
        while True:
            self._hand.note()
            try:
                item = self._belt.take()
            except StopIteration:
                return
            yield item
            del item
