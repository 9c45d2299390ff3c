"""The job store: the only SQLite code, and the only place where a job changes state.

WAL with `synchronous = FULL`: what a method has returned survives a power cut. Every step of a job is one
transaction (guarded UPDATE + event row), then one log line. A disk that is full, read-only or broken is a
ResourceError E202; a file that is no store of ours is a SetupError E401.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import structlog

from heygemd.errors import ResourceError, SetupError, WrongStateError
from heygemd.jobs.job import InputFile, Job
from heygemd.jobs.rows import Transition, job_of, row_of, text_of, transition_of
from heygemd.jobs.states import JobState, sources_of

__all__ = ["JobStore", "Transition"]

log = structlog.get_logger(__name__)

BUSY_TIMEOUT_S = 10.0
"""How long a write waits for another process (a backup, say) before it counts as a fault of the machine."""

_PRIMARY_CODE_MASK = 0xFF
_MACHINE_FAULTS = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
})  # fmt: skip

_ADD = """
INSERT INTO job (id, root, name, folder, state, video, audio, options, media, claim_dir, queued_at, not_before,
                 priority, attempts, strikes, published_name, error_code, error_message, duplicate_of)
VALUES (:id, :root, :name, :folder, :state, :video, :audio, :options, :media, :claim_dir, :queued_at, :not_before,
        :priority, :attempts, :strikes, :published_name, :error_code, :error_message, :duplicate_of)
ON CONFLICT (id) DO NOTHING
"""
_MOVE = """
UPDATE job SET state = :state, attempts = attempts + :more_attempts, not_before = coalesce(:not_before, not_before),
               error_code = :error_code, error_message = :error_message
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources)) RETURNING *
"""
_EVENT = "INSERT INTO event (job_id, at, state, attempts, error_code, error_message) VALUES (?, ?, ?, ?, ?, ?)"
_ENDED = "state IN ('done', 'failed', 'cancelled')"
_QUEUE_ORDER = "ORDER BY priority DESC, queued_at, id LIMIT :limit"


class JobStore:
    """Jobs on disk. One daemon writes (it holds a lock on the state directory); anyone may read beside it."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        with _sorted_faults(path):
            self._db = _connect_to_read(path) if readonly else _connect_to_write(path)

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open beside a running daemon, or after it; raises SetupError E401 when there is no store."""
        return cls(path, readonly=True)

    def close(self) -> None:
        """Give the files back; the store cannot be used afterwards."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, job: Job) -> bool:
        """Record a new job, queued or failed; False when its id is known already, and nothing changes."""
        if job.state not in (JobState.QUEUED, JobState.FAILED):
            raise WrongStateError(f"a new job cannot be {job.state}")
        with self._transaction():
            is_new = self._db.execute(_ADD, row_of(job)).rowcount == 1
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
        with self._transaction():
            row = self._db.execute(_MOVE, change).fetchone()
            if row is None:
                raise WrongStateError(self._refusal(job_id, to))
            job = job_of(dict(row))
            self._note(job, at, error_code, error_message)
        log.info("job.moved", job_id=job_id, state=to, attempts=job.attempts, error_code=error_code)
        return job

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

    def set_claim_dir(self, job_id: str, claim_dir: Path | None) -> Job:
        """Record where the inputs lie now; the paths of those that lay in the old folder follow.

        None: they are put away; the paths keep saying where they were last seen.
        """
        with self._transaction():
            old = self._require(job_id)
            new = replace(
                old,
                claim_dir=claim_dir,
                video=_follow(old, old.video, claim_dir),
                audio=_follow(old, old.audio, claim_dir),
            )
            self._db.execute(
                "UPDATE job SET claim_dir = :claim_dir, video = :video, audio = :audio WHERE id = :id", row_of(new)
            )
        return new

    def get(self, job_id: str) -> Job | None:
        """Return the job, if there is one."""
        with _sorted_faults():
            row = self._db.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else job_of(dict(row))

    def jobs(self, state: JobState | None = None, limit: int | None = None) -> list[Job]:
        """Return the jobs (in `state`) in the order of the queue: priority, then time."""
        where = "" if state is None else "WHERE state = :state"
        sql = f"SELECT * FROM job {where} {_QUEUE_ORDER}"
        return self._select(sql, state=state, limit=-1 if limit is None else limit)

    def unfinished(self, root: str | None = None) -> list[Job]:
        """Return the jobs (of one root) that are queued or run, in the order of the queue."""
        sql = f"SELECT * FROM job WHERE state IN ('queued', 'running') AND {_of(root)} {_QUEUE_ORDER}"
        return self._select(sql, root=root, limit=-1)

    def ended(self, limit: int, root: str | None = None) -> list[Job]:
        """Return the latest jobs (of one root) that are done, failed or cancelled, the newest first."""
        return self._select(f"SELECT * FROM job WHERE {_ENDED} AND {_of(root)} ORDER BY id DESC LIMIT :limit",
                            root=root, limit=limit)  # fmt: skip

    def to_put_away(self) -> list[Job]:
        """Return the jobs that have ended but whose inputs still lie in their claim folder."""
        return self._select(f"SELECT * FROM job WHERE {_ENDED} AND claim_dir IS NOT NULL ORDER BY id")

    def has_work(self, roots: Iterable[str]) -> bool:
        """Tell whether a job of these roots is queued or runs."""
        sql = "SELECT 1 FROM job WHERE root = ? AND state IN ('queued', 'running') LIMIT 1"
        with _sorted_faults():
            return any(self._db.execute(sql, (root,)).fetchone() for root in roots)

    def ids(self) -> frozenset[str]:
        """Return the ids of all jobs there ever were."""
        with _sorted_faults():
            return frozenset(row["id"] for row in self._db.execute("SELECT id FROM job"))

    def counts(self, root: str | None = None) -> dict[JobState, int]:
        """Return how many jobs (of one root) stand in each state; every state is a key."""
        sql = f"SELECT state, count(*) FROM job WHERE {_of(root)} GROUP BY state"
        with _sorted_faults():
            rows = self._db.execute(sql, {"root": root}).fetchall()
        return dict.fromkeys(JobState, 0) | {JobState(row[0]): int(row[1]) for row in rows}

    def events(self, after_seq: int = 0) -> Iterator[Transition]:
        """Every transition after `after_seq`, oldest first."""
        with _sorted_faults():
            rows = self._db.execute("SELECT * FROM event WHERE seq > ? ORDER BY seq", (after_seq,)).fetchall()
        return (transition_of(dict(row)) for row in rows)

    def events_of(self, job_id: str) -> list[Transition]:
        """Every transition of one job, oldest first."""
        with _sorted_faults():
            rows = self._db.execute("SELECT * FROM event WHERE job_id = ? ORDER BY seq", (job_id,)).fetchall()
        return [transition_of(dict(row)) for row in rows]

    def recover(self, at: datetime) -> list[Job]:
        """At start: every running job goes back to the queue; its attempts stay counted."""
        return [self.move(job.id, JobState.QUEUED, at=at) for job in self.jobs(JobState.RUNNING)]

    def _select(self, sql: str, **values: str | int | None) -> list[Job]:
        with _sorted_faults():
            rows = self._db.execute(sql, values).fetchall()
        return [job_of(dict(row)) for row in rows]

    def _note(self, job: Job, at: datetime, error_code: str | None, error_message: str | None) -> None:
        values = (job.id, text_of(at), job.state.value, job.attempts, error_code, error_message)
        self._db.execute(_EVENT, values)

    def _change(self, sql: str, job_id: str, **values: str) -> sqlite3.Row:
        with self._transaction():
            row = self._db.execute(sql, {"id": job_id, **values}).fetchone()
            if row is None:
                raise WrongStateError(f"job {job_id} is unknown, or its state forbids this")
        return row  # type: ignore[no-any-return]  # sqlite3 types a fetched row as Any

    def _require(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job is None:
            raise WrongStateError(f"there is no job {job_id}")
        return job

    def _refusal(self, job_id: str, to: JobState) -> str:
        job = self.get(job_id)
        return f"there is no job {job_id}" if job is None else f"job {job_id} is {job.state} and cannot become {to}"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _sorted_faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A disk that fills up rolls back by itself; then there is nothing left to roll back.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _of(root: str | None) -> str:
    """Condition of a question about one root, or about all; never both in one, or no index would serve it."""
    return "TRUE" if root is None else "root = :root"


@cache
def schema_sections() -> tuple[str, ...]:
    """Return the SQL of each schema version, oldest first."""
    text = resources.files("heygemd.jobs").joinpath("schema.sql").read_text(encoding="utf-8")
    head, *rest = text.split("\n-- version ")
    del head
    return tuple(section.partition("\n")[2] for section in rest)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db, path, schema_sections())
    except BaseException:
        db.close()
        raise
    return db


def _connect_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise SetupError("E401", f"there is no job store at {path}: the daemon has not run with this state directory")
    # A reader that may not write the directory cannot rebuild the WAL index of a store that was closed cleanly;
    # then no writer is there, and the file alone is the whole truth.
    for mode in ("mode=ro", "immutable=1"):
        db = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        try:
            db.row_factory = sqlite3.Row
            version = _version(db)
            if version != len(schema_sections()):
                raise SetupError(
                    "E401", f"the job store {path} has schema {version}; this program reads {len(schema_sections())}"
                )
        except sqlite3.OperationalError:
            db.close()
            if mode == "immutable=1" or path.with_name(path.name + "-wal").exists():
                raise
        except BaseException:
            db.close()
            raise
        else:
            return db
    raise AssertionError("unreachable")


def _migrate(db: sqlite3.Connection, path: Path, sections: Sequence[str]) -> None:
    """Bring the file to the newest schema, one transaction a version, a backup copy before each."""
    version = _version(db)
    if version > len(sections):
        raise SetupError("E401", f"the job store {path} was written by a newer heygemd (schema {version})")
    for number in range(version + 1, len(sections) + 1):
        if number > 1:
            _back_up(db, path.with_name(f"{path.name}.v{number - 1}.bak"))
        try:
            db.executescript(f"BEGIN IMMEDIATE;{sections[number - 1]};PRAGMA user_version = {number};COMMIT;")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if number > 1:
            log.info("store.migrated", schema=number)


def _back_up(db: sqlite3.Connection, copy: Path) -> None:
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(part),))
    for path in (part, part.parent):
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(number)
        os.close(number)
    part.replace(copy)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _sorted_faults(path: Path | None = None) -> Iterator[None]:
    """Turn SQLite's faults into errors that say who must act."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE_MASK
        if code in _MACHINE_FAULTS:
            raise ResourceError("E202", f"the job store cannot be used: {error}") from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise SetupError("E401", f"the job store {path or ''} is damaged or is none: {error}") from error
        raise


def _follow(job: Job, file: InputFile, claim_dir: Path | None) -> InputFile:
    if claim_dir is None or file.path.parent != job.claim_dir:
        return file
    return replace(file, path=claim_dir / file.path.name)
