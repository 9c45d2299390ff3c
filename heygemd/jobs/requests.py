"""What people ask for with a command: rows of the store that the daemon carries out in its next round.

So a command needs no socket and no daemon that runs: what was asked for is as durable as a job. Only the daemon
changes jobs; a command never does.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import structlog

from heygemd.jobs.database import Database, Holder, Record
from heygemd.jobs.rows import text_of

log = structlog.get_logger(__name__)

KEPT = 1000
"""Requests that were carried out, for those who look later."""
_OPEN = """
SELECT * FROM request
WHERE ended_at IS NULL AND seq > :after AND act IN (SELECT value FROM json_each(:acts)) ORDER BY seq LIMIT :limit
"""


class Act(StrEnum):
    """What may be asked for."""

    RETRY = "retry"
    """Put the folder of a failed or cancelled job back into the inbox."""
    CANCEL = "cancel"
    """Cancel a job that has not ended, or what is left of a batch."""
    PRUNE = "prune"
    """Delete old originals and shrink the caches, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row."""

    seq: int
    act: Act
    target: str
    options: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None = None
    is_refused: bool = False
    note: str = ""


class RequestBook(Holder):
    """The requests of one store; both sides use it. Close only a book that was opened with `open`."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open for asking, beside a daemon or without one.

        The schema is left alone: bringing an older one up to date is the daemon's. Raises SetupError E401 when there
        is no store, or one of another schema, E407 when this user may not write it; ResourceError E202.
        """
        return cls(Database(path, may_migrate=False))

    def ask(self, act: Act, target: str, *, by: str, at: datetime, options: Mapping[str, Any] | None = None) -> Request:
        """Add a request; one that is open already with the same words is not added again."""
        words = json.dumps(dict(options or {}), ensure_ascii=False, sort_keys=True)
        with self._db.transaction():
            row = self._db.one(
                "SELECT * FROM request WHERE ended_at IS NULL AND act = ? AND target = ? AND options = ?",
                (act.value, target, words),
            ) or self._db.one(
                "INSERT INTO request (act, target, options, asked_by, asked_at) VALUES (?, ?, ?, ?, ?) RETURNING *",
                (act.value, target, words, by, text_of(at)),
            )
        if row is None:
            raise AssertionError("INSERT … RETURNING returns a row")
        return _request(row)

    def get(self, seq: int) -> Request | None:
        """Return one request."""
        row = self._db.one("SELECT * FROM request WHERE seq = ?", (seq,))
        return None if row is None else _request(row)

    def open_requests(self, limit: int = 100, *, acts: Iterable[Act] = Act, after: int = 0) -> list[Request]:
        """Return what is to be carried out of these acts, in the order in which it was asked for, after a number."""
        rows = self._db.all(_OPEN, {"acts": json.dumps(list(acts)), "after": after, "limit": limit})
        return [_request(row) for row in rows]

    def latest(self, limit: int) -> list[Request]:
        """Return the latest requests, the newest first."""
        return [_request(row) for row in self._db.all("SELECT * FROM request ORDER BY seq DESC LIMIT ?", (limit,))]

    def end(self, request: Request, *, at: datetime, note: str, refused: bool = False) -> None:
        """Write down what came of a request; old ones are forgotten."""
        outcome = "refused" if refused else "done"
        with self._db.transaction():
            self._db.execute(
                "UPDATE request SET ended_at = ?, outcome = ?, note = ? WHERE seq = ? AND ended_at IS NULL",
                (text_of(at), outcome, note, request.seq),
            )
            self._db.execute("DELETE FROM request WHERE ended_at IS NOT NULL AND seq <= ?", (request.seq - KEPT,))
        log.info(
            "request.ended", act=request.act, target=request.target, asked_by=request.asked_by, outcome=outcome,
            note=note,
        )  # fmt: skip


def _request(row: Record) -> Request:
    return Request(
        seq=row["seq"],
        act=Act(row["act"]),
        target=row["target"],
        options=json.loads(row["options"]),
        asked_by=row["asked_by"],
        asked_at=datetime.fromisoformat(row["asked_at"]),
        ended_at=row["ended_at"] and datetime.fromisoformat(row["ended_at"]),
        is_refused=row["outcome"] == "refused",
        note=row["note"],
    )
