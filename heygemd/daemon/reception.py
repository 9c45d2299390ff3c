"""Where arrivals become jobs of the store, and where people's wishes in `processing/` are carried out."""

from dataclasses import replace

import structlog

from heygemd.assembly import utc_now
from heygemd.daemon.backdesk import BackDesk
from heygemd.daemon.batchbook import BatchBook
from heygemd.daemon.clerk import Noticed
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.daemon.handover import Handover
from heygemd.daemon.twins import Twins
from heygemd.intake.findings import Arrival, Findings
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.jobs.turns import turn_of
from heygemd.outbox.note import status_note
from heygemd.scheduler.scheduler import Scheduler

log = structlog.get_logger(__name__)


class Reception:
    """Takes in what the desks found and what the clerks noticed."""

    def __init__(
        self,
        *,
        store: JobStore,
        scheduler: Scheduler,
        handover: Handover,
        twins: Twins,
        batches: BatchBook,
        clerks: dict[str, BackDesk],
        aging_s: float,
    ) -> None:
        self.store, self.scheduler, self.handover = store, scheduler, handover
        self.twins, self.batches, self.clerks = twins, batches, clerks
        self._aging_s = aging_s
        self._noted: dict[str, str] = {}
        """What `STATUS.txt` of each unfinished job says."""

    def receive(self, desk: FrontDesk, found: Findings) -> None:
        """Store what one look has found."""
        for arrival in found.arrivals:
            self._take_in(arrival)
        desk.note_stored(tuple(arrival.job.id for arrival in found.arrivals))
        self.batches.receive(found.batches, desk)
        for job in self.batches.serve_absent(found.absent, desk):
            log.info("intake.known_by_id", job_id=job.id, name=job.name, duplicate_of=job.duplicate_of)

    def _take_in(self, arrival: Arrival) -> None:
        """Store a job that has been claimed; the same arrival may come again."""
        told = arrival.job
        if self.store.get(told.id) is not None:
            return
        turn = turn_of(told.queued_at, told.priority, self._aging_s, told.film_s or 0.0)
        job = self.twins.judge(replace(told, turn=turn))
        if arrival.retry_of is not None and self._take_back(arrival.retry_of, job):
            return
        if self.store.add(job):
            log.info(
                "intake.claimed",
                job_id=job.id,
                name=job.name,
                folder=job.folder,
                state=job.state,
                error_code=job.error_code,
            )
            self._greet(job)

    def _take_back(self, job_id: str, fresh: Job) -> bool:
        """A person has put the folder of a failed job back: the same job runs again."""
        known = self.store.get(job_id)
        if known is None or known.state not in (JobState.FAILED, JobState.CANCELLED):
            return False
        self.handover.drop(job_id)  # a folder that was put back needs no putting away any more
        job = self.store.requeue(job_id, fresh, at=utc_now())
        if job is None:
            self.handover.put_away_again(job_id)
            return False
        self.scheduler.forget(job_id)
        log.info("intake.put_back", job_id=job.id, name=job.name, attempts=job.attempts)
        self._greet(job)
        return True

    def _greet(self, job: Job) -> None:
        """Tell people that a job is there, or why it has failed at the door."""
        if job.state is JobState.FAILED:
            self.handover.put_away(job)
        else:
            self._note(job, "queued")

    def note_stages(self) -> None:
        """Keep `STATUS.txt` in each claim folder true."""
        for progress in self.scheduler.progress():
            if self._noted.get(progress.job_id) != progress.stage and (job := self.store.get(progress.job_id)):
                self._note(job, progress.stage)

    def _note(self, job: Job, stage: str) -> None:
        self._noted[job.id] = stage
        clerk = self.clerks.get(job.root)
        if clerk is not None and job.claim_dir is not None:
            clerk.note(job.claim_dir.name, status_note(job, stage=None if stage == "queued" else stage))

    def obey(self, noticed: Noticed, desk: FrontDesk) -> None:
        """Cancel what people have cancelled in `processing/`."""
        for one in (*noticed.cancelled, *noticed.taken_away):
            self.cancel_batch(one, desk)
            job = self.store.get(one)
            if job is not None:
                self.cancel(job)

    def cancel_batch(self, batch_id: str, desk: FrontDesk) -> int:
        """Stop a batch, if it is one, and cancel its jobs; returns how many."""
        jobs = self.batches.cancel(batch_id, desk)
        if not jobs and self.store.is_stopped(batch_id) and self._has_unfinished(batch_id):
            jobs = tuple(self.store.jobs_of_batch(batch_id))  # a full disk has interrupted an earlier call
        return sum([self.cancel(job) for job in jobs])

    def _has_unfinished(self, batch_id: str) -> bool:
        by_state = self.store.batch_progress(batch_id).by_state
        return bool(by_state[JobState.QUEUED] or by_state[JobState.RUNNING])

    def cancel(self, job: Job) -> bool:
        """Cancel a job that has not ended; one whose film is on its way out is past that."""
        if job.state not in (JobState.QUEUED, JobState.RUNNING) or self.handover.has(job.id):
            return False
        self.scheduler.cancel(job.id)
        cancelled = self.store.move(job.id, JobState.CANCELLED, at=utc_now())
        log.info("job.cancelled", job_id=job.id, name=job.name)
        self.handover.put_away(cancelled)
        return True

    def reconfigure(self, aging_s: float) -> None:
        """Give new jobs their turn by another setting."""
        self._aging_s = aging_s

    def forget(self, job_id: str) -> None:
        """The job is put away."""
        self._noted.pop(job_id, None)
