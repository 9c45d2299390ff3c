"""The front door of one root: look at it again and again, and jobs come out, once each.

    scan ─▶ watch (the ladder, file by file) ─┬─ loose pairs, orphans ─┐
                                              ├─ job folders ──────────┼─▶ offers ─▶ claims ─▶ arrivals
                                              └─ manifests ─▶ batches ─┘

Lives in a child process of the daemon, because every line of it may hang on a dead share. All it remembers is how
long each file has been quiet; whatever must survive lies on the disk (see `claim` and `batches`).
"""

import errno
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path

import structlog

from heygemd.errors import InputError, ResourceError
from heygemd.intake import names
from heygemd.intake.batches import Batches
from heygemd.intake.claim import Claims, OpenClaim, Probe
from heygemd.intake.complaints import Complaints
from heygemd.intake.disk import Disk
from heygemd.intake.filesystems import is_local
from heygemd.intake.findings import WAITING_SHOWN, Findings, Waiting, Word
from heygemd.intake.folderconfig import FolderConfigs, FolderDefaults
from heygemd.intake.jobfolders import Folders, JobFolders
from heygemd.intake.loose import Loose
from heygemd.intake.manifestdesk import Mail, ManifestDesk
from heygemd.intake.manifests.reading import ManifestLimits
from heygemd.intake.offer import Offer
from heygemd.intake.pairing import Group, Why
from heygemd.intake.reserve import Reserve
from heygemd.intake.roots import check_online
from heygemd.intake.rows import RowOffers
from heygemd.intake.scan import Place, Scan, scan
from heygemd.intake.settle import SettleRule
from heygemd.intake.waiting import WaitingRoom
from heygemd.intake.watch import Watch
from heygemd.jobs.batch import Batch, BatchKind
from heygemd.jobs.job import RenderOptions
from heygemd.jobs.roots import Root
from heygemd.settings import IntakeSettings

__all__ = ["Findings", "Inbox", "Waiting", "Word"]

log = structlog.get_logger(__name__)

CLAIMS_PER_LOOK = 32
MAX_OPEN_CLAIMS = 64
"""Pairs beyond this stay in the inbox, where people may still take them back."""
OFFERS_PER_LOOK = 2 * MAX_OPEN_CLAIMS
"""Of 30,000 pairs that are ready, only those are looked at that may have their turn now."""
LOOK_BUDGET_S = 5.0
"""Hashing and probing stop after this and go on at the next look; a single probe may take longer."""
BARRED_S = 60.0
"""Files that may not be moved are not tried again for so long: others have their turn."""
RECENT_S = 30.0
"""A change within this time means that more is likely to come."""
MIB = 1 << 20

_OUR_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NOT_OURS_TO_MOVE = frozenset({errno.EACCES, errno.EPERM, errno.EXDEV})
"""No rights, or a folder that is mounted into the inbox from the same disk."""
_STUCK = frozenset({Why.AMBIGUOUS, Why.REFUSED_NAME, Why.UNREADABLE})


class Inbox:
    """Looks at the inbox of one root; `clock` is monotonic, `wall` is only written down."""

    def __init__(
        self,
        root: Root,
        settings: IntakeSettings,
        *,
        options: RenderOptions,
        probe: Probe,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        state_dir: Path | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._root, self._settings, self._clock, self._wall = root, settings, clock, wall
        disk = disk or Disk()
        rule = SettleRule(
            settle_s=settings.settle_s,
            settle_unsure_s=settings.settle_unsure_s,
            settle_scans=settings.settle_scans,
            grace_s=settings.structure_grace_s,
            require_commit=settings.require_commit,
        )
        defaults = FolderDefaults(options=options, rule=rule, orphan_timeout_s=settings.orphan_timeout_s)
        limits = ManifestLimits(max_bytes=int(settings.max_manifest_mib * MIB), max_rows=settings.max_manifest_rows)
        self._configs = FolderConfigs(defaults)
        self._watch = Watch(root.inbox, lambda folder: self._configs.rules(folder).rule)
        self._claims = Claims(root, probe, wall, disk, rule)
        self._batches = Batches(root, disk)
        self._loose = Loose(self._watch, self._configs)
        self._rows = RowOffers(self._batches, self._watch, self._configs, rule)
        self._folders = JobFolders(root, self._watch, self._configs, wall)
        self._manifests = ManifestDesk(root, self._watch, self._configs, limits, wall=wall, clock=clock)
        self._complaints = Complaints(root, disk)
        self._reserve = Reserve(root.path, state_dir, settings.reserve_mib * MIB)
        self._room = WaitingRoom(settings.orphan_notice_s)
        self._device: int | None = None
        self._noticed: frozenset[Waiting] = frozenset()
        self._barred: dict[Place, float] = {}
        """Files that may not be moved, and until when that is not tried again."""
        self._closed: tuple[str, ...] = ()
        self._has_offers = False
        self._holds_all = True
        """Every claim that is recorded on the disk is among the open ones."""
        self._trouble: str | None = None

    def look(self, word: Word) -> Findings:
        """Scan once, take what is complete a step further, and say how things stand; never raises OSError."""
        self._trouble = None
        try:
            self._attend(check_online(self._root))
            self._hear(word)
            seen = scan(self._root.inbox, self._device or 0)
        except ResourceError as error:
            return self._absent(error.message)
        except OSError as error:
            reason = f"{error.filename or self._root.inbox}: {error.strerror}"
            return Findings(paused=reason) if error.errno in _OUR_OWN_LIMITS else self._absent(reason)
        now_s = self._clock()
        self._configs.note(self._root.inbox, seen.configs)
        self._watch.note(seen, now_s, lambda: self._is_late(now_s))
        self._advance(now_s)
        mail = self._manifests.look(seen.manifests, now_s)
        tops = JobFolders.tops(seen)
        folders = self._folders.look(seen, tops, now_s)
        others, held = {*self._batches.reserved(), *mail.reserved}, frozenset(mail.held) | tops
        self._begin(seen, self._loose.groups(others, held), mail, folders, now_s)
        waiting = self._seat(seen, [*self._loose.groups(others, held), *mail.groups, *folders.groups], now_s)
        self._complain(seen)
        return self._report(waiting, now_s)

    # Coming and going -------------------------------------------------------------------------------------------

    def _attend(self, device: int) -> None:
        """Start from nothing when this is another file system than at the last look."""
        if device != self._device:
            self._forget()
            self._claims.is_local = self._watch.is_local = is_local(self._root.inbox)
            self._device = device

    def _absent(self, reason: str) -> Findings:
        self._forget()
        return Findings(offline=reason)

    def _forget(self) -> None:
        self._device = None
        self._watch.clear()
        self._claims.open.clear()
        self._batches.clear()
        self._room.clear()

    def _hear(self, word: Word) -> None:
        """Do what the daemon asks; what the disk refuses is asked again."""
        self._closed = ()
        try:
            for batch in self._batches.take_up():
                self._declare(batch)
            self._batches.hear(word.batches)
            for job_id in word.stored:
                claim = self._claims.open.get(job_id)
                if claim is not None and (row := claim.record.submission.row) is not None:
                    self._batches.note_claimed(row.batch, row.number)
            if word.shared_in_use is not None:
                # Before the records go: they alone speak for jobs that were stored after the daemon had looked.
                self._claims.sweep_shared(word.shared_in_use)
            self._claims.acknowledge(word.stored)
            for closing in word.closing:
                self._batches.close(closing)
                self._closed += (closing.batch,)
        except OSError as error:
            self._pause(error)

    # Claims that are open ---------------------------------------------------------------------------------------

    def _advance(self, now_s: float) -> None:
        """Take every open claim one step further; one that meets a fault is read from disk again at the next look."""
        self._holds_all = True
        try:
            for job_id in self._claims.find_records():
                self._claims.take_up(job_id)
        except OSError as error:
            self._holds_all = False
            self._pause(error)
        for claim in [claim for claim in self._claims.open.values() if claim.record.job is None]:
            try:
                self._step(claim, now_s)
            except ResourceError as error:
                self._trouble = f"{error.code} {error.message}"
            except OSError as error:
                self._claims.open.pop(claim.record.job_id, None)
                self._holds_all = False
                self._pause(error)

    def _step(self, claim: OpenClaim, now_s: float) -> None:
        reason = self._claims.look(claim, now_s)
        if reason is None and self._claims.is_quiet(claim) and not self._is_late(now_s):
            try:
                self._claims.inspect(claim, lambda: self._is_late(now_s))
            except InputError as error:
                reason = error.message
        if reason is not None:
            self._give_up(claim, reason, now_s)

    def _give_up(self, claim: OpenClaim, reason: str, now_s: float) -> None:
        """Files that went back have shown a pause that was none: they must be quiet for twice as long."""
        submission = claim.record.submission
        put_back = self._claims.give_up(claim, reason)
        if submission.row is not None:
            is_mismatch = "declared" in reason
            self._batches.note_given_up(submission.row.batch, submission.row.number, now_s, is_mismatch=is_mismatch)
        for old, new in put_back.items():
            if submission.base is None and old in claim.origin and names.kind_of(new[1]) is not None:
                self._watch.reinstate(new, claim.origin[old], now_s)
        for member in submission.members:
            if member.is_shared and member.place in self._watch.files:
                self._watch.distrust(member.place, now_s)

    def _is_late(self, start_s: float) -> bool:
        return self._clock() - start_s >= LOOK_BUDGET_S

    # New claims -------------------------------------------------------------------------------------------------

    def _begin(self, seen: Scan, groups: list[Group], mail: Mail, folders: Folders, now_s: float) -> None:
        """Claim what has waited longest."""
        self._loose.markers = self._rows.markers = frozenset(seen.markers)
        self._barred = {place: until_s for place, until_s in self._barred.items() if until_s > now_s}
        self._watch.unreadable.update(self._barred)
        offers = [*mail.refused, *folders.offers]
        offers += self._loose.oldest((group.pair for group in groups if group.pair is not None), OFFERS_PER_LOOK)
        offers += self._orphans(now_s)
        in_work = {
            (row.batch, row.number)
            for claim in self._claims.open.values()
            if (row := claim.record.submission.row) is not None
        }
        if self._holds_all:  # else a row may be claimed already, and its shared members would be there once more
            offers += islice(self._rows.ready(now_s, in_work), OFFERS_PER_LOOK)
        try:
            self._accept(mail, folders, now_s)
            self._claim(sorted(offers, key=_turn), now_s)
        except ResourceError as error:
            self._trouble = error.message
        except OSError as error:
            self._pause(error)
        unreadable = self._watch.unreadable
        is_unfinished = folders.is_settling or mail.is_late or not self._holds_all
        self._has_offers = is_unfinished or any(unreadable.isdisjoint(offer.watched) for offer in offers)

    def _orphans(self, now_s: float) -> list[Offer]:
        lone = self._room.expired(now_s, lambda folder: self._configs.rules(folder).orphan_timeout_s)
        offers = (offer for group in lone if (offer := self._loose.orphan(group)) is not None)
        return list(islice(offers, OFFERS_PER_LOOK))

    def _accept(self, mail: Mail, folders: Folders, now_s: float) -> None:
        """Take batches in; each time the root is asked for anew: since the look began, much was read and inspected."""
        for batch, place in mail.batches:
            check_online(self._root)
            self._batches.accept(batch, self._root.inbox / place[0] / place[1])
            self._watch.forget(place, now_s)
            self._declare(batch)
        for batch, top in folders.batches:
            check_online(self._root)
            if self._batches.accept(batch, self._root.inbox / top):
                self._forget_below(top, now_s)

    def _declare(self, batch: Batch) -> None:
        """Tell the watch what a manifest has said about its members."""
        if batch.kind is not BatchKind.MANIFEST:
            return
        for row in batch.good_rows:
            for member in row.members:
                folder, _, name = member.path.rpartition("/")
                self._watch.declare((folder, name), member.size_bytes, member.sha256)

    def _claim(self, offers: list[Offer], now_s: float) -> None:
        unannounced = sum(claim.record.job is None for claim in self._claims.open.values())
        room = min(CLAIMS_PER_LOOK, MAX_OPEN_CLAIMS - unannounced)
        for offer in offers:
            places = offer.watched
            if room <= 0:
                return
            if not self._barred.keys().isdisjoint(places):
                continue
            origin = {place: self._watch.files[place].settling for place in places if place in self._watch.files}
            size_bytes = sum(settling.last.size_bytes for settling in origin.values())
            if (shortage := self._reserve.shortage(size_bytes)) is not None:
                self._trouble = f"E202 {shortage}"
                return
            check_online(self._root)
            try:
                is_begun = self._claims.begin(offer.submission, origin, offer.rule, now_s)
            except OSError as error:
                if error.errno not in _NOT_OURS_TO_MOVE:
                    raise
                self._watch.unreadable.update(places)
                self._barred.update(dict.fromkeys(places, now_s + BARRED_S))
                continue
            room -= 1
            self._note_begun(offer, now_s, is_begun=is_begun)

    def _note_begun(self, offer: Offer, now_s: float, *, is_begun: bool) -> None:
        submission = offer.submission
        if not is_begun and submission.row is not None:
            self._batches.note_given_up(submission.row.batch, submission.row.number, now_s, is_mismatch=False)
        if is_begun and submission.whole is not None:
            self._forget_below(submission.whole, now_s)
        for member in submission.members if submission.base is None else ():
            if member.place not in self._watch.files:
                continue
            if not is_begun:
                self._watch.distrust(member.place, now_s)
            elif not member.is_shared:
                self._watch.forget(member.place, now_s)

    def _forget_below(self, top: str, now_s: float) -> None:
        for place in [place for place in self._watch.files if place[0] == top or place[0].startswith(f"{top}/")]:
            self._watch.forget(place, now_s)

    # Telling ----------------------------------------------------------------------------------------------------

    def _seat(self, seen: Scan, groups: list[Group], now_s: float) -> list[Waiting]:
        groups = [*groups, *(_as_group(place, Why.REFUSED_NAME) for place in seen.refused)]
        groups += [_as_group(place, Why.UNREADABLE) for place in [*seen.unreadable, *self._watch.unreadable]]
        for claim in self._claims.open.values():
            submission = claim.record.submission
            if claim.record.job is None:
                told = tuple(member.name for member in submission.members)
                folder = submission.film_folder
                groups.append(Group(folder=folder, key=f"/claim/{claim.record.job_id}", names=told, why=Why.CHECKING))
        return self._room.seat(groups, now_s, self._wall())

    def _complain(self, seen: Scan) -> None:
        try:
            self._complaints.write(self._configs.problems, seen.extras)
        except OSError as error:
            self._pause(error)

    def _pause(self, error: OSError) -> None:
        self._trouble = f"{error.filename or self._root.path}: {error.strerror or error}"

    def _report(self, waiting: list[Waiting], now_s: float) -> Findings:
        self._log_notices(waiting)
        open_claims = self._claims.open.values()
        is_checking = any(claim.record.job is None for claim in open_claims)
        is_settling = is_checking or self._has_offers or self._watch.has_settling or bool(self._batches.announcements())
        changed_s = self._watch.changed_s
        return Findings(
            arrivals=tuple(claim.record.arrival for claim in open_claims if claim.record.job is not None),
            batches=self._batches.announcements(),
            absent=self._batches.absent(now_s, self._settings.orphan_notice_s),
            row_waits=self._rows.waits(WAITING_SHOWN),
            closed=self._closed,
            waiting=tuple(waiting[:WAITING_SHOWN]),
            waiting_count=len(waiting),
            misconfigured=self._complaints.told(),
            busy=is_settling or (changed_s is not None and now_s - changed_s < RECENT_S),
            settling=is_settling,
            is_local=self._watch.is_local,
            paused=self._trouble,
        )

    def _log_notices(self, waiting: list[Waiting]) -> None:
        """Say once what will not become a job by itself."""
        stuck = frozenset(item for item in waiting if item.why in _STUCK)
        for item in stuck - self._noticed:
            log.warning(
                "intake.files_noticed", root=self._root.uuid, folder=item.folder, names=item.names, why=item.why
            )
        self._noticed = stuck


def _turn(offer: Offer) -> tuple[float, str, str]:
    return offer.since_s, offer.submission.film_folder, offer.submission.film_name


def _as_group(place: Place, why: Why) -> Group:
    folder, name = place
    return Group(folder=folder, key=f"/{why}/{name}", names=(name,), why=why)
