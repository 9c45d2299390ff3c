"""Is the store whole, and is its newest entry in the past? For the doctor; reads, and changes nothing."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from heygemd.jobs.database import Database, schema_sections


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """One look at the whole file."""

    schema: int
    problem: str = ""
    """What SQLite's own check complains about first; empty: nothing."""
    newest_event_at: datetime | None = None
    job_count: int = 0


def examine_store(path: Path) -> StoreHealth:
    """Read every page of the store; raises SetupError E401 or E407, ResourceError E202."""
    database = Database(path, readonly=True)
    try:
        checked = database.one("PRAGMA quick_check(1)") or {}
        newest = database.one("SELECT at FROM event ORDER BY seq DESC LIMIT 1")
        counted = database.one("SELECT count(*) AS jobs FROM job") or {}
    finally:
        database.close()
    said = str(next(iter(checked.values()), ""))
    return StoreHealth(
        schema=len(schema_sections()),
        problem="" if said == "ok" else said,
        newest_event_at=datetime.fromisoformat(newest["at"]) if newest else None,
        job_count=int(counted.get("jobs", 0)),
    )


def newest_event(path: Path) -> datetime | None:
    """Return when the newest transition happened, without a look at the rest; raises as `examine_store`."""
    database = Database(path, readonly=True)
    try:
        newest = database.one("SELECT at FROM event ORDER BY seq DESC LIMIT 1")
    finally:
        database.close()
    return datetime.fromisoformat(newest["at"]) if newest else None
