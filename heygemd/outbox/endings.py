"""The folders of jobs and batches that have ended: which of them are over, and how they are deleted.

A folder counts only when its name has our form; in `failed/` its `error.json` must name the job too. One into which
somebody has put a file is never deleted.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import structlog

from heygemd.jobs.ids import id8_of
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import Disk
from heygemd.outbox.keepsakes import (
    Keepsake,
    date_of,
    delete_folder,
    files_in,
    id8_of_folder,
    inner_folder,
    is_junk,
    recall,
    remember,
)
from heygemd.outbox.originals import ERROR_NAME
from heygemd.outbox.standing import REPORT_MAX_BYTES

log = structlog.get_logger(__name__)

NOT_OURS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM})
"""A folder that vanished, is a link or a file, or is not for us to read."""
_FOREIGN_SHOWN = 5


class Endings:
    """What lies in `done/` and `failed/` of one root, by place (`done/2025-01-31/anna__abcdefgh`)."""

    def __init__(self, root: Root, keeps: Mapping[str, int], disk: Disk) -> None:
        self._root, self._keeps, self._disk = root, keeps, disk
        self._known = recall(root)
        self._found = dict(self._look())
        self.done = self.early = self.failed = self.freed_bytes = 0
        self.kept: list[str] = []

    def delete_what_is_over(self, today: date, days: Mapping[str, int]) -> None:
        """Delete every folder older than `days` says of `done` or `failed`; 0: for ever."""
        for place, kept in sorted(self._found.items()):
            most = self._keep_days(place, days)
            if most and (today - kept.since).days > most:
                self._delete(place)

    def make_room(self, low_water_bytes: int) -> None:
        """Delete the oldest of `done/` while less is free, but never more than what is missing.

        What is deleted may come back as free space late, or never (snapshots): so both sums are looked at.
        """
        aim_bytes = self.freed_bytes + low_water_bytes - free_bytes(self._root)
        for _, place in sorted((kept.since, place) for place, kept in self._found.items()):
            if self.freed_bytes >= aim_bytes or free_bytes(self._root) >= low_water_bytes:
                return
            is_pinned = any(self._keeps.get(key) == 0 for key in _keys(place))
            if place.startswith("done/") and not is_pinned:
                self.early += self._delete(place)

    def remember(self) -> None:
        """Note what lies there, for the next sweep."""
        if self._found != self._known:
            remember(self._root, self._found, self._disk)

    def _look(self) -> Iterator[tuple[str, Keepsake]]:
        for day in self._names("done"):
            since = date_of(day)
            for name in self._names("done", day) if since else ():
                if since and id8_of_folder(name):
                    yield from self._meet(f"done/{day}/{name}", since)
        for name in self._names("failed"):
            if (id8 := id8_of_folder(name)) is not None:
                yield from self._meet(f"failed/{name}", self._ended_on(name, id8))

    def _names(self, *parts: str) -> list[str]:
        with disks.folder_if_there(self._root.path.joinpath(parts[0]), *parts[1:]) as fd:
            return sorted(disks.names_in(fd)) if fd is not None else []

    def _meet(self, place: str, since: date | None) -> Iterator[tuple[str, Keepsake]]:
        """Yield what is known of a folder, or what is in it when it is met for the first time."""
        known = self._known.get(place)
        if known is not None and since in (known.since, None):
            yield place, known
        elif since is not None and (files := self._files(place)) is not None:
            yield place, Keepsake(since=since, files=files)

    def _files(self, place: str) -> frozenset[str] | None:
        """List a folder; empty when it holds too much to be a job's, so that it is never deleted."""
        with _unless_not_ours(), self._opened(place) as (above_fd, name), inner_folder(above_fd, name) as fd:
            return files_in(fd) or frozenset()
        return None

    def _ended_on(self, name: str, id8: str) -> date | None:
        """Read from `error.json` when a job has ended; None when it is not that job's."""
        with disks.folder_if_there(self._root.failed, name) as fd:
            data = disks.read_at_most(fd, ERROR_NAME, REPORT_MAX_BYTES) if fd is not None else None
        try:
            told = json.loads(data or b"")
            is_its = "heygemd_report" in told and id8_of(told["job"]) == id8
            return date_of(told["finished_at"][:10]) if is_its else None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _keep_days(self, place: str, days: Mapping[str, int]) -> int:
        for key in _keys(place):
            if key in self._keeps:
                return self._keeps[key]
        return days[place.partition("/")[0]]

    def _delete(self, place: str) -> bool:
        """Delete a folder unless it holds something that was not in it before; True when it is gone."""
        kept = self._found[place]
        with _unless_not_ours(), self._opened(place) as (above_fd, name):
            with inner_folder(above_fd, name) as fd:
                there = files_in(fd)
            foreign = sorted(path for path in there or () if path not in kept.files and not is_junk(path))
            if there is None or foreign:
                self._keep(place, foreign)
                return False
            try:
                self.freed_bytes += delete_folder(self._disk, above_fd, name, only=there, last=ERROR_NAME)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return False  # somebody put a file there just now: the next sweep sees it
            del self._found[place]
            self.done += place.startswith("done/")
            self.failed += place.startswith("failed/")
            return True
        return False

    def _keep(self, place: str, foreign: list[str]) -> None:
        kept = self._found[place]
        if not kept.is_told:
            shown = foreign[:_FOREIGN_SHOWN]
            log.warning("outbox.folder_kept", root=self._root.uuid, place=printable(place), files=shown)
        self._found[place] = replace(kept, is_told=True)
        if place not in self.kept:
            self.kept.append(place)

    @contextmanager
    def _opened(self, place: str) -> Iterator[tuple[int, str]]:
        *above, name = place.split("/")
        with disks.open_folder(self._root.path, *above, follow=True) as fd:
            yield fd, name


def free_bytes(root: Root) -> int:
    """Return how much we may still write."""
    found = os.statvfs(root.path)
    return found.f_bavail * found.f_frsize


@contextmanager
def _unless_not_ours() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise


def _keys(place: str) -> tuple[str, str]:
    """Return by what `keeps` may name a folder: its name without a number, and the short id."""
    name = place.rpartition("/")[2]
    id8 = id8_of_folder(name) or ""
    return name[: name.rindex(id8) + len(id8)], id8
