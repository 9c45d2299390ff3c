"""The front door of one root: look at it again and again, and jobs come out, once each.

Lives in a child process of the daemon, because every line of it may hang on a dead share. All it remembers is how
long each file has been quiet; whatever must survive lies on the disk (see `claim`).
"""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from heygemd.errors import InputError, ResourceError
from heygemd.intake import names
from heygemd.intake.claim import Claims, OpenClaim, Probe
from heygemd.intake.disk import Disk
from heygemd.intake.filesystems import is_local
from heygemd.intake.findings import WAITING_SHOWN, Findings, Waiting, WaitingRoom
from heygemd.intake.inspection import sighting_of
from heygemd.intake.names import Kind
from heygemd.intake.pairing import Candidate, Group, Pair, Why, group
from heygemd.intake.roots import check_online
from heygemd.intake.scan import Place, Scan, scan
from heygemd.intake.settle import SettleRule, Settling, Writer, broken, follow, is_settled
from heygemd.intake.writers import find_writer
from heygemd.jobs.roots import Root
from heygemd.settings import IntakeSettings

__all__ = ["Findings", "Inbox", "Waiting"]

log = structlog.get_logger(__name__)

CLAIMS_PER_LOOK = 32
MAX_OPEN_CLAIMS = 64
"""Pairs beyond this stay in the inbox, where people may still take them back."""
LOOK_BUDGET_S = 5.0
"""Hashing and probing stop after this and go on at the next look; a single probe may take longer."""
RECENT_S = 30.0
"""A change within this time means that more is likely to come."""

_OUR_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(slots=True)
class _Watched:
    """One file of the inbox."""

    settling: Settling
    candidate: Candidate
    first_s: float


class Inbox:
    """Looks at the inbox of one root; `clock` is monotonic, `wall` is only written down."""

    def __init__(
        self,
        root: Root,
        settings: IntakeSettings,
        probe: Probe,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        *,
        disk: Disk | None = None,
    ) -> None:
        self._root, self._clock, self._wall = root, clock, wall
        self._rule = SettleRule(
            settle_s=settings.settle_s,
            settle_unsure_s=settings.settle_unsure_s,
            settle_scans=settings.settle_scans,
        )
        self._claims = Claims(root, self._rule, probe, wall, disk or Disk())
        self._room = WaitingRoom(settings.orphan_notice_s)
        self._device: int | None = None
        self._files: dict[Place, _Watched] = {}
        self._groups: list[Group] | None = None
        self._unreadable: set[Place] = set()
        self._changed_s: float | None = None
        self._noticed: frozenset[Waiting] = frozenset()
        self._trouble: str | None = None

    def look(self) -> Findings:
        """Scan once, take what is complete a step further, and say how things stand; never raises OSError."""
        self._trouble = None
        try:
            self._attend(check_online(self._root))
            seen = scan(self._root.inbox, self._device or 0)
        except ResourceError as error:
            return self._absent(error.message)
        except OSError as error:
            reason = f"{error.filename or self._root.inbox}: {error.strerror}"
            return Findings(paused=reason) if error.errno in _OUR_OWN_LIMITS else self._absent(reason)
        now_s = self._clock()
        self._note(seen, now_s)
        self._advance(now_s)
        self._begin(now_s)
        return self._report(seen, now_s)

    def acknowledge(self, job_ids: Iterable[str]) -> None:
        """Take note that the daemon has stored these jobs; a record that cannot be removed is announced again."""
        try:
            self._claims.acknowledge(job_ids)
        except OSError as error:
            log.warning("intake.acknowledge_failed", root=self._root.uuid, reason=str(error))

    def _attend(self, device: int) -> None:
        """Start from nothing when this is another file system than at the last look."""
        if device != self._device:
            self._forget()
            self._claims.is_local = is_local(self._root.inbox)
            self._device = device

    def _absent(self, reason: str) -> Findings:
        self._forget()
        return Findings(offline=reason)

    def _forget(self) -> None:
        self._device, self._groups, self._changed_s = None, None, None
        self._files.clear()
        self._claims.open.clear()
        self._room.clear()

    def _note(self, seen: Scan, now_s: float) -> None:
        """Bring what is known of each file up to date."""
        self._unreadable.clear()
        for place in self._files.keys() - seen.files.keys():
            self._forget_file(place, now_s)
        for place, status in seen.files.items():
            watched = self._files.get(place)
            face = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_blocks)
            is_same = watched is not None and watched.settling.last.face == face
            if not is_same:
                self._changed_s = now_s
            if watched is None or not is_same or not watched.candidate.is_settled:
                self._watch(place, status, watched, now_s)

    def _watch(self, place: Place, status: os.stat_result, watched: _Watched | None, now_s: float) -> None:
        folder, name = place
        try:
            writer = find_writer(self._root.inbox / folder / name, is_local=self._claims.is_local)
        except OSError as error:
            self._forget_file(place, now_s)
            if isinstance(error, PermissionError):
                self._unreadable.add(place)
            return  # else gone since the scan, or exchanged for something that is no file
        sighting = sighting_of(status, at_s=now_s, writer=writer)
        settling = follow(watched.settling if watched else None, sighting)
        settled = is_settled(settling, self._rule)
        if watched is None or watched.candidate.is_settled != settled:
            kind = names.kind_of(name) or Kind.VIDEO
            candidate = Candidate(folder=folder, name=name, key=names.key_of(name), kind=kind, is_settled=settled)
            self._groups = None
        else:
            candidate = watched.candidate
        self._files[place] = _Watched(settling, candidate, watched.first_s if watched else now_s)

    def _forget_file(self, place: Place, now_s: float) -> None:
        if self._files.pop(place, None) is not None:
            self._groups, self._changed_s = None, now_s

    def _advance(self, now_s: float) -> None:
        """Take every open claim one step further; one that meets a fault is read from disk again at the next look."""
        try:
            for job_id in self._claims.find_records():
                self._claims.take_up(job_id)
        except OSError as error:
            self._pause(error)
        for claim in [claim for claim in self._claims.open.values() if claim.record.job is None]:
            try:
                self._step(claim, now_s)
            except ResourceError as error:
                self._trouble = f"{error.code} {error.message}"
            except OSError as error:
                self._claims.open.pop(claim.record.job_id, None)
                self._pause(error)

    def _step(self, claim: OpenClaim, now_s: float) -> None:
        reason = self._claims.look(claim, now_s)
        if reason is None and self._claims.is_quiet(claim) and not self._is_late(now_s):
            try:
                self._claims.inspect(claim, lambda: self._is_late(now_s))
            except InputError as error:
                reason = error.message
        if reason is not None:
            self._reinstate(claim, self._claims.give_up(claim, reason), now_s)

    def _is_late(self, start_s: float) -> bool:
        return self._clock() - start_s >= LOOK_BUDGET_S

    def _reinstate(self, claim: OpenClaim, put_back: dict[str, str], now_s: float) -> None:
        """Files that went back have shown a pause that was none: they must be quiet for twice as long."""
        folder = claim.record.folder
        for old, new in put_back.items():
            if old in claim.origin and (kind := names.kind_of(new)) is not None:
                candidate = Candidate(folder=folder, name=new, key=names.key_of(new), kind=kind, is_settled=True)
                self._files[folder, new] = _Watched(claim.origin[old], candidate, now_s)
                self._distrust((folder, new))
        self._groups, self._changed_s = None, now_s

    def _begin(self, now_s: float) -> None:
        """Claim the pairs that have waited longest."""
        ready = sorted((found.pair for found in self._sorted_files() if found.pair is not None), key=self._order)
        unannounced = sum(claim.record.job is None for claim in self._claims.open.values())
        for pair in ready[: min(CLAIMS_PER_LOOK, MAX_OPEN_CLAIMS - unannounced)]:
            places = [(pair.folder, name) for name in (pair.picture, pair.sound)]
            origin = {place[1]: self._files[place].settling for place in places}
            try:
                is_begun = self._claims.begin(pair, origin, now_s)
            except PermissionError:
                self._unreadable.update(places)
                continue
            except OSError as error:
                self._pause(error)
                break
            for place in places:
                if is_begun:
                    self._forget_file(place, now_s)
                else:
                    self._distrust(place)

    def _sorted_files(self) -> list[Group]:
        if self._groups is None:
            self._groups = group(watched.candidate for watched in self._files.values())
        return self._groups

    def _distrust(self, place: Place) -> None:
        """Forget that a file had settled; the next look starts a new and longer pause."""
        watched = self._files[place]
        watched.settling = broken(watched.settling)
        watched.candidate = replace(watched.candidate, is_settled=False)
        self._groups = None

    def _order(self, pair: Pair) -> tuple[float, str, str]:
        first_s = max(self._files[pair.folder, name].first_s for name in (pair.picture, pair.sound))
        return first_s, pair.folder, pair.sound

    def _pause(self, error: OSError) -> None:
        self._trouble = f"{error.filename or self._root.path}: {error.strerror or error}"

    def _report(self, seen: Scan, now_s: float) -> Findings:
        claims = [claim for claim in self._claims.open.values() if claim.record.job is None]
        groups = [*self._sorted_files()]
        groups += [_as_group(place, Why.REFUSED_NAME) for place in seen.refused]
        groups += [_as_group(place, Why.UNREADABLE) for place in [*seen.unreadable, *self._unreadable]]
        groups += [
            Group(folder=claim.record.folder, key=claim.record.job_id, names=claim.record.members, why=Why.CHECKING)
            for claim in claims
        ]
        waiting = self._room.seat(groups, now_s, self._wall())
        self._log_notices(waiting)
        is_settling = bool(claims) or self._has_ready() or self._is_settling()
        is_recent = self._changed_s is not None and now_s - self._changed_s < RECENT_S
        return Findings(
            arrivals=tuple(claim.record.job for claim in self._claims.open.values() if claim.record.job is not None),
            waiting=tuple(waiting[:WAITING_SHOWN]),
            waiting_count=len(waiting),
            busy=is_settling or is_recent,
            settling=is_settling,
            paused=self._trouble,
        )

    def _has_ready(self) -> bool:
        """Tell whether a pair waits for nothing but its turn."""
        return any(
            found.pair is not None and (found.folder, found.pair.sound) not in self._unreadable
            for found in self._sorted_files()
        )

    def _is_settling(self) -> bool:
        """Tell whether a file only needs time; an empty one, or one held open by somebody, may stay so for ever."""
        return any(
            not watched.candidate.is_settled
            and watched.settling.last.size_bytes > 0
            and watched.settling.last.writer is not Writer.BUSY
            for watched in self._files.values()
        )

    def _log_notices(self, waiting: list[Waiting]) -> None:
        """Say once what will not become a job by itself."""
        stuck = frozenset(item for item in waiting if item.why in (Why.AMBIGUOUS, Why.REFUSED_NAME, Why.UNREADABLE))
        for item in stuck - self._noticed:
            log.warning(
                "intake.files_noticed", root=self._root.uuid, folder=item.folder, names=item.names, why=item.why
            )
        self._noticed = stuck


def _as_group(place: Place, why: Why) -> Group:
    folder, name = place
    return Group(folder=folder, key=f"/{why}/{name}", names=(name,), why=why)
