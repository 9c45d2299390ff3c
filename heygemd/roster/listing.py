"""What `heygemd jobs` lists: one plain dictionary a job, the same for people and for programs."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from heygemd.jobs.job import Job
from heygemd.jobs.listing import JobFilter, Listed
from heygemd.jobs.roots import Root
from heygemd.jobs.store import JobStore
from heygemd.outbox.batchreport import output_path
from heygemd.outbox.report import iso
from heygemd.vitals import STALE_S, JobVitals, Vitals

_AGE = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Row = dict[str, Any]


def list_jobs(
    store: JobStore, wanted: JobFilter, *, limit: int, roots: Iterable[Root] = (), vitals: Vitals | None = None
) -> list[Row]:
    """Return what fits, the newest first, as plain JSON values; a negative `limit` returns all."""
    paths = {root.uuid: str(root.path) for root in roots}
    alive = progress_of(vitals)
    return [row_of(listed, paths, alive) for listed in store.listed(wanted, limit)]


def row_of(listed: Listed, paths: Mapping[str, str], alive: Mapping[str, JobVitals]) -> Row:
    """Describe one job in a line; `paths` of the roots by uuid, `alive` is what workers are doing."""
    job, doing = listed.job, alive.get(listed.job.id)
    return {
        "id": job.id,
        "name": job.name,
        "folder": job.folder,
        "root": paths.get(job.root),
        "root_uuid": job.root,
        "state": job.state.value,
        "engine": job.options.engine.value,
        "priority": job.priority,
        "attempts": job.attempts,
        "queued_at": iso(job.queued_at),
        "not_before": iso(job.not_before) if job.not_before > job.queued_at else None,
        "ended_at": iso(listed.ended_at) if listed.ended_at else None,
        "film_s": job.film_s,
        "output": output_path(job),
        "error_code": job.error_code,
        "error_message": job.error_message,
        "duplicate_of": job.duplicate_of,
        **_row_of_batch(job),
        "stage": doing.stage if doing else None,
        "frames_done": doing.frames_done if doing else None,
        "frames_total": doing.frames_total if doing else None,
        "left_s": doing.left_s if doing else None,
    }


def progress_of(vitals: Vitals | None, now: datetime | None = None) -> dict[str, JobVitals]:
    """Return what workers are doing, by job; nothing when it was told too long ago to be true."""
    if vitals is None or not is_fresh(vitals, now):
        return {}
    return {doing.job: doing for doing in vitals.jobs}


def is_fresh(vitals: Vitals, now: datetime | None = None) -> bool:
    """Tell whether a daemon that lives has written them."""
    return ((now or datetime.now(UTC)) - vitals.written_at).total_seconds() <= STALE_S


def read_since(text: str, now: datetime) -> datetime:
    """Return the moment that `24h`, `2025-01-31` or `2025-01-31T08:00` means; raises ValueError.

    A day or time without a zone is that of this machine.
    """
    age = _AGE.fullmatch(text.strip().lower())
    try:
        if age:
            return now - timedelta(**{_UNITS[age["unit"]]: int(age["number"])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is neither an age (90s, 30m, 24h, 7d, 2w) nor a time (2025-01-31T08:00)") from error


def _row_of_batch(job: Job) -> Row:
    row = job.row
    return {
        "batch": row.batch if row else None,
        "row": row.number if row else None,
        "row_id": row.row_id if row else None,
    }
