"""One root as the daemon sees it: its child process, when to look again, what was found."""

from collections.abc import Callable

import structlog

from heygemd.daemon.desk import Desk
from heygemd.daemon.errands import Nursery, Resident
from heygemd.intake.alarm import Alarm
from heygemd.intake.inbox import Findings
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.outbox.status import Snapshot
from heygemd.settings import Settings

log = structlog.get_logger(__name__)

STATUS_EVERY_S = 20.0
"""The status of an idle root is written this often, so that a reader can tell a living daemon from a dead one."""
LOOK_PAUSE_S = 0.5
"""Between two looks, however loud the alarm is: a long copy wakes it many times a second."""
ALARM_EVERY_S = 30.0
"""How often the alarm is looked after: its threads die silently with an unmount."""


class FrontDesk:
    """One root as the daemon sees it: its child process, when to look again, what was found."""

    def __init__(self, root: Root, settings: Settings, nursery: Nursery, wake: Callable[[], None]) -> None:
        self.root, self._settings = root, settings
        self._desk = Resident(nursery, Desk, root, settings.intake, settings.limits)
        self._alarm = Alarm(root.inbox, self.look_now)
        self._wake = wake
        self._next_look_s = self._earliest_s = 0.0
        self._status_at_s = 0.0
        self._alarm_due_s = 0.0
        self._wants_look = False
        self.findings: Findings | None = None
        self.stored: tuple[str, ...] = ()
        """Jobs that arrived with the last look and are in the store now; told to the child at the next."""
        self.offline: str | None = None
        self._alarm.start()
        # On a mount there is none, and nothing here may touch it again: the share may be dead by then.
        self._has_alarm = self._alarm.is_alive()

    @property
    def paused(self) -> str | None:
        """Why claims do not go on, if they do not."""
        return self.findings.paused if self.findings else None

    def look_now(self) -> None:
        """Bring the next look forward; called from the alarm's thread."""
        self._wants_look = True
        self._wake()

    @property
    def is_quiet(self) -> bool:
        """The last look is complete and found nothing that is still arriving."""
        found = self.findings
        return found is not None and not found.settling and not found.arrivals and not self._wants_look

    def filenos(self) -> list[int]:
        """Readable when a look has ended."""
        number = self._desk.fileno()
        return [] if number is None else [number]

    def due_s(self, now_s: float) -> float:
        """Seconds until the next look; a look under way wakes the loop itself."""
        if self._desk.is_busy:
            return ALARM_EVERY_S
        return max(0.0, (self._earliest_s if self._wants_look else self._next_look_s) - now_s)

    def tick(self, now_s: float, snapshot: Callable[[Root], Snapshot]) -> tuple[Job, ...]:
        """Start a look when it is due, take its findings when they are there; returns what arrived."""
        if self._has_alarm and now_s >= self._alarm_due_s:
            self._alarm_due_s = now_s + ALARM_EVERY_S
            if not self._alarm.is_alive():
                self._alarm.start()
        arrivals = self._take_findings(now_s)
        if arrivals or self._desk.is_busy:
            return arrivals
        if now_s >= (self._earliest_s if self._wants_look else self._next_look_s):
            self._wants_look = False
            due = now_s >= self._status_at_s
            if due:
                self._status_at_s = now_s + STATUS_EVERY_S
            limit_s = self._settings.intake.scan_limit_s
            self._desk.ask("look", self.stored, snapshot(self.root) if due else None, now_s=now_s, limit_s=limit_s)
        return ()

    def _take_findings(self, now_s: float) -> tuple[Job, ...]:
        answer = self._desk.poll(now_s)
        if answer is None:
            return ()
        intake = self._settings.intake
        self._earliest_s, self._next_look_s = now_s + LOOK_PAUSE_S, now_s + intake.scan_idle_s
        if not answer.is_good:
            self._note_offline(answer.fault or (answer.error.message if answer.error else "unknown"))
            return ()
        found: Findings = answer.value
        self.findings, self.stored = found, ()
        self._note_offline(found.offline)
        if found.busy:
            self._next_look_s = now_s + intake.scan_active_s
        if found.arrivals:
            self._wants_look = True  # to acknowledge them, and to see what else came with them
        return found.arrivals

    def _note_offline(self, reason: str | None) -> None:
        if reason and not self.offline:
            log.warning("root.went_offline", root=str(self.root.path), reason=reason)
        elif self.offline and not reason:
            log.info("root.came_online", root=str(self.root.path))
        self.offline = reason

    def refresh_status(self) -> None:
        """Write the status now."""
        self._status_at_s = 0.0
        self._wants_look = True

    def stop(self) -> None:
        """End alarm and child."""
        self._alarm.stop()
        self._desk.end()
