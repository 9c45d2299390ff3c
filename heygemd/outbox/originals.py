"""What becomes of a job's inputs when it ends: archived, deleted, or handed back with the reason.

Every move is one rename within the root, so a folder is in exactly one place, and every function may be repeated
after a crash. A claim folder that is missing although the root is there was moved already, or taken away by a person.
Inputs in `.heygemd/shared/` belong to several jobs and stay; a job that failed hands back copies of them.
"""

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Literal

import structlog

from heygemd.filesystem import rename_no_replace
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.naming import NAME_MAX_BYTES, cut, job_folder, printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.names import film_stem, id8_of_part
from heygemd.outbox.note import remove_notes
from heygemd.outbox.reason import ENCODING
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.shared import bring_shared
from heygemd.outbox.standing import mark_in

log = structlog.get_logger(__name__)

REASON_NAME = "REASON.txt"
ERROR_NAME = "error.json"
TMP_NAME = "tmp"
"""Of the folder in `.heygemd/` where things are made that move to their place by one rename."""


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
        with suppress(FileNotFoundError), disks.open_folder(root.path, *_below(job.claim_dir, root), follow=True) as fd:
            remove_notes(disk, fd)
        place = _move_folder(job.claim_dir, root, ("done", day), disk)
    if place is not None:
        log.info("outbox.inputs_archived", job_id=job.id, path=printable(str(place)))
    return place


def fail_inputs(job: Job, root: Root, report_json: str, reason_text: str, *, disk: Disk = DISK) -> Path | None:
    """Move the claim folder of a failed or cancelled job to `failed/`; returns where it lies now.

    Copies of its shared inputs, REASON.txt and error.json are in it, and on the disk, before the folder moves: nobody
    sees inputs in `failed/` without a reason, and the folder can be put back into the inbox as it is. A job without a
    claim folder gets a folder of its own. None: a person has taken the folder away. Raises ResourceError E201 or
    E202; no `.part` is left then.
    """
    require_root(root)
    told = {REASON_NAME: reason_text.encode(ENCODING), ERROR_NAME: report_json.encode() + b"\n"}
    claim = job.claim_dir
    with disks.share_faults(claim or root.failed):
        place = _fail_claimless(job, root, told, disk) if claim is None else _fail_claim(job, claim, root, told, disk)
    if place is not None:
        log.info("outbox.inputs_failed", job_id=job.id, path=printable(str(place)), error_code=job.error_code)
    return place


def sweep_parts(top: Path, known_ids: Collection[str], *, disk: Disk = DISK) -> int:
    """Remove the `.part` files that a crash left below `top`; returns how many. Call it before the first delivery.

    Only names that carry the id (whole, or its `id8`) of a known job or batch are touched. Links are not followed.
    """
    short_ids = {id8_of(known) for known in known_ids}
    swept = 0
    with disks.share_faults(top), disks.open_folder(top) as top_fd:
        for _, _, files, fd in os.fwalk(".", dir_fd=top_fd, onerror=_complain, follow_symlinks=False):
            for name in files:
                if id8_of_part(name) in short_ids:
                    disks.remove(disk, fd, name)
                    swept += 1
    if swept:
        log.info("outbox.parts_swept", path=printable(str(top)), count=swept)
    return swept


def _fail_claim(job: Job, claim: Path, root: Root, told: dict[str, bytes], disk: Disk) -> Path | None:
    with ExitStack() as stack:
        try:
            fd = stack.enter_context(disks.open_folder(root.path, *_below(claim, root), follow=True))
        except FileNotFoundError:
            pass  # moved by an earlier run, or taken away
        else:
            _fill(disk, fd, job, root, told)
    return _move_folder(claim, root, ("failed",), disk)


def _fail_claimless(job: Job, root: Root, told: dict[str, bytes], disk: Disk) -> Path | None:
    """Make the folder out of sight and move it; one of this job that lies in `failed/` already is told anew."""
    name = job_folder(film_stem(job.name), job.id8)
    with disks.open_folder(root.path, root.failed.name, make=disk, follow=True) as failed_fd:
        earlier = _folder_of(failed_fd, name, job.id)
    if earlier is not None:
        with disks.open_folder(root.path, root.failed.name, earlier, follow=True) as fd:
            _fill(disk, fd, job, root, told)
        return root.failed / earlier
    making = (*_below(root.private, root), TMP_NAME, name)
    with disks.open_folder(root.path, *making, make=disk, follow=True) as fd:
        _fill(disk, fd, job, root, told)
    return _move_folder(root.path.joinpath(*making), root, (root.failed.name,), disk)


def _folder_of(failed_fd: int, name: str, job_id: str) -> str | None:
    """Return the folder `name`, or `name` with a number, whose `error.json` names the job."""
    for folder in _with_numbers(name):
        if not disks.exists(failed_fd, folder):
            return None
        mark = mark_in(failed_fd, folder, ERROR_NAME)
        if mark is not None and mark.job == job_id:
            return folder
    return None


def _fill(disk: Disk, fd: int, job: Job, root: Root, told: dict[str, bytes]) -> None:
    """Complete a folder that is to be handed back. `error.json` comes last: by it the folder is known as ours."""
    bring_shared(disk, fd, job, root)
    remove_notes(disk, fd)
    for name, data in told.items():
        part = f".{name}.{job.id8}.part"
        try:
            disks.replace_with(disk, fd, name, part, data)
        finally:
            with suppress(OSError):
                disks.remove(disk, fd, part)
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
    for new in _with_numbers(name):
        try:
            rename_no_replace(name, new, from_fd=from_fd, to_fd=to_fd, calls=disk)
        except FileExistsError:
            continue
        return new
    raise AssertionError("numbers have no end")


def _with_numbers(name: str) -> Iterator[str]:
    """Yield `<x>__<id8>`, `<x>__<id8>.2` and so on, each cut to fit."""
    yield name
    stem, mark, id8 = name.rpartition("__")
    for number in count(2):
        tail = f"{mark}{id8}.{number}"
        yield cut(stem, NAME_MAX_BYTES - len(os.fsencode(tail))) + tail


def _delete_inputs(job: Job, root: Root, disk: Disk) -> bool:
    """Delete the inputs in the claim folder, then the folder; False when it holds files that are not ours to delete."""
    claim = job.claim_dir
    if claim is None:
        return True
    *above, name = _below(claim, root)
    inputs = [file.path.name for file in job.inputs if file.path.parent == claim]
    with disks.open_folder(root.path, *above, follow=True) as above_fd:
        try:
            with disks.open_folder(root.path, *above, name, follow=True) as fd:
                remove_notes(disk, fd)
                for file in (*inputs, REASON_NAME, ERROR_NAME):
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


def _below(folder: Path, root: Root) -> tuple[str, ...]:
    """Return a folder as steps below the root; raises ValueError when it lies elsewhere."""
    return folder.relative_to(root.path).parts


def _complain(error: OSError) -> None:
    """Raise, except for a sub-folder that vanished or is not ours to read: it holds no file of ours that matters."""
    if error.errno not in (errno.ENOENT, errno.EACCES):
        raise error
