"""Carries out what people asked for with commands: `retry`, `cancel`, `prune`. One act after the other, never waiting.

A request stays open until it was carried out, so a crash in between repeats it; every act may be repeated.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from heygemd.daemon.errands import Answer, Errand, Nursery
from heygemd.daemon.sweeper import Pruning
from heygemd.errors import ResourceError
from heygemd.jobs.job import Job
from heygemd.jobs.requests import Act, Request
from heygemd.jobs.states import JobState
from heygemd.outbox.putback import put_back_inputs

if TYPE_CHECKING:
    from heygemd.daemon.loop import Daemon

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the store is asked while films are made; one lookup in an index of open rows."""
LOOK_IDLE_S = 5.0
"""The same while nothing is done: a daemon that sleeps should not wake for this alone."""
PAUSE_S = 10.0
"""Before an act that met an environment fault is tried again."""
PUT_BACK_LIMIT_S = 120.0
AT_ONCE = 200
"""How many are read in one go. The next look goes on behind them: those that must wait keep nobody from their turn."""
PRUNE_OPTIONS = frozenset({"done_days", "failed_days", "cache"})


@dataclass(slots=True)
class _Retry:
    """A folder on its way back."""

    request: Request
    job: Job
    errand: Errand


class RequestClerk:
    """One per daemon."""

    def __init__(
        self, nursery: Nursery, wall: Callable[[], datetime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._nursery, self._wall, self._clock = nursery, wall, clock
        self._look_s = 0.0
        self._retry: _Retry | None = None
        self._pruning: tuple[Request, Pruning] | None = None
        self._after = 0
        """The number up to which requests have had their turn in this round."""
        self._not_before: dict[int, float] = {}
        """Requests that cannot be carried out just now, and when they are looked at again."""
        self._pauses: dict[int, str] = {}
        """Why, as the log was told."""

    def filenos(self) -> list[int]:
        """Readable when a folder has been moved."""
        return [] if self._retry is None else [self._retry.errand.fileno()]

    def due_s(self, now_s: float, *, is_busy: bool) -> float:
        """Seconds until the loop must wake to ask the store again; it asks as well when something else wakes it."""
        pause_s = 0.0 if is_busy or not self.is_idle else LOOK_IDLE_S - LOOK_EVERY_S
        return max(0.0, self._look_s + pause_s - now_s)

    @property
    def is_idle(self) -> bool:
        """Nothing is being carried out."""
        return self._retry is None and self._pruning is None

    def tick(self, daemon: "Daemon") -> None:
        """Go on with what is under way; take up what is new."""
        now_s = self._clock()
        self._go_on(daemon, now_s)
        if now_s < self._look_s:
            return
        self._look_s = now_s + LOOK_EVERY_S
        acts = [Act.CANCEL] + [Act.RETRY] * (self._retry is None) + [Act.PRUNE] * (self._pruning is None)
        found = daemon.store.requests.open_requests(AT_ONCE, acts=acts, after=self._after)
        self._after = found[-1].seq if len(found) == AT_ONCE else 0
        for request in found:
            if self._not_before.get(request.seq, 0.0) <= now_s:
                self._begin(daemon, request, now_s)

    def stop(self) -> None:
        """Kill what is under way; it is done again at the next start."""
        if self._retry is not None:
            self._retry.errand.end()
            self._retry = None

    def _begin(self, daemon: "Daemon", request: Request, now_s: float) -> None:
        match request.act:
            case Act.CANCEL:
                self._end(daemon, request, *_cancel(daemon, request.target))
            case Act.RETRY if self._retry is None:
                self._begin_retry(daemon, request, now_s)
            case Act.PRUNE if self._pruning is None:
                self._begin_prune(daemon, request)
            case _:
                return  # one at a time: its turn comes when the other has ended

    def _end(self, daemon: "Daemon", request: Request, note: str, is_done: bool) -> None:
        self._not_before.pop(request.seq, None)
        self._pauses.pop(request.seq, None)
        daemon.store.requests.end(request, at=self._wall(), note=note, refused=not is_done)

    # Retry ------------------------------------------------------------------------------------------------------

    def _begin_retry(self, daemon: "Daemon", request: Request, now_s: float) -> None:
        job = daemon.store.get(request.target)
        refusal = _retry_refusal(daemon, job)
        if job is None or refusal:
            self._end(daemon, request, refusal, is_done=False)
            return
        desk = next(desk for desk in daemon.desks if desk.root.uuid == job.root)
        if daemon.handover.has(job.id):
            return  # its inputs are on their way to failed/; asked again in a moment
        if desk.offline is not None:  # an errand on a share that hangs would hold up others
            self._pause(request, job, now_s, desk.offline)
            return
        errand = Errand(self._nursery, put_back_inputs, job, desk.root, now_s=now_s, limit_s=PUT_BACK_LIMIT_S)
        self._retry = _Retry(request, job, errand)

    def _go_on(self, daemon: "Daemon", now_s: float) -> None:
        if self._retry is not None and (answer := self._retry.errand.poll(now_s)) is not None:
            retry, self._retry = self._retry, None
            self._look_s = now_s  # the next one need not wait
            self._end_retry(daemon, retry, answer, now_s)
        if self._pruning is not None and not daemon.sweeper.is_pruning:
            (request, pruning), self._pruning = self._pruning, None
            note = (
                f"{pruning.done} of done/, {pruning.failed} of failed/, {pruning.cache_entries} of the cache deleted; "
                f"{pruning.freed_bytes / 1e6:.1f} MB freed on shares"
            )
            away = [f"not swept, for it is not there: {path}" for path in pruning.away]
            self._end(daemon, request, "; ".join((note, *away, *pruning.troubles)), is_done=not pruning.troubles)

    def _end_retry(self, daemon: "Daemon", retry: _Retry, answer: Answer, now_s: float) -> None:
        request = retry.request
        if isinstance(answer.error, ResourceError):
            self._pause(request, retry.job, now_s, answer.error.message)
            return
        if answer.error is not None or answer.fault:
            reason = answer.error.message if answer.error else answer.fault.strip().splitlines()[-1]
            self._end(daemon, request, reason, is_done=False)
            return
        if answer.value is None:
            self._end(daemon, request, "no folder of it in failed/ can go back: drop its files anew", is_done=False)
            return
        for desk in daemon.desks:
            if desk.root.uuid == retry.job.root:
                desk.look_now()
        self._end(daemon, request, f"put back as {answer.value}; it is taken up within seconds", is_done=True)

    def _pause(self, request: Request, job: Job, now_s: float, reason: str) -> None:
        """Try it again later; the log is told once, and again when the reason is another one."""
        self._not_before[request.seq] = now_s + PAUSE_S
        if self._pauses.get(request.seq) != reason:
            log.warning("request.paused", act=request.act, job_id=job.id, reason=reason)
        self._pauses[request.seq] = reason

    # Prune ------------------------------------------------------------------------------------------------------

    def _begin_prune(self, daemon: "Daemon", request: Request) -> None:
        options = request.options
        if strange := options.keys() - PRUNE_OPTIONS:
            # What it would have kept is not known: it must not delete more than was meant.
            self._end(daemon, request, f"this daemon does not know {', '.join(sorted(strange))}", is_done=False)
            return
        ages = [options.get(name) for name in ("done_days", "failed_days")]
        if any(age is not None and (isinstance(age, bool) or not isinstance(age, int) or age < 1) for age in ages):
            self._end(daemon, request, "ages are whole days, at least 1", is_done=False)
            return
        with_cache = options.get("cache") is True
        pruning = daemon.sweeper.prune(daemon.desks, done_days=ages[0], failed_days=ages[1], with_cache=with_cache)
        self._pruning = request, pruning


def _retry_refusal(daemon: "Daemon", job: Job | None) -> str:
    """Say why a job cannot be tried again; empty when it can."""
    if job is None:
        return "there is no such job"
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        return f"it is {job.state} already"
    if job.state is JobState.DONE:
        return "it is done; to make it anew, drop its files again"
    if all(desk.root.uuid != job.root for desk in daemon.desks):
        return "its root is not served, or is not there"
    return ""


def _cancel(daemon: "Daemon", target: str) -> tuple[str, bool]:
    """Cancel a job, or a batch with all its jobs; returns what came of it, and whether it was done."""
    for desk in daemon.desks:
        if any(batch.id == target for batch in daemon.batches.of_root(desk.root.uuid)):
            cancelled = daemon.reception.cancel_batch(target, desk)
            return f"the batch is stopped; {cancelled} of its jobs cancelled", True
    job = daemon.store.get(target)
    if job is None:
        return "there is no such job or open batch", False
    if job.state is JobState.CANCELLED:
        return "it is cancelled already", True
    if job.state not in (JobState.QUEUED, JobState.RUNNING):
        return f"it has ended already: {job.state}", False
    if not daemon.reception.cancel(job):
        return "its film is being published; it is too late", False
    return "cancelled; its inputs go to failed/", True
