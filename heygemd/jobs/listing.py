"""Which jobs are meant? What lists and finds them for people, the newest first, however long the history is."""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from heygemd.jobs.database import Holder, Record, Value
from heygemd.jobs.job import Job
from heygemd.jobs.rows import job_of, text_of
from heygemd.jobs.states import JobState

_STAMP_CHARS = len("20250131T235959999-")
"""Of an id, before its random characters."""
_RANDOM = re.compile(r"[a-z2-7]{4,10}", re.ASCII)
_LISTED = "SELECT job.*, (SELECT at FROM event WHERE seq = job.ended_seq) AS ended_at FROM"
_NEWEST = "ORDER BY job.id DESC LIMIT :limit"
_OF_ROOT_AND_STATE = f"""
{_LISTED} job INDEXED BY job_of_root WHERE job.root = :root AND job.state = :state AND {{fits}} {_NEWEST}
"""
_OF_BATCH = f"{_LISTED} job INDEXED BY job_of_batch WHERE job.batch = :batch AND {{fits}} {_NEWEST}"
_CHANGED = f"""
WITH changed AS MATERIALIZED (SELECT DISTINCT job_id FROM event NOT INDEXED WHERE seq >= :seq AND at >= :at)
{_LISTED} changed CROSS JOIN job ON job.id = changed.job_id WHERE {{fits}} {_NEWEST}
"""
_ALL = f"{_LISTED} job WHERE {{fits}} {_NEWEST}"
_NEXT_ROOT = "SELECT min(root) AS root FROM job INDEXED BY job_of_root WHERE root > ?"
_BY_RANDOM = f"""
SELECT id FROM job WHERE substr(id, {_STAMP_CHARS + 1}, length(:part)) = :part OR substr(id, -length(:part)) = :part
UNION SELECT job_id FROM put_back WHERE substr(claim_id, {_STAMP_CHARS + 1}, length(:part)) = :part
ORDER BY 1 DESC LIMIT :limit
"""
_AHEAD = """
SELECT count(*) AS jobs FROM job INDEXED BY {index}
WHERE state = 'queued' AND duplicate_of IS NULL AND {of} AND (turn, id) < (:turn, :id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a list of jobs is narrowed to; what is None or empty narrows nothing."""

    states: frozenset[JobState] = frozenset()
    root: str | None = None
    """uuid."""
    folder: str | None = None
    """Sub-folder of the inbox, with those below it; `` is the top and everything below."""
    name: str | None = None
    """Pattern with `*`, `?` and `[…]`; small and capital letters of ASCII are alike."""
    code: str | None = None
    """Of the error with which the job ended."""
    batch: str | None = None
    since: datetime | None = None
    """Something has happened to the job since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A job of a list."""

    job: Job
    ended_at: datetime | None
    """None while it has not ended."""


class JobListing(Holder):
    """The part of the store that answers what people ask for by hand."""

    def listed(self, wanted: JobFilter, limit: int = -1) -> list[Listed]:
        """Return the jobs that fit, the newest first; a negative `limit` returns all of them."""
        return [_listed(row) for row in self._rows(wanted, limit)]

    def find_ids(self, part: str, limit: int = 20) -> list[str]:
        """Return the ids of jobs whose random characters begin or end with `part` (4 or more), the newest first.

        The id in the name of a folder counts, too: a job that was put back has one for each time.
        """
        if not _RANDOM.fullmatch(part):
            return []
        return [row["id"] for row in self._db.all(_BY_RANDOM, {"part": part, "limit": limit})]

    def named(self, name: str, limit: int = 20) -> list[Listed]:
        """Return the jobs whose film has exactly this name, the newest first."""
        rows = self._db.all(_ALL.format(fits="job.name = :name"), {"name": name, "limit": limit})
        return [_listed(row) for row in rows]

    def find_batches(self, word: str, limit: int = 20) -> list[str]:
        """Return the ids of batches with this name, or whose random characters begin with `word`, newest first."""
        sql = "SELECT id FROM batch WHERE name = :word OR (:part <> '' AND substr(id, :at, length(:part)) = :part)"
        values: dict[str, Value] = {
            "word": word, "part": word if _RANDOM.fullmatch(word) else "", "at": _STAMP_CHARS + 1, "limit": limit,
        }  # fmt: skip
        return [row["id"] for row in self._db.all(f"{sql} ORDER BY id DESC LIMIT :limit", values)]

    def ahead_of(self, job: Job, *, in_folder: bool) -> int:
        """Return how many jobs wait (in its folder, or everywhere) whose turn is before that of this one."""
        index, of = ("job_waiting_in_folder", "root = :root AND folder = :folder") if in_folder else (
            "job_waiting", "TRUE",
        )  # fmt: skip
        values: dict[str, Value] = {"root": job.root, "folder": job.folder, "turn": job.turn, "id": job.id}
        row = self._db.one(_AHEAD.format(index=index, of=of), values)
        return 0 if row is None else int(row["jobs"])

    def first_event_since(self, moment: datetime) -> int:
        """Return the `seq` of the first event at or after a moment, by halving: times rise with `seq`.

        Where a clock was set back they do not, and events of the time that came twice may be missed.
        """
        row = self._db.one("SELECT (SELECT min(seq) FROM event) AS first, (SELECT max(seq) FROM event) AS last")
        if row is None or row["first"] is None:
            return 1
        low, high, text = int(row["first"]), int(row["last"]) + 1, text_of(moment)
        while low < high:
            middle = (low + high) // 2
            found = self._db.one("SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
            low, high = (middle + 1, high) if found is not None and found["at"] < text else (low, middle)
        return low

    def _rows(self, wanted: JobFilter, limit: int) -> list[Record]:
        fits, values = _condition(wanted)
        values["limit"] = limit
        if wanted.batch is not None:
            return self._db.all(_OF_BATCH.format(fits=fits), values)
        if wanted.since is not None:
            values |= {"seq": self.first_event_since(wanted.since), "at": text_of(wanted.since)}
            return self._db.all(_CHANGED.format(fits=fits), values)
        if wanted.root is None and not wanted.states:
            return self._db.all(_ALL.format(fits=fits), values)
        # One question for each root and state, so that an index gives each its order.
        sql = _OF_ROOT_AND_STATE.format(fits=fits)
        parts = [
            self._db.all(sql, values | {"root": root, "state": state.value})
            for root in ([wanted.root] if wanted.root is not None else self._roots())
            for state in sorted(wanted.states or JobState)
        ]
        merged = heapq.merge(*parts, key=lambda row: str(row["id"]), reverse=True)
        return list(merged if limit < 0 else islice(merged, limit))

    def _roots(self) -> Iterator[str]:
        """Yield the uuid of every root that a job came from."""
        row = self._db.one("SELECT min(root) AS root FROM job INDEXED BY job_of_root")
        while row is not None and row["root"] is not None:
            yield row["root"]
            row = self._db.one(_NEXT_ROOT, (row["root"],))


def _condition(wanted: JobFilter) -> tuple[str, dict[str, Value]]:
    """Return what a row must fulfil, and the values in it."""
    parts: list[str] = []
    values: dict[str, Value] = {}
    if wanted.batch is not None:
        values["batch"] = wanted.batch
    if wanted.states and (wanted.batch is not None or wanted.since is not None):
        names = {f"state{number}": state.value for number, state in enumerate(sorted(wanted.states))}
        parts.append(f"job.state IN ({', '.join(f':{name}' for name in names)})")
        values.update(names)
    if wanted.root is not None:
        parts.append("job.root = :root")
        values["root"] = wanted.root
    if wanted.folder:
        parts.append("(job.folder = :folder OR substr(job.folder, 1, length(:folder) + 1) = :folder || '/')")
        values["folder"] = wanted.folder
    if wanted.name is not None:
        parts.append("lower(job.name) GLOB lower(:name)")
        values["name"] = wanted.name
    if wanted.code is not None:
        parts.append("job.error_code = :code")
        values["code"] = wanted.code
    return " AND ".join(parts) or "TRUE", values


def _listed(row: Record) -> Listed:
    ended_at = row["ended_at"]
    return Listed(job=job_of(row), ended_at=None if ended_at is None else datetime.fromisoformat(ended_at))
