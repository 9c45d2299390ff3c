"""The queue as far as it must be seen now: the jobs that are next, fair between roots and folders."""

from collections.abc import Callable, Iterator

from heygemd.jobs.job import Job
from heygemd.jobs.store import JobStore
from heygemd.scheduler.facts import Service, Share
from heygemd.scheduler.lanes import Lanes, glance
from heygemd.scheduler.shares import Line, Queued

FOLDERS_SEEN = 200
"""Folders whose first jobs are looked at; beyond that, those that were served least."""
TYPICAL_TASK_S = 30.0
"""Service that is counted for a job while others are chosen beside it."""


def next_in_turn(  # noqa: PLR0917  # everything the order depends on
    store: JobStore, lanes: Lanes, service: Service, is_ready: Callable[[Job], bool], most: int, aging_s: float
) -> Iterator[Job]:
    """Yield the next `most` queued jobs that are ready and whose lane has room, while the caller lets jobs enter.

    `is_ready`: it may begin now (it does not rest). Jobs behind the first `most` of a folder are not looked at while
    those wait.
    """
    shares = [Share(root, folder) for root, folder in store.waiting_folders()]
    if len(shares) > FOLDERS_SEEN:
        shares.sort(key=lambda share: (service.roots.get(share.root, 0.0), service.folders.get(share, 0.0)))
        shares = shares[:FOLDERS_SEEN]
    heads = [
        Queued(job, aging_s, TYPICAL_TASK_S)
        for share in shares
        for job in glance(store, Lanes.copy_of(lanes), most, share)
        if is_ready(job)
    ]
    line = Line(heads, service)
    while most > 0 and (head := line.next()) is not None:
        line.leave(head)
        if lanes.has_room_for(head.job):
            line.served(head)
            most -= 1
            yield head.job
