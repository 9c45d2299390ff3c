"""Manifests and job folders on their way: what their reports say, and the end of each.

announced ─▶ stored ─▶ rows become jobs ─▶ report after each change
last job ended (or the batch was cancelled) ─▶ final report and bundle into the outbox (errand)
─▶ folder to done/ (the desk) ─▶ closed
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from heygemd.daemon.backdesk import BackDesk
from heygemd.daemon.errands import Errand, Nursery
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.intake.findings import Absent, Closing, KnownRows
from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import BatchRow, InputFile, Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox.batchfiles import publish_batch_reports
from heygemd.outbox.batchreport import BatchReport, batch_report
from heygemd.outbox.bundle import BundleFilm, films_of, publish_bundle

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 2.0
"""A manifest of ten thousand rows is not written anew for each of them."""
ERRAND_LIMIT_S = 3600.0
PAUSE_S = 10.0
KNOWN_BY_ID = ("known by its id",)
"""Evidence of inputs that were not there."""


@dataclass(slots=True)
class _Account:
    """One open batch."""

    batch: Batch
    told: tuple[object, ...] = ()
    """What the last report was made from."""
    due_s: float = 0.0
    errand: Errand | None = None
    is_complete: bool = False
    """Every row has come to an end: nothing is left that could be stopped, whatever has become of the folder."""
    is_published: bool = False


class BatchBook:
    """Every open batch of every root."""

    def __init__(
        self, store: JobStore, nursery: Nursery, clock: Callable[[], float], wall: Callable[[], datetime]
    ) -> None:
        self._store, self._nursery, self._clock, self._wall = store, nursery, clock, wall
        self._accounts: dict[str, _Account] = {}
        for found in store.open_batches():
            self._accounts[found.batch.id] = _Account(found.batch)

    @property
    def is_idle(self) -> bool:
        """No batch is open."""
        return not self._accounts

    def filenos(self) -> list[int]:
        """Readable when a publication has ended."""
        return [account.errand.fileno() for account in self._accounts.values() if account.errand is not None]

    def of_root(self, uuid: str) -> tuple[Batch, ...]:
        """Return the open batches of one root."""
        return tuple(account.batch for account in self._accounts.values() if account.batch.root == uuid)

    def folders(self, root: Root) -> dict[str, str]:
        """Batch id → its folder in `processing/`, while it may be cancelled."""
        return {
            batch_id: account.batch.claim_dir.name
            for batch_id, account in self._accounts.items()
            if account.batch.root == root.uuid and not account.is_complete and not self._store.is_stopped(batch_id)
        }

    def receive(self, batches: tuple[Batch, ...], desk: FrontDesk) -> None:
        """Store what was accepted, and say which rows are jobs already."""
        for batch in batches:
            if self._store.add_batch(batch):
                self._accounts[batch.id] = _Account(batch)
            rows = self._store.rows_of_batch(batch.id)
            is_over = self._store.is_stopped(batch.id) or batch.id not in self._accounts
            desk.note_rows(KnownRows(batch=batch.id, rows=rows, is_stopped=is_over))
            if batch.id not in self._accounts:
                desk.close_batch(self._closing(batch))  # closed in an earlier run

    def serve_absent(self, absent: tuple[Absent, ...], desk: FrontDesk) -> tuple[Job, ...]:
        """Make jobs of rows whose `id` was made by an earlier manifest of that name, and whose files do not come."""
        made = []
        for one in absent:
            account = self._accounts.get(one.batch)
            row = next((row for row in account.batch.rows if row.number == one.number), None) if account else None
            if account is None or row is None or row.row_id is None:
                continue
            batch = account.batch
            earlier = self._store.row_before(batch.root, batch.folder, batch.name, row.row_id)
            if earlier is None or row.number in self._store.rows_of_batch(batch.id):
                continue
            job = self._again(batch, row, earlier)
            if self._store.add(job):
                made.append(job)
            desk.note_rows(KnownRows(batch=batch.id, rows=frozenset({row.number})))
        return tuple(made)

    def cancel(self, batch_id: str, desk: FrontDesk) -> tuple[Job, ...]:
        """Stop a batch; returns its jobs that must be cancelled."""
        if batch_id not in self._accounts or self._store.is_stopped(batch_id):
            return ()
        self._store.stop_batch(batch_id)
        rows = self._store.rows_of_batch(batch_id)
        desk.note_rows(KnownRows(batch=batch_id, rows=rows, is_stopped=True))
        log.info("batch.cancelled", batch=batch_id, root=desk.root.uuid)
        jobs = self._store.jobs_of_batch(batch_id)
        return tuple(job for job in jobs if job.state in (JobState.QUEUED, JobState.RUNNING))

    def tick(self, front: dict[str, FrontDesk], back: dict[str, BackDesk]) -> None:
        """Tell what has changed, and bring to an end what can be."""
        now_s = self._clock()
        for account in list(self._accounts.values()):
            root = account.batch.root
            if root not in front:
                continue
            if account.errand is not None:
                self._poll(account, now_s)
            elif account.is_published:
                self._close(account, front[root])
            elif now_s >= account.due_s:
                self._tell(account, back[root], front[root], now_s)

    def _tell(self, account: _Account, clerk: BackDesk, desk: FrontDesk, now_s: float) -> None:
        batch = account.batch
        progress = self._store.batch_progress(batch.id)
        is_stopped = self._store.is_stopped(batch.id)
        found = desk.findings.row_waits if desk.findings else ()
        waits = {wait.number: wait.reason for wait in found if wait.batch == batch.id}
        told = (progress, is_stopped, frozenset(waits.items()))
        if account.told == told:
            return
        account.due_s, account.told = now_s + REPORT_EVERY_S, told
        jobs = {job.row.number: job for job in self._store.jobs_of_batch(batch.id) if job.row is not None}
        report = batch_report(
            batch,
            jobs,
            written_at=self._wall(),
            waiting=waits,
            is_stopped=is_stopped,
        )
        if batch.kind is BatchKind.MANIFEST:
            clerk.report(batch, report)
        if report.complete:
            account.is_complete = True
            if batch.kind is BatchKind.FOLDER:
                account.is_published = True
                return
            account.errand = Errand(
                self._nursery, publish_results, desk.root, batch, report, films_of(jobs),
                now_s=now_s, limit_s=ERRAND_LIMIT_S,
            )  # fmt: skip

    def _poll(self, account: _Account, now_s: float) -> None:
        answer = account.errand.poll(now_s) if account.errand is not None else None
        if answer is None:
            return
        account.errand = None
        if answer.is_good:
            account.is_published = True
            return
        reason = answer.error.message if answer.error else answer.fault.strip().splitlines()[-1]
        log.warning("batch.not_published", batch=account.batch.id, reason=reason)
        account.told, account.due_s = (), now_s + PAUSE_S

    def _close(self, account: _Account, desk: FrontDesk) -> None:
        """Ask the desk to put the folder away, until it has."""
        batch = account.batch
        if desk.findings is not None and batch.id in desk.findings.closed:
            self._store.close_batch(batch.id, self._wall())
            del self._accounts[batch.id]
            log.info("batch.ended", batch=batch.id, name=batch.name, root=batch.root)
        elif batch.id not in desk.closing:
            desk.close_batch(self._closing(batch))

    def _again(self, batch: Batch, row: Row, earlier: Job) -> Job:
        """A job that needs no files: it is given the film of the row's earlier job."""
        now = self._wall()
        return replace(
            earlier,
            id=new_job_id(now),
            name=row.film_name,
            folder=row.film_folder,
            state=JobState.QUEUED,
            video=_as_known(earlier.video),
            audio=_as_known(earlier.audio),
            claim_dir=None,
            queued_at=now,
            not_before=now,
            priority=row.priority,
            row=BatchRow(batch=batch.id, number=row.number, row_id=row.row_id),
            attempts=0,
            forgiven=0,
            strikes=0,
            published_name=None,
            error_code=None,
            error_message=None,
            duplicate_of=earlier.duplicate_of or earlier.id,
            film_sha256=None,
        )

    def _closing(self, batch: Batch) -> Closing:
        """Say which members were used, and as what: people may have put other files in their place."""
        rows = {row.number: row for row in batch.rows}
        used: set[tuple[str, str]] = set()
        for job in self._store.jobs_of_batch(batch.id):
            row = rows.get(job.row.number) if job.row else None
            for wanted, file in ((row.video, job.video), (row.audio, job.audio)) if row else ():
                if wanted is not None and file is not None and file.evidence != KNOWN_BY_ID:
                    used.add((wanted.path, file.sha256))
        return Closing(batch=batch.id, day=self._day(), used=frozenset(used))

    def _day(self) -> str:
        return self._wall().date().isoformat()


def publish_results(root: Root, batch: Batch, report: BatchReport, films: tuple[BundleFilm, ...]) -> None:
    """Put the final report, and the bundle when one is wanted, beside the results; may be repeated."""
    publish_batch_reports(root, batch, report)
    if batch.bundle:
        publish_bundle(root, batch, films)


def _as_known(file: InputFile | None) -> InputFile | None:
    return file and replace(file, evidence=KNOWN_BY_ID)
