"""What one look at an inbox found, in a form that crosses to the daemon."""

from dataclasses import dataclass
from datetime import datetime

from heygemd.intake.pairing import Why
from heygemd.jobs.batch import Batch
from heygemd.jobs.job import Job

WAITING_SHOWN = 1000
"""More than a status page can use; `waiting_count` tells how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Files that are not a job yet."""

    folder: str
    names: tuple[str, ...]
    why: Why
    since: datetime
    """When this process first saw them so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRows:
    """What the store knows of an open batch: the rows that are jobs already."""

    batch: str
    rows: frozenset[int] = frozenset()
    is_stopped: bool = False
    """It was cancelled: no further row is claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A batch whose last row has ended: its folder goes to `done/<day>/`."""

    batch: str
    day: str
    """`YYYY-MM-DD`."""
    used: frozenset[tuple[str, str]] = frozenset()
    """Members and the sha256 with which jobs have used them: another file of that name has come since, and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the daemon tells a desk with each look."""

    stored: tuple[str, ...] = ()
    """Ids of jobs that the store has meanwhile."""
    batches: tuple[KnownRows, ...] = ()
    """Answers to announced batches, and batches that were stopped."""
    closing: tuple[Closing, ...] = ()
    """Repeated until the findings say `closed`."""
    shared_in_use: frozenset[str] | None = None
    """Names in `.heygemd/shared/` that jobs of the store still need: all others may go. None: sweep nothing now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A claimed job that nobody has acknowledged yet."""

    job: Job
    retry_of: str | None = None
    """Id of the failed or cancelled job that a person has put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A row with an `id` whose files do not come: an earlier manifest of this name may have had it made."""

    batch: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWait:
    """A row of a batch that is no job yet, and why."""

    batch: str
    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Misconfigured:
    """A folder whose `.heygemd.toml` is wrong; the last good one stays in force."""

    folder: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of one look."""

    arrivals: tuple[Arrival, ...] = ()
    """Jobs, queued or refused; the same again at every look until they are acknowledged."""
    batches: tuple[Batch, ...] = ()
    """Accepted batches; the same again until the daemon has told which of their rows are jobs."""
    absent: tuple[Absent, ...] = ()
    row_waits: tuple[RowWait, ...] = ()
    """At most WAITING_SHOWN."""
    closed: tuple[str, ...] = ()
    """Batches whose folder has been put away, as `Word.closing` asked."""
    misconfigured: tuple[Misconfigured, ...] = ()
    is_local: bool = True
    """False on a network mount: look less often."""
    waiting: tuple[Waiting, ...] = ()
    """At most WAITING_SHOWN; notices first, oldest first."""
    waiting_count: int = 0
    busy: bool = False
    """Something still arrives or is being checked, or did a moment ago: look again soon."""
    settling: bool = False
    """Something that is here needs only time to become a job: whoever waits for the end of all work waits for it."""
    offline: str | None = None
    """Why the root cannot be reached; then nothing else is said."""
    paused: str | None = None
    """Why claims do not go on (a full disk, say); they do by themselves when it is mended."""
