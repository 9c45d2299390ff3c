"""Tells operators how the daemon stands: `vitals.json`, the metrics file, and systemd's status line.

All of it is replaced every few seconds and lost without harm: what cannot be written is said once and tried again.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from heygemd.daemon.measuring import take_vitals
from heygemd.daemon.notify import ServiceManager
from heygemd.headline import summary_line
from heygemd.vitals import Vitals, write_vitals

if TYPE_CHECKING:
    from heygemd.daemon.loop import Daemon

log = structlog.get_logger(__name__)

ACTIVE_S = 2.0
IDLE_S = 15.0


class Bulletin:
    """One per daemon."""

    def __init__(self, manager: ServiceManager, clock: Callable[[], float] = time.monotonic) -> None:
        self._manager, self._clock = manager, clock
        self._due_s = self._soonest_s = self._metrics_due_s = 0.0
        self._troubles: dict[str, str] = {}
        self.headline = ""

    @property
    def unwritten(self) -> tuple[str, ...]:
        """What could not be written the last time."""
        return tuple(sorted(self._troubles))

    def tell_now(self) -> None:
        """Tell at the next tick."""
        self._due_s = self._soonest_s = 0.0

    def due_s(self, now_s: float) -> float:
        """Seconds until the next one."""
        return max(0.0, self._due_s - now_s)

    def tick(self, daemon: "Daemon") -> None:
        """Tell when it is time."""
        now_s = self._clock()
        if now_s < (self._soonest_s if daemon.scheduler.is_busy else self._due_s):
            return
        vitals = take_vitals(daemon)
        vitals = replace(vitals, status=summary_line(vitals))
        is_active = bool(vitals.jobs or vitals.workers or vitals.counts.queued)
        self._soonest_s = now_s + ACTIVE_S
        self._due_s = now_s + (ACTIVE_S if is_active else IDLE_S)
        self.headline = vitals.status
        self._manager.status(vitals.status)
        self._try("vitals", lambda: write_vitals(daemon.state_dir, vitals))
        metrics_file = daemon.settings.metrics_file
        if metrics_file is not None and now_s >= self._metrics_due_s:
            self._metrics_due_s = now_s + daemon.settings.metrics_every_s
            self._try("metrics", lambda: _write_metrics(metrics_file, vitals))

    def _try(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            if self._troubles.get(what) != reason:
                log.warning("bulletin.not_written", what=what, reason=reason)
            self._troubles[what] = reason
        else:
            self._troubles.pop(what, None)


def _write_metrics(file: Path, vitals: Vitals) -> None:
    from heygemd.metrics import write_metrics  # noqa: PLC0415  # only who wants metrics pays for the library

    write_metrics(file, vitals)
