"""How long a job was worked on, read from the store's event log."""

from dataclasses import dataclass
from datetime import datetime

from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """When the first attempt began, and how long all attempts took together."""

    started_at: datetime | None
    wall_s: float
    """By the wall clock, for the attempts may lie in different runs of the daemon; one during which it was set back
    counts as nothing."""


def worked_on(store: JobStore, job_id: str, now: datetime) -> Worked:
    """Sum the times in which the job was running; the last one counts until `now` while it still is."""
    started: datetime | None = None
    since: datetime | None = None
    wall_s = 0.0
    for event in store.events_of(job_id):
        if since is not None:
            wall_s += max(0.0, (event.at - since).total_seconds())
            since = None
        if event.state is JobState.RUNNING:
            since = event.at
            started = started or event.at
    if since is not None:
        wall_s += max(0.0, (now - since).total_seconds())
    return Worked(started_at=started, wall_s=wall_s)
