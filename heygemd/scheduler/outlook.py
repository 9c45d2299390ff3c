"""What a forecast needs to know of the scheduler: how many can work at once, how fast they are, who comes next. Pure.

All of it is an estimate; nothing is decided by it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName, Job
from heygemd.planning.plan import TaskKind
from heygemd.planning.timeline import frames_for
from heygemd.scheduler.facts import Service
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.pace import Ahead, film_left_s
from heygemd.scheduler.rates import Rates
from heygemd.scheduler.shares import Queued, in_turn

SettleEngine = Callable[[EngineName], tuple[EngineName, str]]
"""Engine that is wanted → engine that would be used, never `auto`, and label of the device that it would run on; raises
SetupError when it cannot be had."""


def on_cpu(wanted: EngineName) -> tuple[EngineName, str]:
    """Settle without a look at weights or devices."""
    return (EngineName.ATLAS if wanted is EngineName.AUTO else wanted), "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """As the scheduler stands now."""

    places: int = 1
    """Workers there can be at once."""
    rates: Rates = field(default_factory=Rates)
    service: Service = field(default_factory=Service)
    aging_s: float = 600.0
    """What a step of priority is worth."""
    settle: SettleEngine = on_cpu

    def work_s(self, job: Job, *, analyse: bool = True) -> float | None:
        """Return the seconds of one worker that a job takes which is not begun; None while nothing is known of it.

        `analyse=False`: its face is known, from the cache or because another job of the same picture comes first.
        """
        ahead = self._ahead(job, TaskKind.ANALYSE)
        if ahead is not None and not analyse:
            ahead = replace(ahead, stage=TaskKind.RENDER, stage_frames=ahead.film_frames)
        return None if ahead is None else film_left_s(ahead, self.rates)

    def left_s(self, job: Job, progress: JobProgress) -> float | None:
        """Return the seconds of one worker that are left of a running job."""
        if progress.stage is Stage.PUBLISH:
            return 0.0
        frames = max(0, progress.frames_total - progress.frames_done)
        ahead = self._ahead(job, TaskKind(progress.stage.value), frames)
        return None if ahead is None else film_left_s(ahead, self.rates)

    def in_turn(self, jobs: Iterable[Job]) -> list[Job]:
        """Order queued jobs as they will probably begin: fair between roots and folders, in turn within a folder."""
        waiting = [Queued(job, self.aging_s, self.work_s(job) or 0.0) for job in jobs]
        return [entry.job for entry in in_turn(waiting, self.service)]

    def _ahead(self, job: Job, stage: TaskKind, stage_frames: int | None = None) -> Ahead | None:
        """Say what is to be done; `stage_frames=None`: all of the picture's."""
        if job.media is None or job.film_s is None:
            return None
        try:
            engine, device = self.settle(job.options.engine)
        except SetupError:
            return None
        video = job.media.video
        film_frames = frames_for(Fraction(str(job.film_s)), video.fps)
        return Ahead(
            engine=engine,
            device=device,
            pixels=video.width_px * video.height_px,
            stage=stage,
            stage_frames=video.frame_count if stage_frames is None else stage_frames,
            film_frames=film_frames,
        )


def faces_of(jobs: Iterable[Job]) -> Collection[str]:
    """Return the sha256 of the pictures of these jobs."""
    return {job.video.sha256 for job in jobs if job.video is not None}
