"""Hand a finished film over, whole or not at all, and once.

    work/…/film.mp4 ─copy─▶ outbox/…/.anna.<id8>.part ─sync, check sha256─┐
                                                                          ▼
    anna.jpg ─▶ anna.mp4.json ─▶ sync folder ─▶ anna.mp4 (the commit: a rename that replaces nothing) ─▶ sync folder

Every step may be the last before a power cut; running `deliver` again then ends in the same state. What belongs to
whom is read from the folder alone: the report beside a film names its job, the film's sha256 and the sheet's.
A film without such a report is foreign and never touched, nor is a film whose bytes are not those its report names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from heygemd.errors import FaultError, InputError, SetupError
from heygemd.jobs.ids import id8_of
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.outbox import names
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.parcel import Delivered, Parcel, place
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.standing import Standing, read_mark, standing_at

log = structlog.get_logger(__name__)

ClashPolicy = Literal["version", "replace", "fail"]
"""What to do when a film of the name exists; `replace` replaces films of heygemd only, never foreign files."""

SHEET_MAX_BYTES = 64 << 20
"""A larger picture is no contact sheet of ours."""
NAME_TAKEN_CODE = "E106"
"""Of the policy `fail` and of a film that must not be overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One finished film and where it goes; crosses the border to a child process."""

    job_id: str
    id8: str
    film: Path
    """In the local work directory, or with `is_again` in an outbox; stays there."""
    sheet: Path | None
    report_json: str
    outbox: Path
    folder: str
    """Sub-folder of the inbox, mirrored in the outbox; `` for the top."""
    file_name: str
    """As `choose_name` gave it, stored before the delivery begins."""
    policy: ClashPolicy
    sha256: str
    is_again: bool = False
    """The film is a published one that lies on the share: people may have taken it away meanwhile."""
    root: Root | None = None
    """When given, the sentinel is looked at first: nothing is written to another share mounted there."""


def choose_name(  # noqa: PLR0917  # crosses to a child by position
    outbox: Path, folder: str, stem: str, policy: ClashPolicy, job_id: str, root: Root | None = None
) -> str:
    """Return the file name for a film: the one this job has already, else the first that `policy` lets it have.

    A name is free when film, report and sheet are, also for people and systems that ignore case. The mirrored
    folder is made; with `root` the sentinel is looked at first, as in a `Delivery`. Raises ResourceError E201 or E202,
    and InputError when the name is taken and the policy is `fail`.
    """
    if root is not None:
        require_root(root)
    stem = names.film_stem(stem)
    with disks.share_faults(outbox), disks.open_folder(outbox, *names.mirrored(folder), make=DISK) as fd:
        present = disks.names_in(fd)
        films = (name.removesuffix(names.REPORT_SUFFIX) for name in present if name.endswith(names.REPORT_SUFFIX))
        for film in films:
            if names.is_version_of(stem, film) and _is_mine(standing_at(fd, film), job_id):
                return film
        taken = frozenset(names.key(name) for name in present)
        return next(film for film in names.versions(stem) if _may_have(fd, film, taken, policy, job_id))


def _may_have(fd: int, film: str, taken: frozenset[str], policy: ClashPolicy, job_id: str) -> bool:
    companions = (film, names.report_name(film), names.sheet_name(film))
    in_the_way = [name for name in companions if names.key(name) in taken]
    if in_the_way and policy == "fail":
        raise InputError(NAME_TAKEN_CODE, f"{printable(in_the_way[0])} is in the outbox already")
    if in_the_way and policy == "replace":
        standing = standing_at(fd, film)
        return standing.mark is not None and standing.verdict(job_id, "", "replace_ours") in ("free", "replace")
    return not in_the_way


def deliver(delivery: Delivery, disk: Disk = DISK) -> Delivered:
    """Publish one film with sheet and report; may be repeated after a crash at any point.

    Raises ResourceError E201 (share gone) or E202 (full, read-only, a link among the folders, a copy that differs),
    FaultError E502 when the film in the work directory is not the one that was verified (a published film that is
    not the same any more is `is_lost`). No `.part` is left then.
    """
    if delivery.root is not None:
        require_root(delivery.root)
    parts = names.mirrored(delivery.folder)
    parcel = Parcel(
        folder=delivery.outbox.joinpath(*parts),
        film_name=delivery.file_name,
        job_id=delivery.job_id,
        id8=delivery.id8,
        sha256=delivery.sha256,
        report_json=delivery.report_json,
        sheet=_read_sheet(delivery.sheet),
        rule="replace_ours" if delivery.policy == "replace" else "keep",
    )
    with (
        disks.share_faults(delivery.outbox),
        disks.open_folder(delivery.outbox, *parts, make=disk) as fd,
    ):
        try:
            done = place(disk, fd, parcel, delivery.film)
        except FaultError:
            if not delivery.is_again:
                raise
            log.info("outbox.again_lost", job_id=delivery.job_id, film=printable(str(delivery.film)))
            return Delivered(film=parcel.folder / parcel.film_name, is_lost=True)
    if done.clash is not None:
        film, by = printable(str(done.film)), printable(done.clash)
        log.warning("outbox.name_taken", job_id=delivery.job_id, film=film, by=by)
    return done


def deliver_single(
    film: Path,
    sheet: Path | None,
    report_json: str,
    output: Path,
    *,
    overwrite: bool,
    sha256: str,
    disk: Disk = DISK,
) -> Delivered:
    """Publish a film made without a daemon as `output`, with `<output>.json` and `<stem>.jpg` beside it.

    With `overwrite` any film of that name is replaced; a foreign report name is a clash all the same, and a picture
    that cannot be shown to be our sheet is left alone (it may be the photo the film was made from). Raises InputError
    when a name is taken, SetupError E401 when the folder does not exist, and what `deliver` raises.
    """
    mark = read_mark(report_json)
    if mark is None:
        raise ValueError("not a report of heygemd")
    if not output.parent.is_dir():
        raise SetupError("E401", f"folder {printable(str(output.parent))} does not exist")
    parcel = Parcel(
        folder=output.parent,
        film_name=output.name,
        job_id=mark.job,
        id8=id8_of(mark.job),
        sha256=sha256,
        report_json=report_json,
        sheet=_read_sheet(sheet),
        rule="replace_any" if overwrite else "keep",
    )
    with disks.share_faults(output), disks.open_folder(output.parent, follow=True) as fd:
        done = place(disk, fd, parcel, film)
    if done.clash is not None:
        raise InputError(NAME_TAKEN_CODE, f"{printable(str(output.with_name(done.clash)))} exists already")
    return done


def _is_mine(standing: Standing, job_id: str) -> bool:
    is_from_job = standing.mark is not None and standing.mark.job == job_id
    return is_from_job and standing.verdict(job_id, "", "keep") in ("free", "done")


def _read_sheet(sheet: Path | None) -> bytes | None:
    """Read the contact sheet; a film without one is better than none."""
    if sheet is None:
        return None
    try:
        with disks.open_folder(sheet.parent, follow=True) as fd:
            return disks.read_at_most(fd, sheet.name, SHEET_MAX_BYTES)
    except FileNotFoundError:
        return None
