"""Tells systemd how the daemon stands: the protocol of sd_notify(3), which is one datagram to one socket.

Without systemd (no `NOTIFY_SOCKET`) nothing happens. Nothing here raises, and little waits: a service manager that
does not listen must not disturb the work.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping

import structlog

from heygemd.naming import printable

log = structlog.get_logger(__name__)

FEEDS_PER_LIMIT = 4
"""How often the watchdog is fed within its time: sd_watchdog_enabled(3) recommends two, and our sleeps are uneven."""
START_EXTENSION_S = 90.0
"""How much longer a start may take after each sign of life; hashing half a gigabyte of weights takes some seconds."""
STATUS_EVERY_S = 2.0
MOST_STATUS_CHARS = 300
MOST_WAIT_S = 2.0
"""For a service manager whose queue is full."""


class ServiceManager:
    """systemd as the daemon sees it."""

    def __init__(self, environment: MutableMapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        """Take the variables that systemd has set, so that no child inherits them."""
        self._clock = clock
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment)
        """Time after which a silent daemon is killed; None: nobody watches."""
        self._socket: socket.socket | None = None
        self._status = ""
        self._status_due_s = self._feed_due_s = 0.0
        self._is_mute = False

    def starting(self, doing: str) -> None:
        """Say what a start is doing, and ask for more time."""
        self._send(STATUS=doing, EXTEND_TIMEOUT_USEC=str(int(START_EXTENSION_S * 1e6)))

    def ready(self, status: str) -> None:
        """Say that the start, or a reload, is over."""
        self._status = status
        self._send(READY="1", STATUS=status)

    def reloading(self) -> None:
        """Say that a reload has begun; `ready` ends it, whatever came of it."""
        stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(RELOADING="1", MONOTONIC_USEC=str(stamp))

    def stopping(self, grace_s: float) -> None:
        """Say that the daemon ends, and for how long it may."""
        self._send(STOPPING="1", STATUS="stopping", EXTEND_TIMEOUT_USEC=str(int((grace_s + START_EXTENSION_S) * 1e6)))

    def status(self, status: str) -> None:
        """Show one line, when it is another than before and not too soon."""
        now_s = self._clock()
        if status != self._status and now_s >= self._status_due_s:
            self._status, self._status_due_s = status, now_s + STATUS_EVERY_S
            self._send(STATUS=status)

    def feed(self) -> None:
        """Feed the watchdog when it is due."""
        now_s = self._clock()
        if self.watchdog_s is not None and now_s >= self._feed_due_s:
            self._feed_due_s = now_s + self.watchdog_s / FEEDS_PER_LIMIT
            self._send(WATCHDOG="1")

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, **words: str) -> None:
        if self._address is None:
            return
        lines = (f"{name}={_line(value)}" for name, value in words.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # Feeding and status come again; what ends a start or a reload does not, and a manager may be busy.
            must_arrive = words.keys() & {"READY", "RELOADING", "STOPPING"}
            self._socket.settimeout(MOST_WAIT_S if must_arrive else 0.0)
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._is_mute:
                log.warning("notify.not_sent", reason=error.strerror or str(error))
            self._is_mute = True
        else:
            self._is_mute = False


def _line(value: str) -> str:
    return printable(value)[:MOST_STATUS_CHARS]


def _address(name: str) -> str | bytes | None:
    """Return the address of the socket; a leading @ stands for a name without file."""
    if name.startswith("@"):
        return b"\0" + name[1:].encode()
    return name if name.startswith("/") else None


def _watchdog_s(environment: MutableMapping[str, str]) -> float | None:
    """Read sd_watchdog_enabled(3)'s variables; those that are meant for another process do not count."""
    wanted, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 1e6


class Heart:
    """Collects the beats of every loop; the watchdog is fed only while all of them are young.

    A loop that is meant to be asleep says how long: `beat("inbox /srv/films", 30)` is young for 30 s more, and one that
    should have moved before now is late at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, tuple[float, float]] = {}
        """When a loop was heard, and until when that holds."""

    def beat(self, loop: str, within_s: float) -> None:
        """Say that `loop` lives and will say so again within this time."""
        now_s = self._clock()
        self._beats[loop] = now_s, now_s + within_s

    def excuse(self, within_s: float) -> None:
        """Ask nobody for a beat within this time: what all of them wait for is no fault of theirs."""
        end_s = self._clock() + within_s
        self._beats = {loop: (at_s, max(until_s, end_s)) for loop, (at_s, until_s) in self._beats.items()}

    def forget(self, loop: str) -> None:
        """A loop has ended as it should."""
        self._beats.pop(loop, None)

    def late(self) -> tuple[str, ...]:
        """Return the loops that have not said so in time."""
        now_s = self._clock()
        return tuple(sorted(loop for loop, (_, until_s) in self._beats.items() if now_s > until_s))

    def ages(self) -> Mapping[str, float]:
        """Return the age of each loop's latest beat."""
        now_s = self._clock()
        return {loop: now_s - at_s for loop, (at_s, _) in self._beats.items()}
