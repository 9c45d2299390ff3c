"""Brings the next look forward when something happens in an inbox; the only code that knows watchdog.

Only a wake-up: inotify drops events in bursts and dies with an unmount, so the look happens anyway. On mounts it
sees nothing of what others do, and is not used.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from typing_extensions import override
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

from heygemd.intake.filesystems import is_local

log = structlog.get_logger(__name__)
logging.getLogger("watchdog").addHandler(logging.NullHandler())  # else its last words go to stderr as they are

_STOP_S = 5.0
_LOGGER = "watchdog"
_WAKING: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileModifiedEvent,
    FileMovedEvent,
]  # fmt: skip
"""Not the opening and closing of files for reading: those are our own looks."""


class Alarm:
    """Calls `wake` (from a thread of its own) after changes in `inbox`."""

    def __init__(self, inbox: Path, wake: Callable[[], None]) -> None:
        self._inbox, self._wake = inbox, wake
        self._handler, self._complaints = _Handler(wake), _Complaints(wake)
        self._keeper: threading.Thread | None = None
        self._observer: BaseObserver | None = None
        self._threads: list[threading.Thread] = []
        self._watched: tuple[int, int] | None = None
        self._is_wanted = self._is_over = False
        self._trouble: str | None = None
        self.rebuilds = 0
        """How often it had died and was begun anew."""

    @property
    def overflows(self) -> int:
        """How often events were lost, or watchdog complained of something else."""
        return self._complaints.count

    @property
    def state(self) -> str:
        """`on`, `dead` (it should wake us and does not), or `off`: a mount is looked at on schedule only."""
        if self._observer is None:
            return "dead" if self._is_wanted else "off"
        return "on" if all(thread.is_alive() for thread in self._threads) else "dead"

    def start(self) -> None:
        """Begin to watch; nothing happens on a mount, and only a warning when the kernel refuses (too many watches).

        What was born while nobody watched wakes nobody: look once after starting.
        """
        self._is_over = False
        self._restart()

    def _restart(self) -> None:
        self._end()
        try:
            is_wanted = is_local(self._inbox)
            self._is_wanted = is_wanted and not self._is_over
            if self._is_wanted:
                self._begin()
            self._trouble = None
        except OSError as error:
            self._end()
            reason = error.strerror or str(error)
            if reason != self._trouble:
                log.warning("intake.alarm_failed", inbox=str(self._inbox), reason=reason)
            self._trouble = reason

    def tend(self) -> None:
        """Begin to watch, or begin anew when it has died, in a thread of its own: a share may hang at every step."""
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="keeper of an alarm", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        is_new = self._observer is None
        needs_rebuild = self.needs_rebuild()
        if is_new or needs_rebuild:
            self.rebuilds += needs_rebuild and not is_new
            self._restart()
            if self._observer is not None:
                self._wake()  # what was born while nobody watched wakes nobody

    def stop(self) -> None:
        """End the watch, also one that the keeper is just beginning."""
        self._is_over, self._is_wanted = True, False
        self._end()

    def is_alive(self) -> bool:
        """Tell whether changes wake us; False on a mount, after one of its threads died, when the folder is another."""
        if self._observer is None or not all(thread.is_alive() for thread in self._threads):
            return False
        try:
            return _identity(self._inbox) == self._watched
        except OSError:
            return False

    def needs_rebuild(self) -> bool:
        """Tell whether it should wake us and does not: then `start()` it again, and look."""
        return self._is_wanted and not self.is_alive()

    def _begin(self) -> None:
        # First: when the folder is exchanged from here on, the difference shows.
        self._watched = _identity(self._inbox)
        others = set(threading.enumerate())
        observer = Observer()  # not ours before it runs: `stop` may come at any moment, from the daemon's thread
        observer.daemon = True
        observer.schedule(self._handler, str(self._inbox), recursive=True, event_filter=_WAKING)
        logging.getLogger(_LOGGER).addHandler(self._complaints)
        try:
            observer.start()
        except OSError:
            observer.stop()
            raise
        # Some versions read the kernel's queue in a thread that is no emitter, and a dead one is noticed nowhere.
        self._threads = [new for new in set(threading.enumerate()) - others if isinstance(new, BaseThread)]
        self._observer = observer
        if self._is_over:
            self._end()

    def _end(self) -> None:
        logging.getLogger(_LOGGER).removeHandler(self._complaints)
        observer, self._observer, self._watched, self._threads = self._observer, None, None, []
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join(_STOP_S)


class _Handler(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    @override
    def on_any_event(self, event: FileSystemEvent) -> None:
        self._wake()


class _Complaints(logging.Handler):
    """An overflow of the kernel's queue (events were lost) is no event for watchdog: it only logs a warning."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._wake = wake
        self.count = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        log.warning("intake.alarm_complained", reason=record.getMessage())
        self._wake()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
