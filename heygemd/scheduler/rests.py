"""When a job may run. The store keeps times of day; made monotonic here, so that a jump of the clock is harmless."""

from collections.abc import Callable, Container
from datetime import datetime, timedelta

from heygemd.jobs.job import Job
from heygemd.scheduler import verdict


class Rests:
    """The time of day is looked at once for each `not_before` of a job."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._clock, self._wall = clock, wall
        self._due: dict[str, tuple[datetime, float]] = {}
        """`not_before` as first seen, and the monotonic time it stands for."""

    def due_s(self, job: Job) -> float:
        """Monotonic time from which the job may run."""
        seen = self._due.get(job.id)
        if seen is None or seen[0] != job.not_before:
            seen = self._due[job.id] = (job.not_before, self._clock() + self._left_s(job))
        return seen[1]

    def _left_s(self, job: Job) -> float:
        """How long a rest that was stored still lasts; never longer than any rest, whatever became of the clock."""
        if job.not_before <= job.queued_at:
            return 0.0
        return min(max(0.0, (job.not_before - self._wall()).total_seconds()), verdict.REST_LONGEST_S)

    def is_over(self, job: Job) -> bool:
        """Tell whether the job may run now."""
        return self.due_s(job) <= self._clock()

    def lay_down(self, job: Job, delay_s: float) -> datetime:
        """Let the job rest from now, whatever its `not_before` says; returns the `not_before` to be stored."""
        self._due[job.id] = (job.not_before, self._clock() + delay_s)
        return self._wall() + timedelta(seconds=delay_s)

    def follow(self, job: Job) -> None:
        """Keep the present rest for the job's new `not_before`."""
        if job.id in self._due:
            self._due[job.id] = (job.not_before, self._due[job.id][1])

    def forget(self, job_id: str) -> None:
        """Take the job for a new one from now on."""
        self._due.pop(job_id, None)

    def keep_only(self, job_ids: Container[str]) -> None:
        """Forget all others."""
        self._due = {job_id: due for job_id, due in self._due.items() if job_id in job_ids}
