"""What to do next, and what to do about a failure. Pure: values in, decisions out; the scheduler carries them out.

    assign(jobs, workers, devices, now)  →  Start | Dismiss | GiveUp | Wait
    judge(failure)                       →  Retry | GiveUp

Order of jobs: what is begun comes before what is not, then the smaller turn, in which priority and waiting are one
number, so that nothing waits for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from heygemd.errors import FaultError, InputError, SetupError, error_for
from heygemd.planning.plan import EngineChoice, Task

REST_FIRST_S = 5.0
REST_LONGEST_S = 300.0
"""Rests between tries double from the first to the longest."""
START_REST_FIRST_S = 1.0
"""A worker that ended before it was ready is tried again sooner: nothing was computed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often something may go wrong."""

    max_attempts: int
    """Starts of one job."""
    max_strikes: int
    """Workers that one task may end, or bugs that it may meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job that could get work now."""

    job_id: str
    is_begun: bool
    """It is in state running."""
    turn: float
    """Place in the queue, the smallest first."""
    attempts: int
    """Starts that count: what a person has forgiven is not in it."""
    rest_until_s: float
    """Monotonic time before which it gets nothing."""
    engine: EngineChoice
    todo: tuple[Task, ...]
    """Tasks that can be started now and are not in work, in order; their device is not set yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker that holds its device, idle or not."""

    worker: int
    engine: EngineChoice
    device: str
    is_free: bool
    """Ready for a task: not busy, not on its way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorker:
    """A worker that must be started first."""

    engine: EngineChoice
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Give `task` to a worker that is there, or to a new one."""

    task: Task
    worker: int | NewWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismiss:
    """End an idle worker: its device is wanted for another engine."""

    worker: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done for the job now."""

    job_id: str
    reason: str


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


def assign(
    jobs: Sequence[JobFacts],
    workers: Sequence[WorkerFacts],
    devices: Sequence[str],
    now_s: float,
    patience: Patience,
) -> tuple[Decision, ...]:
    """Hand out the free workers and devices; one worker a device, a device named twice carries two."""
    bench = _Bench.of(workers, devices)
    decisions: list[Decision] = []
    for job in sorted(jobs, key=_turn):
        if job.rest_until_s > now_s:
            decisions.append(Wait(job_id=job.job_id, reason="resting after a failure"))
        elif not job.is_begun and job.attempts >= patience.max_attempts:
            message = f"it was started {job.attempts} times and never came to an end"
            decisions.append(GiveUp(job_id=job.job_id, code="E501", message=message))
        else:
            decisions.extend(_serve(job, bench))
    return tuple(decisions)


def is_strike(code: str | None, was_ready: bool) -> bool:
    """Tell whether a failure counts against the task: a death, a hang or a bug, but not a worker's bad start."""
    return was_ready and (code is None or isinstance(error_for(code, ""), FaultError))


def judge(failure: Failure, patience: Patience) -> Retry | GiveUp:
    """Decide what becomes of the job after one of its tasks failed."""
    if failure.code is None:
        return _judge_fault(failure, "E501", patience)
    error = error_for(failure.code, failure.message)
    if isinstance(error, InputError | SetupError):
        return GiveUp(job_id=failure.job_id, code=error.code, message=error.message)
    if isinstance(error, FaultError):
        return _judge_fault(replace(failure, message=error.message), error.code, patience)
    if error.code == "E301" and failure.was_ready:
        return _judge_memory(failure)
    # Of the faults of the machine only a lost device can be the job's own doing, so only that one is counted.
    is_counted = error.code == "E302" and failure.was_ready
    if is_counted and failure.attempts >= patience.max_attempts:
        message = f"it was started {failure.attempts} times; last: {error.message}"
        return GiveUp(job_id=failure.job_id, code="E501", message=message)
    return _rest(failure, needs_fresh_worker=error.code == "E302" or not failure.was_ready, refund=not is_counted)


def rest_s(times_before: int, first_s: float = REST_FIRST_S) -> float:
    """Length of the next rest: doubles each time, up to a limit."""
    return min(first_s * 2.0 ** min(times_before, 30), REST_LONGEST_S)


def _turn(job: JobFacts) -> tuple[bool, float, str]:
    return (not job.is_begun, job.turn, job.job_id)


def _serve(job: JobFacts, bench: "_Bench") -> list[Decision]:
    decisions: list[Decision] = []
    for task in job.todo:
        place = bench.take(job.engine)
        if place is None:
            decisions.append(Wait(job_id=job.job_id, reason="every worker is busy"))
            break
        if isinstance(place, Dismiss):
            decisions += [place, Wait(job_id=job.job_id, reason="a worker of another engine is being replaced")]
        else:
            device = place.device
            worker = place.worker if isinstance(place, WorkerFacts) else place
            decisions.append(Start(task=replace(task, device=device), worker=worker))
    return decisions


@dataclass(slots=True)
class _Bench:
    """What is still free while work is handed out."""

    idle: list[WorkerFacts] = field(default_factory=list)
    vacant: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, workers: Sequence[WorkerFacts], devices: Sequence[str]) -> "_Bench":
        vacant = list(devices)
        for worker in workers:
            if worker.device in vacant:
                vacant.remove(worker.device)
        return cls(idle=[worker for worker in workers if worker.is_free], vacant=vacant)

    def take(self, engine: EngineChoice) -> WorkerFacts | NewWorker | Dismiss | None:
        """Best place for a task: a warm worker, a vacant device, an idle worker of another engine."""
        for worker in self.idle:
            if worker.engine == engine:
                self.idle.remove(worker)
                return worker
        if self.vacant:
            return NewWorker(engine=engine, device=self.vacant.pop(0))
        if self.idle:
            return Dismiss(worker=self.idle.pop(0).worker)
        return None


def _judge_memory(failure: Failure) -> Retry:
    """Smaller, then in a fresh worker, then later: memory never fails a job while something smaller is left."""
    if failure.batch_size > 1:
        return Retry(job_id=failure.job_id, delay_s=0.0, batch_size=failure.batch_size // 2, needs_fresh_worker=False)
    if not failure.was_fresh:
        return Retry(job_id=failure.job_id, delay_s=0.0, batch_size=1, needs_fresh_worker=True)
    return _rest(failure, needs_fresh_worker=True, refund=True)


def _judge_fault(failure: Failure, code: str, patience: Patience) -> Retry | GiveUp:
    if not failure.was_ready:
        if failure.failed_starts >= patience.max_attempts:
            message = f"no worker comes up: {failure.message}"
            return GiveUp(job_id=failure.job_id, code="E500", message=message, traceback=failure.traceback)
        delay_s = rest_s(failure.failed_starts - 1, START_REST_FIRST_S)
        return replace(_rest(failure, needs_fresh_worker=True, refund=True), delay_s=delay_s)
    if failure.strikes >= patience.max_strikes:
        return GiveUp(job_id=failure.job_id, code=code, message=failure.message, traceback=failure.traceback)
    # A death may have been the kernel's answer to too much memory; half as much costs little to try.
    batch_size = max(1, failure.batch_size // 2) if failure.code is None else failure.batch_size
    return Retry(job_id=failure.job_id, delay_s=0.0, batch_size=batch_size, needs_fresh_worker=True)


def _rest(failure: Failure, *, needs_fresh_worker: bool, refund: bool) -> Retry:
    return Retry(
        job_id=failure.job_id,
        delay_s=rest_s(failure.rests),
        batch_size=failure.batch_size,
        needs_fresh_worker=needs_fresh_worker,
        refund=refund,
    )
