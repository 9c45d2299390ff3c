"""How the whole daemon stands, every few seconds: what `top`, the metrics and systemd's status line are made from.

The daemon keeps it in `vitals.json` in its state directory (every 2 s while it works, every 15 s when idle). Unlike
`status.json` of a root it is for operators: it tells of devices, workers and all roots. Schema 1 is `Vitals` below,
field by field; times are UTC, lengths seconds, sizes bytes, unknown values null. Counters begin at 0 with the daemon.
"""

import json
import os
import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

SCHEMA = 1
VITALS_NAME = "vitals.json"
MAX_VITALS_BYTES = 4 << 20
STALE_S = 60.0
"""Older vitals were written by a daemon that hangs, or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceVitals:
    """A processor that carries workers."""

    label: str
    """`cpu` or `cuda:0`."""
    name: str
    total_bytes: int
    free_bytes: int
    others_bytes: int
    """Held by processes that are not ours."""
    budget_bytes: int
    """What our workers may hold together."""
    granted_bytes: int
    """What they were granted (predicted peaks)."""
    held_bytes: int
    """What they really hold, as far as it can be seen."""
    workers: int
    most_workers: int
    busy_workers: int
    utilisation: float | None = None
    """0..1."""
    temperature_c: int | None = None
    throttle: tuple[str, ...] = ()
    is_lost: bool = False
    uuid: str = ""
    """Of a graphics card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerVitals:
    """One worker process."""

    pid: int | None
    device: str
    engine: str
    state: str
    """`starting`, `idle`, `busy` or `leaving`."""
    job: str = ""
    task: str = ""
    """`analyse`, `render` or `finish`."""
    segment: int | None = None
    frames_done: int = 0
    """In the present task."""
    frames_total: int = 0
    task_s: float = 0.0
    """Since it was given its task."""
    granted_bytes: int = 0
    rss_bytes: int = 0
    tasks_taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobVitals:
    """A running job."""

    job: str
    name: str
    folder: str
    root: str
    """uuid."""
    stage: str
    """`analyse`, `render`, `finish` or `publish`."""
    frames_done: int
    """In the present stage."""
    frames_total: int
    fps: float | None
    eta_s: float | None
    """Until the end of the present stage."""
    left_s: float | None
    """Until the film can be handed over."""
    device: str
    attempts: int
    film_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RootVitals:
    """One root of the configuration."""

    path: str
    uuid: str
    """Empty while it has never been there."""
    state: str
    """`online`, `offline` or `paused`."""
    reason: str = ""
    waiting_files: int = 0
    """In the inbox, not yet jobs."""
    needs_you: int = 0
    """Of these and of its folder configurations: what stays as it is until a person does something."""
    batches: int = 0
    watcher: str = "off"
    """`on`: changes wake us; `dead`: they should and do not; `off`: a mount, looked at on schedule only."""
    watcher_rebuilds: int = 0
    watcher_overflows: int = 0
    look_age_s: float | None = None
    """Since the last look that has ended."""
    look_s: float | None = None
    """How long that look took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What has ended since the daemon has begun, and what stands now."""

    queued: int = 0
    running: int = 0
    done: int = 0
    """In all of the store's history, as the next two."""
    failed: int = 0
    cancelled: int = 0
    oldest_queued_s: float | None = None
    """Age of the job that has waited longest for a worker."""
    ended: dict[str, int] = field(default_factory=dict)
    """`done`, `failed`, `cancelled` since the start."""
    failures: dict[str, int] = field(default_factory=dict)
    """Failed jobs since the start, by code."""
    duplicates: int = 0
    """Films since the start that were copies of earlier ones."""
    film_s: float = 0.0
    """Length of all films made since the start, without copies."""
    films_last_hour: int = 0
    film_s_last_hour: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Everything of one moment."""

    schema: int = SCHEMA
    written_at: datetime
    started_at: datetime
    pid: int
    host: str
    version: str
    status: str
    """The sentence that systemd shows, too."""
    config: str = ""
    """The configuration file."""
    reloaded_at: datetime | None = None
    reload_error: str = ""
    """Why the latest reload was refused; what held before goes on."""
    needs_restart: tuple[str, ...] = ()
    """Settings that were changed by a reload but hold only after a restart."""
    paused: str = ""
    """Why the daemon as a whole does not go on (the store cannot be written), if so."""
    roots: tuple[RootVitals, ...] = ()
    devices: tuple[DeviceVitals, ...] = ()
    workers: tuple[WorkerVitals, ...] = ()
    jobs: tuple[JobVitals, ...] = ()
    counts: Counts = Counts()
    queue_ends_at: datetime | None = None
    """An estimate; null when it cannot be told, or nothing waits."""
    tally: dict[str, Any] = field(default_factory=dict)
    """`scheduler.tally.Tally.as_dict()`: tasks, frames, seconds by stage, cache, shortages, retries, memory."""
    beats: dict[str, float] = field(default_factory=dict)
    """Age of the latest beat of each loop that the watchdog waits for."""
    cache_bytes: int | None = None
    state_free_bytes: int | None = None
    rss_bytes: int | None = None
    """Of the daemon's own process, as the next two."""
    cpu_s: float | None = None
    open_fds: int | None = None
    unwritten: tuple[str, ...] = ()
    """Of `events`, `vitals` and `metrics`: what cannot be written just now."""


_VITALS = TypeAdapter(Vitals)


def to_text(vitals: Vitals) -> bytes:
    """Return the file's content; names that are no Unicode are kept (as lone surrogates)."""
    return json.dumps(_VITALS.dump_python(vitals, mode="json")).encode()


def read_vitals(state_dir: Path) -> Vitals | None:
    """Read what the daemon wrote last; None when there is nothing that can be read. Mind `written_at`."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        number = os.open(state_dir / VITALS_NAME, flags)
        with os.fdopen(number, "rb") as handle:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                return None
            return _VITALS.validate_python(json.loads(handle.read(MAX_VITALS_BYTES)))
    except (OSError, ValueError, RecursionError, ValidationError):
        return None


def write_vitals(state_dir: Path, vitals: Vitals) -> None:
    """Replace the file; readers see the old one or the new one. Not fsynced. Raises OSError."""
    part = state_dir / f".{VITALS_NAME}.part"
    part.write_bytes(to_text(vitals))
    part.replace(state_dir / VITALS_NAME)
