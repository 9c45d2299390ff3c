"""What is deleted when its time is over: originals, inputs of failed jobs, old reports of batches, leftovers, caches.

    done/<day>/<x>__<id8>/   `done_days` after the day that the folder is named after; the oldest earlier on a full disk
    failed/<x>__<id8>/       `failed_days` after the end that its `error.json` tells
    status/manifests/        reports of batches that have ended, after `done_days`: their copies stay in the outbox

Nothing else is deleted: no folder of another name, nothing in the outbox, and no folder into which somebody has put a
file. No time stamp of the share is looked at: its clock may be wrong.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import structlog

from heygemd.jobs.ids import id8_of
from heygemd.jobs.roots import Root
from heygemd.outbox import batchfiles
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.endings import NOT_OURS, Endings, free_bytes
from heygemd.outbox.keepsakes import date_of, delete_folder, id8_of_folder, inner_folder, is_junk
from heygemd.outbox.originals import TMP_NAME, sweep_parts
from heygemd.outbox.sentinel import require_root

log = structlog.get_logger(__name__)

CACHE_FOLDERS = ("faces", "tracks", "stamps", "likeness", "speech")
_ENTRY = re.compile(r"[0-9a-f]+-(?P<maker>[A-Za-z0-9._+-]+?)(?:-[0-9a-f]{8})?\.npz")
"""What was looked at, what made it, in which version, and a digest of how (which older releases did not write)."""
_PART_OF_PROCESS = re.compile(r"(?P<entry>.+\.npz)\.(?P<pid>[0-9]+)\.part", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep has done."""

    done: int = 0
    """Folders of finished jobs and batches deleted, `early` of them before their time."""
    early: int = 0
    failed: int = 0
    reports: int = 0
    leftovers: int = 0
    freed_bytes: int = 0
    kept: tuple[str, ...] = ()
    """Folders whose time is over, but in which lies somebody's own file."""
    is_low: bool = False
    """There is still less free space than wanted."""


def sweep_root(
    root: Root,
    *,
    today: date,
    done_days: int,
    failed_days: int,
    keeps: Mapping[str, int],
    low_water_bytes: int,
    leftovers_of: Collection[str] | None = None,
    disk: Disk = DISK,
) -> Swept:
    """Delete what is over on one root; may be cut off and repeated at any point.

    Days count from the end of a job; 0: for ever. `keeps` says otherwise for single jobs, by folder name or `id8`;
    what is to be kept for ever there is not deleted on a full disk either. `leftovers_of`, ids of known jobs and
    batches, also sweeps what an earlier run has left half done: give it only before the first delivery. Raises
    ResourceError E201 or E202.
    """
    require_root(root)
    with disks.share_faults(root.path):
        leftovers = _sweep_leftovers(root, leftovers_of, disk) if leftovers_of else 0
        endings = Endings(root, keeps, disk)
        endings.delete_what_is_over(today, {"done": done_days, "failed": failed_days})
        endings.make_room(low_water_bytes)
        _remove_empty_days(root, today, disk)
        reports = _sweep_reports(root, today, done_days, disk) if done_days else 0
        endings.remember()  # last: on a full disk it works only now
        is_low = free_bytes(root) < low_water_bytes
    swept = Swept(
        done=endings.done, early=endings.early, failed=endings.failed, reports=reports, leftovers=leftovers,
        freed_bytes=endings.freed_bytes, kept=tuple(endings.kept), is_low=is_low,
    )  # fmt: skip
    if swept.done or swept.failed or swept.reports or swept.leftovers:
        log.info(
            "outbox.root_swept", root=root.uuid, done=swept.done, early=swept.early, failed=swept.failed,
            reports=swept.reports, leftovers=swept.leftovers, freed_bytes=swept.freed_bytes,
        )  # fmt: skip
    return swept


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSwept:
    """What one sweep of the cache has done."""

    deleted: int = 0
    """Entries; `old` of them by a version that is no longer used."""
    old: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One file of the cache."""

    path: Path
    kind: str
    """Entries of one kind are made by one version at a time."""
    maker: str
    used_ns: int
    size_bytes: int


def sweep_cache(cache_dir: Path, max_bytes: int) -> CacheSwept:
    """Delete entries until the rest fits into `max_bytes`: of former versions first, then the least recently used.

    Safe at any time: who reads one goes on reading, who misses one makes it again, and jobs have names of their own
    for what they need. Unfinished files of processes that are gone go too; nothing of any other name, and no link is
    followed. Raises ResourceError E201 or E202.
    """
    with disks.share_faults(cache_dir):
        entries = _cache_entries(cache_dir)
        latest: dict[str, str] = {}
        for entry in sorted(entries, key=lambda entry: entry.used_ns):
            latest[entry.kind] = entry.maker
        entries.sort(key=lambda entry: (entry.maker == latest[entry.kind], entry.used_ns))
        kept_bytes = sum(entry.size_bytes for entry in entries)
        deleted = old = 0
        for entry in entries:
            if kept_bytes <= max_bytes:
                break
            entry.path.unlink(missing_ok=True)
            kept_bytes -= entry.size_bytes
            deleted += 1
            old += entry.maker != latest[entry.kind]
    if deleted:
        log.info("outbox.cache_swept", path=str(cache_dir), count=deleted, old=old, kept_bytes=kept_bytes)
    return CacheSwept(deleted=deleted, old=old, kept_bytes=kept_bytes)


def _cache_entries(cache_dir: Path) -> list[_Entry]:
    """Look at every entry; on the way, remove what processes that are gone have left unfinished."""
    found, now_ns = [], time.time_ns()
    for folder in CACHE_FOLDERS:
        if (cache_dir / folder).is_symlink():
            continue
        for path in (cache_dir / folder).glob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            named = _ENTRY.fullmatch(path.name)
            if not stat.S_ISREG(status.st_mode):
                continue
            if named is None:
                if _is_orphaned(path.name):
                    path.unlink(missing_ok=True)
                continue
            # Each engine hears in a version of its own. Reading a file does not count as its use: a backup does that.
            kind = named["maker"].partition("-")[0] if folder == "speech" else folder
            # Used in the future: the clock was wrong, and nothing is known.
            used_ns = status.st_mtime_ns if status.st_mtime_ns <= now_ns else 0
            found.append(_Entry(path=path, kind=kind, maker=named["maker"], used_ns=used_ns, size_bytes=status.st_size))
    return found


def _remove_empty_days(root: Root, today: date, disk: Disk) -> None:
    """Remove day folders that hold nothing but what a file manager leaves; today's may be filled right now."""
    with disks.open_folder(root.path, "done", follow=True) as done_fd:
        for day in disks.names_in(done_fd):
            since = date_of(day)
            if since is None or (today - since).days <= 1:
                continue
            try:
                with inner_folder(done_fd, day) as fd:
                    names = disks.names_in(fd)
                    for name in names if all(map(is_junk, names)) else ():
                        disk.unlink(name, fd)
                disk.remove_folder(day, done_fd)
            except OSError as error:
                if error.errno not in NOT_OURS | {errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR}:
                    raise


def _sweep_reports(root: Root, today: date, days: int, disk: Disk) -> int:
    """Delete reports in `status/manifests/` of batches that ended more than `days` ago, and the folders it empties."""
    swept = 0
    emptied: set[str] = set()
    with disks.folder_if_there(root.path, *batchfiles.LIVE_PARTS) as top_fd:
        if top_fd is None:
            return 0
        for place, folders, names, fd in os.fwalk(".", topdown=False, dir_fd=top_fd, follow_symlinks=False):
            for folder in (folder for folder in folders if f"{place}/{folder}" in emptied):
                with suppress(OSError):  # something else lies there, or has just come
                    disk.remove_folder(folder, fd)
                    emptied.add(place)
            for name in (name for name in names if name.endswith(batchfiles.JSON_ENDING)):
                head = batchfiles.head_at(fd, name)
                ended = date_of(head.written_at[:10]) if head is not None and head.complete else None
                if head is None or ended is None or (today - ended).days <= days:
                    continue
                table = name.removesuffix(batchfiles.JSON_ENDING) + batchfiles.CSV_ENDING
                if batchfiles.batch_of_csv(fd, table) == head.batch:
                    disks.remove(disk, fd, table)
                disks.remove(disk, fd, name)
                emptied.add(place)
                swept += 1
    return swept


def _sweep_leftovers(root: Root, known_ids: Collection[str], disk: Disk) -> int:
    """Remove what a crash has left: unfinished files, and folders in `.heygemd/tmp/`, of known jobs and batches."""
    short_ids = {id8_of(known) for known in known_ids}
    swept = sweep_parts(root.outbox, known_ids, disk=disk) + sweep_parts(root.status, known_ids, disk=disk)
    with disks.folder_if_there(root.path, root.private.name, TMP_NAME) as fd:
        for name in disks.names_in(fd) if fd is not None else ():
            if fd is not None and id8_of_folder(name) in short_ids:
                delete_folder(disk, fd, name)
                swept += 1
    return swept


def _is_orphaned(name: str) -> bool:
    """Tell whether an unfinished cache file belongs to a process that is gone."""
    found = _PART_OF_PROCESS.fullmatch(name)
    if found is None or _ENTRY.fullmatch(found["entry"]) is None:
        return False
    return not Path(f"/proc/{found['pid']}").exists()
