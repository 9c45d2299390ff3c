"""Moves the queue: asks the policy what to do next, does it, and tells the daemon what came of it.

Everything it must remember lies in the store and in the work directories; what it keeps in memory can be lost at
any moment. It moves jobs queued → running (before the first task) and running → queued (rests, shutdown); done,
failed and cancelled are the daemon's, after it has put the files where they belong.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.errors import InputError, ResourceError, SetupError
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.limits import Limits
from heygemd.planning.plan import Task, TaskKind
from heygemd.scheduler import policy
from heygemd.scheduler.crew import Crew, TaskDone, TaskFailed
from heygemd.scheduler.devices import Device
from heygemd.scheduler.lanes import Lanes, glance
from heygemd.scheduler.order import ChooseEngine
from heygemd.scheduler.outcome import FilmReady, JobFailed, JobProgress, Outcome
from heygemd.scheduler.rests import Rests
from heygemd.scheduler.work import Work, take_up
from heygemd.scheduler.workdir import WorkDir
from heygemd.scheduler.workers import WorkerPool
from heygemd.settings import RenderSettings

log = structlog.get_logger(__name__)

__all__ = ["FilmReady", "JobFailed", "JobProgress", "Outcome", "Scheduler"]

QUEUE_GLANCE = 100
"""Queued jobs looked at when something is free, not counting those whose lane is full; those behind them wait."""


class Scheduler:
    """One per daemon. `clock` is monotonic seconds, `wall` the time of day in UTC; nothing here waits."""

    def __init__(  # noqa: PLR0917  # wired in one place; a record for nine names would only repeat them
        self,
        store: JobStore,
        pool: WorkerPool,
        devices: Sequence[Device],
        settings: RenderSettings,
        limits: Limits,
        state_dir: Path,
        choose_engine: ChooseEngine,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._store, self._pool = store, pool
        self._devices = tuple(device.label for device in devices)
        self._settings, self._limits = settings, limits
        self._patience = policy.Patience(max_attempts=settings.max_attempts, max_strikes=settings.max_strikes)
        self._state_dir, self._choose_engine = state_dir, choose_engine
        self._clock, self._wall = clock, wall
        self._crew = Crew(pool, clock, settings.silence_limit_s)
        self._works: dict[str, Work] = {}
        self._reported: dict[str, JobState] = {}
        """Jobs that are the daemon's now, with the state they had then."""
        self._rests = Rests(clock, wall)
        self._waits: dict[str, str] = {}
        """Why jobs got nothing at the latest tick."""
        self._outcomes: list[Outcome] = []

    def tick(self) -> tuple[Outcome, ...]:
        """Take in what workers said, hand out work, and return what the daemon must know; each outcome once."""
        while news := self._crew.next_news():
            self._end_task(news)
        self._hand_out()
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when `tick` has something to do."""
        return self._pool.filenos()

    def progress(self) -> tuple[JobProgress, ...]:
        """How far every running job is, the published ones included, in the order they were taken up."""
        works = [work for work in self._works.values() if work.job.state is JobState.RUNNING]
        return tuple(work.measure(self._crew.at_work_on(work.job.id)) for work in works)

    def forget(self, job_id: str) -> None:
        """Drop the job from memory: the daemon is done with it; if it is queued again it is a new one."""
        self._crew.release(job_id)
        self._works.pop(job_id, None)
        self._reported.pop(job_id, None)
        self._rests.forget(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop work on the job and leave it alone until the daemon has moved it; its files stay."""
        job = self._store.get(job_id)
        self.forget(job_id)
        if job is not None:
            self._reported[job_id] = job.state

    def discard_work(self, job_id: str) -> None:
        """Remove the job's work directory; raises ResourceError E202 when the disk refuses."""
        WorkDir.of(self._state_dir, job_id).discard()

    def wait(self, most_s: float) -> None:
        """Sleep until `tick` has something to do, or for `most_s`."""
        self._pool.wait(most_s)

    def stop(self, grace_s: float) -> None:
        """End all work and all workers; waits. What is in work gets `grace_s` to be finished, the rest is dropped.

        Running jobs then lie in the queue again with their attempt given back, save those whose outcome has been
        reported: they are the daemon's. Nothing that fails meanwhile counts: whoever ends the daemon may well end
        its workers too (systemd does). The scheduler cannot be used afterwards.
        """
        ends_s = self._clock() + grace_s
        while True:
            while news := self._crew.next_news():
                if isinstance(news, TaskDone):
                    self._end_task(news)
            self._crew.wind_down(at_once=self._clock() >= ends_s)
            if not self._crew.busy:
                break
            self._pool.wait(max(0.0, ends_s - self._clock()))
        self._pool.close()
        for job in self._store.jobs(JobState.RUNNING):
            if job.id not in self._reported and job.duplicate_of is None:
                self._store.move(job.id, JobState.QUEUED, at=self._wall(), refund=True)

    # What workers said ------------------------------------------------------------------------------------------

    def _end_task(self, news: TaskDone | TaskFailed) -> None:
        work = self._works.get(news.task.job_id)
        if work is None:
            return
        try:
            failure = self._accept(work, news) if isinstance(news, TaskDone) else news
        except ResourceError as error:
            failure = _failed(news.task, news.worker, error.code, error.message)
        if failure is not None:
            self._answer(work, failure)

    def _accept(self, work: Work, done: TaskDone) -> TaskFailed | None:
        """Believe the files, not the worker; returns a failure when they are not there."""
        event, task = done.event, done.task
        work.device = done.device
        work.look()
        if task.kind is not TaskKind.RENDER:
            work.workdir.note_took(task.kind, event.seconds, done.device)
        if work.still_needs(task):
            return _failed(task, done.worker, "E500", f"the {task.kind} task said done but left no file")
        work.rests = work.failed_starts = 0
        if work.job.strikes or work.has_strikes:
            self._store.clear_strikes(work.job.id)
            work.has_strikes = False
        log.info(
            "task.done",
            job_id=task.job_id,
            task=task.kind,
            segment=task.segment.index if task.segment else None,
            frames_done=work.progress.frames_done,
            frames_total=work.progress.frames_total,
            seconds=event.seconds,
            peak_vram_bytes=event.peak_vram_bytes,
            device=done.device,
        )
        return None

    def _answer(self, work: Work, failed: TaskFailed) -> None:
        """Let the policy decide about a failed task, and carry that out."""
        job_id = work.job.id
        work.failed_starts = 0 if failed.was_ready else work.failed_starts + 1
        strikes = 0
        if policy.is_strike(failed.code, failed.was_ready):
            self._crew.kill(failed.worker)
            strikes = self._store.strike(job_id)
            work.has_strikes = True
        verdict = policy.judge(work.describe(failed, strikes), self._patience)
        log.warning(
            "task.given_back",
            job_id=job_id,
            task=failed.task.kind,
            segment=failed.task.segment.index if failed.task.segment else None,
            error_code=failed.code,
            reason=failed.message,
            strikes=strikes,
            verdict=type(verdict).__name__,
        )
        if isinstance(verdict, policy.GiveUp):
            self._give_up(verdict)
            return
        if verdict.needs_fresh_worker:
            self._crew.kill(failed.worker)
        work.batch_size = verdict.batch_size
        if verdict.delay_s:
            work.rests += 1
            self._rest(work.job, verdict.delay_s, failed.code or "E500", failed.message, refund=verdict.refund)

    # Handing out ------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        running = self._store.jobs(JobState.RUNNING)
        own = [job for job in running if job.duplicate_of is None]  # those that run for their twin are the daemon's
        self._let_go({job.id: job for job in own})
        works = [work for job in own if (work := self._open(job))]
        facts = [self._facts(work) for work in works]
        spots = len(self._devices) - len(self._crew.busy) - sum(len(fact.todo) for fact in facts)
        if spots > 0:
            facts += self._next_in_queue(spots, Lanes(running))
        decisions = policy.assign(facts, self._crew.facts(), self._devices, self._clock(), self._patience)
        for decision in decisions:
            self._carry_out(decision)
        self._note_waits({d.job_id: d.reason for d in decisions if isinstance(d, policy.Wait)})
        for work in works:
            work.watch_pace(self._crew.at_work_on(work.job.id), self._clock())

    def _let_go(self, running: dict[str, Job]) -> None:
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

    def _next_in_queue(self, spots: int, lanes: Lanes) -> list[policy.JobFacts]:
        facts: list[policy.JobFacts] = []
        seen: set[str] = set()
        for job in glance(self._store, lanes, QUEUE_GLANCE):
            seen.add(job.id)
            if not self._rests.is_over(job):
                continue
            if work := self._open(job):
                facts.append(self._facts(work))
            if work or self._reported.get(job.id) is JobState.RUNNING:
                lanes.enter(job)
            if len(facts) >= spots:
                break
        else:
            self._rests.keep_only(seen | self._works.keys())
        return facts

    def _facts(self, work: Work) -> policy.JobFacts:
        return work.facts(self._crew.at_work_on(work.job.id), self._rests.due_s(work.job), len(self._devices))

    def _open(self, job: Job) -> Work | None:
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
            work = take_up(job, self._state_dir, self._settings, self._limits, self._choose_engine)
        except (InputError, SetupError) as error:
            self._report_failure(job, JobFailed(job_id=job.id, code=error.code, message=error.message))
            return None
        except ResourceError as error:
            self._rest(job, policy.rest_s(0), error.code, error.message, refund=True)
            return None
        self._works[job.id] = work
        log.info(
            "job.taken_up",
            job_id=job.id,
            engine=work.order.engine.name,
            next=work.progress.next_kind,
            frames_done=work.progress.frames_done,
            frames_total=work.progress.frames_total,
        )
        return work

    # Carrying out -----------------------------------------------------------------------------------------------

    def _carry_out(self, decision: policy.Decision) -> None:
        match decision:
            case policy.Start():
                self._start(decision)
            case policy.Dismiss():
                self._crew.dismiss(decision.worker)
            case policy.GiveUp():
                self._give_up(decision)
            case policy.Wait():
                pass  # noted once, when the reason changes
            case policy.Retry():
                raise AssertionError("nothing has failed here")

    def _note_waits(self, waits: dict[str, str]) -> None:
        for job_id, reason in waits.items():
            if self._waits.get(job_id) != reason and not self._crew.at_work_on(job_id):
                log.debug("job.waits", job_id=job_id, reason=reason)
        self._waits = waits

    def _start(self, start: policy.Start) -> None:
        work = self._works.get(start.task.job_id)
        if work is None or not self._rests.is_over(work.job):
            return  # its other task met a fault a moment ago
        if work.job.state is JobState.QUEUED:
            work.job = self._store.move(work.job.id, JobState.RUNNING, at=self._wall())
        try:
            self._crew.give(start)
        except ResourceError as error:
            nobody = 0
            self._answer(work, _failed(start.task, nobody, error.code, error.message, was_ready=False))

    def _give_up(self, decision: policy.GiveUp) -> None:
        self._report_failure(
            self._works[decision.job_id].job,
            JobFailed(
                job_id=decision.job_id, code=decision.code, message=decision.message, traceback=decision.traceback
            ),
        )

    def _report_failure(self, job: Job, failed: JobFailed) -> None:
        self.forget(job.id)
        self._reported[job.id] = job.state
        self._outcomes.append(failed)
        log.warning("job.given_up", job_id=job.id, error_code=failed.code, reason=failed.message)

    def _report_film(self, work: Work) -> None:
        plan, facts = work.progress.plan, work.progress.film
        if plan is None or facts is None:
            raise AssertionError("no film without a plan")
        seconds, device = work.workdir.took(plan)
        self._reported[work.job.id] = work.job.state
        self._outcomes.append(
            FilmReady(job_id=work.job.id, plan=plan, facts=facts, seconds=seconds, device=work.device or device)
        )
        log.info("film.ready", job_id=work.job.id, frames=facts.frame_count, device=work.device or device)

    def _rest(self, job: Job, delay_s: float, code: str, reason: str, *, refund: bool) -> None:
        """Let the job lie for a while; it keeps its place in the queue."""
        self._crew.release(job.id)
        not_before = self._rests.lay_down(job, delay_s)  # holds even when the store refuses the next step
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
        self._rests.follow(job)
        if job.id in self._works:
            self._works[job.id].job = job


def _failed(task: Task, worker: int, code: str, message: str, *, was_ready: bool = True) -> TaskFailed:
    """Describe a failure that the worker did not report itself."""
    return TaskFailed(
        task=task, worker=worker, code=code, message=message, was_ready=was_ready, was_fresh=not was_ready
    )
