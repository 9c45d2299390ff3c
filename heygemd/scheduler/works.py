"""The jobs in the scheduler's hands, and what the daemon is told of them: how they are taken up, rest, and end."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.errors import InputError, ResourceError, SetupError
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.limits import Limits
from heygemd.scheduler import verdict
from heygemd.scheduler.crew import Crew
from heygemd.scheduler.order import ChooseEngine, ChooseTracker
from heygemd.scheduler.outcome import FilmReady, JobFailed, Outcome
from heygemd.scheduler.rates import Rates
from heygemd.scheduler.rests import Rests
from heygemd.scheduler.treasury import Treasury
from heygemd.scheduler.work import Work, take_up
from heygemd.settings import RenderSettings

log = structlog.get_logger(__name__)


class Works:
    """What is begun or looked at; lost with the process, and found again in the store and the work directories."""

    def __init__(  # noqa: PLR0917  # wired in one place
        self,
        store: JobStore,
        crew: Crew,
        treasury: Treasury,
        rates: Rates,
        settings: RenderSettings,
        limits: Limits,
        state_dir: Path,
        choose_engine: ChooseEngine,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        choose_tracker: ChooseTracker,
    ) -> None:
        self._store, self._crew, self._treasury, self._rates = store, crew, treasury, rates
        self._settings, self._limits = settings, limits
        self._state_dir, self._wall = state_dir, wall
        self._choose_engine, self._choose_tracker = choose_engine, choose_tracker
        self.rests = Rests(clock, wall)
        self._works: dict[str, Work] = {}
        self._reported: dict[str, JobState] = {}
        """Jobs that are the daemon's now, with the state they had then."""
        self._outcomes: list[Outcome] = []
        self._failed_starts: dict[str, int] = {}
        """Of jobs that get a new order."""

    def reconfigure(self, settings: RenderSettings, limits: Limits) -> None:
        """Take up jobs with other settings from now on."""
        self._settings, self._limits = settings, limits

    def get(self, job_id: str) -> Work | None:
        """Return a job that is in hand."""
        return self._works.get(job_id)

    def running(self) -> list[Work]:
        """Return the jobs that run, in the order in which they were taken up."""
        return [work for work in self._works.values() if work.job.state is JobState.RUNNING]

    def reconsider(self, job_id: str) -> None:
        """Make a new order for the job when it is taken up next; what was analysed stays."""
        work = self._works.pop(job_id, None)
        if work is not None:
            self._failed_starts[job_id] = work.failed_starts

    def take_outcomes(self) -> tuple[Outcome, ...]:
        """Return what the daemon must know; each outcome once."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def is_reported(self, job_id: str, state: JobState | None = None) -> bool:
        """Tell whether the job is the daemon's (since it was in `state`)."""
        return job_id in self._reported and state in (None, self._reported[job_id])

    def forget(self, job_id: str) -> None:
        """Drop the job from memory."""
        self._crew.release(job_id)
        self._works.pop(job_id, None)
        self._failed_starts.pop(job_id, None)
        self._reported.pop(job_id, None)
        self.rests.forget(job_id)

    def leave(self, job: Job) -> None:
        """Drop the job, and leave it alone until the daemon has moved it."""
        self.forget(job.id)
        self._reported[job.id] = job.state

    def let_go(self, running: Mapping[str, Job]) -> None:
        """Forget what somebody else has moved."""
        for job_id in {**self._works, **self._reported}:
            job = running.get(job_id) or self._store.get(job_id)
            if job is None or job.duplicate_of or job.state not in (JobState.QUEUED, JobState.RUNNING):
                self.forget(job_id)
                continue
            if self._reported.get(job_id, job.state) is not job.state:
                del self._reported[job_id]
            if job_id in self._works:
                self._works[job_id].job = job
            if job.state is JobState.QUEUED:
                self._crew.release(job_id)

    def open(self, job: Job) -> Work | None:
        """Return the job's work if there is some for workers; a film that is there is reported instead."""
        if job.id in self._reported:
            return None
        work = self._take_up(job)
        if work is None or work.progress.film is None:
            return work
        if job.state is JobState.QUEUED:
            work.job = self._store.move(job.id, JobState.RUNNING, at=self._wall())
        self._report_film(work)
        return None

    def _take_up(self, job: Job) -> Work | None:
        """Find out from the job's files how far it is; a job that cannot be begun is reported or rests."""
        work = self._works.get(job.id)
        if work is not None and not work.is_stale:
            return work
        try:
            if work is not None:
                work.look()
                return work
            work = self._begin(job)
        except (InputError, SetupError) as error:
            self.report_failure(job, JobFailed(job_id=job.id, code=error.code, message=error.message))
            return None
        except ResourceError as error:
            self.rest(job, verdict.rest_s(0), error.code, error.message, refund=True)
            return None
        self._works[job.id] = work
        work.failed_starts = self._failed_starts.pop(job.id, 0)
        log.info(
            "job.taken_up",
            job_id=job.id,
            engine=work.order.engine.name,
            tracker=work.order.tracker.name,
            tracker_reason=work.order.tracker.reason,
            next=work.progress.next_kind,
            frames_done=work.progress.frames_done,
            frames_total=work.progress.frames_total,
        )
        return work

    def _begin(self, job: Job) -> Work:
        engine = self._choose_engine(job.options.engine)
        return take_up(
            job,
            self._state_dir,
            self._settings,
            self._limits,
            self._choose_engine,
            choose_tracker=self._choose_tracker,
            workers=self._treasury.spread(engine, job),
            rates=self._rates,
            device=self._treasury.likely_device(engine),
        )

    def report_failure(self, job: Job, failed: JobFailed) -> None:
        """Give the job up; the daemon puts its files away and moves it."""
        self.leave(job)
        self._outcomes.append(failed)
        log.warning("job.given_up", job_id=job.id, error_code=failed.code, reason=failed.message)

    def _report_film(self, work: Work) -> None:
        plan, facts = work.progress.plan, work.progress.film
        if plan is None or facts is None:
            raise AssertionError("no film without a plan")
        took = work.workdir.took(plan)
        device = work.device or took.device
        self._reported[work.job.id] = work.job.state
        self._outcomes.append(
            FilmReady(
                job_id=work.job.id, plan=plan, facts=facts, seconds=took.seconds, device=device, cached=took.cached
            )
        )
        log.info("film.ready", job_id=work.job.id, frames=facts.frame_count, device=device)

    def rest(self, job: Job, delay_s: float, code: str, reason: str, *, refund: bool) -> None:
        """Let the job lie for a while; it keeps its place in the queue."""
        self._crew.release(job.id)
        not_before = self.rests.lay_down(job, delay_s)  # holds even when the store refuses the next step
        log.warning("job.rests", job_id=job.id, error_code=code, reason=reason, delay_s=delay_s)
        if job.state is not JobState.RUNNING:
            return
        job = self._store.move(
            job.id,
            JobState.QUEUED,
            at=self._wall(),
            error_code=code,
            error_message=reason,
            not_before=not_before,
            refund=refund,
        )
        self.rests.follow(job)
        if job.id in self._works:
            self._works[job.id].job = job
