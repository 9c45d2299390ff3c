"""One film with sheet and report, and how they get under their names in one open folder, whole or not at all.

Order: report and sheet, sync of the folder, film (the commit), sync of the folder. After a kill between any two of
them, what is missing is added by the next run; what a foreign file prevents is taken back. A free name is taken by
the report, which names its job. Where a report of ours lies already, the sheet goes first: only the old report
proves that the old sheet is ours to replace.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import FaultError, ResourceError
from heygemd.filesystem import rename_no_replace
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.disk import Disk
from heygemd.outbox.report import stamped
from heygemd.outbox.standing import Mark, Rule, mark_at, standing_at

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""Nothing, a link or a socket has the film's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of a delivery."""

    film: Path
    """Where it lies, or was to lie."""
    sha256: str | None = None
    """Of the film that lies there now; None after a clash."""
    already: bool = False
    """An earlier run had published it; nothing was changed."""
    clash: str | None = None
    """Name of the foreign file in the way: nothing of ours is left there, another name must be chosen."""
    is_lost: bool = False
    """The published film that was to be given again is gone or changed: nothing was placed, look for it anew."""
    sheet_placed: bool = False
    """False when there was none to place, or a foreign file has its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is to lie under which names of one folder."""

    folder: Path
    """Only to tell people; the folder is reached through its descriptor."""
    film_name: str
    job_id: str
    id8: str
    sha256: str
    report_json: str
    sheet: bytes | None
    rule: Rule

    @property
    def report_name(self) -> str:
        """Final name of the report."""
        return names.report_name(self.film_name)

    @property
    def sheet_name(self) -> str:
        """Final name of the contact sheet."""
        return names.sheet_name(self.film_name)

    def part(self, companion: str = "") -> str:
        """Name of the film, or of a companion, while it is written."""
        return names.part_name(self.film_name, self.id8, companion)


def place(disk: Disk, fd: int, parcel: Parcel, film: Path) -> Delivered:
    """Copy and commit; whatever happens short of a kill, no `.part` of ours stays."""
    try:
        verdict = standing_at(fd, parcel.film_name).verdict(parcel.job_id, parcel.sha256, parcel.rule)
        if verdict in ("free", "replace"):
            _copy_checked(disk, fd, parcel, film)
        with disks.locked(fd):
            return _commit(disk, fd, parcel)
    finally:
        for companion in ("", names.REPORT_SUFFIX, names.SHEET_SUFFIX):
            with suppress(OSError):
                disks.remove(disk, fd, parcel.part(companion))


def _copy_checked(disk: Disk, fd: int, parcel: Parcel, film: Path) -> None:
    with _opened(film) as source_fd:
        disks.copy_new(disk, fd, parcel.part(), source_fd)
        if disks.sha256_of(fd, parcel.part()) == parcel.sha256:
            return
        os.lseek(source_fd, 0, os.SEEK_SET)
        with open(source_fd, "rb", closefd=False) as source:
            is_source_good = hashlib.file_digest(source, "sha256").hexdigest() == parcel.sha256
    if is_source_good:
        raise ResourceError("E202", f"the copy of {printable(parcel.film_name)} differs from the film")
    raise FaultError("E502", f"{printable(film.name)} is not the film any more that was verified")


def _commit(disk: Disk, fd: int, parcel: Parcel) -> Delivered:
    """Put report, sheet and film under their names, the film last, or nothing. The caller holds the folder's lock."""
    before = standing_at(fd, parcel.film_name)
    verdict = before.verdict(parcel.job_id, parcel.sha256, parcel.rule)
    if verdict == "done":
        disk.sync(fd)
        return Delivered(film=parcel.folder / parcel.film_name, sha256=before.film_sha256, already=True)
    if verdict == "taken":
        return _withdraw(disk, fd, parcel)
    replaces = (before.film_sha256 or None) if verdict == "replace" else None
    has_sheet = _may_put_sheet(fd, parcel, before.mark)
    try:
        if before.mark is None:
            _put_report(disk, fd, parcel, has_sheet=has_sheet, replaces=replaces)
        sheet_placed = has_sheet and _put_sheet(disk, fd, parcel, before.mark)
        if before.mark is not None:
            _put_report(disk, fd, parcel, has_sheet=sheet_placed, replaces=replaces)
        disk.sync(fd)
        if verdict == "replace":
            disk.rename(parcel.part(), fd, parcel.film_name, fd)
        else:
            rename_no_replace(parcel.part(), parcel.film_name, from_fd=fd, to_fd=fd, calls=disk)
    except FileExistsError:
        return _withdraw(disk, fd, parcel)
    except OSError:
        if verdict == "free":
            with suppress(OSError):
                _withdraw(disk, fd, parcel)
        raise
    disk.sync(fd)
    return Delivered(film=parcel.folder / parcel.film_name, sha256=parcel.sha256, sheet_placed=sheet_placed)


def _may_put_sheet(fd: int, parcel: Parcel, mark: Mark | None) -> bool:
    """Tell whether there is a sheet and its name is free or ours; a report of ours proves which sheet is ours."""
    if parcel.sheet is None:
        return False
    there = disks.sha256_of(fd, parcel.sheet_name)
    return there is None or there == _sha256(parcel.sheet) or _is_sheet_of(mark, there)


def _put_sheet(disk: Disk, fd: int, parcel: Parcel, mark: Mark | None) -> bool:
    """Put the sheet in place, over an older one of ours; False when a foreign file took the name just now."""
    there = disks.sha256_of(fd, parcel.sheet_name)
    if parcel.sheet is None or there == _sha256(parcel.sheet):
        return parcel.sheet is not None
    part = parcel.part(names.SHEET_SUFFIX)
    if _is_sheet_of(mark, there):
        disks.replace_with(disk, fd, parcel.sheet_name, part, parcel.sheet)
        return True
    disks.write_new(disk, fd, part, parcel.sheet)
    try:
        rename_no_replace(part, parcel.sheet_name, from_fd=fd, to_fd=fd, calls=disk)
    except FileExistsError:
        return False
    return True


def _is_sheet_of(mark: Mark | None, sha256: str | None) -> bool:
    return mark is not None and bool(sha256) and sha256 == mark.sheet_sha256


def _put_report(disk: Disk, fd: int, parcel: Parcel, *, has_sheet: bool, replaces: str | None) -> None:
    """Put the report in place; one of ours that lies there is replaced, anything else is a FileExistsError."""
    sheet_sha256 = _sha256(parcel.sheet) if parcel.sheet is not None and has_sheet else None
    text = stamped(parcel.report_json, sha256=parcel.sha256, sheet_sha256=sheet_sha256, replaces=replaces)
    part = parcel.part(names.REPORT_SUFFIX)
    disks.write_new(disk, fd, part, text.encode() + b"\n")
    try:
        rename_no_replace(part, parcel.report_name, from_fd=fd, to_fd=fd, calls=disk)
    except FileExistsError:
        mark = mark_at(fd, parcel.report_name)
        if mark is None or (mark.job != parcel.job_id and parcel.rule == "keep"):
            raise
        disk.rename(part, fd, parcel.report_name, fd)


def _withdraw(disk: Disk, fd: int, parcel: Parcel) -> Delivered:
    """Take back sheet and report when the film did not get its name; report the clash, or the film if it did."""
    standing = standing_at(fd, parcel.film_name)
    mine = standing.mark is not None and standing.mark.job == parcel.job_id
    if standing.verdict(parcel.job_id, parcel.sha256, "keep") == "done":
        # A rename over NFS may succeed and still be answered with EEXIST when the request was sent twice.
        disk.sync(fd)
        return Delivered(film=parcel.folder / parcel.film_name, sha256=standing.film_sha256, already=True)
    sheet = _sha256(parcel.sheet) if parcel.sheet is not None else None
    is_sheet_theirs = not mine and standing.mark is not None and standing.mark.sheet_sha256 == sheet
    if sheet is not None and not is_sheet_theirs and disks.sha256_of(fd, parcel.sheet_name) == sheet:
        disks.remove(disk, fd, parcel.sheet_name)
    if mine:
        disks.remove(disk, fd, parcel.report_name)
    disk.sync(fd)
    in_the_way = parcel.film_name if standing.film_sha256 is not None else parcel.report_name
    return Delivered(film=parcel.folder / parcel.film_name, clash=in_the_way)


@contextmanager
def _opened(film: Path) -> Iterator[int]:
    try:
        fd = os.open(film, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise FaultError("E502", f"{printable(film.name)} is gone from where it was verified") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FaultError("E502", f"{printable(film.name)} is no regular file any more")
        yield fd
    finally:
        os.close(fd)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
