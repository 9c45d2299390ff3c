"""One job in the scheduler's hands: its order, how far it is, what its tasks have met so far, how long it may take."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

from heygemd.jobs.job import EngineName, Job
from heygemd.jobs.states import JobState
from heygemd.limits import Limits
from heygemd.planning.plan import Order, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.planning.timeline import frames_for
from heygemd.scheduler.crew import Hand, TaskFailed
from heygemd.scheduler.facts import Failure, JobFacts, Retry, Share
from heygemd.scheduler.order import ChooseEngine, ChooseTracker, built_in_tracker, make_order
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.pace import Pace
from heygemd.scheduler.rates import Rates
from heygemd.scheduler.workdir import Progress, WorkDir
from heygemd.settings import RenderSettings

NO_FACE = frozenset({EngineName.PASSTHROUGH})
"""Engines that look for no face: nothing of their analysis is worth waiting for."""


def take_up(
    job: Job,
    state_dir: Path,
    settings: RenderSettings,
    limits: Limits,
    choose: ChooseEngine,
    *,
    choose_tracker: ChooseTracker = built_in_tracker,
    workers: int = 1,
    rates: Rates | None = None,
    device: str = "cpu",
) -> "Work":
    """Find out from the job's files how far it is, and make its order if it has none.

    `workers` is how many it may be spread over, `device` where it will probably run. Raises InputError or SetupError
    for a job that cannot be made, ResourceError E202 when the disk refuses.
    """
    workdir = WorkDir.of(state_dir, job.id)
    saved = workdir.saved_order()
    order = make_order(
        job,
        saved,
        work_dir=workdir.path,
        cache_dir=state_dir / "cache",
        settings=settings,
        choose=choose,
        choose_tracker=choose_tracker,
        workers=workers,
        device=device,
    )
    workdir.open_for(order)
    return Work(
        job=job,
        order=order,
        workdir=workdir,
        progress=workdir.look(order),
        batch_most=settings.batch_size,
        limits=limits,
        hardware_decoding=settings.hardware_decoding,
        aging_s=settings.aging_s,
        rates=rates or Rates(),
        likely_device=device,
    )


@dataclass(slots=True, kw_only=True)
class Work:
    """Everything but `job` and the files can be lost without harm."""

    job: Job
    order: Order
    workdir: WorkDir
    progress: Progress
    batch_most: int
    """Frames at once; halved when memory was short, and kept so for this job."""
    limits: Limits
    hardware_decoding: bool
    aging_s: float
    rates: Rates
    likely_device: str
    needs_device_alone: bool = False
    may_use_refuge: bool = False
    short_since_s: float | None = None
    """Since when it has been short of memory with the smallest batch, or found no device with enough."""
    rests: int = 0
    """Rests in a row; they grow longer."""
    failed_starts: int = 0
    """Workers in a row that ended for this job before they were ready."""
    is_stale: bool = False
    """A task has ended, but its files could not be looked at yet."""
    encoder_faults: int = 0
    """How often a card's encoder has failed the film."""
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
            share=Share(self.job.root, self.job.folder),
            priority_s=self.job.priority * self.aging_s,
            task_s=self.task_s(),
            pixels=self.pixels,
            batch_most=self.batch_most,
            needs_device_alone=self.needs_device_alone,
            may_use_refuge=self.may_use_refuge,
            is_prepared=self._is_prepared(hands),
            face_key=self._face_key,
        )

    def obey(self, verdict: Retry, kind: TaskKind) -> None:
        """Keep what was decided about the next try of a task."""
        if kind is TaskKind.RENDER and verdict.batch_size:
            self.batch_most = verdict.batch_size
        self.needs_device_alone = self.needs_device_alone or verdict.needs_device_alone
        self.may_use_refuge = self.may_use_refuge or verdict.may_use_refuge

    def do_without_card_encoder(self, reason: str) -> None:
        """Begin the picture again with x264; raises ResourceError E202 when the disk refuses."""
        self.workdir.do_without_card_encoder(self.order, reason)
        self.look()

    def note_success(self) -> None:
        """Forget what went wrong before: a task has ended well."""
        self.rests = self.failed_starts = 0
        self.short_since_s = None

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.order.video_info.width_px * self.order.video_info.height_px

    @property
    def film_frames(self) -> int:
        """Frames of the film, as planned or as far as the probe can tell."""
        info = self.order.video_info
        return self.progress.frames_total or frames_for(Fraction(str(self.job.film_s or 0)), info.fps)

    def task_s(self) -> float:
        """Estimate the seconds of one worker that the next task takes."""
        kind = self.progress.next_kind
        if kind is None:
            return 0.0
        frames = self.order.video_info.frame_count if kind is TaskKind.ANALYSE else self.film_frames
        if kind is TaskKind.RENDER and self.progress.plan is not None:
            frames //= len(self.progress.plan.segments)
        return self._estimate_s(kind, frames)

    def _estimate_s(self, kind: TaskKind, frames: int) -> float:
        return self.rates.task_s(kind, self.order.engine.name, self.likely_device, self.pixels, max(1, frames))

    def describe(self, failed: TaskFailed) -> Failure:
        """Describe a failed task to the policy."""
        return Failure(
            job_id=self.job.id,
            code=failed.code,
            message=failed.message,
            traceback=failed.traceback,
            was_ready=failed.was_ready,
            was_fresh=failed.was_fresh,
            # Only rendering is done in batches.
            batch_size=failed.task.batch_size if failed.task.kind is TaskKind.RENDER else 1,
            attempts=self._attempts,
            failed_starts=self.failed_starts,
            rests=self.rests,
            encoder_faults=self.encoder_faults,
            was_alone=failed.was_alone,
            is_cpu=failed.slot == "cpu",
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
            job_left_s=self._left_s(hands, total - done, self.pace.eta_s(total - done) if is_measured else None),
            device=hands[0].device if hands else self.device,
        )

    def _left_s(self, hands: Sequence[Hand], frames_left: int, stage_eta_s: float | None) -> float | None:
        """Estimate when the film is ready with the workers that it has; None while nobody works on it."""
        if not hands:
            return None
        if self._stage is Stage.PUBLISH:
            return 0.0
        kind = TaskKind(self._stage.value)
        by_rates = self._estimate_s(kind, frames_left) / len(hands)
        left_s = stage_eta_s if stage_eta_s is not None else by_rates
        if kind is TaskKind.ANALYSE:
            left_s += self._estimate_s(TaskKind.RENDER, self.film_frames) / self.order.workers
        if kind is not TaskKind.FINISH:
            left_s += self._estimate_s(TaskKind.FINISH, self.film_frames)
        return left_s

    def _is_prepared(self, hands: Sequence[Hand]) -> bool:
        plan = self.progress.plan
        return plan is not None and len(self.progress.missing) == len(plan.segments) and not hands

    @property
    def _face_key(self) -> str:
        is_searched = self.progress.plan is None and self.order.engine.name not in NO_FACE
        return self.order.video_sha256 if is_searched else ""

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
            batch_size=self.batch_most,
            limits=self.limits,
            hardware_decoding=self.hardware_decoding,
        )
