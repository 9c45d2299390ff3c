"""How things stand with one root: `status/status.json` for programs, `status/index.html` for people.

Schema 2 of the JSON is the `Snapshot` below, field by field; times are UTC (`2025-01-31T08:00:00.000Z`), lengths
seconds, unknown values null. A file whose `written_at` is more than a minute old was written by a daemon that runs no
longer. Schema 1 lacks the fields that have a default here and are said to be new.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from heygemd.errors import Advice
from heygemd.jobs.states import JobState
from heygemd.outbox import disk as disks
from heygemd.outbox import page
from heygemd.outbox.disk import DISK, Disk
from heygemd.outbox.report import pretty

SCHEMA = 2
STATUS_NAME = "status.json"
PAGE_NAME = "index.html"
_PART_NAME = ".status.json.part"
_PAGE_PART_NAME = ".index.html.part"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
    code: str | None = None
    """The code that `reason` begins with, when it does. New in schema 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker has, or whose film is being published."""

    job: str
    name: str
    folder: str
    stage: str
    """`analyse`, `render`, `finish` or `publish`."""
    frames_done: int = 0
    """In the present stage."""
    frames_total: int | None = None
    eta_s: float | None = None
    """Time until the end of the stage."""
    device: str = ""
    attempts: int = 1
    started_at: datetime | None = None
    film_s: float | None = None
    """Length of the film. New in schema 2."""
    ready_at: datetime | None = None
    """An estimate of when the film is there. New in schema 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job that waits for a device; listed in the order in which they will probably start."""

    job: str
    name: str
    folder: str
    queued_at: datetime
    not_before: datetime | None = None
    """Set when it waits after a failed attempt."""
    attempts: int = 0
    waits_for: str | None = None
    """Code and message of what the last attempt met."""
    position: int | None = None
    """From 1, among the waiting jobs of all roots that share the devices; an estimate. New in schema 2."""
    priority: int = 0
    """New in schema 2."""
    film_s: float | None = None
    """New in schema 2."""
    starts_at: datetime | None = None
    """An estimate; null when it cannot be told. New in schema 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFile:
    """A file of the inbox that is no job yet."""

    path: str
    """Relative to the inbox."""
    reason: str
    """A sentence: still arriving, no partner, ambiguous."""
    since: datetime
    why: str = ""
    """The reason for programs: a name of `intake.pairing.Why`, such as `PARTNER`. New in schema 2."""
    needs_you: bool = False
    """It stays as it is until a person does something. New in schema 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A manifest or a job folder with several members that is not finished. New in schema 2."""

    batch: str
    name: str
    folder: str
    kind: str
    """`manifest` or `folder`."""
    accepted_at: datetime
    rows: int
    done: int = 0
    failed: int = 0
    """Rows that could not be read, and jobs that failed or were cancelled."""
    report: str | None = None
    """Its table of rows, relative to the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """A `.heygemd.toml` that cannot be used; what held before goes on. New in schema 2."""

    path: str
    """Relative to the inbox."""
    message: str


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
    """In English; `Snapshot.advice` has the rest."""
    error_message: str | None = None
    """What exactly was met. New in schema 2."""
    film: str | None = None
    """Where the film lies, relative to the root. New in schema 2."""
    sheet: str | None = None
    """Where its contact sheet lies, if there is one. New in schema 2."""
    reason_file: str | None = None
    """Where the reason of a failure lies, relative to the root. New in schema 2."""
    film_s: float | None = None
    """New in schema 2."""
    duplicate_of: str | None = None
    """Id of the job that had made this film before. New in schema 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything `status.json` says. Lists are cut; `counts` and `waiting_count` tell how many there are."""

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
    waiting_count: int = 0
    """New in schema 2."""
    batches: tuple[BatchStatus, ...] = ()
    batch_count: int = 0
    problems: tuple[ConfigProblem, ...] = ()
    queue_ends_at: datetime | None = None
    """An estimate of when the last of the queue is done; null when a part of it is unknown. New in schema 2."""
    advice: Mapping[str, Advice] = field(default_factory=dict)
    """What every code that is named here means and what to do, in English and Chinese. New in schema 2."""


def write_status(status_dir: Path, snapshot: Snapshot, *, disk: Disk = DISK) -> None:
    """Replace `status.json`, and `index.html` when it is due; readers of each see the old one or the new one.

    Not fsynced: after a power cut the next tick writes them anew. Raises ResourceError E201 or E202.
    """
    text = pretty(snapshot)
    told = json.loads(text)
    with disks.share_faults(status_dir), disks.open_folder(status_dir) as fd:
        _replace(disk, fd, STATUS_NAME, _PART_NAME, text)
        if page.is_due(told, _beginning(fd, PAGE_NAME)):
            _replace(disk, fd, PAGE_NAME, _PAGE_PART_NAME, page.page_of(told))


def _replace(disk: Disk, fd: int, name: str, part: str, text: str) -> None:
    try:
        disks.replace_with(disk, fd, name, part, text.encode(), durable=False)
    finally:
        disks.remove(disk, fd, part)


def _beginning(folder_fd: int, name: str) -> bytes:
    """Read the first bytes of a regular file; none of anything else."""
    try:
        fd = os.open(name, _READ, dir_fd=folder_fd)
    except OSError:
        return b""
    with os.fdopen(fd, "rb", buffering=0) as file:
        return file.read(page.MARK_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
