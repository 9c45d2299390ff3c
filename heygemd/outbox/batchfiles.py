"""Where the two report files of a batch lie, and how they get there.

    status/manifests/<folder>/lines.report.json   while rows are open; replaced in one step
    outbox/<folder>/lines.report.json             once, when the last row has ended; `lines.v2.…` when that is taken

Beside each lies the CSV. Whose they are is read from the files: the first lines of the JSON name the batch, and so
does the last column of the CSV. Files of anybody else are never touched.
"""

import csv
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import structlog

from heygemd.filesystem import rename_no_replace
from heygemd.jobs.batch import Batch
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.batchreport import BatchReport, to_csv, to_json
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.sentinel import require_root

log = structlog.get_logger(__name__)

LIVE_PARTS = ("status", "manifests")
JSON_ENDING = ".report.json"
CSV_ENDING = ".report.csv"
CSV_ENCODING = "utf-8-sig"
_STEMS_KNOWN = 3
"""How many of its possible names a batch is looked for under; more are never taken unless somebody plays with us."""
_HEAD_BYTES = 64 << 10
"""Enough for the head of the JSON, and for the first row of the CSV."""
_HEAD = re.compile(
    r'\{\s*"heygemd_batch_report": \d+,\s*"batch": "(?P<batch>[^"\\]*)",\s*"complete": (?P<complete>true|false),'
    r'\s*"written_at": "(?P<written_at>[^"\\]*)",'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the first lines of a batch report say."""

    batch: str
    complete: bool
    written_at: str


def write_batch_reports(root: Root, batch: Batch, report: BatchReport, *, disk: Disk = DISK) -> None:
    """Replace the reports of an open batch in `status/manifests/`; readers see the old ones or the new ones.

    A batch takes over the names of an earlier one of its name that has ended; beside one that is still open, and
    beside foreign files, they are `<name>__<id8>.report.…`. Raises ResourceError E201 or E202; no `.part` stays.
    """
    require_root(root)
    parts = (*LIVE_PARTS, *names.mirrored(batch.folder))
    with (
        disks.share_faults(root.status),
        disks.open_folder(root.path, *parts, make=disk, follow=True) as fd,
        disks.locked(fd),
    ):
        stem = _live_stem(fd, batch)
        earlier = head_at(fd, stem + JSON_ENDING)
        ended = {earlier.batch} if earlier is not None and earlier.complete else set()
        _put_both(disk, fd, stem, batch, report, replaces={batch.id, *ended})


def publish_batch_reports(root: Root, batch: Batch, report: BatchReport, *, disk: Disk = DISK) -> Path:
    """Publish the final reports beside the results, once; returns where the JSON lies.

    The CSV goes first, the JSON is the commit: a repetition after a crash finds it by the batch's id and changes
    nothing. Raises ResourceError E201 or E202; no `.part` stays.
    """
    require_root(root)
    parts = names.mirrored(batch.folder)
    folder = root.outbox.joinpath(*parts)
    with (
        disks.share_faults(root.outbox),
        disks.open_folder(root.outbox, *parts, make=disk) as fd,
        disks.locked(fd),
    ):
        top = names.film_stem(batch.name)
        for name in disks.names_in(fd):
            if names.is_version_of(top, name, JSON_ENDING) and batch_of_json(fd, name) == batch.id:
                disk.sync(fd)
                return folder / name
        for stem in names.versions(top, ""):
            if not _is_free(fd, stem, batch):
                _withdraw_csv(disk, fd, stem, batch)
                continue
            try:
                _put_both(disk, fd, stem, batch, report, replaces={batch.id})
            except FileExistsError:
                _withdraw_csv(disk, fd, stem, batch)
                continue
            place = folder / (stem + JSON_ENDING)
            log.info("outbox.batch_reported", batch=batch.id, path=printable(str(place)), totals=report.totals)
            return place
    raise AssertionError("versions have no end")


def head_at(fd: int, name: str) -> Head | None:
    """Read the head of a batch report of ours; None when there is none or it is foreign."""
    file_fd = disks.open_file(fd, name)
    if file_fd is None:
        return None
    with os.fdopen(file_fd, "rb") as file:
        found = _HEAD.match(file.read(_HEAD_BYTES).decode("utf-8", "replace"))
    if found is None:
        return None
    return Head(batch=found["batch"], complete=found["complete"] == "true", written_at=found["written_at"])


def batch_of_json(fd: int, name: str) -> str | None:
    """Read which batch a JSON report belongs to; None when there is none or it is foreign."""
    head = head_at(fd, name)
    return head.batch if head is not None else None


def batch_of_csv(fd: int, name: str) -> str | None:
    """Read which batch a CSV report belongs to; None when there is none, it has no row, or it is foreign."""
    file_fd = disks.open_file(fd, name)
    if file_fd is None:
        return None
    with os.fdopen(file_fd, "rb") as file:
        lines = file.read(_HEAD_BYTES).decode(CSV_ENCODING, "replace").split("\r\n")
    with suppress(csv.Error):
        rows = list(csv.reader(lines[:2]))
        if len(rows) > 1 and rows[0][-1:] == ["batch"] and len(rows[1]) == len(rows[0]):
            return rows[1][-1]
    return None


def _live_stem(fd: int, batch: Batch) -> str:
    """Return the names' beginning: the one this batch has already, else the first that it may have."""
    for stem in islice(_live_stems(batch), _STEMS_KNOWN):
        if batch.id in (batch_of_json(fd, stem + JSON_ENDING), batch_of_csv(fd, stem + CSV_ENDING)):
            return stem
    return next(stem for stem in _live_stems(batch) if _may_take(fd, stem, batch))


def _live_stems(batch: Batch) -> Iterator[str]:
    stem = names.film_stem(batch.name)
    yield stem
    yield f"{stem}__{batch.id8}"
    for number in count(2):
        yield f"{stem}__{batch.id8}.{number}"


def _may_take(fd: int, stem: str, batch: Batch) -> bool:
    """Tell whether both names are free, ours, or of a batch that has ended."""
    head = head_at(fd, stem + JSON_ENDING)
    if head is None and disks.exists(fd, stem + JSON_ENDING):
        return False
    if head is not None and head.batch != batch.id and not head.complete:
        return False
    replaceable = {batch.id} if head is None else {batch.id, head.batch}
    return not disks.exists(fd, stem + CSV_ENDING) or batch_of_csv(fd, stem + CSV_ENDING) in replaceable


def _is_free(fd: int, stem: str, batch: Batch) -> bool:
    """Tell whether both names are free, for people who ignore case too; a CSV that a kill left is no hindrance."""
    taken = {names.key(name) for name in disks.names_in(fd)}
    is_csv_mine = batch_of_csv(fd, stem + CSV_ENDING) == batch.id
    return names.key(stem + JSON_ENDING) not in taken and (names.key(stem + CSV_ENDING) not in taken or is_csv_mine)


def _put_both(disk: Disk, fd: int, stem: str, batch: Batch, report: BatchReport, *, replaces: set[str]) -> None:
    """Put the CSV, then the JSON; those of the batches `replaces` are replaced, anything else a FileExistsError."""
    for ending, part_suffix, owner_of, data in (
        (CSV_ENDING, names.CSV_SUFFIX, batch_of_csv, to_csv(report).encode(CSV_ENCODING)),
        (JSON_ENDING, names.REPORT_SUFFIX, batch_of_json, to_json(report).encode() + b"\n"),
    ):
        if ending == CSV_ENDING and not report.rows:
            continue  # nothing in it could tell whose it is
        name = stem + ending
        part = names.part_name(name, batch.id8, part_suffix)
        try:
            disks.write_new(disk, fd, part, data)
            if owner_of(fd, name) in replaces:
                disk.rename(part, fd, name, fd)
            else:
                rename_no_replace(part, name, from_fd=fd, to_fd=fd, calls=disk)
        finally:
            with suppress(OSError):
                disks.remove(disk, fd, part)
        disk.sync(fd)


def _withdraw_csv(disk: Disk, fd: int, stem: str, batch: Batch) -> None:
    """Take our CSV back where somebody has taken the name of the JSON."""
    if batch_of_csv(fd, stem + CSV_ENDING) == batch.id:
        disks.remove(disk, fd, stem + CSV_ENDING)
        disk.sync(fd)
