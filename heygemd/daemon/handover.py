"""From a finished film to the outbox, from a failed job to `failed/`: the end of every job, step by step.

    film ready ─▶ choose a name ─▶ store it ─▶ deliver ─▶ DONE ─▶ archive the inputs
    duplicate  ─▶ find the film that is there ─▶ choose a name … (or: back into the queue, if it is not)
    job failed or cancelled ──────────────────────────▶ FAILED ─▶ move the inputs to failed/

Each step is an errand that can be repeated; the store says how far a job has come. After a crash the scheduler
reports the film again, and what is done or failed but still has its claim folder is put away at the next start.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.daemon.errands import Answer, Errand, Nursery
from heygemd.errors import HeygemdError, ResourceError
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox import originals, publish
from heygemd.outbox.again import Again, find_again, retold
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
MAX_ERRANDS = 8
"""A thousand duplicates dropped together are a thousand copies, but not a thousand processes."""
MAX_DOUBLINGS = 6
MAX_FAULTS = 3
"""Bugs in one step before the job is failed: an environment fault never counts."""


@dataclass(slots=True)
class _Ending:
    """One job on its way out."""

    job_id: str
    film: FilmReady | None
    report: Report
    original: Job | None = None
    """The job whose film a duplicate is given."""
    again: Again | None = None
    """What was found of that film."""
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

    def reconfigure(self, settings: OutboxSettings) -> None:
        """Go by other settings from the next step on."""
        self._settings = settings

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

    def film_again(self, job: Job, original: Job) -> None:
        """Give a queued duplicate the film of its original, or put it back into the queue when that is not there."""
        job = self._store.move(job.id, JobState.RUNNING, at=self._wall())
        report = Report.of_ended(job, finished_at=self._wall())
        self._endings[job.id] = _Ending(job.id, None, report, original=original, file_name=job.published_name)

    def has(self, job_id: str) -> bool:
        """Tell whether the job is on its way out, and past cancelling."""
        return job_id in self._endings

    def drop(self, job_id: str) -> None:
        """Leave a job alone whose inputs were to be put away: a person has put them back into the inbox."""
        ending = self._endings.pop(job_id, None)
        if ending is not None and ending.errand is not None:
            ending.errand.end()

    def put_away_again(self, job_id: str) -> None:
        """Go on with a job that was dropped for nothing."""
        job = self._job(job_id)
        if job.claim_dir is not None:
            self._begin_end(job)

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
        log.info("job.ended", job_id=job.id, **report.to_dict())

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
            following = self._endings.get(job_id)  # another one where the step has failed the job
            if following is None:
                continue  # it went back into the queue
            if following.errand is None and self._clock() >= following.retry_at_s and self._may_begin():
                self._begin_step(following)
        finished, self._finished = tuple(self._finished), []
        return finished

    def _may_begin(self) -> bool:
        return sum(ending.errand is not None for ending in self._endings.values()) < MAX_ERRANDS

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
        film, again = ending.film, ending.again
        if job.state is not JobState.RUNNING or (film is None and ending.original is None):
            self._begin_putting_away(ending, job, root)
        elif ending.original is not None and again is None:
            self._start(ending, "find", find_again, ending.original, job, root)
        elif ending.file_name is None:
            self._start(
                ending, "choose", publish.choose_name,
                root.outbox, job.folder, job.name, self._settings.on_clash, job.id, root,
            )  # fmt: skip
        else:
            self._start(ending, "deliver", publish.deliver, self._delivery(ending, job, root))

    def _delivery(self, ending: _Ending, job: Job, root: Root) -> publish.Delivery:
        film, again, original = ending.film, ending.again, ending.original
        sheet: Path | None
        if film is not None:
            source, sheet, sha256 = film.plan.film_file, film.plan.sheet_file, film.facts.sha256
            report_json = ending.report.published_as(ending.file_name or "").to_json()
        elif again is not None and again.film is not None and original is not None:
            source, sheet, sha256 = again.film, again.sheet, original.film_sha256 or ""
            named = replace(job, published_name=ending.file_name, film_sha256=sha256)
            report_json = retold(again.report_json, named, self._wall())
        else:
            raise AssertionError("nothing to deliver")
        return publish.Delivery(
            job_id=job.id,
            id8=job.id8,
            film=source,
            sheet=sheet,
            report_json=report_json,
            outbox=root.outbox,
            folder=job.folder,
            file_name=ending.file_name or "",
            policy=self._settings.on_clash,
            sha256=sha256,
            root=root,
            is_again=film is None,
        )

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
        if answer.error is not None:
            return self._end_badly(ending, answer.error)
        if answer.fault:
            return self._fault(ending, answer.fault)
        ending.pause, ending.faults = "", 0
        if ending.step == "find":
            return self._found(ending, answer.value)
        if ending.step == "choose":
            ending.file_name = self._store.set_published_name(ending.job_id, str(answer.value))
        elif ending.step == "deliver":
            self._delivered(ending, answer.value)
        else:
            self._store.set_claim_dir(ending.job_id, None)
            return True
        return False

    def _end_badly(self, ending: _Ending, error: HeygemdError) -> bool:
        """Decide what an error of a step means for the job."""
        if isinstance(error, ResourceError):
            return self._pause(ending, error)
        if ending.step in ("choose", "deliver"):
            self.job_failed(JobFailed(job_id=ending.job_id, code=error.code, message=error.message))
            return False
        return self._fault(ending, f"{error.code}: {error.message}")

    def _found(self, ending: _Ending, again: Again) -> bool:
        """Take note of where a duplicate's film lies; True when the job has left our hands."""
        if again.film is None:
            return self._lose(ending)
        ending.again = again
        if again.there is not None:
            self._store.set_published_name(ending.job_id, again.there)
            self._end_done(ending, again.there, ending.original.film_sha256 if ending.original else None)
        return False

    def _lose(self, ending: _Ending) -> bool:
        """The film that a duplicate was to be given is not there: it is made, if its files are."""
        self._store.set_duplicate_of(ending.job_id, None)
        job = self._job(ending.job_id)
        if job.claim_dir is None:
            message = "the film made for this id is no longer in the outbox, and the row's files are not there"
            self.job_failed(JobFailed(job_id=job.id, code="E102", message=message))
            return False
        self._store.clear_published_name(job.id)
        self._store.move(job.id, JobState.QUEUED, at=self._wall(), refund=True)
        log.info("job.film_lost", job_id=job.id, original=ending.original.id if ending.original else None)
        del self._endings[job.id]
        return False

    def _delivered(self, ending: _Ending, delivered: Delivered) -> None:
        if delivered.is_lost:
            ending.again = None  # somebody took the film meanwhile: look again
            return
        if delivered.clash is not None:
            self._store.clear_published_name(ending.job_id)
            ending.file_name = None
            return
        log.info("outbox.published", job_id=ending.job_id, film=str(delivered.film), already=delivered.already)
        self._end_done(ending, delivered.film.name, delivered.sha256)

    def _end_done(self, ending: _Ending, file_name: str, sha256: str | None) -> None:
        if sha256:
            self._store.set_film(ending.job_id, sha256)
        job = self._store.move(ending.job_id, JobState.DONE, at=self._wall())
        if ending.film is None:
            worked = worked_on(self._store, job.id, self._wall())
            ending.report = Report.of_ended(job, finished_at=self._wall(), started_at=worked.started_at)
        log.info("job.ended", job_id=job.id, **ending.report.published_as(file_name).to_dict())

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
