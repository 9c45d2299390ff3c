"""What `heygemd status` shows: read from the store and from what the daemon wrote on each root; needs no daemon."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from heygemd import places
from heygemd.errors import SetupError
from heygemd.intake.roots import open_root
from heygemd.jobs.job import Job
from heygemd.jobs.store import JobStore
from heygemd.outbox.status import STATUS_NAME, Snapshot
from heygemd.settings import Settings

STALE_S = 60.0
"""An older status.json was written by a daemon that hangs, or is gone."""
MAX_STATUS_BYTES = 4 << 20
RESULTS_SHOWN = 20
_SNAPSHOT = TypeAdapter(Snapshot)


def read_status(settings: Settings) -> dict[str, Any]:
    """Plain JSON values: is a daemon there, counts, every job that has not ended, the last results, the roots."""
    if not settings.roots:
        raise SetupError("E401", "which root? give --root DIR or --config FILE")
    roots = tuple(open_root(folder) for folder in settings.roots)
    state_dir = places.state_dir(settings, roots)
    holder = places.holder_of(state_dir / "lock")
    shared = {str(root.path): _shared(root.status / STATUS_NAME) for root in roots}
    if not (state_dir / "jobs.sqlite").exists():
        return {"running": bool(holder), "holder": holder, "counts": {}, "jobs": [], "results": [], "roots": shared}
    store = JobStore.open_readonly(state_dir / "jobs.sqlite")
    try:
        jobs, ended = store.unfinished(), store.ended(RESULTS_SHOWN)
        counts = store.counts()
    finally:
        store.close()
    alive = {progress["job"]: progress for root in shared.values() for progress in root.get("running", ())}
    return {
        "running": bool(holder),
        "holder": holder,
        "counts": {state.value: count for state, count in counts.items()},
        "jobs": [_row(job, alive) for job in jobs],
        "results": [_row(job, alive) for job in ended],
        "roots": shared,
    }


def _shared(file: Path) -> dict[str, Any]:
    """The daemon's own words on the share, in this schema or an older one.

    People may write there, so anything unreadable counts as nothing.
    """
    try:
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as handle:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                return {}
            told = _SNAPSHOT.validate_json(handle.read(MAX_STATUS_BYTES))
        age_s = (datetime.now(UTC) - told.written_at).total_seconds()
    except (OSError, ValueError, TypeError):
        return {}
    found: dict[str, Any] = _SNAPSHOT.dump_python(told, mode="json")
    return found | {"age_s": round(age_s, 1), "stale": age_s > STALE_S}


def _row(job: Job, alive: dict[str, dict[str, Any]]) -> dict[str, Any]:
    progress = alive.get(job.id, {})
    return {
        "id": job.id,
        "name": job.name,
        "folder": job.folder,
        "state": job.state.value,
        "attempts": job.attempts,
        "queued_at": job.queued_at.isoformat(),
        "output": job.published_name,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "stage": progress.get("stage"),
        "frames_done": progress.get("frames_done"),
        "frames_total": progress.get("frames_total"),
        "eta_s": progress.get("eta_s"),
    }


def show_status(found: dict[str, Any], console: Console) -> None:
    """The same for people."""
    console.print(f"daemon: {'running, ' + found['holder'] if found['running'] else 'not running'}", highlight=False)
    counts = found["counts"]
    console.print("jobs: " + (", ".join(f"{n} {state}" for state, n in counts.items() if n) or "none"), highlight=False)
    rows = [*found["jobs"], *found["results"]]
    if rows:
        table = Table(box=None, header_style="dim", pad_edge=False)
        for title in ("state", "film", "progress", "job"):
            table.add_column(title)
        for row in rows:
            name = "/".join(part for part in (row["folder"], row["name"]) if part)
            table.add_row(row["state"], name, _progress(row), row["id"])
        console.print(table, markup=False)
    for path, root in found["roots"].items():
        state = root.get("root", {})
        reason = f" ({state['reason']})" if state.get("reason") else ""
        console.print(f"root {path}: {state.get('state', 'never served')}{reason}", highlight=False, markup=False)
        for line in _told_of(root):
            console.print(f"  {line}", highlight=False, markup=False)


def _told_of(root: dict[str, Any]) -> list[str]:
    """What a root's own status tells beside its jobs, one line each."""
    lines = [
        f"{batch['kind']} {batch['name']}: {batch['done']} of {batch['rows']} done, {batch['failed']} failed"
        for batch in root.get("batches", ())
    ]
    lines += [f"{wrong['path']}: {wrong['message']}" for wrong in root.get("problems", ())]
    lines += [f"{waiting['path']}: {waiting['reason']}" for waiting in root.get("waiting", ())]
    unlisted = root.get("waiting_count", 0) - len(root.get("waiting", ()))
    return lines + [f"and {unlisted} more"] * (unlisted > 0)


def _progress(row: dict[str, Any]) -> str:
    if row["error_code"]:
        return f"{row['error_code']} {row['error_message'] or ''}"
    if row["output"] and row["state"] == "done":
        return str(row["output"])
    if row["frames_total"]:
        eta = f", {row['eta_s']:.0f} s left" if row["eta_s"] is not None else ""
        return f"{row['stage']} {row['frames_done']}/{row['frames_total']}{eta}"
    return row["stage"] or ""
