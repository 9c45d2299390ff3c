"""What lies in `done/` and `failed/` by our doing, remembered, so that a sweep deletes nothing that a person put there.

What is in a folder when a sweep first meets it was dropped with the job; what is added later is somebody's own. The
memory is `.heygemd/kept.json`. When it is lost, every folder is met for the first time again.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date

from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import Disk
from heygemd.outbox.report import pretty

MEMORY_NAME = "kept.json"
_PART_NAME = ".kept.json.part"
_MAX_BYTES = 256 << 20
MOST_FILES = 10_000
DEEPEST = 20
_FORM = re.compile(r".+__(?P<id8>[a-z2-7]{8})(\.[0-9]+| \([0-9]+\))?", re.DOTALL)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_JUNK = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepsake:
    """One folder of a job or of a batch that has ended."""

    since: date
    """When it ended: the day folder's name, or as `error.json` says."""
    files: frozenset[str]
    """Paths in it when it was first met."""
    is_told: bool = False
    """It was said already that it holds files of somebody."""


def id8_of_folder(name: str) -> str | None:
    """Return the short id in a folder name of ours, or None for any other name."""
    found = _FORM.fullmatch(name)
    return found["id8"] if found else None


def recall(root: Root) -> dict[str, Keepsake]:
    """Read the memory: place below the root → keepsake. What cannot be understood was never met."""
    with disks.open_folder(root.path, root.private.name, follow=True) as fd:
        data = disks.read_at_most(fd, MEMORY_NAME, _MAX_BYTES)
    found: dict[str, Keepsake] = {}
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        for place, told in json.loads(data or b"{}").items():
            since, files = date.fromisoformat(told["since"]), frozenset(map(str, told["files"]))
            found[place] = Keepsake(since=since, files=files, is_told=told["is_told"] is True)
    return found


def remember(root: Root, keepsakes: Mapping[str, Keepsake], disk: Disk) -> None:
    """Replace the memory."""
    plain = {
        place: {"since": str(kept.since), "files": sorted(kept.files), "is_told": kept.is_told}
        for place, kept in sorted(keepsakes.items())
    }
    with disks.open_folder(root.path, root.private.name, follow=True) as fd:
        try:
            disks.replace_with(disk, fd, MEMORY_NAME, _PART_NAME, pretty(plain).encode())
        finally:
            with suppress(OSError):
                disks.remove(disk, fd, _PART_NAME)


def files_in(fd: int) -> frozenset[str] | None:
    """List everything below an open folder that is no folder, by printable path; None when it is too much for a job.

    No link is followed.
    """
    found: set[str] = set()
    for path in _walk(fd, "", 0):
        if path is None or len(found) == MOST_FILES:
            return None
        found.add(printable(path))
    return frozenset(found)


def date_of(text: str) -> date | None:
    """Read `YYYY-MM-DD`; None for any other text."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def is_junk(path: str) -> bool:
    """Tell whether a file manager or a NAS leaves it wherever somebody looks."""
    *above, name = path.casefold().split("/")
    return name in _JUNK or name.startswith(("._", ".nfs")) or "@eadir" in above


def delete_folder(
    disk: Disk, above_fd: int, name: str, *, only: frozenset[str] | None = None, last: str = "", above: str = ""
) -> int:
    """Delete a folder with all it holds, or with the `only` files that `files_in` told; returns the bytes this frees.

    The file `last` goes last. Raises OSError ENOTEMPTY when it holds anything else.
    """
    freed_bytes = 0
    with inner_folder(above_fd, name) as fd:
        for inner in sorted(disks.names_in(fd), key=lambda inner: (inner == last, inner)):
            status = os.lstat(inner, dir_fd=fd)
            if stat.S_ISDIR(status.st_mode):
                freed_bytes += delete_folder(disk, fd, inner, only=only, above=f"{above}{inner}/")
            elif only is None or printable(above + inner) in only:
                disk.unlink(inner, fd)
                freed_bytes += status.st_blocks * 512 if status.st_nlink == 1 else 0
    disk.remove_folder(name, above_fd)
    return freed_bytes


@contextmanager
def inner_folder(above_fd: int, name: str) -> Iterator[int]:
    """Open a folder in an open folder; raises NotADirectoryError or OSError ELOOP on a link."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _walk(fd: int, above: str, depth: int) -> Iterator[str | None]:
    """Yield paths; None instead of what lies too deep."""
    if depth > DEEPEST:
        yield None
        return
    with os.scandir(fd) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in listed:
        if is_folder:
            with inner_folder(fd, name) as inner_fd:
                yield from _walk(inner_fd, f"{above}{name}/", depth + 1)
        else:
            yield above + name
