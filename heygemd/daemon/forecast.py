"""When will a film be there? An estimate from what was measured lately; what is not known stays None. Pure.

The pace is seconds of work per second of film. Jobs that run now are the lanes; each waiting job starts in the lane
that is free first. Limits of single folders and jobs that are still to come are not foreseen.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class InWork:
    """A job that runs."""

    job: str
    film_s: float | None
    worked_s: float
    """Since it was taken up."""
    stage_left_s: float | None
    """Until the end of its present stage."""
    is_rendering: bool = False
    """The present stage is nearly all the work that is left."""
    is_leaving: bool = False
    """No worker has it any more: its film is being handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InQueue:
    """A job that waits."""

    job: str
    film_s: float | None
    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Only what can be said is in here."""

    ready_at: Mapping[str, datetime] = field(default_factory=dict)
    """By running job."""
    starts_at: Mapping[str, datetime] = field(default_factory=dict)
    """By waiting job."""
    ends_at: datetime | None = None
    """When the last of the queue is done."""


def pace_of(ended: Sequence[tuple[float, float]], rendering: Sequence[tuple[float, float]]) -> float | None:
    """Return seconds of work per second of film.

    `ended`: (seconds worked, seconds of film) of the latest films, all stages included; their median counts. When
    there are none, `rendering`: (frames a second of the film, frames a second made) of jobs in work.
    """
    paces = [worked_s / film_s for worked_s, film_s in ended if film_s > 0]
    if not paces:
        paces = [film_fps / made_fps for film_fps, made_fps in rendering if made_fps > 0]
    return median(paces) if paces else None


def forecast(now: datetime, running: Sequence[InWork], queue: Sequence[InQueue], pace: float | None) -> Forecast:
    """Estimate the end of every running job and the start of every waiting one, in the order given."""
    left_s = {job.job: _left_s(job, pace) for job in running}
    ready_at = {job: now + timedelta(seconds=left) for job, left in left_s.items() if left is not None}
    lanes = [left_s[job.job] for job in running if not job.is_leaving]
    free_at = [now + timedelta(seconds=left) for left in lanes if left is not None]
    if not free_at or len(free_at) < len(lanes):
        return Forecast(ready_at=ready_at)
    heapq.heapify(free_at)
    starts_at: dict[str, datetime] = {}
    for job in queue:
        start = max(free_at[0], job.not_before)
        starts_at[job.job] = start
        if pace is None or job.film_s is None:
            return Forecast(ready_at=ready_at, starts_at=starts_at)
        heapq.heapreplace(free_at, start + timedelta(seconds=job.film_s * pace))
    return Forecast(ready_at=ready_at, starts_at=starts_at, ends_at=max(free_at))


def _left_s(job: InWork, pace: float | None) -> float | None:
    """Return how long a running job still takes."""
    if job.is_leaving:
        return 0.0
    if job.is_rendering and job.stage_left_s is not None:
        return job.stage_left_s
    if pace is None or job.film_s is None:
        return None
    left_s = max(job.film_s * pace - job.worked_s, job.stage_left_s or 0.0)
    return left_s if left_s > 0 else None  # it takes longer than others did: nobody knows how much
