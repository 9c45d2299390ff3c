"""All films of a batch in one ZIP beside them, for people who would rather fetch one file.

    outbox/…/.lines.<id8>.zip.part ─sync, read back, check─▶ lines.zip (the commit: a rename that replaces nothing)

Films are stored, not compressed: they are already. Its first member, `heygemd-batch.json`, names the batch, so a
repetition after a crash finds the ZIP; it also lists the films that people have taken away or changed meanwhile.
"""

import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import structlog
from typing_extensions import Buffer, override

from heygemd.errors import ResourceError
from heygemd.filesystem import rename_no_replace
from heygemd.jobs.batch import Batch
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.batchreport import output_path
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.publish import SHEET_MAX_BYTES
from heygemd.outbox.report import pretty
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.standing import REPORT_MAX_BYTES, read_mark

log = structlog.get_logger(__name__)

FORMAT = 1
"""Value of `heygemd_bundle`, the mark by which a ZIP of ours is told from any other."""
MARK_NAME = "heygemd-batch.json"
_MARK = re.compile(rb'\{\s*"heygemd_bundle": \d+,\s*"batch": "([^"\\]*)"')
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""PKWARE APPNOTE 4.3.7: signature, version, flags, method, time, date, CRC, sizes, lengths of name and extra field."""
_BUFFER_BYTES = 1 << 20
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""A ZIP knows no time before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFilm:
    """One published film."""

    row: int
    """Number of the row of the batch."""
    job: str
    path: str
    """Relative to the outbox."""
    sha256: str | None
    """None when it was not noted: then the report beside it tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission:
    """A film that is not in the ZIP."""

    row: int
    path: str
    why: str
    """`gone` or `changed`."""


def films_of(jobs: Mapping[int, Job]) -> tuple[BundleFilm, ...]:
    """Return the films of the rows that are done; `jobs` by row number."""
    found = ((row, jobs[row], output_path(jobs[row])) for row in sorted(jobs))
    return tuple(BundleFilm(row=row, job=job.id, path=path, sha256=job.film_sha256) for row, job, path in found if path)


def publish_bundle(root: Root, batch: Batch, films: tuple[BundleFilm, ...], *, disk: Disk = DISK) -> Path:
    """Pack films, reports and contact sheets under their paths in the outbox; returns where the ZIP lies.

    May be repeated after a crash at any point: a ZIP of this batch that lies there already is left as it is. A taken
    name makes it `<name>.v2.zip`. Raises ResourceError E201 or E202; no `.part` stays.
    """
    require_root(root)
    parts, stem = names.mirrored(batch.folder), names.film_stem(batch.name)
    part = names.part_name(stem + names.BUNDLE_SUFFIX, batch.id8, names.BUNDLE_SUFFIX)
    folder = root.outbox.joinpath(*parts)
    with disks.share_faults(root.outbox), disks.open_folder(root.outbox, *parts, make=disk) as fd:
        for name in disks.names_in(fd):
            if names.is_version_of(stem, name, names.BUNDLE_SUFFIX) and batch_of_bundle(fd, name) == batch.id:
                disk.sync(fd)
                return folder / name
        try:
            omitted = _pack_checked(disk, fd, part, root=root, batch=batch, films=films)
            with disks.locked(fd):
                name = _commit(disk, fd, part, stem)
        finally:
            with suppress(OSError):
                disks.remove(disk, fd, part)
    packed = len(films) - len(omitted)
    log.info("outbox.bundled", batch=batch.id, path=printable(str(folder / name)), films=packed, omitted=len(omitted))
    return folder / name


def batch_of_bundle(fd: int, name: str) -> str | None:
    """Read from its first member which batch a ZIP belongs to; None when there is none or it is foreign."""
    file_fd = disks.open_file(fd, name)
    if file_fd is None:
        return None
    with os.fdopen(file_fd, "rb") as file:
        data = file.read(_LOCAL_HEADER.size + 1024)
    if len(data) < _LOCAL_HEADER.size:
        return None
    signature, _, _, method, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data)
    if (signature, method) != (b"PK\x03\x04", zipfile.ZIP_STORED):
        return None
    body = data[_LOCAL_HEADER.size :]
    found = _MARK.match(body[name_bytes + extra_bytes :])
    return found[1].decode("ascii", "replace") if found and body[:name_bytes] == MARK_NAME.encode() else None


def _commit(disk: Disk, fd: int, part: str, stem: str) -> str:
    """Give the ZIP the first name that is free, also for people who ignore case."""
    for name in names.versions(stem, names.BUNDLE_SUFFIX):
        if names.key(name) in {names.key(there) for there in disks.names_in(fd)}:
            continue
        try:
            rename_no_replace(part, name, from_fd=fd, to_fd=fd, calls=disk)
        except FileExistsError:
            continue
        disk.sync(fd)
        return name
    raise AssertionError("versions have no end")


def _pack_checked(
    disk: Disk, fd: int, part: str, *, root: Root, batch: Batch, films: tuple[BundleFilm, ...]
) -> tuple[Omission, ...]:
    """Write and check the ZIP; once more without them when films went away or changed while they were packed."""
    omitted = {film.path: "gone" for film in films if not _is_there(root, film)}
    while True:
        told = tuple(
            Omission(row=film.row, path=film.path, why=omitted[film.path]) for film in films if film.path in omitted
        )
        disks.remove(disk, fd, part)
        zip_fd = disk.create(part, fd)
        try:
            there = [film for film in films if film.path not in omitted]
            spoiled = _pack(_Sink(disk, zip_fd), root, batch, there, told)
            if not spoiled:
                disk.sync(zip_fd)
                os.posix_fadvise(zip_fd, 0, 0, os.POSIX_FADV_DONTNEED)
                _check(zip_fd, batch)
                return told
        finally:
            os.close(zip_fd)
        omitted |= spoiled


def _pack(
    sink: "_Sink", root: Root, batch: Batch, films: list[BundleFilm], omitted: tuple[Omission, ...]
) -> dict[str, str]:
    """Write one ZIP; returns which films could not be packed as they were published: then it is worthless."""
    mark: dict[str, Any] = {
        "heygemd_bundle": FORMAT,
        "batch": batch.id,
        "name": batch.name,
        "films": [{"row": film.row, "job": film.job, "path": film.path} for film in films],
        "omitted": [{"row": film.row, "path": film.path, "why": film.why} for film in omitted],
    }
    spoiled: dict[str, str] = {}
    packed: set[str] = set()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(batch, MARK_NAME), pretty(mark))
        for film in films:
            if film.path in packed:
                continue  # rows with equal bytes share one film
            packed.add(film.path)
            why = _add(archive, root, batch, film)
            if why is not None:
                spoiled[film.path] = why
    return spoiled


def _add(archive: zipfile.ZipFile, root: Root, batch: Batch, film: BundleFilm) -> str | None:
    """Add a film with what lies beside it; returns why it is not the published one."""
    *above, name = names.mirrored(film.path)
    with disks.folder_if_there(root.outbox, *above) as fd:
        film_fd = disks.open_file(fd, name) if fd is not None else None
        if fd is None or film_fd is None:
            return "gone"
        try:
            sha256 = _add_film(archive, _entry(batch, film.path), film_fd)
        finally:
            os.close(film_fd)
        report = disks.read_at_most(fd, names.report_name(name), REPORT_MAX_BYTES)
        mark = read_mark(report) if report is not None else None
        if sha256 != (film.sha256 or (mark.sha256 if mark else None) or sha256):
            return "changed"
        if report is None or mark is None or mark.sha256 != sha256:
            return None
        archive.writestr(_entry(batch, names.report_name(film.path)), report)
        sheet = disks.read_at_most(fd, names.sheet_name(name), SHEET_MAX_BYTES)
        if sheet is not None and hashlib.sha256(sheet).hexdigest() == mark.sheet_sha256:
            archive.writestr(_entry(batch, "/".join((*above, names.sheet_name(name)))), sheet)
    return None


def _add_film(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, film_fd: int) -> str:
    """Store a film; returns the sha256 of what was stored."""
    left = entry.file_size = os.fstat(film_fd).st_size
    digest = hashlib.sha256()
    with archive.open(entry, "w") as target:
        while left and (data := os.read(film_fd, min(left, _BUFFER_BYTES))):
            target.write(data)
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()


def _check(zip_fd: int, batch: Batch) -> None:
    """Read the ZIP back, as somebody would who unpacks it."""
    os.lseek(zip_fd, 0, os.SEEK_SET)
    try:
        with os.fdopen(os.dup(zip_fd), "rb") as file, zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged is not None:
        raise ResourceError("E202", f"the ZIP of {printable(batch.name)} differs from what was written: {damaged}")


def _is_there(root: Root, film: BundleFilm) -> bool:
    parts = names.mirrored(film.path)
    if not parts or "/".join(parts) != film.path:
        return False  # not a path of ours: it must not become a name in the ZIP either
    *above, name = parts
    with disks.folder_if_there(root.outbox, *above) as fd:
        return fd is not None and disks.exists(fd, name)


def _entry(batch: Batch, path: str) -> zipfile.ZipInfo:
    moment = max(_OLDEST, batch.accepted_at.astimezone(UTC).timetuple()[:6])
    entry = zipfile.ZipInfo(path, moment)
    entry.external_attr = 0o644 << 16
    return entry


class _Sink(io.RawIOBase):
    """A file object whose writes are steps of a `Disk`; leaves the descriptor open."""

    def __init__(self, disk: Disk, fd: int) -> None:
        super().__init__()
        self._disk, self._fd = disk, fd

    @override
    def writable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return os.lseek(self._fd, offset, whence)

    @override
    def tell(self) -> int:
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    @override
    def write(self, data: Buffer, /) -> int:
        return self._disk.write(self._fd, bytes(data))
