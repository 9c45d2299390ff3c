"""What `heygemd status` tells, as plain JSON values; needs no daemon, and waits for no share longer than 2 s."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from heygemd.errors import ADVICE
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.lookout import (
    STORE_NAME,
    Place,
    RootSeen,
    Standing,
    dump,
    find_place,
    holder_seen,
    latest_vitals,
    look_at_roots,
    roots_of,
    standing_of,
)
from heygemd.settings import Settings
from heygemd.vitals import STALE_S, Vitals

RESULTS_SHOWN = 20
_VITALS = TypeAdapter(Vitals)

Row = dict[str, Any]


def read_status(settings: Settings) -> Row:
    """Tell whether a daemon is there and how it stands, every job that has not ended, the last results, the roots.

    Raises SetupError E401, E407, ResourceError E201, E202.
    """
    place, now = find_place(settings), datetime.now(UTC)
    vitals = latest_vitals(place.state_dir)
    holder = holder_seen(place.state_dir, vitals, now)
    standing = standing_of(place.state_dir, holder, vitals, now)
    roots = look_at_roots(roots_of(place, vitals))
    is_alive = standing in (Standing.RUNNING, Standing.SILENT)
    told = None if vitals is None else _VITALS.dump_python(vitals, mode="json")
    shared = {str(root.path): _shared(root, now) for root in roots}
    found: Row = {
        "running": holder is not None,
        "standing": standing.value,
        "holder": holder,
        "state_dir": str(place.state_dir),
        "vitals_age_s": None if vitals is None else round(max(0.0, (now - vitals.written_at).total_seconds()), 1),
        "vitals": told,
        "counts": {},
        "jobs": [],
        "results": [],
        "batches": [batch for root in shared.values() for batch in root.get("batches", ())],
        "needs_you": list(_needs_you(shared)),
        "roots": shared,
    }
    return found | _stored(place, _Known(shared, told if is_alive else None))


class _Known:
    """What daemon and shares say about single jobs, by id."""

    def __init__(self, shared: Mapping[str, Row], vitals: Row | None) -> None:
        self.running = _by_job(root.get("running", ()) for root in shared.values())
        self.queue = _by_job(root.get("queue", ()) for root in shared.values())
        self.results = _by_job(root.get("results", ()) for root in shared.values())
        self.vitals = _by_job([vitals["jobs"]] if vitals else [])


def _by_job(lists: Iterable[Iterable[Row]]) -> dict[str, Row]:
    return {entry["job"]: entry for entries in lists for entry in entries}


def _stored(place: Place, known: _Known) -> Row:
    """Read the jobs; what cannot be read leaves the rest standing."""
    if not (place.state_dir / STORE_NAME).exists():
        return {}
    with JobStore.open_readonly(place.state_dir / STORE_NAME) as store:
        unfinished, ended = store.unfinished(), store.ended(RESULTS_SHOWN)
        counts = store.counts()
        times = {job.id: store.events_of(job.id)[-1].at.isoformat() for job in ended}
    last = len(unfinished)
    unfinished.sort(
        key=lambda job: (job.state is not JobState.RUNNING, known.queue.get(job.id, {}).get("position") or last)
    )
    return {
        "counts": {state.value: count for state, count in counts.items()},
        "jobs": [_row(job, known) | _waits(job, known) for job in unfinished],
        "results": [_row(job, known) | _came_of(job, known) | {"ended_at": times[job.id]} for job in ended],
    }


def _row(job: Job, known: _Known) -> Row:
    progress = known.running.get(job.id, {}) | known.vitals.get(job.id, {})
    return {
        "id": job.id,
        "name": job.name,
        "folder": job.folder,
        "state": job.state.value,
        "attempts": job.attempts,
        "queued_at": job.queued_at.isoformat(),
        "film_s": job.film_s,
        "output": job.published_name,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "stage": progress.get("stage"),
        "frames_done": progress.get("frames_done"),
        "frames_total": progress.get("frames_total"),
        "fps": progress.get("fps"),
        "eta_s": progress.get("eta_s"),
        "left_s": progress.get("left_s"),
        "device": progress.get("device"),
    }


def _waits(job: Job, known: _Known) -> Row:
    told = known.queue.get(job.id, {})
    return {"priority": job.priority} | {key: told.get(key) for key in ("position", "starts_at", "waits_for")}


def _came_of(job: Job, known: _Known) -> Row:
    told = known.results.get(job.id, {})
    advice = ADVICE.get(job.error_code or "")
    return {key: told.get(key) for key in ("film", "sheet", "reason_file")} | {
        "duplicate_of": job.duplicate_of,
        "error_title": advice.title if advice else None,
        "advice": advice.todo if advice else None,
    }


def _shared(root: RootSeen, now: datetime) -> Row:
    """The daemon's own words on the share; what people have spoilt counts as nothing."""
    if root.told is None:
        return {"trouble": root.trouble} if root.trouble else {}
    age_s = (now - root.told.written_at).total_seconds()
    return dump(root.told) | {"age_s": round(age_s, 1), "stale": age_s > STALE_S}


def _needs_you(shared: Mapping[str, Row]) -> Iterator[Row]:
    """Yield what stays as it is until a person does something, root by root."""
    for path, root in shared.items():
        for wrong in root.get("problems", ()):
            yield {"root": path, "path": wrong["path"], "why": "CONFIG", "reason": wrong["message"]}
        for file in root.get("waiting", ()):
            if file.get("needs_you"):
                yield {"root": path, "path": file["path"], "why": file["why"], "reason": file["reason"]}
