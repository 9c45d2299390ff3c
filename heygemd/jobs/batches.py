"""Batches in the store: what was accepted, and how far its jobs have come."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from heygemd.errors import WrongStateError
from heygemd.jobs.batch import Batch
from heygemd.jobs.job import Job
from heygemd.jobs.questions import JobQuestions
from heygemd.jobs.rows import batch_of, row_of_batch, text_of
from heygemd.jobs.states import JobState

log = structlog.get_logger(__name__)

_ADD = """
INSERT INTO batch (id, root, kind, name, folder, claim_dir, accepted_at, strict, bundle, rows, good_count)
VALUES (:id, :root, :kind, :name, :folder, :claim_dir, :accepted_at, :strict, :bundle, :rows, :good_count)
ON CONFLICT (id) DO NOTHING
"""
_PROGRESS = """
SELECT job.state, count(*) AS jobs, (SELECT count(DISTINCT row_number) FROM job WHERE batch = :id) AS known_rows
FROM job WHERE job.batch = :id GROUP BY job.state
"""
_ROW_BEFORE = """
SELECT job.* FROM job JOIN batch ON batch.id = job.batch
WHERE job.row_id = :row_id AND job.state IN ('done', 'running', 'queued')
  AND batch.root = :root AND batch.folder = :folder AND batch.name = :name AND (:before IS NULL OR batch.id < :before)
ORDER BY batch.id DESC, job.id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A batch whose folder still lies in `processing/`."""

    batch: Batch
    is_stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far the jobs of a batch have come."""

    ended: int
    """Rows' jobs that are done, failed or cancelled."""
    total: int
    """Rows that become jobs."""
    known: int
    """Rows that are jobs already."""
    by_state: dict[JobState, int]
    """Jobs in each state; every state is a key."""
    is_stopped: bool

    @property
    def is_over(self) -> bool:
        """All its jobs have ended, and no further one will come."""
        is_complete = self.is_stopped or self.known >= self.total
        return is_complete and not self.by_state[JobState.QUEUED] and not self.by_state[JobState.RUNNING]


class BatchRecords(JobQuestions):
    """The part of the store that keeps batches. A batch never changes; it is stopped and closed, once each."""

    def add_batch(self, batch: Batch) -> bool:
        """Record an accepted batch; False when its id is known already, and nothing changes."""
        with self._db.transaction():
            is_new = self._db.execute(_ADD, row_of_batch(batch)).rowcount == 1
        if is_new:
            counts = {"rows": len(batch.rows), "good_rows": len(batch.good_rows)}
            log.info("batch.added", batch=batch.id, name=batch.name, kind=batch.kind, **counts)
        return is_new

    def stop_batch(self, batch_id: str) -> None:
        """Let no further row of the batch become a job; those that are jobs are left alone."""
        if self._set("stopped = 1", "stopped = 0", batch_id):
            log.info("batch.stopped", batch=batch_id)

    def close_batch(self, batch_id: str, at: datetime) -> None:
        """Record that the folder of the batch has been put away."""
        if self._set("closed_at = :at", "closed_at IS NULL", batch_id, at=text_of(at)):
            log.info("batch.closed", batch=batch_id)

    def get_batch(self, batch_id: str) -> Batch | None:
        """Return the batch, if there is one."""
        row = self._db.one("SELECT * FROM batch WHERE id = ?", (batch_id,))
        return None if row is None else batch_of(row)

    def is_stopped(self, batch_id: str) -> bool:
        """Tell whether the batch was stopped."""
        return self._db.one("SELECT 1 FROM batch WHERE id = ? AND stopped = 1", (batch_id,)) is not None

    def open_batches(self, root: str | None = None) -> list[OpenBatch]:
        """Return the batches (of one root) that are not closed, oldest first; reads all their rows."""
        of_root = "" if root is None else "AND root = :root"
        rows = self._db.all(f"SELECT * FROM batch WHERE closed_at IS NULL {of_root} ORDER BY id", {"root": root})
        return [OpenBatch(batch=batch_of(row), is_stopped=bool(row["stopped"])) for row in rows]

    def jobs_of_batch(self, batch_id: str) -> list[Job]:
        """Return the jobs of the batch in the order of its rows."""
        return self._jobs("SELECT * FROM job WHERE batch = :batch ORDER BY row_number, id", batch=batch_id)

    def rows_of_batch(self, batch_id: str) -> frozenset[int]:
        """Return the numbers of the rows that are jobs already."""
        rows = self._db.all("SELECT DISTINCT row_number FROM job WHERE batch = ?", (batch_id,))
        return frozenset(row["row_number"] for row in rows)

    def batch_progress(self, batch_id: str) -> BatchProgress:
        """Tell how far the batch is, from an index alone; raises WrongStateError for an unknown one."""
        batch = self._db.one("SELECT good_count, stopped FROM batch WHERE id = ?", (batch_id,))
        if batch is None:
            raise WrongStateError(f"there is no batch {batch_id}")
        rows = self._db.all(_PROGRESS, {"id": batch_id})
        by_state = dict.fromkeys(JobState, 0) | {JobState(row["state"]): int(row["jobs"]) for row in rows}
        return BatchProgress(
            ended=sum(by_state[state] for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)),
            total=batch["good_count"],
            known=rows[0]["known_rows"] if rows else 0,
            by_state=by_state,
            is_stopped=bool(batch["stopped"]),
        )

    def row_before(self, root: str, folder: str, name: str, row_id: str, *, before: str | None = None) -> Job | None:
        """Return the job that an earlier manifest of this folder and name had for the row with this `id`, if any.

        Only jobs that are done, run or are queued count; the newest batch first. `before`: id of the batch that
        asks; without it every batch is an earlier one.
        """
        values = {"root": root, "folder": folder, "name": name, "row_id": row_id, "before": before}
        return next(iter(self._jobs(_ROW_BEFORE, **values)), None)

    def _set(self, change: str, unless: str, batch_id: str, **values: str) -> bool:
        """Change the batch unless that was done before; raises WrongStateError for an unknown one."""
        with self._db.transaction():
            if self._db.one("SELECT 1 FROM batch WHERE id = ?", (batch_id,)) is None:
                raise WrongStateError(f"there is no batch {batch_id}")
            cursor = self._db.execute(
                f"UPDATE batch SET {change} WHERE id = :id AND {unless}", {"id": batch_id, **values}
            )
        return cursor.rowcount == 1
