"""One job in the scheduler's hands: its order, how far it is, and what its tasks have met so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.limits import Limits
from heygemd.planning.plan import Order, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.scheduler.crew import Hand, TaskFailed
from heygemd.scheduler.order import ChooseEngine, make_order
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.pace import Pace
from heygemd.scheduler.policy import Failure, JobFacts
from heygemd.scheduler.workdir import Progress, WorkDir
from heygemd.settings import RenderSettings


def take_up(job: Job, state_dir: Path, settings: RenderSettings, limits: Limits, choose: ChooseEngine) -> "Work":
    """Find out from the job's files how far it is, and make its order if it has none.

    Raises InputError or SetupError for a job that cannot be made, ResourceError E202 when the disk refuses.
    """
    workdir = WorkDir.of(state_dir, job.id)
    saved = workdir.saved_order()
    cache_dir = state_dir / "cache"
    order = make_order(job, saved, work_dir=workdir.path, cache_dir=cache_dir, settings=settings, choose=choose)
    workdir.open_for(order)
    progress = workdir.look(order)
    return Work(job=job, order=order, workdir=workdir, progress=progress, batch_size=settings.batch_size, limits=limits)


@dataclass(slots=True, kw_only=True)
class Work:
    """Everything but `job` and the files can be lost without harm."""

    job: Job
    order: Order
    workdir: WorkDir
    progress: Progress
    batch_size: int
    """Halved when memory was short, and kept so."""
    limits: Limits
    rests: int = 0
    """Rests in a row; they grow longer."""
    failed_starts: int = 0
    """Workers in a row that ended for this job before they were ready."""
    is_stale: bool = False
    """A task has ended, but its files could not be looked at yet."""
    has_strikes: bool = False
    """The store counts strikes against the present task."""
    device: str = ""
    """Where the latest task ran."""
    pace: Pace = field(default_factory=Pace)

    def look(self) -> None:
        """See anew how far the job is; raises ResourceError E202 when the disk refuses."""
        self.is_stale = True
        self.progress = self.workdir.look(self.order)
        self.is_stale = False

    def facts(self, hands: Sequence[Hand], rest_until_s: float, most: int) -> JobFacts:
        """Describe the job to the policy, with at most `most` tasks; `hands` are the workers that are on it."""
        return JobFacts(
            job_id=self.job.id,
            is_begun=self.job.state is JobState.RUNNING,
            turn=self.job.turn,
            attempts=self._attempts,
            rest_until_s=rest_until_s,
            engine=self.order.engine,
            todo=self._todo(hands, most),
        )

    def describe(self, failed: TaskFailed, strikes: int) -> Failure:
        """Describe a failed task to the policy."""
        return Failure(
            job_id=self.job.id,
            code=failed.code,
            message=failed.message,
            traceback=failed.traceback,
            was_ready=failed.was_ready,
            was_fresh=failed.was_fresh,
            batch_size=failed.task.batch_size,
            attempts=self._attempts,
            strikes=strikes,
            failed_starts=self.failed_starts,
            rests=self.rests,
        )

    def still_needs(self, task: Task) -> bool:
        """Tell whether the files that `task` should leave are absent."""
        if task.kind is TaskKind.RENDER:
            return task.segment in self.progress.missing
        return self.progress.next_kind is task.kind

    def watch_pace(self, hands: Sequence[Hand], now_s: float) -> None:
        """Measure the speed; called at every tick in which somebody works on the job."""
        self.pace.note(now_s, self._stage, self._frames(hands)[0])

    def measure(self, hands: Sequence[Hand]) -> JobProgress:
        """Describe how far the job is."""
        done, total = self._frames(hands)
        is_measured = self.pace.stage == self._stage
        return JobProgress(
            job_id=self.job.id,
            stage=self._stage,
            frames_done=done,
            frames_total=total,
            fps=self.pace.fps if is_measured else None,
            eta_s=self.pace.eta_s(total - done) if is_measured else None,
            device=hands[0].device if hands else self.device,
        )

    @property
    def _attempts(self) -> int:
        return self.job.attempts - self.job.forgiven

    @property
    def _stage(self) -> Stage:
        kind = self.progress.next_kind
        return Stage.PUBLISH if kind is None else Stage(kind.value)

    def _frames(self, hands: Sequence[Hand]) -> tuple[int, int]:
        """Frames done and frames in all, of the present stage."""
        in_work = sum(hand.frames_done for hand in hands)
        if self._stage is Stage.ANALYSE:
            total = max((hand.frames_total for hand in hands), default=0) or self.order.video_info.frame_count
            return min(in_work, total), total
        total = self.progress.frames_total
        if self._stage is Stage.RENDER:
            return min(self.progress.frames_done + in_work, total), total
        return (total if self._stage is Stage.PUBLISH else min(in_work, total)), total

    def _todo(self, hands: Sequence[Hand], most: int) -> tuple[Task, ...]:
        kind = self.progress.next_kind
        if kind is None:
            return ()
        if kind is TaskKind.RENDER:
            taken = {hand.task.segment for hand in hands if hand.task}
            free = (segment for segment in self.progress.missing if segment not in taken)
            return tuple(self._task(kind, segment) for segment in islice(free, most))
        return () if hands else (self._task(kind),)

    def _task(self, kind: TaskKind, segment: Segment | None = None) -> Task:
        return Task(
            job_id=self.job.id,
            kind=kind,
            order_path=self.workdir.order_file if kind is TaskKind.ANALYSE else self.workdir.plan_file,
            segment=segment,
            batch_size=self.batch_size,
            limits=self.limits,
        )
