"""The clerk of one root as the daemon sees it: when to send it on its round, with what, and what it noticed."""

from collections.abc import Callable

from heygemd.daemon.clerk import Clerk, Noticed, Round
from heygemd.daemon.errands import Answer, Nursery, Resident
from heygemd.jobs.batch import Batch
from heygemd.jobs.roots import Root
from heygemd.outbox.batchreport import BatchReport
from heygemd.outbox.status import Snapshot

WATCH_EVERY_S = 2.0
"""While jobs could be cancelled; the promise is 5 s."""
STATUS_ACTIVE_S = 5.0
"""While something is queued or runs."""
STATUS_IDLE_S = 20.0
"""Also an idle root tells that the daemon lives."""
ROUND_LIMIT_S = 120.0
LATE_S = 60.0
"""A round that is begun so late, or whose answer is taken so late, is the sign of a loop that hangs."""


class BackDesk:
    """One clerk. Nothing here waits for the share."""

    def __init__(self, root: Root, nursery: Nursery) -> None:
        self.root = root
        self._clerk = Resident(nursery, Clerk, root)
        self._next_round_s = self._status_due_s = self._rest_until_s = 0.0
        self._heard_s = 0.0
        """When a round was last begun or ended."""
        self._sent = Round(folders={})
        self._notes: dict[str, str] = {}
        self._reports: dict[str, tuple[Batch, BatchReport]] = {}

    def note(self, claim_name: str, text: str) -> None:
        """Have a note put into a folder in `processing/`."""
        self._notes[claim_name] = text

    def report(self, batch: Batch, report: BatchReport) -> None:
        """Have the reports of a batch written anew."""
        self._reports[batch.id] = (batch, report)

    def tell_now(self) -> None:
        """Have the status written at once."""
        self._next_round_s = self._status_due_s = 0.0

    def filenos(self) -> list[int]:
        """Readable when a round has ended."""
        number = self._clerk.fileno()
        return [] if number is None else [number]

    @property
    def is_idle(self) -> bool:
        """Nothing is to be written, and no round is under way."""
        return not (self._clerk.is_busy or self._notes or self._reports)

    def due_s(self, now_s: float) -> float:
        """Seconds until the next round; one under way wakes the loop itself."""
        return STATUS_IDLE_S if self._clerk.is_busy else max(0.0, self._next_round_s - now_s)

    def tick(
        self,
        now_s: float,
        folders: Callable[[], dict[str, str]],
        snapshot: Callable[[], Snapshot],
        inputs: Callable[[], dict[str, tuple[str, ...]]] = dict,
    ) -> Noticed | None:
        """Send the clerk when it is time; returns what it noticed, once."""
        answer = self._clerk.poll(now_s)
        if answer is not None:
            self._heard_s = now_s
            return self._take(answer, now_s)
        is_due = now_s >= self._next_round_s or ((self._notes or self._reports) and now_s >= self._rest_until_s)
        if self._clerk.is_busy or not is_due:
            return None
        watched = folders()
        told = None
        if now_s >= self._status_due_s:
            told = snapshot()
            self._status_due_s = now_s + (STATUS_ACTIVE_S if watched else STATUS_IDLE_S)
        self._sent = Round(
            folders=watched, inputs=inputs(), snapshot=told,
            notes=tuple(self._notes.items()), reports=tuple(self._reports.values()),
        )  # fmt: skip
        self._notes.clear()
        self._reports.clear()
        self._clerk.ask("go_round", self._sent, now_s=now_s, limit_s=ROUND_LIMIT_S)
        self._heard_s = now_s
        self._next_round_s = min(self._status_due_s, now_s + WATCH_EVERY_S) if watched else self._status_due_s
        return None

    def _take(self, answer: Answer, now_s: float) -> Noticed | None:
        """Return what was noticed; what could not be written is written again, unless there is something newer."""
        if answer.is_good:
            noticed: Noticed = answer.value
            return noticed
        self._rest_until_s = now_s + WATCH_EVERY_S
        self._notes = dict(self._sent.notes) | self._notes
        self._reports = {batch.id: (batch, report) for batch, report in self._sent.reports} | self._reports
        return None

    def patience_s(self, now_s: float) -> float:
        """Return how long it may be from now until a round begins or ends; negative: that is overdue."""
        if self._clerk.is_busy:
            return self._heard_s + ROUND_LIMIT_S + LATE_S - now_s
        return max(self._next_round_s, self._heard_s) + LATE_S - now_s  # a round may be wanted since just now

    def stop(self) -> None:
        """End the clerk."""
        self._clerk.end()
