"""Brings the next look forward when something happens in an inbox; the only code that knows watchdog.

Only a wake-up: inotify drops events in bursts and dies with an unmount, so the look happens anyway. On mounts it
sees nothing of what others do, and is not used.
"""

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

from heygemd.intake.filesystems import is_local

log = structlog.get_logger(__name__)

_STOP_S = 5.0
_WAKING: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileModifiedEvent,
    FileMovedEvent,
]  # fmt: skip
"""Not the opening and closing of files for reading: those are our own looks."""


class Alarm:
    """Calls `wake` (from a thread of its own) after changes in `inbox`."""

    def __init__(self, inbox: Path, wake: Callable[[], None]) -> None:
        self._inbox, self._handler = inbox, _Handler(wake)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to watch; nothing happens on a mount, and only a warning when the kernel refuses (too many watches)."""
        self.stop()
        try:
            if not is_local(self._inbox):
                return
            observer = Observer()
            observer.daemon = True
            observer.schedule(self._handler, str(self._inbox), recursive=True, event_filter=_WAKING)
            observer.start()
            self._observer, self._watched = observer, _identity(self._inbox)
        except OSError as error:
            log.warning("intake.alarm_failed", inbox=str(self._inbox), reason=error.strerror or str(error))

    def stop(self) -> None:
        """End the watch."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join(_STOP_S)

    def is_alive(self) -> bool:
        """Tell whether changes wake us; False on a mount, after its threads died, when the folder is another one."""
        if self._observer is None or not self._observer.is_alive():
            return False
        if not all(emitter.is_alive() for emitter in self._observer.emitters):
            return False
        try:
            return _identity(self._inbox) == self._watched
        except OSError:
            return False


class _Handler(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    @override
    def on_any_event(self, event: FileSystemEvent) -> None:
        self._wake()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
