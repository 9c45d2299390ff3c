"""One root as the daemon sees it: its child process, when to look again, what was found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from heygemd.assembly import default_options
from heygemd.daemon.desk import Desk
from heygemd.daemon.errands import Nursery, Resident
from heygemd.intake.alarm import Alarm
from heygemd.intake.findings import Closing, Findings, KnownRows, Word
from heygemd.jobs.job import RenderOptions
from heygemd.jobs.roots import Root
from heygemd.limits import Limits
from heygemd.settings import IntakeSettings, Settings

log = structlog.get_logger(__name__)

LOOK_PAUSE_S = 0.5
"""Between two looks, however loud the alarm is: a long copy wakes it many times a second."""
ALARM_EVERY_S = 30.0
"""How often the alarm is looked after: its threads die silently with an unmount."""
LATE_S = 60.0
"""A look that is begun so late, or an answer that is taken so late, is the sign of a loop that hangs."""
LONGEST_BACK_OFF = 8
"""An absent root is looked for less and less often, down to this part of the usual."""
LOOKS_IN_VAIN = 4
"""After so many, the last of them after the longest pause, an absent root holds up nobody who waits for the end."""


class FrontDesk:
    """One root as the daemon sees it: its child process, when to look again, what was found."""

    def __init__(
        self, root: Root, settings: Settings, state_dir: Path, nursery: Nursery, wake: Callable[[], None]
    ) -> None:
        self.root, self._settings, self._nursery, self._state_dir = root, settings, nursery, state_dir
        self._desk = self._hire()
        self._replacement: Resident | None = None
        """Goes by new settings; it takes over when the look under way has ended."""
        self._alarm = Alarm(root.inbox, self.look_now)
        self._wake = wake
        self._next_look_s = self._earliest_s = 0.0
        self._alarm_due_s = 0.0
        self._looks_in_vain = 0
        self._wants_look = False
        self._word = Word()
        """To be told at the next look."""
        self._told = Word()
        """Told with the look under way."""
        self.closing: dict[str, Closing] = {}
        """Batches whose folder is to be put away; asked for until the findings say that it was."""
        self.findings: Findings | None = None
        self.offline: str | None = None
        self._look_began_s = self._asked_limit_s = 0.0
        self.look_ended_s: float | None = None
        """When the latest look had ended."""
        self.look_s: float | None = None
        """How long it took."""
        self._alarm.tend()

    def _hire(self) -> Resident:
        return Resident(self._nursery, Desk, self.root, *_told_to_child(self._settings), self._state_dir)

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from the next look on; the child is kept when nothing that it knows has changed."""
        before, self._settings = self._settings, settings
        if _told_to_child(before) != _told_to_child(settings):
            self._replacement = self._hire()
            self.look_now()

    @property
    def watcher(self) -> Alarm:
        """What wakes us."""
        return self._alarm

    def patience_s(self, now_s: float) -> float:
        """Return how long it may be from now until this desk begins or ends a look; negative: that is overdue.

        Counted from what it did last, and not from this call: whoever forgets it must not hide that by asking.
        """
        if self._desk.is_busy:
            return self._look_began_s + self._asked_limit_s + LATE_S - now_s
        # A look that is wanted sooner is not waited for with more impatience: it may be wanted since just now.
        return max(self._next_look_s, self.look_ended_s or 0.0) + LATE_S - now_s

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
        """The last look is complete and found nothing that is still arriving, or that it may not take in yet.

        A root that has just gone may be back at once: it is quiet when it is still away after the longest pause.
        """
        if 0 < self._looks_in_vain < LOOKS_IN_VAIN:
            return False
        found = self.findings
        if found is None or found.paused or found.settling or found.arrivals or found.batches:
            return False
        return not (self._wants_look or self.closing or self._word.batches)

    def note_stored(self, job_ids: tuple[str, ...]) -> None:
        """Jobs that arrived are in the store now; the child is told at the next look."""
        self._word = replace(self._word, stored=tuple(dict.fromkeys(self._word.stored + job_ids)))

    def note_rows(self, known: KnownRows) -> None:
        """Say which rows of a batch are jobs; the child is told at the next look."""
        self._word = replace(self._word, batches=(*self._word.batches, known))
        self._wants_look = True

    def sweep_shared(self, in_use: frozenset[str]) -> None:
        """Have private copies removed that no job needs any more."""
        self._word = replace(self._word, shared_in_use=in_use)

    def close_batch(self, closing: Closing) -> None:
        """Have the folder of an ended batch put away."""
        self.closing[closing.batch] = closing
        self._wants_look = True

    def filenos(self) -> list[int]:
        """Readable when a look has ended."""
        number = self._desk.fileno()
        return [] if number is None else [number]

    def due_s(self, now_s: float) -> float:
        """Seconds until the next look; a look under way wakes the loop itself."""
        if self._desk.is_busy:
            return ALARM_EVERY_S
        return max(0.0, (self._earliest_s if self._wants_look else self._next_look_s) - now_s)

    def tick(self, now_s: float) -> Findings | None:
        """Start a look when it is due; returns what a look has found, once."""
        if now_s >= self._alarm_due_s:
            self._alarm_due_s = now_s + ALARM_EVERY_S
            self._alarm.tend()
        found = self._take_findings(now_s)
        if found is not None or self._desk.is_busy:
            return found
        if now_s >= (self._earliest_s if self._wants_look else self._next_look_s):
            self._wants_look = False
            self._look_began_s = now_s
            self._take_over()
            self._told, self._word = replace(self._word, closing=tuple(self.closing.values())), Word()
            self._asked_limit_s = self._settings.intake.scan_limit_s
            self._desk.ask("look", self._told, now_s=now_s, limit_s=self._asked_limit_s)
        return None

    def _take_findings(self, now_s: float) -> Findings | None:
        answer = self._desk.poll(now_s)
        if answer is None:
            return None
        self.look_ended_s, self.look_s = now_s, now_s - self._look_began_s
        self._earliest_s = now_s + LOOK_PAUSE_S
        if not answer.is_good:
            self._tell_again()
            self._note_offline(answer.fault or (answer.error.message if answer.error else "unknown"), now_s)
            return None
        found: Findings = answer.value
        self.findings = found
        self._note_offline(found.offline, now_s)
        if found.offline is not None or found.paused is not None:
            self._tell_again()
        for batch in found.closed:
            self.closing.pop(batch, None)
        if found.arrivals or found.batches:
            self._wants_look = True  # to acknowledge them, and to see what else came with them
        return found

    def _take_over(self) -> None:
        if self._replacement is not None:
            self._desk.end()
            self._desk, self._replacement = self._replacement, None

    def _tell_again(self) -> None:
        """Keep what may not have been heard; all of it may be told twice."""
        told, word = self._told, self._word
        stored, batches = (
            tuple(dict.fromkeys(told.stored + word.stored)),
            tuple(dict.fromkeys(told.batches + word.batches)),
        )
        self._word = replace(word, stored=stored, batches=batches)

    def _note_offline(self, reason: str | None, now_s: float) -> None:
        """Say once that a root went or came, and when to look for it again."""
        if reason and not self.offline:
            log.warning("root.went_offline", root=str(self.root.path), reason=reason)
        elif self.offline and not reason:
            log.info("root.came_online", root=str(self.root.path))
        self.offline = reason
        self._looks_in_vain = self._looks_in_vain + 1 if reason else 0
        self._next_look_s = now_s + self._pause_s()

    def _pause_s(self) -> float:
        """How long until the next look when nothing wakes us."""
        intake, found = self._settings.intake, self.findings
        is_local = found is None or found.is_local
        if self.offline:
            back_off = min(1 << min(self._looks_in_vain, LOOKS_IN_VAIN), LONGEST_BACK_OFF)
            return (intake.scan_active_s if is_local else intake.scan_mount_s) * back_off
        if found is not None and found.busy:
            return intake.scan_active_s if is_local else intake.scan_mount_s
        return intake.scan_idle_s if is_local else intake.scan_mount_idle_s

    def stop(self) -> None:
        """End alarm and child."""
        self._alarm.stop()
        self._desk.end()


def _told_to_child(settings: Settings) -> tuple[IntakeSettings, Limits, RenderOptions]:
    return settings.intake, settings.limits, default_options(settings.render)
