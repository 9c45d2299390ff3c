"""Copies of inputs that several jobs need: a job that failed hands them back with its own.

They lie in `.heygemd/shared/` and stay there. A hard link would let somebody who opens the copy for writing change
what other jobs still need, so it is a clone that shares blocks where the file system can, else a copy.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import PurePosixPath

import structlog

from heygemd.errors import ResourceError
from heygemd.filesystem import rename_no_replace
from heygemd.jobs.job import InputFile, Job
from heygemd.jobs.roots import Root
from heygemd.naming import NAME_MAX_BYTES, cut, printable
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.disk import Disk

log = structlog.get_logger(__name__)


def bring_shared(disk: Disk, fd: int, job: Job, root: Root) -> None:
    """Put copies of the job's shared inputs into the open folder, under the names that the user gave them.

    A taken name is numbered; a copy that lies there already is not made again; a shared input that is gone or damaged
    is left out. The folder is not synced. No `.part` is left, whatever happens short of a kill.
    """
    for file in job.inputs:
        if file.path.parent != root.shared:
            continue
        part = names.part_name(_plain(file.name), job.id8)
        try:
            is_there = _bring(disk, fd, file, part, root)
        finally:
            with suppress(OSError):
                disks.remove(disk, fd, part)
        if not is_there:
            log.warning("outbox.shared_missing", job_id=job.id, name=printable(file.name))


def _bring(disk: Disk, fd: int, file: InputFile, part: str, root: Root) -> bool:
    """Tell whether the file lies in the open folder now."""
    if _is_there(fd, file):
        return True
    with disks.open_folder(root.path, *root.shared.relative_to(root.path).parts, follow=True) as shared_fd:
        source_fd = disks.open_file(shared_fd, file.path.name)
        if source_fd is None:
            return False
        try:
            disks.copy_new(disk, fd, part, source_fd)
        finally:
            os.close(source_fd)
        if file.sha256 and disks.sha256_of(fd, part) != file.sha256:
            if disks.sha256_of(shared_fd, file.path.name) == file.sha256:
                raise ResourceError("E202", f"the copy of {printable(file.name)} differs from it")
            return False
    for name in _numbered(_plain(file.name)):
        try:
            rename_no_replace(part, name, from_fd=fd, to_fd=fd, calls=disk)
        except FileExistsError:
            continue
        return True
    return False


def _is_there(fd: int, file: InputFile) -> bool:
    """Tell whether an earlier run has brought it."""
    for name in _numbered(_plain(file.name)):
        there = disks.sha256_of(fd, name)
        if not there:
            return False
        if there == file.sha256:
            return True
    return False


def _plain(name: str) -> str:
    """Return the last part of what a manifest may have written as a path."""
    plain = PurePosixPath(name).name
    return plain if plain not in ("", "..") else "input"


def _numbered(name: str) -> Iterator[str]:
    """Yield `a.mp4`, `a (1).mp4`, `a (2).mp4` and so on, each cut to fit."""
    yield name
    stem, dot, suffix = name.rpartition(".")
    stem, ending = (stem, dot + suffix) if stem else (name, "")
    for number in count(1):
        tail = f" ({number}){ending}"
        yield cut(stem, NAME_MAX_BYTES - len(os.fsencode(tail))) + tail
