"""The way of files into a claim folder and back: renames only, each repeatable after a crash.

The record is written before the first rename and removed after the last one back, so whatever a restart finds can be
finished or undone. Nothing is ever replaced: what cannot have its own name back gets a number, one for all.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from heygemd.intake import names
from heygemd.intake.disk import Disk
from heygemd.intake.inspection import is_folder
from heygemd.intake.record import ClaimRecord, Moved, Place, record_file, write_record
from heygemd.intake.trust import MARKER_SUFFIX
from heygemd.jobs.roots import Root
from heygemd.naming import NAME_MAX_BYTES, cut

JOB_FOLDER_SUFFIX = ".job"
TOLD = ("error.json", "REASON.txt")
"""What we wrote into the folder of a failed job, and take out again when it was put back and claimed."""

_Numbering = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class _Home:
    """A folder that files go back to."""

    path: Path
    folder: str | None
    """Below the base of the submission; None when they have to lie elsewhere."""


class Custody:
    """Takes files and gives them back. Methods raise OSError when the disk fails, and may be called again then."""

    def __init__(self, root: Root, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def take(self, record: ClaimRecord) -> None:
        """Rename everything into the claim folder; raises FileNotFoundError or NotADirectoryError midway."""
        claim_dir, whole = record.claim_dir(self._root), record.submission.whole
        left = {record.home(self._root, item.place).parent for item in record.moved}
        if whole is None:
            self._disk.make_folder(claim_dir)
        else:
            left.add((self._root.inbox / whole).parent)
            self._disk.move(self._root.inbox / whole, claim_dir)
        for item in record.moved:
            self._disk.move(record.home(self._root, item.place), claim_dir / item.held)
        for folder in (claim_dir, self._root.processing, *sorted(left)):
            self._disk.sync_folder(folder)

    def holds(self, record: ClaimRecord) -> bool:
        """Tell whether everything that the claim renames lies in the claim folder."""
        claim_dir = record.claim_dir(self._root)
        names_there = [item.held for item in record.moved]
        if record.submission.whole is not None:
            names_there += [member.name for member in record.members]
        return is_folder(claim_dir) and all(os.path.lexists(claim_dir / name) for name in names_there)

    def secure(self, record: ClaimRecord) -> None:
        """After a restart: finish renames that were cut between link and unlink, and make all of them durable."""
        claim_dir = record.claim_dir(self._root)
        for item in record.moved:
            home = record.home(self._root, item.place)
            if _is_one_file(home, claim_dir / item.held):
                self._disk.remove(home)
        for folder in (claim_dir, self._root.processing):
            self._disk.sync_folder(folder)

    def needs_tidying(self, record: ClaimRecord) -> bool:
        """Tell whether the claim folder may hold things that go once the claim is complete."""
        return bool(record.submission.markers) or self._is_retry(record)

    def tidy(self, record: ClaimRecord) -> None:
        """Remove the markers, and what an earlier run told about a folder that was put back."""
        claim_dir = record.claim_dir(self._root)
        if not is_folder(claim_dir):
            return
        for name in (*record.markers_inside, *(TOLD if self._is_retry(record) else ())):
            if not is_folder(claim_dir / name):
                self._disk.remove(claim_dir / name)
        self._disk.sync_folder(claim_dir)

    def put_back(self, record: ClaimRecord) -> dict[Place, Place]:
        """Give everything back and remove the record; each step looks at what the one before has left.

        Returns old → new place of the members that went back below their base. Files whose base is gone, or whose
        folder is something else now, go to the top of the inbox.
        """
        claim_dir = record.claim_dir(self._root)
        places: dict[Place, Place] = {}
        if is_folder(claim_dir):
            at_home = self._drop_what_is_at_home(record)
            places = {place: place for place in at_home}
            places |= self._return_all(record)
            self._return_renamed(record)
        self._disk.remove_folder(claim_dir)
        self._disk.sync_folder(self._root.processing)
        self._disk.remove(record_file(self._root, record.job_id))
        self._disk.sync_folder(self._root.claims)
        members = {member.place for member in record.members}
        return {old: new for old, new in places.items() if old in members}

    def _is_retry(self, record: ClaimRecord) -> bool:
        return record.submission.whole is not None and record.submission.retry_of is not None

    def _drop_what_is_at_home(self, record: ClaimRecord) -> list[Place]:
        """Undo renames that were cut between link and unlink: home still holds the very file."""
        claim_dir = record.claim_dir(self._root)
        dropped = []
        for item in record.moved:
            if _is_one_file(record.home(self._root, item.place), claim_dir / item.held):
                self._disk.remove(claim_dir / item.held)
                dropped.append(item.place)
        return dropped

    def _return_all(self, record: ClaimRecord) -> dict[Place, Place]:
        claim_dir, whole = record.claim_dir(self._root), record.submission.whole
        here = [item for item in record.moved if os.path.lexists(claim_dir / item.held)]
        if not here and whole is None:
            return {}
        homes = {item: self._reopen(record, item.place[0]) for item in here}
        parent = None if whole is None else self._reopen(record, whole.rpartition("/")[0])
        if record.returning is None:
            wanted = [(homes[item].path, item.place[1], _number_of(item)) for item in here]
            if whole is not None and parent is not None:
                wanted.append((parent.path, whole.rpartition("/")[2], numbered_folder))
            record = replace(record, returning=_free_number(wanted))
            write_record(self._disk, self._root, record)
        places = self._return_files(record, homes)
        if whole is not None and parent is not None:
            places |= self._return_folder(record, parent)
        return places

    def _return_files(self, record: ClaimRecord, homes: dict[Moved, _Home]) -> dict[Place, Place]:
        places: dict[Place, Place] = {}
        for item, home in homes.items():
            source, number = record.claim_dir(self._root) / item.held, record.returning or 0
            name = self._move_free(source, home.path, item.place[1], number, _number_of(item))
            if home.folder is not None:
                places[item.place] = (home.folder, name)
        for path in sorted({home.path for home in homes.values()}):
            self._disk.sync_folder(path)
        return places

    def _return_folder(self, record: ClaimRecord, parent: _Home) -> dict[Place, Place]:
        """Put a whole folder back by one rename, with all that lies in it."""
        claim_dir, whole = record.claim_dir(self._root), record.submission.whole or ""
        last = whole.rpartition("/")[2]
        name = self._move_free(claim_dir, parent.path, last, record.returning or 0, numbered_folder)
        self._disk.sync_folder(parent.path)
        folder = f"{parent.folder}/{name}" if parent.folder else name
        there = [member for member in record.members if os.path.lexists(parent.path / name / member.name)]
        return {member.place: (folder, member.name) for member in there}

    def _return_renamed(self, record: ClaimRecord) -> None:
        """Give back pictures and sounds that people have renamed in the claim folder: nobody would look there."""
        claim_dir = record.claim_dir(self._root)
        entries = sorted(claim_dir.iterdir()) if is_folder(claim_dir) else []
        found = [path for path in entries if names.kind_of(path.name) and not names.is_ignored(path.name)]
        if not found:
            return
        home = self._reopen(record, record.members[0].folder if record.members else "").path
        for path in found:
            self._move_free(path, home, path.name, 0, names.numbered)
        self._disk.sync_folder(home)

    def _move_free(self, source: Path, folder: Path, name: str, number: int, numbered: _Numbering) -> str:
        while True:
            new = numbered(name, number)
            try:
                self._disk.move(source, folder / new)
            except FileExistsError:
                if _is_one_file(source, folder / new):  # cut between link and unlink
                    self._disk.remove(source)
                    return new
                number += 1
            else:
                return new

    def _reopen(self, record: ClaimRecord, folder: str) -> _Home:
        """Return the folder they came from, made again if need be; the top of the inbox when that cannot be."""
        base = record.base_dir(self._root)
        is_inbox = record.submission.base is None
        top = _Home(self._root.inbox, "" if is_inbox else None)
        if not is_folder(base):
            return top
        place = base
        for part in folder.split("/") if folder else ():
            place = place / part
            if not os.path.lexists(place):
                self._disk.make_folder(place)
            elif not is_folder(place):
                return top
        return _Home(place, folder)


def numbered_folder(name: str, number: int) -> str:
    """Return `name (number)`, cut to fit; `.job` stays at the end, any other dot is part of the name."""
    if number == 0:
        return name
    is_job = name.casefold().endswith(JOB_FOLDER_SUFFIX) and len(name) > len(JOB_FOLDER_SUFFIX)
    stem, suffix = (name[: -len(JOB_FOLDER_SUFFIX)], name[-len(JOB_FOLDER_SUFFIX) :]) if is_job else (name, "")
    tail = f" ({number}){suffix}"
    return cut(stem, NAME_MAX_BYTES - len(tail.encode())) + tail


def numbered_marker(name: str, number: int) -> str:
    """Return the marker of what gets this number: `anna.wav.ready` follows `anna.wav` to `anna (1).wav.ready`."""
    stem, suffix = name[: -len(MARKER_SUFFIX)], name[-len(MARKER_SUFFIX) :]
    is_job = stem.casefold().endswith(JOB_FOLDER_SUFFIX)
    new = numbered_folder(stem, number) if is_job else names.numbered(stem, number)
    return cut(new, NAME_MAX_BYTES - len(suffix.encode())) + suffix


def _number_of(item: Moved) -> _Numbering:
    return numbered_marker if item.is_marker else names.numbered


def _free_number(wanted: Iterable[tuple[Path, str, _Numbering]]) -> int:
    """Return the smallest number under which all names are free, so that what belongs together stays so."""
    places = list(wanted)
    number = 0
    while any(os.path.lexists(folder / numbered(name, number)) for folder, name, numbered in places):
        number += 1
    return number


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return False
