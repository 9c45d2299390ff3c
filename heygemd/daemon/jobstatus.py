"""What the status says of single jobs: in work, waiting, ended."""

from collections.abc import Sequence
from datetime import datetime

from heygemd.daemon.forecast import Forecast
from heygemd.errors import ADVICE
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.rows import Transition
from heygemd.jobs.states import JobState
from heygemd.naming import job_folder
from heygemd.outbox.names import film_stem, mirrored, sheet_name
from heygemd.outbox.originals import REASON_NAME
from heygemd.outbox.status import LastResult, QueuedJob, RunningJob
from heygemd.scheduler.outcome import JobProgress


def running_job(job: Job, progress: JobProgress, since: datetime, foreseen: Forecast) -> RunningJob:
    """Describe a job in work; `since` is when it was taken up."""
    return RunningJob(
        job=job.id,
        name=job.name,
        folder=job.folder,
        stage=progress.stage,
        frames_done=progress.frames_done,
        frames_total=progress.frames_total or None,
        eta_s=progress.eta_s,
        device=progress.device,
        attempts=job.attempts,
        started_at=since,
        film_s=job.film_s,
        ready_at=foreseen.ready_at.get(job.id),
    )


def queued_job(
    job: Job, last: Transition, position: int | None, foreseen: Forecast, want: str | None = None
) -> QueuedJob:
    """Describe a waiting job.

    `last` is its latest transition, `position` its place among all that wait, if known, `want` what the machine lacks.
    """
    return QueuedJob(
        job=job.id,
        name=job.name,
        folder=job.folder,
        queued_at=job.queued_at,
        not_before=job.not_before if job.not_before > job.queued_at else None,
        attempts=job.attempts,
        waits_for=want or (f"{last.error_code} {last.error_message}" if last.error_code else None),
        position=position,
        priority=job.priority,
        film_s=job.film_s,
        starts_at=foreseen.starts_at.get(job.id),
    )


def ended_job(root: Root, job: Job, events: Sequence[Transition]) -> LastResult:
    """Describe a job that has ended; `events` are its transitions."""
    film = job.published_name if job.state is JobState.DONE else None
    below = "/".join(("outbox", *mirrored(job.folder)))
    return LastResult(
        job=job.id,
        name=job.name,
        folder=job.folder,
        state=job.state,
        finished_at=events[-1].at,
        output=job.published_name,
        error_code=job.error_code,
        error_title=ADVICE[job.error_code].title if job.error_code in ADVICE else None,
        error_message=job.error_message,
        film=f"{below}/{film}" if film else None,
        sheet=f"{below}/{sheet_name(film)}" if film else None,
        reason_file=f"failed/{_failed_folder(job, root)}/{REASON_NAME}" if job.state is JobState.FAILED else None,
        film_s=job.film_s,
        duplicate_of=job.duplicate_of,
    )


def _failed_folder(job: Job, root: Root) -> str:
    """Return the name of the job's folder in `failed/`: that of its claim, or one of its own if it had none."""
    places = [job.claim_dir, *(file.path.parent for file in job.inputs)]
    claims = (place.name for place in places if place is not None and place.parent == root.processing)
    # The folder of a batch is claimed for all its rows; a row that fails leaves one of its own.
    own = (name for name in claims if job.row is None or not name.endswith(id8_of(job.row.batch)))
    return next(own, job_folder(film_stem(job.name), job.id8))


def started_at(events: Sequence[Transition]) -> datetime | None:
    """Return when the job was taken up last."""
    return next((event.at for event in reversed(events) if event.state is JobState.RUNNING), None)
