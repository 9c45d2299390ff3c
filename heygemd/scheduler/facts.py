"""What the policy sees and what it decides: values only.

Bytes are those of the device's own memory: the graphics memory of a card, or the main memory of the CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from heygemd.planning.plan import EngineChoice, Task, TaskKind


class Share(NamedTuple):
    """Who is to be served fairly: a root, and in it a folder."""

    root: str
    folder: str


NO_SHARE = Share("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One device."""

    label: str
    """`cpu` or `cuda:N`."""
    budget_bytes: int
    """What all our workers on it may hold together: its memory without the reserve and without what others hold."""
    most_workers: int
    """Workers that it carries at most, those that are on their way out included."""
    is_lost: bool = False
    """It fell off the bus, or the driver does not answer: nothing is given to it."""
    is_refuge: bool = False
    """A CPU beside graphics cards: only for jobs that `may_use_refuge`."""
    carries_one: bool = False
    """Nobody else holds memory there: one worker may try with the smallest batch, whatever is predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker that holds memory of its device, idle or not."""

    worker: int
    engine: EngineChoice
    device: str
    is_free: bool
    """Ready for a task: not busy, not on its way out."""
    held_bytes: int = 0
    """What it was granted: the most that it holds, or may come to hold in its present task."""
    job_id: str = ""
    """Whose task it has; empty for one that is idle or on its way out."""
    task: TaskKind | None = None
    staged: str = ""
    """Job whose film it has ready in memory: another segment of it starts at once."""
    is_alone: bool = False
    """Its task wants no other worker of ours beside it."""
    is_worn: bool = False
    """It is to be replaced when it is idle: many tasks, or grown memory."""
    idle_s: float = 0.0
    """Since its last task, or since it was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job that could get work now."""

    job_id: str
    is_begun: bool
    """It is in state running."""
    turn: float
    """Place in the queue of its folder, the smallest first."""
    attempts: int
    """Starts that count: what a person has forgiven is not in it."""
    rest_until_s: float
    """Monotonic time before which it gets nothing."""
    engine: EngineChoice
    todo: tuple[Task, ...]
    """Tasks that can be started now and are not in work, in order; device and batch size are not set yet."""
    share: Share = NO_SHARE
    priority_s: float = 0.0
    """What its priority is worth, in seconds; larger is sooner."""
    task_s: float = 0.0
    """Seconds of one worker that one of its tasks takes, as estimated."""
    pixels: int = 0
    """Of one frame."""
    batch_most: int = 16
    """Frames at once: what the settings say, or less after memory was short."""
    needs_device_alone: bool = False
    """Memory was short in a fresh worker with the smallest batch: it is tried again beside no other worker."""
    may_use_refuge: bool = False
    """It may be made on the CPU although there are graphics cards."""
    is_prepared: bool = False
    """Analysed, and no segment of it is rendered or in work yet."""
    face_key: str = ""
    """sha256 of the picture, while its face has not been tracked: two jobs of one picture need only one analysis."""


class Fit(NamedTuple):
    """What a job gets on a device."""

    batch: int
    claim_bytes: int
    """Predicted peak of the worker with that batch, margin included."""


FitOf = Callable[[JobFacts, str, int], Fit | None]
"""(job, label of a device, bytes that are free for one worker there) → largest batch that fits, or None.

Pure and monotone: more bytes never give a smaller batch, and a larger batch never a smaller claim.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings fix for the policy."""

    max_attempts: int = 5
    """Starts of one job."""
    max_strikes: int = 2
    """Workers that one task may end, or bugs that it may meet."""
    keep_warm_s: float = 300.0
    """How long an idle worker keeps its engine."""
    cpu_fallback: bool = True
    """A job that finds no graphics memory may be made on the CPU."""
    memory_wait_s: float = 600.0
    """How long it waits first for memory that others hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorker:
    """A worker that must be started first."""

    engine: EngineChoice
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Give `task`, which carries device and batch size, to a worker that is there, or to a new one."""

    task: Task
    worker: int | NewWorker
    claim_bytes: int = 0
    """What the worker may hold from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismiss:
    """End an idle worker."""

    worker: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done for the job now."""

    job_id: str
    reason: str
    code: str | None = None
    """E301 or E303 when it is memory that is wanting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try the job's missing tasks again after `delay_s`; 0: it goes on at once and keeps its attempt."""

    job_id: str
    delay_s: float
    batch_size: int
    needs_fresh_worker: bool
    """The worker that failed must not be used again."""
    refund: bool = False
    """The attempt does not count."""
    needs_device_alone: bool = False
    may_use_refuge: bool = False
    without_card_encoder: bool = False
    """The film is begun again with x264: whoever works on it must stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The job has failed for good."""

    job_id: str
    code: str
    message: str
    traceback: str = ""


Decision = Start | Dismiss | Wait | Retry | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One task that did not end well."""

    job_id: str
    code: str | None
    """What the worker said; None when it ended, or was ended, without a word."""
    message: str
    traceback: str = ""
    was_ready: bool = True
    """The worker had loaded its engine."""
    was_fresh: bool = False
    """It was the worker's first task."""
    batch_size: int
    attempts: int
    """Starts of the job that count, this one included."""
    strikes: int = 0
    """Strikes against the job's present task, this one included."""
    failed_starts: int = 0
    """Workers in a row that ended for this job before they were ready, this one included."""
    rests: int = 0
    """How often in a row the job has rested already."""
    was_oom_killed: bool = False
    """The kernel ended a process for memory at that moment: a death that explains itself."""
    was_alone: bool = False
    """No other worker of ours was on the device."""
    others_bytes: int = 0
    """What others held on the device."""
    is_cpu: bool = False
    """The device was the CPU, its memory the main memory."""
    is_refuge_there: bool = False
    """There is a CPU to go to."""
    is_larger_there: bool = False
    """There is a card with more memory."""
    memory_waited_s: float = 0.0
    """How long the job has been short of memory with the smallest batch."""
    encoder_faults: int = 0
    """How often a card's encoder has failed the film, this time included."""


@dataclass(slots=True)
class Service:
    """Seconds of work that each root, and each folder in it, has been given: the ledger of fairness.

    Who comes back after a pause is lifted to the least served of those that are there, so that nobody saves up.
    """

    roots: dict[str, float] = field(default_factory=dict)
    folders: dict[Share, float] = field(default_factory=dict)
    present: frozenset[Share] = frozenset()
    """Who had work to be done when this was settled last."""
