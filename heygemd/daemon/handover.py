"""From a finished film to the outbox, from a failed job to `failed/`: the end of every job, step by step.

    film ready ─▶ choose a name ─▶ store it ─▶ deliver ─▶ DONE ─▶ archive the inputs
    job failed ───────────────────────────────────────▶ FAILED ─▶ move the inputs to failed/

Each step is an errand that can be repeated; the store says how far a job has come. After a crash the scheduler
reports the film again, and what is done or failed but still has its claim folder is put away at the next start.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from heygemd.daemon.errands import Answer, Errand, Nursery
from heygemd.errors import ResourceError
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox import originals, publish
from heygemd.outbox.parcel import Delivered
from heygemd.outbox.reason import reason_text
from heygemd.outbox.report import Report
from heygemd.outbox.runs import worked_on
from heygemd.scheduler.scheduler import FilmReady, JobFailed
from heygemd.settings import OutboxSettings

log = structlog.get_logger(__name__)

STEP_LIMIT_S = 3600.0
"""A film of several GB over a slow share; longer is a hang."""
PAUSE_S = 10.0
"""Before a step that met an environment fault is tried again."""
MAX_DOUBLINGS = 6
MAX_FAULTS = 3
"""Bugs in one step before the job is failed: an environment fault never counts."""


@dataclass(slots=True)
class _Ending:
    """One job on its way out."""

    job_id: str
    film: FilmReady | None
    report: Report
    errand: Errand | None = None
    step: str = ""
    file_name: str | None = None
    retry_at_s: float = 0.0
    faults: int = 0
    pause: str = ""


class Handover:
    """Carries every ended job through its steps; never waits for a disk."""

    def __init__(
        self,
        *,
        store: JobStore,
        roots: dict[str, Root],
        nursery: Nursery,
        settings: OutboxSettings,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._store, self._roots, self._nursery, self._settings = store, roots, nursery, settings
        self._clock, self._wall = clock, wall
        self._endings: dict[str, _Ending] = {}
        self._finished: list[str] = []

    def resume(self) -> None:
        """Put away what an earlier run recorded but did not finish moving."""
        for job in self._store.to_put_away():
            self._begin_end(job)

    def film_ready(self, film: FilmReady) -> None:
        """Publish a verified film."""
        job = self._job(film.job_id)
        now = self._wall()
        worked = worked_on(self._store, job.id, now)
        report = Report.of_film(job, film, finished_at=now, started_at=worked.started_at, wall_s=worked.wall_s)
        self._endings[job.id] = _Ending(job.id, film, report, file_name=job.published_name)

    def job_failed(self, failed: JobFailed) -> None:
        """Record the failure, then move the inputs with their reason."""
        job = self._job(failed.job_id)
        if job.state is not JobState.FAILED:  # else a full disk stopped an earlier call after this step
            job = self._store.move(
                job.id, JobState.FAILED, at=self._wall(), error_code=failed.code, error_message=failed.message
            )
        self.put_away(job, failed.traceback)

    def put_away(self, job: Job, traceback: str = "") -> None:
        """Say that a job has failed, and move its inputs."""
        report = self._begin_end(job, traceback)
        log.info("job.ended", **report.to_dict())

    def _begin_end(self, job: Job, traceback: str = "") -> Report:
        now = self._wall()
        worked = worked_on(self._store, job.id, now)
        report = Report.of_ended(job, finished_at=now, started_at=worked.started_at, traceback=traceback)
        self._endings[job.id] = _Ending(job.id, None, report)
        return report

    def is_idle(self) -> bool:
        """Nothing is on its way out, but for jobs of roots that are not served any more."""
        return all(self._job(job_id).root not in self._roots for job_id in self._endings)

    def pauses(self) -> dict[str, str]:
        """Why jobs wait: job id → sentence."""
        return {ending.job_id: ending.pause for ending in self._endings.values() if ending.pause}

    def filenos(self) -> list[int]:
        """Readable when a step has ended."""
        return [ending.errand.fileno() for ending in self._endings.values() if ending.errand is not None]

    def tick(self) -> tuple[str, ...]:
        """Take every ending one step on where it can; returns the jobs that are put away now."""
        for job_id in list(self._endings):
            ending = self._endings[job_id]
            if ending.errand is not None and (answer := ending.errand.poll(self._clock())) is not None:
                ending.errand = None
                if self._end_step(ending, answer):
                    self._finished.append(job_id)
                    del self._endings[job_id]
                    continue
            following = self._endings[job_id]  # another one where the step has failed the job
            if following.errand is None and self._clock() >= following.retry_at_s:
                self._begin_step(following)
        finished, self._finished = tuple(self._finished), []
        return finished

    def stop(self) -> None:
        """Kill what is under way; every step can be repeated."""
        for ending in self._endings.values():
            if ending.errand is not None:
                ending.errand.end()
                ending.errand = None

    def _begin_step(self, ending: _Ending) -> None:
        job = self._job(ending.job_id)
        root = self._roots.get(job.root)
        if root is None:
            self._pause(ending, ResourceError("E201", f"the root {job.root} of this job is not served any more"))
            return
        film = ending.film
        if film is None or job.state is not JobState.RUNNING:
            self._begin_putting_away(ending, job, root)
        elif ending.file_name is None:
            self._start(
                ending, "choose", publish.choose_name,
                root.outbox, job.folder, job.name, self._settings.on_clash, job.id,
            )  # fmt: skip
        else:
            delivery = publish.Delivery(
                job_id=job.id,
                id8=job.id8,
                film=film.plan.film_file,
                sheet=film.plan.sheet_file,
                report_json=ending.report.published_as(ending.file_name).to_json(),
                outbox=root.outbox,
                folder=job.folder,
                file_name=ending.file_name,
                policy=self._settings.on_clash,
                sha256=film.facts.sha256,
                root=root,
            )
            self._start(ending, "deliver", publish.deliver, delivery)

    def _begin_putting_away(self, ending: _Ending, job: Job, root: Root) -> None:
        if job.state is JobState.DONE:
            day = ending.report.finished_at[:10]
            self._start(ending, "archive", originals.archive_inputs, job, root, self._settings.originals, day)
        else:
            reason = reason_text(ending.report)
            self._start(ending, "fail", originals.fail_inputs, job, root, ending.report.to_json(), reason)

    def _start(self, ending: _Ending, step: str, function: Callable[..., object], *args: object) -> None:
        ending.step = step
        ending.errand = Errand(self._nursery, function, *args, now_s=self._clock(), limit_s=STEP_LIMIT_S)

    def _end_step(self, ending: _Ending, answer: Answer) -> bool:
        """Take note of a step's result; True when the job is put away."""
        if isinstance(answer.error, ResourceError):
            return self._pause(ending, answer.error)
        if answer.error is not None and ending.step in ("choose", "deliver"):
            error = answer.error
            self.job_failed(JobFailed(job_id=ending.job_id, code=error.code, message=error.message))
            return False
        if answer.error is not None:
            return self._fault(ending, f"{answer.error.code}: {answer.error.message}")
        if answer.fault:
            return self._fault(ending, answer.fault)
        ending.pause, ending.faults = "", 0
        if ending.step == "choose":
            ending.file_name = self._store.set_published_name(ending.job_id, str(answer.value))
        elif ending.step == "deliver":
            self._delivered(ending, answer.value)
        else:
            self._store.set_claim_dir(ending.job_id, None)
            return True
        return False

    def _delivered(self, ending: _Ending, delivered: Delivered) -> None:
        if delivered.clash is not None:
            self._store.clear_published_name(ending.job_id)
            ending.file_name = None
            return
        self._store.move(ending.job_id, JobState.DONE, at=self._wall())
        log.info("outbox.published", job_id=ending.job_id, film=str(delivered.film), already=delivered.already)
        log.info("job.ended", **ending.report.published_as(delivered.film.name).to_dict())

    def _pause(self, ending: _Ending, error: ResourceError) -> bool:
        if not ending.pause:
            log.warning(
                "outbox.paused", job_id=ending.job_id, step=ending.step, error_code=error.code, reason=error.message
            )
        ending.pause = f"{error.code} {error.message}"
        ending.retry_at_s = self._clock() + PAUSE_S
        return False

    def _fault(self, ending: _Ending, trace: str) -> bool:
        ending.faults += 1
        ending.retry_at_s = self._clock() + PAUSE_S * 2 ** min(ending.faults, MAX_DOUBLINGS)
        ending.pause = trace.strip().splitlines()[-1]
        log.error("outbox.step_failed", job_id=ending.job_id, step=ending.step, faults=ending.faults, traceback=trace)
        job = self._job(ending.job_id)
        if ending.faults >= MAX_FAULTS and job.state is JobState.RUNNING:
            self.job_failed(JobFailed(job_id=job.id, code="E500", message=ending.pause, traceback=trace))
        return False

    def _job(self, job_id: str) -> Job:
        job = self._store.get(job_id)
        if job is None:
            raise LookupError(f"job {job_id} is not in the store")
        return job
