"""Puts together what people may read on the share about one root.

However long queue and history are, only the entries that are shown are read from the store, and a few more to
estimate when waiting jobs will start.
"""

import os
import re
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from heygemd import __version__
from heygemd.daemon.forecast import Allowance, Forecast, InQueue, InWork, forecast
from heygemd.daemon.jobstatus import ended_job, queued_job, running_job, started_at
from heygemd.errors import ADVICE, Advice
from heygemd.intake.findings import Misconfigured, Waiting
from heygemd.intake.pairing import Why
from heygemd.jobs.batch import Batch, BatchKind
from heygemd.jobs.job import Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.outbox.batchfiles import CSV_ENDING, LIVE_PARTS
from heygemd.outbox.names import film_stem, mirrored
from heygemd.outbox.status import (
    BatchStatus,
    ConfigProblem,
    QueuedJob,
    RootState,
    RootStatus,
    Snapshot,
    WaitingFile,
)
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.outlook import Outlook, faces_of

if TYPE_CHECKING:
    from heygemd.daemon.frontdesk import FrontDesk
    from heygemd.daemon.loop import Daemon

SHOWN = 50
"""Entries of each list; the counts tell how many there are."""
RESULTS_READ = 2 * SHOWN
"""Of the latest results, so many are looked at that failures and films do not push each other out."""
GLANCE = 200
"""Waiting jobs of all roots that are looked at to estimate when each starts; for those behind them nothing is said."""

_STUCK = frozenset({Why.AMBIGUOUS, Why.REFUSED_NAME, Why.UNREADABLE, Why.PARTNER})
"""No waiting mends these: a person must do something. (A lone file is only told of after a while.)"""
_STUCK_LATER = frozenset({Why.INCOMPLETE, Why.HOLES, Why.COMMIT, Why.MEMBERS, Why.JOB_FOLDER})
"""What is missing may be on its way; after `NOTICE_S` it is likely that nobody sends it."""
NOTICE_S = 120.0
_CODE = re.compile(r"E\d{3}\b")


def take_snapshot(daemon: "Daemon", desk: "FrontDesk") -> Snapshot:
    """Everything `status.json` of this root says."""
    now, root, found = datetime.now(UTC), desk.root, desk.findings
    ended = daemon.store.ended(RESULTS_READ, root.uuid)
    events = {job.id: daemon.store.events_of(job.id) for job in ended}
    queue = daemon.store.queue(SHOWN, root=root.uuid)
    progress = {told.job_id: told for told in daemon.scheduler.progress()}
    running = [job for job in map(daemon.store.get, progress) if job is not None and job.state is JobState.RUNNING]
    since = {job.id: started_at(daemon.store.events_of(job.id)) or now for job in running}
    glance = daemon.store.queue(GLANCE)
    outlook = daemon.scheduler.outlook()
    line = outlook.in_turn({job.id: job for job in (*glance, *queue)}.values())
    at_work = [(job, progress[job.id]) for job in running]
    foreseen = _foresee(now, at_work, line, outlook, faces_of((*running, *ended)))
    daemon.queue_ends_at = foreseen.ends_at if glance and len(glance) < GLANCE else None
    counts = daemon.store.counts(root.uuid)
    reason = pause_of(daemon, desk)
    waiting = found.waiting if found else ()
    batches = daemon.batches.of_root(root.uuid)
    shown = Snapshot(
        written_at=now,
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
        root=RootStatus(
            path=root.path, uuid=root.uuid, state=state_of(desk.offline, reason), reason=reason, code=_code(reason)
        ),
        counts=counts,
        running=tuple(
            running_job(job, progress[job.id], since[job.id], foreseen) for job in running if job.root == root.uuid
        ),
        queue=_queue(daemon, queue, line, foreseen),
        waiting=tuple(_waiting(group, now) for group in waiting[:SHOWN]),
        results=tuple(ended_job(root, job, events[job.id]) for job in _shown_results(ended)),
        waiting_count=found.waiting_count if found else 0,
        batches=tuple(_batch(daemon, batch) for batch in batches[:SHOWN]),
        batch_count=len(batches),
        problems=tuple(_problem(wrong) for wrong in (found.misconfigured if found else ())[:SHOWN]),
        queue_ends_at=foreseen.ends_at if len(glance) < GLANCE and queue else None,
    )
    return _advised(shown)


# The state of the root -----------------------------------------------------------------------------------------------


def pause_of(daemon: "Daemon", desk: "FrontDesk") -> str | None:
    """Return why work on this root does not go on, if it does not."""
    return desk.offline or desk.paused or _handover_pause(daemon, desk.root)


def state_of(offline: str | None, reason: str | None) -> RootState:
    """Tell offline from paused."""
    return RootState.OFFLINE if offline else RootState.PAUSED if reason else RootState.ONLINE


def _handover_pause(daemon: "Daemon", root: Root) -> str | None:
    """Return why a film of this root cannot be handed over, if one cannot."""
    for job_id, pause in daemon.handover.pauses().items():
        job = daemon.store.get(job_id)
        if job is not None and job.root == root.uuid:
            return pause
    return None


def _code(reason: str | None) -> str | None:
    """Return the code that a reason begins with."""
    found = _CODE.match(reason or "")
    return found[0] if found else None


def _advised(snapshot: Snapshot) -> Snapshot:
    """Add what the codes mean that the snapshot names."""
    named = {snapshot.root.code, *(result.error_code for result in snapshot.results)}
    named |= {_code(job.waits_for) for job in snapshot.queue}
    advice: dict[str, Advice] = {code: ADVICE[code] for code in sorted(filter(None, named)) if code in ADVICE}
    return replace(snapshot, advice=advice)


def _queue(daemon: "Daemon", queue: Sequence[Job], line: Sequence[Job], foreseen: Forecast) -> tuple[QueuedJob, ...]:
    positions = {job.id: position for position, job in enumerate(line, 1)}
    shown = sorted(queue, key=lambda job: positions[job.id])
    wants = {job_id: f"{wait.code} {wait.reason}" for job_id, wait in daemon.scheduler.waits.items() if wait.code}
    return tuple(
        queued_job(job, daemon.store.events_of(job.id)[-1], positions[job.id], foreseen, wants.get(job.id))
        for job in shown
    )


def _shown_results(ended: Iterable[Job]) -> list[Job]:
    """Return the latest films and the latest failures, the newest first."""
    left = {True: SHOWN, False: SHOWN}
    shown = []
    for job in ended:
        has_failed = job.state is JobState.FAILED
        if left[has_failed]:
            left[has_failed] -= 1
            shown.append(job)
    return shown


# What is no job ------------------------------------------------------------------------------------------------------


def _waiting(group: Waiting, now: datetime) -> WaitingFile:
    return WaitingFile(
        path="/".join(part for part in (group.folder, ", ".join(group.names)) if part),
        reason=group.why.value,
        since=group.since,
        why=group.why.name,
        needs_you=needs_you(group, now),
    )


def needs_you(group: Waiting, now: datetime) -> bool:
    """Tell whether files of the inbox stay as they are until a person does something."""
    return group.why in _STUCK or (group.why in _STUCK_LATER and (now - group.since).total_seconds() > NOTICE_S)


def _problem(wrong: Misconfigured) -> ConfigProblem:
    path = "/".join(part for part in (wrong.folder, ".heygemd.toml") if part)
    return ConfigProblem(path=path, message=wrong.message)


def _batch(daemon: "Daemon", batch: Batch) -> BatchStatus:
    by_state = daemon.store.batch_progress(batch.id).by_state
    bad_rows = len(batch.rows) - len(batch.good_rows)
    return BatchStatus(
        batch=batch.id,
        name=batch.name,
        folder=batch.folder,
        kind=batch.kind.value,
        accepted_at=batch.accepted_at,
        rows=len(batch.rows),
        done=by_state[JobState.DONE],
        failed=bad_rows + by_state[JobState.FAILED] + by_state[JobState.CANCELLED],
        report=_report(batch) if batch.kind is BatchKind.MANIFEST else None,
    )


def _report(batch: Batch) -> str:
    """Return where the table of its rows lies. (That of a second batch of one name, while both are open, is beside.)"""
    return "/".join((*LIVE_PARTS, *mirrored(batch.folder), film_stem(batch.name) + CSV_ENDING))


# How long it takes ---------------------------------------------------------------------------------------------------


def _foresee(
    now: datetime,
    running: Sequence[tuple[Job, JobProgress]],
    line: Sequence[Job],
    outlook: Outlook,
    faces: Collection[str],
) -> Forecast:
    """Estimate when all of these jobs begin and end; `faces` are the pictures that were or are being analysed."""
    in_work = [
        InWork(
            job=job.id,
            left_s=outlook.left_s(job, progress) if progress.job_left_s is None else progress.job_left_s,
            has_worker=progress.job_left_s is not None,
            is_leaving=progress.stage is Stage.PUBLISH,
            lane=_allowance(job),
        )
        for job, progress in running
    ]
    if not any(job.has_worker or job.is_leaving for job in in_work):
        return Forecast()  # whatever holds up everything (memory, a lost device), nobody knows for how long
    known, queue = set(faces), []
    for job in line:
        face = job.video.sha256 if job.video else ""
        work_s = outlook.work_s(job, analyse=face not in known)
        queue.append(InQueue(job=job.id, work_s=work_s, not_before=job.not_before, lane=_allowance(job)))
        known.add(face)
    return forecast(now, in_work, queue, outlook.places)


def _allowance(job: Job) -> Allowance | None:
    return Allowance(root=job.root, folder=job.lane.folder, most=job.lane.most) if job.lane else None
