"""Every file of an inbox on its way up the ladder: writer, quiet, holes, structure.

The first two are asked at each look until a file has settled; the file is read only once it has been quiet, and once
for each face. When a look takes too long the rest waits for the next one: nothing is ever settled unlooked.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from heygemd.intake import names
from heygemd.intake.commits import Commits, Sign
from heygemd.intake.filesystems import can_tell_holes, is_local
from heygemd.intake.holes import find_holes
from heygemd.intake.inspection import sighting_of
from heygemd.intake.scan import Place, Scan
from heygemd.intake.settle import (
    Commit,
    Content,
    Face,
    Hindrance,
    SettleRule,
    Settling,
    Writer,
    broken,
    evidence_of,
    find_hindrance,
    find_outer_hindrance,
    follow,
    pass_over,
)
from heygemd.intake.structure.check import check_structure
from heygemd.intake.structure.verdict import Incomplete, Unchecked
from heygemd.intake.writers import OPEN_FLAGS, find_writer

__all__ = ["Hindrance", "Watch", "Watched"]

_FACE = attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_blocks")
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
_TIMELY = frozenset({Hindrance.QUIET, Hindrance.HOLES, Hindrance.INCOMPLETE})
"""What passes by itself when nothing happens."""
_LOOKS_IF_COMMITTED = 2


@dataclass(slots=True)
class Watched:
    """One file of the inbox."""

    settling: Settling
    first_s: float
    is_settled: bool = False
    evidence: tuple[str, ...] = ()
    """Rungs of the ladder it has reached; when it has settled."""
    hindrance: Hindrance | None = None
    """The rung it stands before; None when it has settled."""
    sign: Sign | None = None
    vouched: Face | None = None
    """The face that the sign was given for."""
    is_wary: bool = False
    """It had settled once, and then went on: no sign makes its wait shorter any more."""
    content: Content | None = None
    """What reading has shown, of the face it has now."""

    @property
    def commit(self) -> Commit | None:
        """Who has said that it is complete."""
        return self.sign.commit if self.sign else None

    @property
    def is_vouched(self) -> bool:
        """Whether its quiet need not be awaited."""
        last = self.settling.last
        if self.sign is None or self.is_wary or self.vouched != last.face:
            return False
        return self.sign.is_enough or last.writer is Writer.FREE


class Watch:
    """The media files and manifests of one inbox; `rule_of` gives the rule of a folder."""

    def __init__(self, inbox: Path, rule_of: Callable[[str], SettleRule]) -> None:
        self._inbox, self._rule_of = inbox, rule_of
        self._commits = Commits(inbox)
        self._rules: dict[str, SettleRule] = {}
        self._is_local: bool | None = None
        self._can_tell_holes = False
        self._was_late = False
        self.files: dict[Place, Watched] = {}
        self.unreadable: set[Place] = set()
        """Files that may not be read, at the last look."""
        self.changed_s: float | None = None
        """When a file last came, went or changed."""
        self.revision = 0
        """Grows whenever a file comes, goes, settles, or stands before another rung."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine writes here; found out at the first look, if nobody has said so before."""
        return bool(self._is_local)

    @is_local.setter
    def is_local(self, is_local: bool) -> None:
        self._is_local = is_local

    @property
    def has_settling(self) -> bool:
        """Whether a file needs only time; an empty, held or uncommitted one may stay so for ever."""
        return any(watched.hindrance in _TIMELY for watched in self.files.values())

    def clear(self) -> None:
        """Forget everything: another file system may be there now."""
        self._commits.clear()
        self._rules.clear()
        self.files.clear()
        self.unreadable.clear()
        self._is_local, self.changed_s, self._was_late = None, None, False
        self.revision += 1

    def note(self, seen: Scan, now_s: float, is_late: Callable[[], bool]) -> None:
        """Bring what is known of each file up to date; after `is_late()` files are only noted, not looked at."""
        self._survey()
        self.unreadable.clear()
        self._commits.note(seen)
        self._forget_gone(seen, now_s)
        due = self._due(seen)
        if self._was_late:
            due.sort(key=self._looked_s)
        self._was_late = False
        for place, status in due:
            self._step(place, status, now_s, is_late)

    def declare(self, place: Place, size_bytes: int | None, sha256: str | None) -> None:
        """Take a manifest's word that a file is complete when it has this size (its sha256 is checked when claimed)."""
        self._commits.declare(place, size_bytes, sha256)

    def reinstate(self, place: Place, settling: Settling, now_s: float) -> None:
        """Take back a file whose claim was undone: its pause was none, and the next one must last twice as long."""
        self._commits.reinstate(place)
        known = self.files.get(place)
        self.files[place] = Watched(
            _doubted(settling), known.first_s if known else now_s, hindrance=Hindrance.QUIET, is_wary=True
        )
        self.revision += 1
        self.changed_s = now_s

    def distrust(self, place: Place, now_s: float) -> None:
        """Forget that a file had settled: the next look starts a new and longer pause."""
        watched = self.files[place]
        watched.settling, watched.is_wary = _doubted(watched.settling), True
        watched.is_settled, watched.evidence, watched.hindrance = False, (), Hindrance.QUIET
        self.revision += 1
        self.changed_s = now_s

    def forget(self, place: Place, now_s: float) -> None:
        """Know nothing more of a file: it was claimed, or is gone."""
        self._commits.forget(place)
        if self.files.pop(place, None) is not None:
            self.revision += 1
            self.changed_s = now_s

    def rule_for(self, place: Place) -> SettleRule:
        """Return the rule of its folder; for a committed file one that needs no waiting, only equal looks."""
        rule = self._rule_of(place[0])
        watched = self.files.get(place)
        if watched is None or not watched.is_vouched:
            return rule
        return replace(rule, settle_s=0.0, settle_unsure_s=0.0, settle_scans=_LOOKS_IF_COMMITTED)

    def _survey(self) -> None:
        """Find out what the file system can tell; on one that cannot be asked, nothing is certain."""
        if self._is_local is None:
            with suppress(OSError):
                self._is_local = is_local(self._inbox)
        with suppress(OSError):
            self._can_tell_holes = self.is_local and can_tell_holes(self._inbox)

    def _forget_gone(self, seen: Scan, now_s: float) -> None:
        for place in [place for place in self.files if place not in seen.files and place not in seen.manifests]:
            del self.files[place]
            self.revision += 1
            self.changed_s = now_s

    def _due(self, seen: Scan) -> list[tuple[Place, os.stat_result]]:
        """Return the files that have not settled, have changed, or whose folder has another rule now."""
        rules = {folder: self._rule_of(folder) for folder in {folder for folder, _ in self.files}}
        changed = {folder for folder, rule in rules.items() if self._rules.get(folder) not in (None, rule)}
        self._rules = rules
        due = []
        for found in (seen.files, seen.manifests):
            for place, status in found.items():
                watched = self.files.get(place)
                if (
                    watched is None
                    or not watched.is_settled
                    or place[0] in changed
                    or watched.settling.last.face != _FACE(status)
                ):
                    due.append((place, status))
        return due

    def _looked_s(self, due: tuple[Place, os.stat_result]) -> float:
        watched = self.files.get(due[0])
        return watched.settling.last.at_s if watched and watched.settling.looks else float("-inf")

    def _step(self, place: Place, status: os.stat_result, now_s: float, is_late: Callable[[], bool]) -> None:
        before = self.files.get(place)
        known = before.settling if before else None
        if is_late():
            self._was_late = True
            settling = pass_over(known, sighting_of(status, at_s=now_s, writer=Writer.UNKNOWN))
        else:
            try:
                writer = find_writer(f"{self._inbox}/{place[0]}/{place[1]}", is_local=self.is_local)
            except OSError as error:
                self._lose(place, error, now_s)
                return
            settling = follow(known, sighting_of(status, at_s=now_s, writer=writer))
        watched = before or Watched(settling, now_s)
        is_same = known is not None and known.last.ino == status.st_ino
        if known is None or known.last.face != settling.last.face or before is None:
            watched.content, watched.is_wary = None, watched.is_wary and is_same
            self.changed_s = now_s
        self._hear_sign(watched, place, status, is_same=is_same)
        watched.settling = settling
        self._judge(place, watched, is_late, is_new=before is None)
        self.files[place] = watched

    def _hear_sign(self, watched: Watched, place: Place, status: os.stat_result, *, is_same: bool) -> None:
        sign = self._commits.sign_of(place, status, watched.sign if is_same else None)
        if sign != watched.sign or not is_same:
            watched.sign = sign
            watched.vouched = _FACE(status) if sign is not None and not sign.is_old else None

    def _judge(self, place: Place, watched: Watched, is_late: Callable[[], bool], *, is_new: bool) -> None:
        rule = self._rules.setdefault(place[0], self._rule_of(place[0]))
        settling, commit, is_vouched = watched.settling, watched.commit, watched.is_vouched
        outer = find_outer_hindrance(settling, rule, commit=commit, is_vouched=is_vouched)
        if outer is None and watched.content is None and not is_late():
            watched.content = self._read(place, settling.last.face)
        content = watched.content
        hindrance = find_hindrance(settling, rule, commit=commit, is_vouched=is_vouched, content=content)
        if is_new or hindrance is not watched.hindrance:
            self.revision += 1
        watched.hindrance, watched.is_settled, watched.evidence = hindrance, False, ()
        if hindrance is None and content is not None:
            watched.is_settled = True
            watched.evidence = evidence_of(settling, commit if is_vouched else None, content)

    def _read(self, place: Place, face: Face) -> Content | None:
        """Look into a quiet file; None when it is not, before and after, the one that was seen, or cannot be read."""
        try:
            number = os.open(f"{self._inbox}/{place[0]}/{place[1]}", OPEN_FLAGS)
        except OSError as error:
            self._note_unreadable(place, error)
            return None
        try:
            if _FACE(os.fstat(number)) != face:
                return None
            content = _content_of(number, place[1], face[1], can_tell_holes=self._can_tell_holes)
            return content if _FACE(os.fstat(number)) == face else None
        except OSError as error:
            self._note_unreadable(place, error)
            return None
        finally:
            os.close(number)

    def _lose(self, place: Place, error: OSError, now_s: float) -> None:
        if self.files.pop(place, None) is not None:
            self.revision += 1
            self.changed_s = now_s
        self._note_unreadable(place, error)

    def _note_unreadable(self, place: Place, error: OSError) -> None:
        if error.errno not in _GONE:  # else taken away since the scan, or exchanged for something that is no file
            self.unreadable.add(place)


def _content_of(number: int, name: str, size_bytes: int, *, can_tell_holes: bool) -> Content:
    holes = find_holes(number, size_bytes, can_tell=can_tell_holes)
    is_media = names.kind_of(name) is not None
    verdict = check_structure(number, size_bytes) if is_media else Unchecked("no picture and no sound")
    return Content(holes=holes, structure=verdict.evidence, is_incomplete=isinstance(verdict, Incomplete))


def _doubted(settling: Settling) -> Settling:
    """A pause that was none; also the first, that of a committed file, makes the next one longer."""
    doubted = broken(settling)
    return replace(doubted, patience=max(2, doubted.patience))
