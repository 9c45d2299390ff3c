"""What wakes the daemon's loop: signals, calls from other threads, descriptors that became readable."""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)


class Bell:
    """One per daemon; only `ring` is for other threads."""

    def __init__(self, *, is_on_terminal: bool | None = None) -> None:
        """Find out whether there is a terminal, unless that is told."""
        self._is_on_terminal = os.isatty(0) or os.isatty(2) if is_on_terminal is None else is_on_terminal
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.end_signal: int | None = None
        """The signal that told us to end, if one has."""
        self.is_hurried = False
        """Somebody would not wait for the end of what is in work."""
        self.is_reload_wanted = False
        """SIGHUP came to a service; whoever obeys takes it back."""

    def ring(self) -> None:
        """End the present sleep; safe from any thread and from a signal handler."""
        try:
            os.write(self._in, b"x")
        except BlockingIOError:
            return  # already full of wake-ups

    @contextmanager
    def answering_signals(self) -> Iterator[None]:
        """Take the signals of a service as long as this lasts."""
        wanted = (*ENDING, signal.SIGHUP)
        previous = {number: signal.signal(number, self._on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def sleep(self, numbers: Sequence[int], most_s: float) -> None:
        """Wait for a ring, for one of the descriptors, or for so long."""
        ready, _, _ = select.select([self._out, *numbers], [], [], most_s)
        if self._out in ready:
            os.read(self._out, 4096)

    def rest(self, pause_s: float) -> None:
        """Do nothing, whatever rings, unless it is told to end."""
        end_s = time.monotonic() + pause_s
        while self.end_signal is None and (left_s := end_s - time.monotonic()) > 0:
            self.sleep((), left_s)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        # On a terminal it means what its name says: the terminal is gone. A service has none.
        if number == signal.SIGHUP and not self._is_on_terminal:
            self.is_reload_wanted = True
        elif number == signal.SIGINT and self.end_signal is not None:
            self.is_hurried = True
            raise KeyboardInterrupt  # a second Ctrl-C
        else:
            self.end_signal = number
        self.ring()
