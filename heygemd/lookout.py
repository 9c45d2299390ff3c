"""What can be seen of a daemon from outside, whether it runs or not: its lock, its vitals, its store, its roots.

Nothing is changed here, and nobody waits for a share: what lies on one is read by a child with a time limit.
"""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from heygemd import places
from heygemd.errors import HeygemdError, ResourceError, SetupError
from heygemd.intake.roots import open_root
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.outbox.status import STATUS_NAME, QueuedJob, Snapshot
from heygemd.patience import look_within
from heygemd.settings import Settings
from heygemd.vitals import STALE_S, Vitals, read_vitals

STORE_NAME = "jobs.sqlite"
LOOK_LIMIT_S = 2.0
"""A share that takes longer to show a small file counts as dead."""
MAX_STATUS_BYTES = 4 << 20
_SNAPSHOT = TypeAdapter(Snapshot)
_PID = re.compile(r"\bpid (\d+)\b")
_STATUS_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Standing(StrEnum):
    """Is there a daemon?"""

    RUNNING = "running"
    STARTING = "starting"
    """It holds its lock, but has not told anything of its own yet."""
    SILENT = "silent"
    """It holds its lock, but its vitals are stale: it hangs."""
    STOPPED = "stopped"
    NEVER = "never"
    """Nothing was ever done with this state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One daemon's state directory, and the roots that the configuration gives it."""

    state_dir: Path
    roots: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSeen:
    """What the daemon has written on one root."""

    path: Path
    told: Snapshot | None = None
    trouble: str = ""
    """Why it could not be read; code and message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job with the time at which it ended."""

    job: Job
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """Everything that is seen at one moment."""

    at: datetime
    state_dir: Path
    standing: Standing
    holder: str | None = None
    """Host and pid of whoever holds the lock."""
    vitals: Vitals | None = None
    """The latest; mind `standing`."""
    roots: tuple[RootSeen, ...] = ()
    counts: Mapping[JobState, int] = field(default_factory=dict)
    running: tuple[Job, ...] = ()
    queue: tuple[Job, ...] = ()
    """The first of those that wait, in the order in which they will probably start."""
    ended: tuple[Ended, ...] = ()
    """The newest first."""
    trouble: str = ""
    """Why the store could not be read."""

    @property
    def age_s(self) -> float | None:
        """How old the vitals are."""
        return None if self.vitals is None else max(0.0, (self.at - self.vitals.written_at).total_seconds())

    @property
    def queued(self) -> dict[str, QueuedJob]:
        """What the daemon expects of the waiting jobs, by id, as far as the shares could be read."""
        return {job.job: job for root in self.roots if root.told for job in root.told.queue}


def find_place(settings: Settings) -> Place:
    """Say which daemon is meant; raises SetupError E401, E407, ResourceError E201."""
    roots = tuple(folder.absolute() for folder in settings.roots)
    if settings.state_dir is None and "STATE_DIRECTORY" not in os.environ:
        if not roots:
            raise SetupError("E401", "which daemon? give --root DIR, --config FILE or --state-dir DIR")
        uuid = look_within(LOOK_LIMIT_S, {roots[0]: partial(_uuid_of, roots[0])})[roots[0]]
        if isinstance(uuid, HeygemdError):
            raise type(uuid)(uuid.code, f"{roots[0]}: {uuid.message}")
        state_dir = places.state_dir(settings, (Root(roots[0], uuid.decode()),))
    else:
        state_dir = places.state_dir(settings, ())
    _check_open(state_dir)
    return Place(state_dir=state_dir, roots=roots)


def roots_of(place: Place, vitals: Vitals | None) -> tuple[Path, ...]:
    """Return the roots of the configuration, and those that the daemon serves beside them."""
    told = tuple(Path(root.path) for root in vitals.roots) if vitals else ()
    return tuple(dict.fromkeys((*place.roots, *told)))


def read_status_file(root: Path) -> bytes:
    """Read the daemon's words on a root; empty when it has none, or they are no file. For a child: it may hang."""
    try:
        root.stat()
        number = os.open(root / "status" / STATUS_NAME, _STATUS_FLAGS)
        with os.fdopen(number, "rb") as handle:
            return handle.read(MAX_STATUS_BYTES) if stat.S_ISREG(os.fstat(number).st_mode) else b""
    except FileNotFoundError:
        if not root.exists():
            raise ResourceError("E201", "it is not there") from None
        return b""


def root_seen(path: Path, found: bytes | HeygemdError) -> RootSeen:
    """Understand what was read of a root, in this schema or an older one; people may have written anything there."""
    if isinstance(found, HeygemdError):
        return RootSeen(path=path, trouble=f"{found.code} {found.message}")
    try:
        told = _SNAPSHOT.validate_json(found)
        (datetime.now(UTC) - told.written_at).total_seconds()  # a time without a zone is not ours
    except (ValueError, TypeError):
        return RootSeen(path=path)
    return RootSeen(path=path, told=told)


def look_at_roots(paths: tuple[Path, ...]) -> tuple[RootSeen, ...]:
    """Read what the daemon has written on each root, all within `LOOK_LIMIT_S`."""
    found = look_within(LOOK_LIMIT_S, {path: partial(read_status_file, path) for path in paths})
    return tuple(root_seen(path, found[path]) for path in paths)


def dump(told: Snapshot) -> dict[str, object]:
    """Return a snapshot as plain JSON values."""
    values: dict[str, object] = _SNAPSHOT.dump_python(told, mode="json")
    return values


def holder_seen(state_dir: Path, vitals: Vitals | None, now: datetime) -> str | None:
    """Say who holds the daemon's lock. A user who may not try the lock must trust what the daemon has told just now."""
    lock = state_dir / "lock"
    holder = places.holder_of(lock)
    if holder is None and vitals is not None and lock.exists() and not os.access(lock, os.R_OK | os.W_OK):
        is_fresh = (now - vitals.written_at).total_seconds() <= STALE_S
        return f"host {vitals.host} pid {vitals.pid}" if is_fresh else None
    return holder


def standing_of(state_dir: Path, holder: str | None, vitals: Vitals | None, now: datetime) -> Standing:
    """Tell whether a daemon is there, and whether it still speaks."""
    if holder is None:
        return Standing.STOPPED if vitals is not None or (state_dir / STORE_NAME).exists() else Standing.NEVER
    pid = _PID.search(holder)
    if vitals is None or (pid is not None and int(pid[1]) != vitals.pid):
        return Standing.STARTING
    return Standing.SILENT if (now - vitals.written_at).total_seconds() > STALE_S else Standing.RUNNING


def in_line(queue: Sequence[Job], expected: Mapping[str, QueuedJob]) -> tuple[Job, ...]:
    """Sort waiting jobs as the daemon expects them to start; those it says nothing about keep their turn, behind."""
    unknown = len(queue) + 1_000_000

    def place(numbered: tuple[int, Job]) -> tuple[int, int]:
        told = expected.get(numbered[1].id)
        return (told.position if told is not None and told.position is not None else unknown, numbered[0])

    return tuple(job for _, job in sorted(enumerate(queue), key=place))


def latest_vitals(state_dir: Path) -> Vitals | None:
    """Return the vitals if their time has a zone, as ours have."""
    vitals = read_vitals(state_dir)
    return vitals if vitals is not None and vitals.written_at.tzinfo and vitals.started_at.tzinfo else None


def _uuid_of(root: Path) -> bytes:
    return open_root(root).uuid.encode()


def _check_open(state_dir: Path) -> None:
    """Raise SetupError E407 when this user may not look into the state directory."""
    try:
        is_open = not state_dir.exists() or os.access(state_dir, os.R_OK | os.X_OK)
    except PermissionError:
        is_open = False
    if not is_open:
        raise SetupError("E407", f"{state_dir} may not be read by this user")
