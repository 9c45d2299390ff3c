"""What becomes of a job's inputs when it ends: archived, deleted, or handed back with the reason.

Every move is one rename within the root, so a folder is in exactly one place, and every function may be repeated
after a crash. A claim folder that is missing although the root is there was moved already, or taken away by a person.
"""

import errno
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import structlog

from heygemd.filesystem import rename_no_replace
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.naming import job_folder, printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.names import film_stem, id8_of_part
from heygemd.outbox.reason import ENCODING
from heygemd.outbox.sentinel import require_root

log = structlog.get_logger(__name__)

REASON_NAME = "REASON.txt"
ERROR_NAME = "error.json"
_OURS = ("STATUS.txt", "CANCEL", REASON_NAME, ERROR_NAME)
"""May lie in a claim folder without being an input."""


def archive_inputs(
    job: Job, root: Root, policy: Literal["archive", "delete"], day: str, *, disk: Disk = DISK
) -> Path | None:
    """Move the claim folder of a finished job to `done/<day>/`, or delete its inputs; returns where it lies now.

    `day` is `YYYY-MM-DD`; after midnight a repetition with the new day finds nothing to do and returns None.
    Files that a person put beside the inputs are never deleted: the folder is archived then. Inputs that lie outside
    the claim folder (shared ones) stay. Raises ResourceError E201 or E202 and has changed nothing that matters.
    """
    if job.claim_dir is None:
        return None
    require_root(root)
    with disks.share_faults(job.claim_dir):
        if policy == "delete" and _delete_inputs(job, root, disk):
            log.info("outbox.inputs_deleted", job_id=job.id)
            return None
        place = _move_folder(job.claim_dir, root, ("done", day), disk)
    if place is not None:
        log.info("outbox.inputs_archived", job_id=job.id, path=printable(str(place)))
    return place


def fail_inputs(job: Job, root: Root, report_json: str, reason_text: str, *, disk: Disk = DISK) -> Path | None:
    """Move the claim folder of a failed job to `failed/`, with REASON.txt and error.json; returns where it lies now.

    Both are written, and on the disk, before the folder moves: nobody sees inputs in `failed/` without a reason. A
    job without a claim folder leaves a folder with the two files only. None: a person has taken the folder away.
    """
    require_root(root)
    told = {REASON_NAME: reason_text.encode(ENCODING), ERROR_NAME: report_json.encode() + b"\n"}
    claim = job.claim_dir
    with disks.share_faults(claim or root.failed):
        if claim is None:
            name = job_folder(film_stem(job.name), job.id8)
            place: Path | None = root.failed / name
            with disks.open_folder(root.path, "failed", name, make=disk, follow=True) as fd:
                _tell(disk, fd, told, job.id8)
        else:
            with suppress(FileNotFoundError), disks.open_folder(root.path, *_below(claim, root), follow=True) as fd:
                _tell(disk, fd, told, job.id8)
            place = _move_folder(claim, root, ("failed",), disk)
    if place is not None:
        log.info("outbox.inputs_failed", job_id=job.id, path=printable(str(place)), code=job.error_code)
    return place


def sweep_parts(outbox: Path, known_ids: frozenset[str], *, disk: Disk = DISK) -> int:
    """Remove the `.part` files that a crash left; returns how many. Call it before the first delivery.

    Only names that carry the id (whole, or its `id8`) of a known job are touched. Links are not followed.
    """
    short_ids = {id8_of(known) for known in known_ids}
    count = 0
    with disks.share_faults(outbox), disks.open_folder(outbox) as top_fd:
        for _, _, files, fd in os.fwalk(".", dir_fd=top_fd, onerror=_complain, follow_symlinks=False):
            for name in files:
                if id8_of_part(name) in short_ids:
                    disks.remove(disk, fd, name)
                    count += 1
    if count:
        log.info("outbox.parts_swept", path=printable(str(outbox)), count=count)
    return count


def _tell(disk: Disk, fd: int, told: dict[str, bytes], id8: str) -> None:
    for name, data in told.items():
        disks.replace_with(disk, fd, name, f".{name}.{id8}.part", data)
    disk.sync(fd)


def _move_folder(claim: Path, root: Root, to: tuple[str, ...], disk: Disk) -> Path | None:
    """Rename the claim folder into `to`; when it is gone already, return where it is found, or None."""
    place = root.path.joinpath(*to)
    *above, name = _below(claim, root)
    with ExitStack() as stack:
        from_fd = stack.enter_context(disks.open_folder(root.path, *above, follow=True))
        to_fd = stack.enter_context(disks.open_folder(root.path, *to, make=disk, follow=True))
        if not disks.exists(from_fd, name):
            disk.sync(to_fd)
            disk.sync(from_fd)
            return place / name if disks.exists(to_fd, name) else None
        new = _rename_free(disk, name, from_fd, to_fd)
        disk.sync(to_fd)
        disk.sync(from_fd)
    return place / new


def _rename_free(disk: Disk, name: str, from_fd: int, to_fd: int) -> str:
    """Rename; a folder of an earlier attempt that is still there keeps its name, and this one becomes `<name>.2`."""
    new, number = name, 1
    while True:
        try:
            rename_no_replace(name, new, from_fd=from_fd, to_fd=to_fd, calls=disk)
        except FileExistsError:
            number += 1
            new = f"{name}.{number}"
        else:
            return new


def _delete_inputs(job: Job, root: Root, disk: Disk) -> bool:
    """Delete the inputs in the claim folder, then the folder; False when it holds files that are not ours to delete."""
    claim = job.claim_dir
    if claim is None:
        return True
    *above, name = _below(claim, root)
    inputs = [file.path.name for file in (job.video, job.audio) if file.path.parent == claim]
    with disks.open_folder(root.path, *above, follow=True) as above_fd:
        try:
            with disks.open_folder(root.path, *above, name, follow=True) as fd:
                for file in (*inputs, *_OURS):
                    disks.remove(disk, fd, file)
            disk.remove_folder(name, above_fd)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        finally:
            disk.sync(above_fd)
    return True


def _below(claim: Path, root: Root) -> tuple[str, ...]:
    """Return the claim folder as steps below the root; raises ValueError when it lies elsewhere."""
    return claim.relative_to(root.path).parts


def _complain(error: OSError) -> None:
    """Raise, except for a sub-folder that vanished or is not ours to read: it holds no file of ours that matters."""
    if error.errno not in (errno.ENOENT, errno.EACCES):
        raise error
