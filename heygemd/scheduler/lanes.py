"""Lanes: folders whose `.heygemd.toml` says how many of their jobs may run at once; and the way past full ones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from heygemd.jobs.job import Job
from heygemd.jobs.store import JobStore
from heygemd.scheduler.facts import Share


class Lanes:
    """How many jobs of each lane run; made anew at each tick from the jobs that do."""

    def __init__(self, running: Iterable[Job]) -> None:
        self._busy: Counter[tuple[str, str]] = Counter()
        for job in running:
            self.enter(job)

    @classmethod
    def copy_of(cls, lanes: "Lanes") -> "Lanes":
        """Count on, without the other noticing."""
        copy = cls(())
        copy._busy.update(lanes._busy)
        return copy

    @property
    def busy(self) -> Mapping[tuple[str, str], int]:
        """Running jobs by lane, (root, folder), as the store asks for them."""
        return self._busy

    def has_room_for(self, job: Job) -> bool:
        """Tell whether the job may begin; `most` is what its folder said when it was claimed."""
        return job.lane is None or self._busy[job.root, job.lane.folder] < job.lane.most

    def enter(self, job: Job) -> None:
        """Count a job that runs, or will in a moment."""
        if job.lane is not None:
            self._busy[job.root, job.lane.folder] += 1


def glance(store: JobStore, lanes: Lanes, most: int, share: Share | None = None) -> Iterator[Job]:
    """Yield the first `most` queued jobs (of a folder) whose lane has room, while the caller lets jobs enter.

    However many jobs of a full lane stand in front, the store leaves them out; it is asked again only when a lane
    has filled up between two of its answers.
    """
    root, folder = share or (None, None)
    last: Job | None = None
    while most > 0:
        page = store.queue(most, root=root, folder=folder, busy=lanes.busy, after=last)
        is_end = len(page) < most
        for job in page:
            if lanes.has_room_for(job):
                most -= 1
                yield job
        if is_end:
            return
        last = page[-1]
