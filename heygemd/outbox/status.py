"""How things stand with one root, for people and other programs: `status/status.json`, replaced in one step.

Schema 1 is the `Snapshot` below, field by field; times are UTC (`2025-01-31T08:00:00.000Z`), lengths seconds, unknown
values null. A file whose `written_at` is more than a minute old was written by a daemon that runs no longer.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from heygemd.jobs.states import JobState
from heygemd.outbox import disk as disks
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.report import pretty

SCHEMA = 1
STATUS_NAME = "status.json"
_PART_NAME = ".status.json.part"


class RootState(StrEnum):
    """Whether work on a root goes on."""

    ONLINE = "online"
    OFFLINE = "offline"
    """The share is away or is not the one it was; nothing is inferred from that."""
    PAUSED = "paused"
    """The root is there, but something else (a full disk, a lost GPU) must be put right first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootStatus:
    """The root this file lies in."""

    path: Path
    uuid: str
    state: RootState
    reason: str | None = None
    """Why it is not online."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker has, or whose film is being published."""

    job: str
    name: str
    folder: str
    stage: str
    """`analyse`, `render`, `finish` or `publish`."""
    frames_done: int = 0
    frames_total: int | None = None
    eta_s: float | None = None
    """Time until the end of the stage."""
    device: str = ""
    attempts: int = 1
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job that waits for a device; listed in the order in which they will start."""

    job: str
    name: str
    folder: str
    queued_at: datetime
    not_before: datetime | None = None
    """Set when it waits after a failed attempt."""
    attempts: int = 0
    waits_for: str | None = None
    """Code and message of what the last attempt met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFile:
    """A file of the inbox that is no job yet."""

    path: str
    """Relative to the inbox."""
    reason: str
    """A sentence: still arriving, no partner, ambiguous."""
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResult:
    """A job that ended; newest first."""

    job: str
    name: str
    folder: str
    state: JobState
    finished_at: datetime
    output: str | None = None
    """File name of the film in the mirrored folder of the outbox."""
    error_code: str | None = None
    error_title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything `status.json` says."""

    schema: int = SCHEMA
    written_at: datetime
    pid: int
    host: str
    version: str
    root: RootStatus
    counts: dict[JobState, int]
    """Jobs of this root by state; every state is listed."""
    running: tuple[RunningJob, ...] = ()
    queue: tuple[QueuedJob, ...] = ()
    waiting: tuple[WaitingFile, ...] = ()
    results: tuple[LastResult, ...] = ()


def write_status(status_dir: Path, snapshot: Snapshot, *, disk: Disk = DISK) -> None:
    """Replace `status.json`; readers see the old one or the new one. Raises ResourceError E201 or E202.

    Not fsynced: after a power cut the next tick writes it anew.
    """
    data = pretty(snapshot).encode()
    with disks.share_faults(status_dir), disks.open_folder(status_dir) as fd:
        try:
            disks.replace_with(disk, fd, STATUS_NAME, _PART_NAME, data, durable=False)
        finally:
            disks.remove(disk, fd, _PART_NAME)
