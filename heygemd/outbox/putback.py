"""Puts the folder of a failed or cancelled job back into the inbox: what a person would do by hand."""

from collections.abc import Iterator

import structlog

from heygemd.filesystem import rename_no_replace
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.keepsakes import id8_of_folder
from heygemd.outbox.originals import ERROR_NAME
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.standing import mark_in

log = structlog.get_logger(__name__)


def put_back_inputs(job: Job, root: Root, *, disk: Disk = DISK) -> str | None:
    """Move the job's folder from `failed/` to its place in the inbox; returns its path below the root.

    None: there is no such folder (retention has deleted it, or a person has taken it), or something else has its name
    there. One rename, which replaces nothing; a repetition after a crash finds the folder in the inbox, if it has not
    been taken up yet. Raises ResourceError E201 or E202.
    """
    require_root(root)
    inbox = (root.inbox.name, *filter(None, job.folder.split("/")))
    with disks.share_faults(root.failed), disks.open_folder(root.path, root.failed.name, follow=True) as failed_fd:
        name = _newest_of(failed_fd, job)
        if name is None:
            return _already_back(job, root, inbox)
        with disks.open_folder(root.path, *inbox, make=disk, follow=True) as inbox_fd:
            try:
                rename_no_replace(name, name, from_fd=failed_fd, to_fd=inbox_fd, calls=disk)
            except FileExistsError:
                return _already_back(job, root, inbox)
            disk.sync(inbox_fd)
        disk.sync(failed_fd)
    place = "/".join((*inbox, name))
    log.info("outbox.inputs_put_back", job_id=job.id, path=printable(place))
    return place


def _already_back(job: Job, root: Root, inbox: tuple[str, ...]) -> str | None:
    with disks.folder_if_there(root.path, *inbox) as fd:
        name = None if fd is None else _newest_of(fd, job)
    return None if name is None else "/".join((*inbox, name))


def _newest_of(folder_fd: int, job: Job) -> str | None:
    """Return the folder whose `error.json` names the job; of several the one with the largest number.

    A job that was put back before lies under the id of its later claim: then every folder is asked.
    """
    ours = [name for name in disks.names_in(folder_fd) if id8_of_folder(name) is not None]
    likely = [name for name in ours if id8_of_folder(name) == id8_of(job.id)]
    found = list(_named(folder_fd, likely, job.id)) or list(_named(folder_fd, ours, job.id))
    return max(found, key=lambda name: (len(name), name), default=None)


def _named(folder_fd: int, names: list[str], job_id: str) -> Iterator[str]:
    for name in names:
        mark = mark_in(folder_fd, name, ERROR_NAME)
        if mark is not None and mark.job == job_id:
            yield name
