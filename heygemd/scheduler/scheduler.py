"""Moves the queue: asks the policy what to do next, does it, and tells the daemon what came of it.

Everything it must remember lies in the store and in the work directories; what it keeps in memory can be lost at
any moment. It moves jobs queued → running (before the first task) and running → queued (rests, shutdown); done,
failed and cancelled are the daemon's, after it has put the files where they belong.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.errors import ResourceError
from heygemd.jobs.job import EngineName
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.limits import Limits
from heygemd.log import LogChoice
from heygemd.planning.plan import Task, TaskKind
from heygemd.scheduler import verdict
from heygemd.scheduler.accounts import Accounts
from heygemd.scheduler.crew import Crew, TaskDone, TaskFailed
from heygemd.scheduler.facts import Decision, Dismiss, GiveUp, JobFacts, Rules, Share, Start, Wait
from heygemd.scheduler.floor import WORN
from heygemd.scheduler.gauge import Gauge
from heygemd.scheduler.lanes import Lanes
from heygemd.scheduler.order import ChooseEngine, ChooseTracker, built_in_tracker
from heygemd.scheduler.outcome import FilmReady, JobFailed, JobProgress, Outcome
from heygemd.scheduler.outlook import Outlook
from heygemd.scheduler.policy import assign
from heygemd.scheduler.rates import Rates
from heygemd.scheduler.sight import workers_seen
from heygemd.scheduler.tally import Tally
from heygemd.scheduler.treasury import Treasury
from heygemd.scheduler.waiting import next_in_turn
from heygemd.scheduler.work import Work
from heygemd.scheduler.workdir import WorkDir
from heygemd.scheduler.workers import WorkerPool
from heygemd.scheduler.works import Works
from heygemd.settings import RenderSettings
from heygemd.vitals import DeviceVitals, WorkerVitals

log = structlog.get_logger(__name__)

__all__ = ["FilmReady", "JobFailed", "JobProgress", "Outcome", "Scheduler"]

SEEN_BEYOND = 8
"""Queued jobs looked at beyond those there is room for: some may have to wait for the face of another."""


class Scheduler:
    """One per daemon. `clock` is monotonic seconds, `wall` the time of day in UTC; nothing here waits."""

    def __init__(  # noqa: PLR0917  # wired in one place; a record for nine names would only repeat them
        self,
        store: JobStore,
        pool: WorkerPool,
        gauge: Gauge,
        settings: RenderSettings,
        limits: Limits,
        state_dir: Path,
        choose_engine: ChooseEngine,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        choose_tracker: ChooseTracker = built_in_tracker,
    ) -> None:
        self._store, self._pool = store, pool
        self._settings, self._choose_engine = settings, choose_engine
        self._rules = _rules(settings)
        self._state_dir = state_dir
        self._clock, self._wall = clock, wall
        self._crew = Crew(pool, clock, settings)
        self._treasury = Treasury(store, pool, gauge, self._crew, settings, clock, wall)
        rates = Rates()
        self._accounts = Accounts(self._treasury, rates)
        self._works = Works(
            store, self._crew, self._treasury, rates, settings, limits, state_dir, choose_engine, clock, wall,
            choose_tracker,
        )  # fmt: skip
        self._waits: dict[str, Wait] = {}
        """Why jobs got nothing at the latest tick."""

    @property
    def tally(self) -> Tally:
        """What has been counted since the start."""
        return self._accounts.tally

    @property
    def waits(self) -> Mapping[str, Wait]:
        """Why jobs that nobody works on got nothing at the latest tick, by job."""
        return {job_id: wait for job_id, wait in self._waits.items() if not self._crew.at_work_on(job_id)}

    def tick(self) -> tuple[Outcome, ...]:
        """Take in what workers said, hand out work, and return what the daemon must know; each outcome once."""
        while news := self._crew.next_news():
            self._end_task(news)
        self._hand_out()
        return self._works.take_outcomes()

    def filenos(self) -> tuple[int, ...]:
        """Descriptors that become readable when `tick` has something to do."""
        return self._pool.filenos()

    def progress(self) -> tuple[JobProgress, ...]:
        """How far every running job is, the published ones included, in the order they were taken up."""
        return tuple(work.measure(self._crew.at_work_on(work.job.id)) for work in self._works.running())

    @property
    def is_busy(self) -> bool:
        """Tell whether a worker has a task."""
        return bool(self._crew.busy)

    def devices_seen(self) -> tuple[DeviceVitals, ...]:
        """Describe the devices as they stood at the latest tick."""
        return self._treasury.seen()

    def workers_seen(self) -> tuple[WorkerVitals, ...]:
        """Describe the workers."""
        return workers_seen(self._crew.hands, self._pool.pids(), self._clock())

    def reconfigure(self, settings: RenderSettings, limits: Limits) -> None:
        """Go by other settings from now on; films that are begun keep theirs, and so do the devices."""
        self._settings, self._rules = settings, _rules(settings)
        self._crew.reconfigure(settings)
        self._treasury.reconfigure(settings)
        self._works.reconfigure(settings, limits)

    def log_as(self, logs: LogChoice) -> None:
        """Let workers that are started from now on log so."""
        self._pool.log_as(logs)

    def outlook(self) -> Outlook:
        """What a forecast needs to know of devices, rates and order."""
        open_places = sum(f.most_workers for f in self._treasury.devices() if not (f.is_lost or f.is_refuge))
        return Outlook(
            places=max(1, open_places),
            rates=self._accounts.rates,
            service=self._accounts.service,
            aging_s=self._settings.aging_s,
            settle=self._settle,
        )

    def _settle(self, wanted: EngineName) -> tuple[EngineName, str]:
        """Say what a job that wants this engine would be made with, and on which device."""
        choice = self._choose_engine(wanted)
        return choice.name, self._treasury.likely_device(choice)

    def forget(self, job_id: str) -> None:
        """Drop the job from memory: the daemon is done with it; if it is queued again it is a new one."""
        self._works.forget(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop work on the job and leave it alone until the daemon has moved it; its files stay."""
        job = self._store.get(job_id)
        self.forget(job_id)
        if job is not None:
            self._works.leave(job)

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
        self._treasury.close()
        for job in self._store.jobs(JobState.RUNNING):
            if not self._works.is_reported(job.id) and job.duplicate_of is None:
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
            work.workdir.note_took(task.kind, event.seconds, done.device, event.cached)
        if work.still_needs(task):
            return _failed(task, done.worker, "E500", f"the {task.kind} task said done but left no file")
        work.note_success()
        if work.job.strikes or work.has_strikes:
            self._store.clear_strikes(work.job.id)
            work.has_strikes = False
        self._accounts.note_done(done, work)
        return None

    def _answer(self, work: Work, failed: TaskFailed) -> None:
        """Let the policy decide about a failed task, and carry that out."""
        job_id = work.job.id
        work.failed_starts = 0 if failed.was_ready else work.failed_starts + 1
        work.encoder_faults += failed.code == verdict.CARD_ENCODER
        failure = self._treasury.judge_memory(work.describe(failed), failed)
        is_shortage = verdict.is_shortage(failure)
        if is_shortage and failure.batch_size == 1 and work.short_since_s is None:
            work.short_since_s = self._clock()
        if is_shortage and work.short_since_s is not None:
            failure = replace(failure, memory_waited_s=self._clock() - work.short_since_s)
        self._accounts.note_failed(failed, work, is_shortage=is_shortage)
        if verdict.is_strike(failure):
            self._crew.kill(failed.worker)
            failure = replace(failure, strikes=self._store.strike(job_id))
            work.has_strikes = True
        answer = verdict.judge(failure, self._rules)
        log.warning(
            "task.given_back",
            job_id=job_id,
            task=failed.task.kind,
            segment=failed.task.segment.index if failed.task.segment else None,
            error_code=failed.code,
            reason=failed.message,
            strikes=failure.strikes,
            batch_size=failed.task.batch_size,
            others_bytes=failure.others_bytes if is_shortage else None,
            verdict=type(answer).__name__,
        )
        if isinstance(answer, GiveUp):
            self._give_up(answer)
            return
        if answer.needs_fresh_worker:
            self._crew.kill(failed.worker)
        work.obey(answer, failed.task.kind)
        if answer.without_card_encoder:
            self._begin_again_with_x264(work, failed)
        if answer.delay_s:
            work.rests += 1
            code = failed.code or (verdict.code_of(failure) if is_shortage else "E500")
            self._works.rest(work.job, answer.delay_s, code, failed.message, refund=answer.refund)
            if code == verdict.CHANGED_WEIGHTS:
                self._works.reconsider(job_id)

    def _begin_again_with_x264(self, work: Work, failed: TaskFailed) -> None:
        """Take every worker off the film before its plan changes; the next tick hands out the new one."""
        self._crew.release(work.job.id)
        try:
            work.do_without_card_encoder(failed.message)
        except ResourceError as error:  # its segments fail once more when the disk is back, and it is tried again
            self._works.rest(work.job, verdict.rest_s(work.rests), error.code, error.message, refund=True)

    # Handing out ------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        running = self._store.jobs(JobState.RUNNING)
        own = [job for job in running if job.duplicate_of is None]  # those that run for their twin are the daemon's
        self._works.let_go({job.id: job for job in own})
        self._treasury.look()
        self._leave_lost_devices()
        works = [work for job in own if (work := self._works.open(job))]
        facts = [self._facts(work) for work in works]
        if spots := self._treasury.spots():
            facts += self._next_in_queue(spots + SEEN_BEYOND, Lanes(running))
        self._accounts.settle(facts, (Share(job.root, job.folder) for job in own))
        decisions = assign(
            facts,
            self._crew.facts(),
            self._treasury.devices(),
            self._treasury.fit_of,
            self._accounts.service,
            self._clock(),
            self._rules,
        )
        about = {fact.job_id: fact for fact in facts}
        for decision in decisions:
            self._carry_out(decision, about)
        self._note_waits(decision for decision in decisions if isinstance(decision, Wait))
        for work in works:
            work.watch_pace(self._crew.at_work_on(work.job.id), self._clock())

    def _leave_lost_devices(self) -> None:
        """Take the tasks off workers whose device is gone: they may hang in the driver for ever."""
        for failed in self._crew.abandon(self._treasury.lost()):
            if work := self._works.get(failed.task.job_id):
                self._answer(work, failed)

    def _next_in_queue(self, most: int, lanes: Lanes) -> list[JobFacts]:
        facts: list[JobFacts] = []
        service, aging_s = self._accounts.service, self._settings.aging_s
        for job in next_in_turn(self._store, lanes, service, self._works.rests.is_over, most, aging_s):
            if work := self._works.open(job):
                facts.append(self._facts(work))
            if work or self._works.is_reported(job.id, JobState.RUNNING):
                lanes.enter(job)
        return facts

    def _facts(self, work: Work) -> JobFacts:
        hands = self._crew.at_work_on(work.job.id)
        work.may_use_refuge = work.may_use_refuge or self._treasury.is_for_cpu(work.order.engine)
        return work.facts(hands, self._works.rests.due_s(work.job), self._treasury.places)

    # Carrying out -----------------------------------------------------------------------------------------------

    def _carry_out(self, decision: Decision, about: Mapping[str, JobFacts]) -> None:
        match decision:
            case Start():
                self._start(decision, about[decision.task.job_id])
            case Dismiss():
                self._dismiss(decision)
            case GiveUp():
                self._give_up(decision)
            case Wait():
                pass  # noted once, when the reason changes
            case _:
                raise AssertionError("nothing has failed here")

    def _dismiss(self, dismiss: Dismiss) -> None:
        log.info("worker.dismissed", worker=dismiss.worker, reason=dismiss.reason)
        if dismiss.reason == WORN:
            self.tally.note_worker_recycled()
        self._crew.dismiss(dismiss.worker)

    def _note_waits(self, waits: Iterable[Wait]) -> None:
        before, self._waits = self._waits, {wait.job_id: wait for wait in waits}
        for job_id, wait in self._waits.items():
            if wait.code is not None and (work := self._works.get(job_id)):
                self._note_want(work, wait)
            if before.get(job_id) != wait and not self._crew.at_work_on(job_id):
                log.debug("job.waits", job_id=job_id, reason=wait.reason, error_code=wait.code)

    def _note_want(self, work: Work, wait: Wait) -> None:
        """A job finds no device with enough memory: in the end it goes to the CPU, if it may."""
        if work.short_since_s is None:
            work.short_since_s = self._clock()
            log.warning("job.short_of_memory", job_id=work.job.id, error_code=wait.code, reason=wait.reason)
        waited_s = self._clock() - work.short_since_s
        may_flee = self._treasury.has_refuge and not work.may_use_refuge
        answer = verdict.judge_wait(work.job.id, wait.code or "", waited_s, may_flee=may_flee, rules=self._rules)
        if answer is not None:
            log.warning("job.sent_to_cpu", job_id=work.job.id, waited_s=round(waited_s))
            work.obey(answer, TaskKind.ANALYSE)

    def _start(self, start: Start, facts: JobFacts) -> None:
        work = self._works.get(start.task.job_id)
        if work is None or not self._works.rests.is_over(work.job):
            return  # its other task met a fault a moment ago
        if work.job.state is JobState.QUEUED:
            work.job = self._store.move(work.job.id, JobState.RUNNING, at=self._wall())
        try:
            self._crew.give(start, alone=facts.needs_device_alone)
            self._accounts.note_start(start, facts)
        except ResourceError as error:
            nobody = 0
            self._answer(work, _failed(start.task, nobody, error.code, error.message, was_ready=False))

    def _give_up(self, decision: GiveUp) -> None:
        work = self._works.get(decision.job_id)
        failed = JobFailed(
            job_id=decision.job_id, code=decision.code, message=decision.message, traceback=decision.traceback
        )
        if work is not None:
            self._works.report_failure(work.job, failed)


def _rules(settings: RenderSettings) -> Rules:
    return Rules(
        max_attempts=settings.max_attempts,
        max_strikes=settings.max_strikes,
        keep_warm_s=settings.keep_warm_s,
        cpu_fallback=settings.cpu_fallback and settings.device == "auto" and not settings.require_gpu,
        memory_wait_s=settings.memory_wait_s,
    )


def _failed(task: Task, worker: int, code: str, message: str, *, was_ready: bool = True) -> TaskFailed:
    """Describe a failure that the worker did not report itself."""
    return TaskFailed(
        task=task, worker=worker, code=code, message=message, was_ready=was_ready, was_fresh=not was_ready
    )
