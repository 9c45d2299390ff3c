"""Everything about one job or one batch: what `heygemd show` tells, as plain JSON values."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heygemd.errors import ADVICE, ResourceError
from heygemd.jobs.batch import Batch
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import InputFile, Job
from heygemd.jobs.listing import Listed
from heygemd.jobs.roots import Root
from heygemd.jobs.rows import Transition
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox import disk as disks
from heygemd.outbox.batchreport import batch_report
from heygemd.outbox.keepsakes import id8_of_folder
from heygemd.outbox.names import mirrored, report_name, sheet_name
from heygemd.outbox.originals import ERROR_NAME, REASON_NAME
from heygemd.outbox.report import iso, pretty
from heygemd.outbox.standing import REPORT_MAX_BYTES, read_mark
from heygemd.roster.listing import Row, progress_of, row_of
from heygemd.vitals import Vitals

_FROM_REPORT = (
    "stage_s", "wall_s", "realtime_factor", "frames", "fps", "width_px", "height_px", "sha256", "size_bytes", "device",
    "engine", "engine_version", "encoder", "cached", "warnings", "versions",
)  # fmt: skip
"""What the report of a film knows and the store does not."""


def describe_job(store: JobStore, job: Job, root: Root | None, vitals: Vitals | None = None) -> Row:
    """Tell everything about a job; without `root` (away, or not known) nothing on the share is looked at."""
    events = store.events_of(job.id)
    listed = Listed(job=job, ended_at=_ended_at(job, events))
    told = row_of(listed, {root.uuid: str(root.path)} if root else {}, progress_of(vitals))
    places, report = _places(job, listed, root) if root is not None else ({}, {})
    code = job.error_code
    advice = ADVICE.get(code) if code else None
    return told | {
        "options": _plain(job.options),
        "inputs": {"video": _input(job.video), "audio": _input(job.audio)},
        "media": _plain(job.media) if job.media else None,
        "keep_days": job.keep_days,
        "lane": _plain(job.lane) if job.lane else None,
        "strikes": job.strikes,
        "attempts_forgiven": job.forgiven,
        "content_key": job.content_key,
        "film_sha256": job.film_sha256,
        "error": {
            "code": code, "title": advice.title if advice else None, "advice": advice.todo if advice else None,
            "message": job.error_message,
        } if code else None,
        "place": _place_in_queue(store, job),
        "history": [_step(event) for event in events],
        "looked_at_share": root is not None,
        "files": places,
        "report": report or None,
    }  # fmt: skip


def describe_batch(store: JobStore, batch: Batch, root: Root | None, now: datetime | None = None) -> Row:
    """Tell everything about a manifest or job folder, and how each of its rows stands."""
    jobs = {job.row.number: job for job in store.jobs_of_batch(batch.id) if job.row is not None}
    is_stopped = store.is_stopped(batch.id)
    report = batch_report(batch, jobs, written_at=now or datetime.now(UTC), is_stopped=is_stopped)
    told: Row = _plain(report)
    del told["heygemd_batch_report"], told["written_at"]
    return told | {
        "root": str(root.path) if root else None, "root_uuid": batch.root, "stopped": is_stopped,
        "bundle": batch.bundle, "claim_dir": str(batch.claim_dir),
    }  # fmt: skip


def _ended_at(job: Job, events: list[Transition]) -> datetime | None:
    is_over = job.state not in (JobState.QUEUED, JobState.RUNNING)
    return events[-1].at if events and is_over else None


def _place_in_queue(store: JobStore, job: Job) -> dict[str, int] | None:
    """From 1; among all it is a guess, because folders are served in turn."""
    if job.state is not JobState.QUEUED or job.duplicate_of is not None:
        return None
    return {
        "in_folder": store.ahead_of(job, in_folder=True) + 1,
        "among_all": store.ahead_of(job, in_folder=False) + 1,
    }


def _step(event: Transition) -> Row:
    return {
        "at": iso(event.at),
        "state": event.state.value,
        "attempts": event.attempts,
        "error_code": event.error_code,
        "error_message": event.error_message,
        "duplicate_of": event.duplicate_of,
    }


def _input(file: InputFile | None) -> Row | None:
    return _plain(file) if file is not None else None


def _places(job: Job, listed: Listed, root: Root) -> tuple[dict[str, str], Row]:
    """Return where the files of a job lie now, as far as they are there, and what its report says."""
    places: dict[str, str] = {}
    if job.claim_dir is not None and _is_there(job.claim_dir):
        places["inputs"] = str(job.claim_dir)
    report: Row = {}
    try:
        if job.state is JobState.DONE and job.published_name is not None:
            report = _look_in_outbox(job, root, places)
        elif job.state in (JobState.FAILED, JobState.CANCELLED):
            _look_in_failed(job, root, places)
        if job.state is JobState.DONE and listed.ended_at is not None:
            _look_in_done(job, root, places)
    except (OSError, ResourceError):
        pass  # the share went away, or is not for this user to read: what was found is told
    return places, {key: report[key] for key in _FROM_REPORT if report.get(key) is not None}


def _look_in_outbox(job: Job, root: Root, places: dict[str, str]) -> Row:
    folders, film = mirrored(job.folder), job.published_name or ""
    with disks.folder_if_there(root.outbox, *folders) as fd:
        if fd is None:
            return {}
        at = root.outbox.joinpath(*folders)
        for what, name in (("film", film), ("report", report_name(film)), ("sheet", sheet_name(film))):
            if disks.exists(fd, name):
                places[what] = str(at / name)
        text = disks.read_at_most(fd, report_name(film), REPORT_MAX_BYTES)
    mark = read_mark(text) if text is not None else None
    if text is None or mark is None or mark.job != job.id:
        return {}
    told: Row = json.loads(text)
    return told


def _look_in_failed(job: Job, root: Root, places: dict[str, str]) -> None:
    """Find the folder by its `error.json`: a job that was put back before lies under the id of its later claim."""
    with disks.folder_if_there(root.failed) as failed_fd:
        ours = [name for name in disks.names_in(failed_fd) if id8_of_folder(name)] if failed_fd is not None else []
    likely = [name for name in ours if id8_of_folder(name) == job.id8]
    for name in sorted(likely, key=lambda name: (len(name), name), reverse=True) or ours:
        with disks.folder_if_there(root.failed, name) as fd:
            text = disks.read_at_most(fd, ERROR_NAME, REPORT_MAX_BYTES) if fd is not None else None
            mark = read_mark(text) if text is not None else None
            if fd is None or mark is None or mark.job != job.id:
                continue
            places["failed"] = str(root.failed / name)
            if disks.exists(fd, REASON_NAME):
                places["reason"] = str(root.failed / name / REASON_NAME)
            return


def _look_in_done(job: Job, root: Root, places: dict[str, str]) -> None:
    """Look where the originals were archived; the folder of a batch has the id of the batch."""
    wanted = {job.id8}
    for file in job.inputs:
        if (id8 := id8_of_folder(file.path.parent.name)) is not None:
            wanted.add(id8)
    if job.row is not None:
        wanted.add(id8_of(job.row.batch))
    with disks.folder_if_there(root.done) as done_fd:
        days = sorted(disks.names_in(done_fd), reverse=True) if done_fd is not None else []
    for day in days:
        with disks.folder_if_there(root.done, day) as fd:
            for name in disks.names_in(fd) if fd is not None else ():
                if id8_of_folder(name) in wanted:
                    places["originals"] = str(root.done / day / name)
                    return


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False


def _plain(value: Any) -> Any:  # noqa: ANN401  # any record of ours, to the JSON values of its fields
    """Return a dataclass as plain JSON values."""
    fields: Mapping[str, Any] = asdict(value)
    return json.loads(pretty(dict(fields)))
