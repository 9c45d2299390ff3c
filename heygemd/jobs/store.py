"""The job store, and the only place where a job changes state.

What a method has returned survives a power cut. Every step of a job is one transaction (guarded UPDATE + event row),
then one log line. A disk that is full, read-only or broken is a ResourceError E202; a file that is no store of ours
is a SetupError E401.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self

import structlog

from heygemd.errors import WrongStateError
from heygemd.jobs.batches import BatchProgress, OpenBatch
from heygemd.jobs.database import Database, Record
from heygemd.jobs.evidence import MemoryEvidence
from heygemd.jobs.job import InputFile, Job
from heygemd.jobs.requests import RequestBook
from heygemd.jobs.rows import Transition, job_of, row_of, text_of
from heygemd.jobs.states import JobState, sources_of

__all__ = ["BatchProgress", "JobStore", "OpenBatch", "Transition"]

log = structlog.get_logger(__name__)

_ADD = """
INSERT INTO job (id, root, name, folder, state, video, audio, options, media, claim_dir, queued_at, not_before,
                 priority, turn, lane_folder, lane_most, keep_days, batch, row_number, row_id, content_key,
                 attempts, forgiven, strikes, published_name, error_code, error_message, duplicate_of, film_sha256)
VALUES (:id, :root, :name, :folder, :state, :video, :audio, :options, :media, :claim_dir, :queued_at, :not_before,
        :priority, :turn, :lane_folder, :lane_most, :keep_days, :batch, :row_number, :row_id, :content_key,
        :attempts, :forgiven, :strikes, :published_name, :error_code, :error_message, :duplicate_of, :film_sha256)
ON CONFLICT (id) DO NOTHING
"""
_MOVE = """
UPDATE job SET state = :state, attempts = attempts + :more_attempts, not_before = coalesce(:not_before, not_before),
               error_code = :error_code, error_message = :error_message, ended_seq = NULL
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources)) RETURNING *
"""
_PUT_BACK = """
UPDATE job SET state = 'queued', video = :video, audio = :audio, options = :options, media = :media,
               claim_dir = :claim_dir, queued_at = :queued_at, not_before = :not_before, priority = :priority,
               turn = :turn, lane_folder = :lane_folder, lane_most = :lane_most, keep_days = :keep_days,
               content_key = :content_key, forgiven = attempts, strikes = 0, published_name = NULL, error_code = NULL,
               error_message = NULL, duplicate_of = NULL, film_sha256 = NULL, ended_seq = NULL
WHERE id = :old_id AND root = :root AND state IN ('failed', 'cancelled')
  AND NOT EXISTS (SELECT 1 FROM job AS known WHERE known.id = :id) RETURNING *
"""
_EVENT = """
INSERT INTO event (job_id, at, state, attempts, error_code, error_message, duplicate_of) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class JobStore(MemoryEvidence):
    """Jobs on disk. One daemon writes (it holds a lock on the state directory); anyone may read beside it."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(Database(path, readonly=readonly))
        self.requests = RequestBook(self._db)
        """What people asked for with commands."""

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open beside a running daemon, or after it; raises SetupError E401 when there is no store."""
        return cls(path, readonly=True)

    # The life of a job ------------------------------------------------------------------------------------------

    def add(self, job: Job) -> bool:
        """Record a new job, queued or failed; False when its id is known already, and nothing changes."""
        if job.state not in (JobState.QUEUED, JobState.FAILED):
            raise WrongStateError(f"a new job cannot be {job.state}")
        with self._db.transaction():
            is_new = not self._has_put_back(job.id) and self._db.execute(_ADD, row_of(job)).rowcount == 1
            if is_new:
                self._note(job, job.queued_at, job.error_code, job.error_message)
        if is_new:
            log.info("job.added", job_id=job.id, state=job.state, name=job.name, error_code=job.error_code)
        return is_new

    def move(
        self,
        job_id: str,
        to: JobState,
        *,
        at: datetime,
        error_code: str | None = None,
        error_message: str | None = None,
        not_before: datetime | None = None,
        refund: bool = False,
    ) -> Job:
        """Take the job to state `to`, or raise WrongStateError and change nothing.

        RUNNING counts one attempt; `refund` (RUNNING → QUEUED only) gives it back: the run was stopped, it did
        not fail. A job that is queued or runs carries no error: the reason of a retry is kept in its event.
        """
        if refund and to is not JobState.QUEUED:
            raise WrongStateError(f"job {job_id}: only a job that is queued again gets its attempt back")
        is_alive = to in (JobState.QUEUED, JobState.RUNNING)
        sources = frozenset({JobState.RUNNING}) if refund else sources_of(to)
        change = {
            "id": job_id,
            "state": to.value,
            "more_attempts": -1 if refund else int(to is JobState.RUNNING),
            "not_before": None if not_before is None else text_of(not_before),
            "error_code": None if is_alive else error_code,
            "error_message": None if is_alive else error_message,
            "sources": "[" + ",".join(f'"{state.value}"' for state in sorted(sources)) + "]",
        }
        with self._db.transaction():
            row = self._db.one(_MOVE, change)
            if row is None:
                raise WrongStateError(self._refusal(job_id, to))
            job = job_of(row)
            self._note(job, at, error_code, error_message)
        log.info("job.moved", job_id=job_id, state=to, attempts=job.attempts, error_code=error_code)
        return job

    def requeue(self, job_id: str, fresh: Job, *, at: datetime) -> Job | None:
        """Queue a failed or cancelled job again that a person has put back; `fresh` is what its claim found.

        Inputs, options and place in the queue are those of `fresh`; name, folder and row stay, and what was tried
        so far is forgiven. None, and nothing changes, when the job is unknown, of another root or in another state,
        when `fresh` has failed at the door, or is a job of its own. The same call again changes nothing more.
        """
        with self._db.transaction():
            if self._db.one("SELECT 1 FROM put_back WHERE claim_id = ? AND job_id = ?", (fresh.id, job_id)):
                return self.get(job_id)
            if fresh.state is not JobState.QUEUED or self._has_put_back(fresh.id):
                return None
            row = self._db.one(_PUT_BACK, row_of(fresh) | {"old_id": job_id})
            if row is None:
                return None
            job = job_of(row)
            self._db.execute("INSERT INTO put_back (claim_id, job_id) VALUES (?, ?)", (fresh.id, job_id))
            self._note(job, at, None, None)
        log.info("job.put_back", job_id=job_id, state=job.state, attempts=job.attempts, claim=fresh.id)
        return job

    def recover(self, at: datetime) -> list[Job]:
        """At start: every running job goes back to the queue; its attempts stay counted."""
        return [self.move(job.id, JobState.QUEUED, at=at) for job in self.jobs(JobState.RUNNING)]

    # What is learnt about a job meanwhile -----------------------------------------------------------------------

    def strike(self, job_id: str) -> int:
        """Count one worker that the job's present task has ended; returns how many."""
        row = self._change("UPDATE job SET strikes = strikes + 1 WHERE id = :id RETURNING strikes", job_id)
        return int(row["strikes"])

    def clear_strikes(self, job_id: str) -> None:
        """Forget the strikes: a task of the job has succeeded."""
        self._change("UPDATE job SET strikes = 0 WHERE id = :id RETURNING id", job_id)

    def set_published_name(self, job_id: str, name: str) -> str:
        """Store the film's file name unless one is stored; returns the stored one."""
        sql = "UPDATE job SET published_name = coalesce(published_name, :name) WHERE id = :id RETURNING published_name"
        return str(self._change(sql, job_id, name=name)["published_name"])

    def clear_published_name(self, job_id: str) -> None:
        """Forget a stored name that somebody else's file has taken meanwhile; only before it is published."""
        sql = "UPDATE job SET published_name = NULL WHERE id = :id AND state <> 'done' RETURNING id"
        self._change(sql, job_id)

    def set_film(self, job_id: str, sha256: str) -> None:
        """Store what the film that is being published hashes to; only while the job runs."""
        sql = "UPDATE job SET film_sha256 = :sha256 WHERE id = :id AND state = 'running' RETURNING id"
        self._change(sql, job_id, sha256=sha256)

    def set_duplicate_of(self, job_id: str, other: str | None) -> None:
        """Let the job be given the film of another one, or (None) make its own; only before it has ended."""
        if other == job_id:
            raise WrongStateError(f"job {job_id} cannot be a duplicate of itself")
        sql = "UPDATE job SET duplicate_of = :other WHERE id = :id AND state IN ('queued', 'running') RETURNING id"
        self._change(sql, job_id, other=other)

    def set_claim_dir(self, job_id: str, claim_dir: Path | None) -> Job:
        """Record where the inputs lie now; the paths of those that lay in the old folder follow.

        None: they are put away; the paths keep saying where they were last seen.
        """
        with self._db.transaction():
            old = self.get(job_id)
            if old is None:
                raise WrongStateError(f"there is no job {job_id}")
            video, audio = (_follow(old, file, claim_dir) for file in (old.video, old.audio))
            new = replace(old, claim_dir=claim_dir, video=video, audio=audio)
            self._db.execute(
                "UPDATE job SET claim_dir = :claim_dir, video = :video, audio = :audio WHERE id = :id", row_of(new)
            )
        return new

    def set_event_offset(self, seq: int) -> None:
        """Record that every event up to `seq` has been exported; it never goes back."""
        with self._db.transaction():
            self._db.execute("UPDATE export SET seq = max(seq, ?)", (seq,))

    def _note(self, job: Job, at: datetime, error_code: str | None, error_message: str | None) -> None:
        """Write the event row of a step; within its transaction."""
        values = (job.id, text_of(at), job.state.value, job.attempts, error_code, error_message, job.duplicate_of)
        seq = self._db.execute(_EVENT, values).lastrowid
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            self._db.execute("UPDATE job SET ended_seq = ? WHERE id = ?", (seq, job.id))

    def _change(self, sql: str, job_id: str, **values: str | None) -> Record:
        with self._db.transaction():
            row = self._db.one(sql, {"id": job_id, **values})
            if row is None:
                raise WrongStateError(f"job {job_id} is unknown, or its state forbids this")
        return row

    def _has_put_back(self, claim_id: str) -> bool:
        return self._db.one("SELECT 1 FROM put_back WHERE claim_id = ?", (claim_id,)) is not None

    def _refusal(self, job_id: str, to: JobState) -> str:
        job = self.get(job_id)
        return f"there is no job {job_id}" if job is None else f"job {job_id} is {job.state} and cannot become {to}"


def _follow(job: Job, file: InputFile | None, claim_dir: Path | None) -> InputFile | None:
    if file is None or claim_dir is None or file.path.parent != job.claim_dir:
        return file
    return replace(file, path=claim_dir / file.path.name)
