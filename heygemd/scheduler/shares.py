"""Whose turn is it? Fair between roots and folders, and within a folder by when a job could be ready. Pure.

Between roots, and between the folders of a root, whoever was served least comes first (start-time fair queueing,
Goyal, Vin and Cheng 1996, with seconds of work as the currency); a step of priority is worth its seconds of service.
Within a folder the smallest turn comes first, which is when the film is due (`jobs/turns.py`): a film of a minute
passes one of four hours at the next segment, and films of equal length keep their order.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from heygemd.jobs.job import Job
from heygemd.scheduler.facts import Service, Share


class InLine(Protocol):
    """What the line must know of a job."""

    @property
    def job_id(self) -> str:
        """Decides between equals."""
        ...

    @property
    def share(self) -> Share:
        """Whose service it counts for."""
        ...

    @property
    def turn(self) -> float:
        """Its place within the folder, the smallest first."""
        ...

    @property
    def priority_s(self) -> float:
        """What its priority is worth between folders."""
        ...

    @property
    def task_s(self) -> float:
        """Service that one task of it is."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Queued:
    """A queued job in line. Compared by identity: the line looks it up among hundreds."""

    job: Job
    aging_s: float
    task_s: float

    @property
    def job_id(self) -> str:
        """Decides between equals."""
        return self.job.id

    @property
    def share(self) -> Share:
        """Its root and folder."""
        return Share(self.job.root, self.job.folder)

    @property
    def turn(self) -> float:
        """Its place within the folder."""
        return self.job.turn

    @property
    def priority_s(self) -> float:
        """What its priority is worth."""
        return self.job.priority * self.aging_s


Key = TypeVar("Key", str, Share)
J = TypeVar("J", bound=InLine)


def settle(service: Service, active: Collection[Share]) -> None:
    """Lift those that come back to the least served of those that were there all the time; forget who is even."""
    service.roots = _lifted(service.roots, {share.root for share in active}, {share.root for share in service.present})
    folders: dict[Share, float] = {}
    for root in {share.root for share in (*active, *service.folders)}:
        mine = {share: seconds for share, seconds in service.folders.items() if share.root == root}
        now = {share for share in active if share.root == root}
        folders |= _lifted(mine, now, {share for share in service.present if share.root == root})
    service.folders = folders
    service.present = frozenset(active)


def charge(service: Service, share: Share, seconds: float) -> None:
    """Count work that was given to a folder, and with it to its root; negative: less was needed than was thought."""
    service.roots[share.root] = max(0.0, service.roots.get(share.root, 0.0) + seconds)
    service.folders[share] = max(0.0, service.folders.get(share, 0.0) + seconds)


def in_turn(jobs: Iterable[J], service: Service) -> list[J]:
    """Order the jobs as they would be served one task after the other; `service` stays as it is."""
    line = Line(jobs, service)
    ordered = []
    while (job := line.next()) is not None:
        ordered.append(job)
        line.served(job)
        line.leave(job)
    return ordered


class Line(Generic[J]):
    """The jobs that wait, while work is handed out task by task."""

    def __init__(self, jobs: Iterable[J], service: Service) -> None:
        self._roots = dict(service.roots)
        self._folders = dict(service.folders)
        waiting: defaultdict[str, dict[Share, list[J]]] = defaultdict(dict)
        for job in jobs:
            waiting[job.share.root].setdefault(job.share, []).append(job)
        for folders in waiting.values():
            for mine in folders.values():
                mine.sort(key=lambda job: (job.turn, job.job_id), reverse=True)
        self._waiting = waiting
        """Jobs by root and folder, the first one last."""

    def next(self) -> J | None:
        """Return whose turn it is; it stays in the line."""
        heads = [self._head_of(root) for root in self._waiting]
        if not heads:
            return None
        return min(heads, key=lambda job: (self._score(self._roots, job.share.root, job), *_tie(job)))

    def soon_after(self, first: J, within_s: float) -> list[J]:
        """Return who comes after `first`, as they will come, while each is near to all whom it would pass."""
        rest = self._copy()
        if first in rest._waiting.get(first.share.root, {}).get(first.share, []):
            rest.leave(first)
        near: list[J] = []
        passed = [first]
        while (job := rest.next()) is not None and self.lag_s(job, first) <= within_s:
            if all(self.lag_s(job, other) <= within_s for other in passed):
                near.append(job)
            passed.append(job)
            rest.leave(job)
        return near

    def first_of(self, jobs: Iterable[J]) -> J | None:
        """Return whose turn it would be if only these were there."""
        return Line(jobs, Service(roots=self._roots, folders=self._folders)).next()

    def _copy(self) -> "Line[J]":
        copy: Line[J] = Line((), Service(roots=self._roots, folders=self._folders))
        for root, folders in self._waiting.items():
            copy._waiting[root] = {share: list(mine) for share, mine in folders.items()}
        return copy

    def lag_s(self, job: J, first: J) -> float:
        """Return by how many seconds of service, or of turn within a folder, `job` comes after `first`."""
        if job.share == first.share:
            return job.turn - first.turn
        if job.share.root == first.share.root:
            return self._score(self._folders, job.share, job) - self._score(self._folders, first.share, first)
        return self._score(self._roots, job.share.root, job) - self._score(self._roots, first.share.root, first)

    @staticmethod
    def _score(served: Mapping[Key, float], key: Key, job: J) -> float:
        return served.get(key, 0.0) - job.priority_s

    def served(self, job: J) -> None:
        """Count one task for the folder of this job."""
        self._roots[job.share.root] = self._roots.get(job.share.root, 0.0) + job.task_s
        self._folders[job.share] = self._folders.get(job.share, 0.0) + job.task_s

    def leave(self, job: J) -> None:
        """Take a job out of the line."""
        folders = self._waiting[job.share.root]
        folders[job.share].remove(job)
        if not folders[job.share]:
            del folders[job.share]
        if not folders:
            del self._waiting[job.share.root]

    def _head_of(self, root: str) -> J:
        heads = [mine[-1] for mine in self._waiting[root].values()]
        return min(heads, key=lambda job: (self._score(self._folders, job.share, job), *_tie(job)))


def _tie(job: InLine) -> tuple[float, str]:
    return job.turn, job.job_id


def _lifted(served: Mapping[Key, float], now: Collection[Key], before: Collection[Key]) -> dict[Key, float]:
    stayed = [served.get(key, 0.0) for key in now if key in before]
    if not stayed:
        return {}  # nobody was kept waiting meanwhile: all begin anew
    floor = min(stayed)
    lifted = {key: max(served.get(key, 0.0), 0.0 if key in before else floor) for key in now}
    owing = {key: seconds for key, seconds in served.items() if key not in lifted and seconds > floor}
    return lifted | owing
