"""Puts together what people may read on the share about one root."""

import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from heygemd import __version__
from heygemd.errors import ADVICE
from heygemd.intake.inbox import Waiting
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.outbox.status import (
    LastResult,
    QueuedJob,
    RootState,
    RootStatus,
    RunningJob,
    Snapshot,
    WaitingFile,
)

if TYPE_CHECKING:
    from heygemd.daemon.frontdesk import FrontDesk
    from heygemd.daemon.loop import Daemon

SHOWN = 50
"""Entries of each list; the counts tell how many there are."""


def take_snapshot(daemon: "Daemon", desk: "FrontDesk") -> Snapshot:
    """Everything `status.json` of this root says."""
    root = desk.root
    jobs = daemon.store.unfinished(root.uuid)
    queued = [job for job in jobs if job.state is JobState.QUEUED]
    pauses = {job: pause for job, pause in daemon.handover.pauses().items() if any(job == own.id for own in jobs)}
    waiting = desk.findings.waiting if desk.findings else ()
    reason = desk.offline or desk.paused or next(iter(pauses.values()), None)
    state = RootState.OFFLINE if desk.offline else RootState.PAUSED if reason else RootState.ONLINE
    return Snapshot(
        written_at=datetime.now(UTC),
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
        root=RootStatus(path=root.path, uuid=root.uuid, state=state, reason=reason),
        counts=daemon.store.counts(root.uuid),
        running=_running(daemon, {job.id: job for job in jobs if job.state is JobState.RUNNING}),
        queue=tuple(_queued(daemon, job) for job in queued[:SHOWN]),
        waiting=tuple(_waiting(group) for group in waiting[:SHOWN]),
        results=tuple(_result(daemon, job) for job in daemon.store.ended(SHOWN, root.uuid)),
    )


def _running(daemon: "Daemon", jobs: dict[str, Job]) -> tuple[RunningJob, ...]:
    return tuple(
        RunningJob(
            job=progress.job_id,
            name=jobs[progress.job_id].name,
            folder=jobs[progress.job_id].folder,
            stage=progress.stage,
            frames_done=progress.frames_done,
            frames_total=progress.frames_total or None,
            eta_s=progress.eta_s,
            device=progress.device,
            attempts=jobs[progress.job_id].attempts,
            started_at=daemon.store.events_of(progress.job_id)[-1].at,
        )
        for progress in daemon.scheduler.progress()
        if progress.job_id in jobs
    )


def _queued(daemon: "Daemon", job: Job) -> QueuedJob:
    last = daemon.store.events_of(job.id)[-1]
    return QueuedJob(
        job=job.id,
        name=job.name,
        folder=job.folder,
        queued_at=job.queued_at,
        not_before=job.not_before if job.not_before > job.queued_at else None,
        attempts=job.attempts,
        waits_for=f"{last.error_code} {last.error_message}" if last.error_code else None,
    )


def _waiting(group: Waiting) -> WaitingFile:
    return WaitingFile(
        path="/".join(part for part in (group.folder, ", ".join(group.names)) if part),
        reason=group.why.value,
        since=group.since,
    )


def _result(daemon: "Daemon", job: Job) -> LastResult:
    last = daemon.store.events_of(job.id)[-1]
    title = ADVICE[job.error_code].title if job.error_code in ADVICE else None
    return LastResult(
        job=job.id,
        name=job.name,
        folder=job.folder,
        state=job.state,
        finished_at=last.at,
        output=job.published_name,
        error_code=job.error_code,
        error_title=title,
    )
