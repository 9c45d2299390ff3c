"""From the rows of open batches to what can be claimed now."""

from collections.abc import Collection, Iterator
from itertools import islice

from heygemd.intake.batches import Batches, OpenBatch
from heygemd.intake.findings import RowWait
from heygemd.intake.folderconfig import FolderConfigs
from heygemd.intake.loose import markers_of, strictest
from heygemd.intake.offer import Offer
from heygemd.intake.scan import Place
from heygemd.intake.settle import SettleRule
from heygemd.intake.submission import Member, Role, Submission
from heygemd.intake.watch import Watch
from heygemd.jobs.batch import BatchKind, Row, Wanted
from heygemd.jobs.job import BatchRow

FROM_JOB_FOLDER = ("name", "claimed with its job folder")


class RowOffers:
    """Looks at every row that is no job yet."""

    def __init__(self, batches: Batches, watch: Watch, configs: FolderConfigs, rule: SettleRule) -> None:
        self._batches, self._watch, self._configs, self._rule = batches, watch, configs, rule
        self.markers: frozenset[Place] = frozenset()

    def ready(self, now_s: float, in_work: Collection[tuple[str, int]]) -> Iterator[Offer]:
        """Yield the rows whose files are complete, and those that have to be given up. `in_work`: claimed rows."""
        for open_ in self._batches.open.values():
            timeout_s = self._configs.rules(open_.batch.folder).orphan_timeout_s
            for row in open_.pending():
                if (open_.batch.id, row.number) in in_work or open_.rests.get(row.number, (0.0, 0.0))[0] > now_s:
                    continue
                missing = self._missing(open_, row)
                if not missing:
                    open_.missing_since_s.pop(row.number, None)
                    yield from self._complete(open_, row, now_s)
                elif now_s - open_.missing_since_s.setdefault(row.number, now_s) >= timeout_s:
                    yield self._hopeless(open_, row, "E102", f"{' and '.join(missing)} never came")

    def waits(self, most: int) -> tuple[RowWait, ...]:
        """Tell what rows wait for; `most` of them."""
        found = (
            RowWait(batch=open_.batch.id, number=row.number, reason=f"waiting for {', '.join(missing)}")
            for open_ in self._batches.open.values()
            for row in open_.pending()
            if (missing := self._missing(open_, row))
        )
        return tuple(islice(found, most))

    def _missing(self, open_: OpenBatch, row: Row) -> list[str]:
        if open_.batch.kind is BatchKind.FOLDER:  # complete when it was claimed, but people may take things out of it
            return [member.path for member in row.members if not (open_.batch.claim_dir / member.path).exists()]
        return [member.path for member in row.members if _place(member) not in self._watch.files]

    def _complete(self, open_: OpenBatch, row: Row, now_s: float) -> Iterator[Offer]:
        if open_.batch.kind is BatchKind.FOLDER:
            yield self._offer(open_, row, since_s=0.0, rule=self._rule)
            return
        places = [_place(member) for member in row.members]
        if not all(self._watch.files[place].is_settled for place in places):
            return
        grace_s = self._configs.rules(open_.batch.folder).rule.grace_s
        if now_s - open_.mismatched_since_s.get(row.number, now_s) >= grace_s:
            yield self._hopeless(open_, row, "E112", "the files are not those that the manifest declares")
            return
        since_s = max(self._watch.files[place].first_s for place in places)
        yield self._offer(open_, row, since_s=since_s, rule=strictest(self._watch, places))

    def _hopeless(self, open_: OpenBatch, row: Row, code: str, message: str) -> Offer:
        """Offer what is there of a row, to be failed; shared members stay."""
        return self._offer(open_, row, since_s=0.0, rule=self._rule, error=(code, message))

    def _offer(
        self, open_: OpenBatch, row: Row, *, since_s: float, rule: SettleRule, error: tuple[str, str] | None = None
    ) -> Offer:
        batch = open_.batch
        rules = self._configs.rules(batch.folder)
        members = tuple(
            member
            for role, wanted in ((Role.VIDEO, row.video), (Role.AUDIO, row.audio))
            if wanted is not None and (member := self._member(open_, role, wanted, is_failed=error is not None))
        )
        submission = Submission(
            members=members,
            film_folder=row.film_folder,
            film_name=row.film_name,
            options=row.options,
            priority=row.priority,
            lane=rules.lane,
            keep_days=rules.keep_days,
            row=BatchRow(batch=batch.id, number=row.number, row_id=row.row_id),
            base=batch.claim_dir.name if batch.kind is BatchKind.FOLDER else None,
            markers=markers_of(members, self.markers) if batch.kind is BatchKind.MANIFEST else (),
            error=error,
        )
        return Offer(submission=submission, rule=rule, since_s=since_s)

    def _member(self, open_: OpenBatch, role: Role, wanted: Wanted, *, is_failed: bool) -> Member | None:
        """Describe a member; None for one that cannot go with a failed row: missing, still arriving, or shared."""
        is_shared = self._batches.is_shared(open_, wanted.path)
        evidence: tuple[str, ...] = FROM_JOB_FOLDER
        if open_.batch.kind is BatchKind.MANIFEST:
            watched = self._watch.files.get(_place(wanted))
            if is_failed and (is_shared or watched is None or not watched.is_settled):
                return None
            evidence = watched.evidence if watched else ("name",)
        elif is_failed and (is_shared or not (open_.batch.claim_dir / wanted.path).exists()):
            return None
        folder, name = _place(wanted)
        return Member(
            role=role,
            folder=folder,
            name=name,
            is_shared=is_shared,
            size_bytes=None if is_failed else wanted.size_bytes,
            sha256=None if is_failed else wanted.sha256,
            evidence=evidence,
        )


def _place(wanted: Wanted) -> Place:
    folder, _, name = wanted.path.rpartition("/")
    return folder, name
