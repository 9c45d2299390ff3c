"""When will a film be there? An estimate from measured rates; what is not known stays None. Pure.

It deals the waiting jobs out to the places where a worker can be: whenever one is free, the first job in order begins
that does not rest and whose folder lets another one run. It keeps that place to its end. Really several workers may
share a film, and jobs that are still to come may go before, so the times are those of a plan that will not be kept
exactly. Jobs that run without a worker at the moment come before those that wait.
"""

import heapq
import math
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

HORIZON_S = 10 * 365 * 86400.0
"""What is further away is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many jobs of a folder may run at once."""

    root: str
    folder: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InWork:
    """A job that runs."""

    job: str
    left_s: float | None
    """Until its film is ready; for a job without a worker, once it has one again. None while nobody knows."""
    has_worker: bool = True
    is_leaving: bool = False
    """No worker has it any more: its film is being handed over."""
    lane: Allowance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InQueue:
    """A job that waits."""

    job: str
    work_s: float | None
    """Seconds of one worker that it takes; None while nobody knows."""
    not_before: datetime
    lane: Allowance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Only what can be said is in here."""

    ready_at: Mapping[str, datetime] = field(default_factory=dict)
    """By running job."""
    starts_at: Mapping[str, datetime] = field(default_factory=dict)
    """By waiting job."""
    ends_at: datetime | None = None
    """When the last of the queue is done."""


def forecast(now: datetime, running: Sequence[InWork], queue: Sequence[InQueue], places: int) -> Forecast:
    """Estimate the end of every running job and the start of every waiting one; `queue` is in order."""
    line, ends_s, busy_until_s = _Line(), dict[str, float](), list[float]()
    for job in running:
        left_s = 0.0 if job.is_leaving else _or_never(job.left_s)
        if not job.has_worker and not job.is_leaving:
            line.add(_Entry(len(line), job.job, left_s, -math.inf, job.lane))
            continue
        ends_s[job.job] = left_s
        line.occupy(job.lane, left_s)
        if not job.is_leaving:
            busy_until_s.append(left_s)
    begun = len(line)
    for waiting in queue:
        rests_s = (waiting.not_before - now).total_seconds()
        line.add(_Entry(len(line), waiting.job, _or_never(waiting.work_s), max(0.0, rests_s), waiting.lane))
    starts_s: dict[str, float] = {}
    for entry, start_s in line.deal(_free_s(busy_until_s, max(1, places))):
        ends_s[entry.job] = start_s + entry.work_s
        if entry.number >= begun:
            starts_s[entry.job] = start_s
    last_s = max(ends_s.values(), default=math.inf) if len(ends_s) == len(running) + len(queue) else math.inf
    return Forecast(
        ready_at=_times(now, {job.job: ends_s.get(job.job, math.inf) for job in running}),
        starts_at=_times(now, starts_s),
        ends_at=_times(now, {"": last_s}).get(""),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A job that waits for a worker. Times are seconds from now; infinite: nobody knows."""

    number: int
    """In order."""
    job: str
    work_s: float
    rests_s: float
    """Until when it gets nothing; minus infinity for a job that runs, which needs no leave of its folder either."""
    lane: Allowance | None


class _Line:
    """The jobs that wait for a worker, and what the folders allow."""

    def __init__(self) -> None:
        self._groups: defaultdict[tuple[Allowance | None, str], deque[_Entry]] = defaultdict(deque)
        """Jobs that may begin at the same time: those of a folder that do not rest, and each that does."""
        self._ends_s: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        """When the jobs of a folder that were begun end, rising."""
        self._added = 0

    def __len__(self) -> int:
        return self._added

    def add(self, entry: _Entry) -> None:
        """Put a job behind the others."""
        self._groups[entry.lane, entry.job if entry.rests_s else ""].append(entry)
        self._added += 1

    def occupy(self, lane: Allowance | None, until_s: float) -> None:
        """Count a job that runs so long for its folder."""
        if lane is not None:
            insort(self._ends_s[lane.root, lane.folder], until_s)

    def deal(self, free_s: list[float]) -> Iterator[tuple[_Entry, float]]:
        """Yield jobs with when they begin, while there are places; `free_s` says when each place is free."""
        heapq.heapify(free_s)
        while self._groups:
            ready = [
                (max(free_s[0], self._ready_s(group[0])), group[0].number, key) for key, group in self._groups.items()
            ]
            start_s, _, key = min(ready)
            if start_s >= HORIZON_S:
                return
            entry = self._groups[key].popleft()
            if not self._groups[key]:
                del self._groups[key]
            self.occupy(entry.lane, start_s + entry.work_s)
            heapq.heapreplace(free_s, start_s + entry.work_s)
            yield entry, start_s

    def _ready_s(self, entry: _Entry) -> float:
        """Return when the job may begin."""
        if entry.lane is None or entry.rests_s < 0:
            return entry.rests_s
        if entry.lane.most < 1:
            return math.inf
        ends_s = self._ends_s[entry.lane.root, entry.lane.folder]
        return max(entry.rests_s, ends_s[-entry.lane.most]) if len(ends_s) >= entry.lane.most else entry.rests_s


def _free_s(busy_until_s: Sequence[float], places: int) -> list[float]:
    """Say of every place when it is free: while jobs wait none is idle, so the jobs in work share all of them."""
    if not busy_until_s:
        return [0.0] * places
    return [busy_until_s[number % len(busy_until_s)] for number in range(max(places, len(busy_until_s)))]


def _or_never(seconds: float | None) -> float:
    return math.inf if seconds is None else max(0.0, seconds)


def _times(now: datetime, seconds: Mapping[str, float]) -> dict[str, datetime]:
    return {job: now + timedelta(seconds=after_s) for job, after_s in seconds.items() if after_s < HORIZON_S}
