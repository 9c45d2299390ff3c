"""Manifests of an inbox: read when they have arrived whole, accepted when the files that their patterns mean are there.

A manifest that has been read reserves the files it names; one that still arrives holds back the pairs of its folder
for a moment, because they may be its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.folderconfig import FolderConfigs
from heygemd.intake.manifests.expansion import expand, patterns_of
from heygemd.intake.manifests.formats import stem_of_manifest
from heygemd.intake.manifests.globs import Files
from heygemd.intake.manifests.model import Manifest
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest
from heygemd.intake.offer import Offer
from heygemd.intake.pairing import Group, Why, why_of
from heygemd.intake.scan import Place
from heygemd.intake.smallfile import read_small
from heygemd.intake.submission import Member, Role, Submission
from heygemd.intake.watch import Watch
from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.ids import id8_of, new_job_id
from heygemd.jobs.roots import Root
from heygemd.naming import job_folder

HOLD_S = 60.0
"""Pairs of a folder wait for a manifest that is still arriving there, but not for ever."""
BUDGET_S = 5.0
"""Reading and judging manifests stop after this and go on at the next look; a single one may take longer. Hundreds of
the largest ones would otherwise make one look longer than any look may be."""
_Face = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Mail:
    """What one look at the manifests came to."""

    batches: list[tuple[Batch, Place]] = field(default_factory=list)
    """Ready to be accepted, with the place of the manifest."""
    refused: list[Offer] = field(default_factory=list)
    """Manifests that cannot be used at all."""
    groups: list[Group] = field(default_factory=list)
    """Manifests that wait."""
    held: set[str] = field(default_factory=set)
    """Folders in which a manifest is arriving."""
    reserved: set[Place] = field(default_factory=set)
    """Files that waiting manifests name."""
    is_late: bool = False
    """Some were left for the next look."""


class ManifestDesk:
    """The manifests of one inbox that are not accepted yet."""

    def __init__(
        self,
        root: Root,
        watch: Watch,
        configs: FolderConfigs,
        limits: ManifestLimits,
        *,
        wall: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._root, self._watch, self._configs = root, watch, configs
        self._limits, self._wall = limits, wall
        self._clock = clock
        self._read: dict[Place, tuple[_Face, Manifest | InputError]] = {}
        self._waits: dict[Place, tuple[int, set[Place]]] = {}
        """Manifests that wait for files: the watch's revision when they were last judged, and what they reserve."""

    def look(self, places: Iterable[Place], now_s: float) -> Mail:
        """Go through the manifests that lie in the inbox now."""
        mail = Mail()
        ends_s = self._clock() + BUDGET_S
        found = [place for place in places if place in self._watch.files]
        found.sort(key=self._judged_at)
        self._read = {place: read for place, read in self._read.items() if place in found}
        self._waits = {place: waits for place, waits in self._waits.items() if place in found}
        for place in found:
            watched = self._watch.files[place]
            if not watched.is_settled:
                mail.groups.append(_group(place, why_of([watched.hindrance])))
                if watched.settling.last.size_bytes and now_s - watched.first_s < HOLD_S:
                    mail.held.add(place[0])
                continue
            if self._clock() >= ends_s and self._put_off(mail, place):
                continue
            read = self._parsed(place, watched.settling.last.face)
            if isinstance(read, InputError):
                mail.refused.append(self._refusal(place, read))
            elif read is not None:
                self._judge(mail, place, read, now_s)
        return mail

    def _judged_at(self, place: Place) -> int:
        """Return the watch's revision when it was last judged: those that never were come first."""
        return self._waits.get(place, (-1, set()))[0]

    def _put_off(self, mail: Mail, place: Place) -> bool:
        """Leave for the next look what takes time; False for a manifest that was read and cannot be used."""
        known = self._read.get(place)
        if known is not None and isinstance(known[1], InputError):
            return False
        mail.is_late = True
        waits = self._waits.get(place)
        mail.groups.append(_group(place, Why.ARRIVING if waits is None else Why.MEMBERS))
        if waits is None:
            mail.held.add(place[0])
        else:
            mail.reserved |= waits[1]
        return True

    def _parsed(self, place: Place, face: _Face) -> Manifest | InputError | None:
        known = self._read.get(place)
        if known is None or known[0] != face:
            try:
                outcome = self._parse(place)
            except OSError:
                return None  # gone since the scan, or not for us to read
            known = self._read[place] = (face, outcome)
        return known[1]

    def _parse(self, place: Place) -> Manifest | InputError:
        try:
            data = read_small(self._path(place), self._limits.max_bytes)
            return read_manifest(data, place[1], self._limits)
        except ValueError as error:
            return InputError("E120", str(error))
        except InputError as error:
            return error

    def _judge(self, mail: Mail, place: Place, manifest: Manifest, now_s: float) -> None:
        folder = place[0]
        rules = self._configs.rules(folder)
        is_late = now_s - self._watch.files[place].first_s >= rules.orphan_timeout_s
        revision, reserved = self._waits.get(place, (-1, set()))
        if revision == self._watch.revision and not is_late:
            mail.groups.append(_group(place, Why.MEMBERS))
            mail.reserved |= reserved
            return
        files = {"/".join(filter(None, found)): found for found in self._watch.files if names.kind_of(found[1])}
        known = Files(files)
        wanted = [{files[path] for path in known.fitting(pattern)} for pattern in patterns_of(manifest, folder)]
        is_here = all(wanted) and all(self._watch.files[one].is_settled for matches in wanted for one in matches)
        rows = expand(
            manifest, stem=stem_of_manifest(place[1]), folder=folder, files=files.keys(), options=rules.options,
            priority=rules.priority,
        )  # fmt: skip
        is_ready = is_here or is_late or not wanted or known.is_exhausted  # with too many patterns, its rows say so
        named = {
            (path.rpartition("/")[0], path.rpartition("/")[2])
            for row in rows
            if not is_ready or row.error is None  # what a bad row names is free from now on, and not after this look
            for path in (member.path for member in row.members)
        }
        if is_ready:
            mail.reserved |= named
            mail.batches.append((self._batch(place, manifest, rows), place))
        else:
            reserved = named.union(*wanted)
            mail.reserved |= reserved
            self._waits[place] = (self._watch.revision, reserved)
            mail.groups.append(_group(place, Why.MEMBERS))

    def _batch(self, place: Place, manifest: Manifest, rows: tuple[Row, ...]) -> Batch:
        now = self._wall()
        batch_id = new_job_id(now)
        name = stem_of_manifest(place[1])
        return Batch(
            id=batch_id,
            root=self._root.uuid,
            kind=BatchKind.MANIFEST,
            name=name,
            folder=place[0],
            claim_dir=self._root.processing / job_folder(name, id8_of(batch_id)),
            accepted_at=now,
            strict=manifest.strict,
            bundle=manifest.bundle,
            rows=rows,
        )

    def _refusal(self, place: Place, error: InputError) -> Offer:
        rules = self._configs.rules(place[0])
        watched = self._watch.files[place]
        member = Member(role=Role.OTHER, folder=place[0], name=place[1], evidence=watched.evidence)
        submission = Submission(
            members=(member,),
            film_folder=place[0],
            film_name=stem_of_manifest(place[1]),
            options=rules.options,
            keep_days=rules.keep_days,
            error=(error.code, error.message),
        )
        return Offer(submission=submission, rule=self._watch.rule_for(place), since_s=watched.first_s)

    def _path(self, place: Place) -> Path:
        return self._root.inbox / place[0] / place[1]


def _group(place: Place, why: Why) -> Group:
    folder, name = place
    return Group(folder=folder, key=f"/manifest/{name}", names=(name,), why=why)
