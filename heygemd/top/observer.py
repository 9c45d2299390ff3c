"""Looks at a daemon again and again, cheaply: nothing is read anew that has not changed, and no share is waited for."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from heygemd.errors import HeygemdError
from heygemd.jobs.job import Job
from heygemd.jobs.rows import Transition
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.lookout import (
    LOOK_LIMIT_S,
    STORE_NAME,
    Ended,
    Glance,
    Place,
    RootSeen,
    Standing,
    holder_seen,
    in_line,
    latest_vitals,
    read_status_file,
    root_seen,
    roots_of,
    standing_of,
)
from heygemd.outbox.status import QueuedJob
from heygemd.patience import Look
from heygemd.vitals import VITALS_NAME, Vitals

ROOTS_EVERY_S = 5.0
STORE_EVERY_S = 5.0
"""At the latest; sooner when the daemon has told something new."""
QUEUE_SHOWN, ENDED_SHOWN = 50, 50
ENDED_SEARCHED = 400
"""Results among which failures are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Everything about one film."""

    job: Job
    events: tuple[Transition, ...]
    root: Path | None


@dataclass(slots=True)
class _Asked:
    """One root that is being read."""

    look: Look
    since_s: float
    is_late: bool = False


class Observer:
    """One per `heygemd top`."""

    def __init__(self, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self._place, self._clock = place, clock
        self._mark: tuple[int, int, int] | None = None
        self._vitals: Vitals | None = None
        self._asked: dict[Path, _Asked] = {}
        self._seen: dict[Path, RootSeen] = {}
        self._roots_due_s = self._store_due_s = 0.0
        self._rows = Glance(at=datetime.now(UTC), state_dir=place.state_dir, standing=Standing.NEVER)
        self._ended_at: dict[str, tuple[JobState, int, datetime]] = {}
        self._was_told = False
        self.wants_failures = False
        """Failures are searched for further back than other results."""

    def look(self, now: datetime | None = None) -> Glance:
        """Return how things stand."""
        at = datetime.now(UTC) if now is None else now
        is_new = self._read_vitals()
        paths = roots_of(self._place, self._vitals)
        self._look_at_roots(paths)
        holder = holder_seen(self._place.state_dir, self._vitals, at)
        standing = standing_of(self._place.state_dir, holder, self._vitals, at)
        is_told = standing in (Standing.RUNNING, Standing.SILENT)
        if is_new or is_told is not self._was_told or self._clock() >= self._store_due_s:
            self._store_due_s, self._was_told = self._clock() + STORE_EVERY_S, is_told
            self._rows = self._read_store(at, is_told=is_told)
        roots = tuple(self._seen.get(path, RootSeen(path=path)) for path in paths)
        rows = self._rows
        return Glance(
            at=at, state_dir=self._place.state_dir, holder=holder, vitals=self._vitals, roots=roots,
            standing=standing, counts=rows.counts, running=rows.running, ended=rows.ended, trouble=rows.trouble,
            queue=in_line(rows.queue, _expected(roots)),
        )  # fmt: skip

    def look_anew(self) -> None:
        """Read the store at the next look, whatever the time."""
        self._store_due_s = 0.0

    def details(self, job_id: str) -> Details | None:
        """Read all about one film; None when there is no such film, or no store."""
        try:
            with JobStore.open_readonly(self._place.state_dir / STORE_NAME) as store:
                job = store.get(job_id)
                events = tuple(store.events_of(job_id)) if job is not None else ()
        except HeygemdError:
            return None
        if job is None:
            return None
        told = self._vitals.roots if self._vitals else ()
        root = next((Path(root.path) for root in told if root.uuid == job.root), None)
        return Details(job=job, events=events, root=root)

    def close(self) -> None:
        """Leave the children that have not answered."""
        for asked in self._asked.values():
            asked.look.give_up()
        self._asked.clear()

    def _read_vitals(self) -> bool:
        """Read the file if it is another one than at the last look; True then."""
        try:
            found = (self._place.state_dir / VITALS_NAME).stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            mark = None
        if mark == self._mark:
            return False
        self._mark = mark
        self._vitals = latest_vitals(self._place.state_dir) or (None if mark is None else self._vitals)
        return True

    def _look_at_roots(self, paths: tuple[Path, ...]) -> None:
        for path, asked in list(self._asked.items()):
            if asked.look.poll():
                self._seen[path] = root_seen(path, _answer_of(asked.look))
                del self._asked[path]
            elif not asked.is_late and self._clock() - asked.since_s > LOOK_LIMIT_S:
                asked.is_late = True  # it is not asked again before it has answered: children would pile up
                self._seen[path] = RootSeen(path=path, trouble=f"E201 no answer within {LOOK_LIMIT_S:g} s")
        if self._clock() >= self._roots_due_s:
            self._roots_due_s = self._clock() + ROOTS_EVERY_S
            for path in paths:
                if path not in self._asked:
                    look = Look(partial(read_status_file, path))
                    self._asked[path] = _Asked(look, self._clock())

    def _read_store(self, at: datetime, *, is_told: bool) -> Glance:
        """Read waiting and ended films, and what else nobody tells while no daemon runs."""
        place = self._place.state_dir
        if not (place / STORE_NAME).exists():
            return Glance(at=at, state_dir=place, standing=Standing.NEVER)
        try:
            with JobStore.open_readonly(place / STORE_NAME) as store:
                queue = store.queue(QUEUE_SHOWN)
                ended = store.ended(ENDED_SEARCHED if self.wants_failures else ENDED_SHOWN)
                if self.wants_failures:
                    ended = [job for job in ended if job.state is JobState.FAILED][:ENDED_SHOWN]
                rows = tuple(Ended(job=job, at=self._when(store, job)) for job in ended)
                running = () if is_told else tuple(store.jobs(JobState.RUNNING, QUEUE_SHOWN))
                counts = {} if is_told else store.counts()
        except HeygemdError as error:
            trouble = f"{error.code} {error.message}"
            return Glance(at=at, state_dir=place, standing=Standing.STOPPED, trouble=trouble)
        return Glance(
            at=at, state_dir=place, standing=Standing.STOPPED, counts=counts, running=running,
            queue=tuple(queue), ended=rows,
        )  # fmt: skip

    def _when(self, store: JobStore, job: Job) -> datetime:
        """Return when a job ended; asked for once, because it does not change until the job is started again."""
        known = self._ended_at.get(job.id)
        if known is not None and known[:2] == (job.state, job.attempts):
            return known[2]
        events = store.events_of(job.id)
        at = events[-1].at if events else job.queued_at
        if len(self._ended_at) > 2 * ENDED_SEARCHED:
            self._ended_at.clear()
        self._ended_at[job.id] = (job.state, job.attempts, at)
        return at


def _expected(roots: Iterable[RootSeen]) -> dict[str, QueuedJob]:
    return {job.job: job for root in roots if root.told for job in root.told.queue}


def _answer_of(look: Look) -> bytes | HeygemdError:
    try:
        return look.answer()
    except HeygemdError as error:
        return error
