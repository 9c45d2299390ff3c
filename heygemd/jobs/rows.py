"""A job as a row of the store and back. Nested records are JSON; times are UTC text that sorts like time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heygemd.jobs.job import InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState

_INPUT = TypeAdapter(InputFile)
_OPTIONS = TypeAdapter(RenderOptions)
_MEDIA = TypeAdapter(MediaInfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One row of the event table: a job entered `state`."""

    seq: int
    job_id: str
    at: datetime
    state: JobState
    attempts: int
    error_code: str | None
    error_message: str | None


def text_of(moment: datetime) -> str:
    """Write a time so that text order is time order: UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def row_of(job: Job) -> dict[str, str | int | None]:
    """Return the columns of a job by name."""
    return {
        "id": job.id, "root": job.root, "name": job.name, "folder": job.folder, "state": job.state.value,
        "video": _INPUT.dump_json(job.video).decode(), "audio": _INPUT.dump_json(job.audio).decode(),
        "options": _OPTIONS.dump_json(job.options).decode(),
        "media": None if job.media is None else _MEDIA.dump_json(job.media).decode(),
        "claim_dir": None if job.claim_dir is None else str(job.claim_dir),
        "queued_at": text_of(job.queued_at), "not_before": text_of(job.not_before),
        "priority": job.priority, "attempts": job.attempts, "strikes": job.strikes,
        "published_name": job.published_name, "error_code": job.error_code, "error_message": job.error_message,
        "duplicate_of": job.duplicate_of,
    }  # fmt: skip


def job_of(row: Mapping[str, Any]) -> Job:
    """Rebuild the job that `row_of` wrote."""
    return Job(
        id=row["id"], root=row["root"], name=row["name"], folder=row["folder"], state=JobState(row["state"]),
        video=_INPUT.validate_json(row["video"]), audio=_INPUT.validate_json(row["audio"]),
        options=_OPTIONS.validate_json(row["options"]),
        media=None if row["media"] is None else _MEDIA.validate_json(row["media"]),
        claim_dir=None if row["claim_dir"] is None else Path(row["claim_dir"]),
        queued_at=datetime.fromisoformat(row["queued_at"]), not_before=datetime.fromisoformat(row["not_before"]),
        priority=row["priority"], attempts=row["attempts"], strikes=row["strikes"],
        published_name=row["published_name"], error_code=row["error_code"], error_message=row["error_message"],
        duplicate_of=row["duplicate_of"],
    )  # fmt: skip


def transition_of(row: Mapping[str, Any]) -> Transition:
    """Rebuild a row of the event table."""
    return Transition(
        seq=row["seq"], job_id=row["job_id"], at=datetime.fromisoformat(row["at"]), state=JobState(row["state"]),
        attempts=row["attempts"], error_code=row["error_code"], error_message=row["error_message"],
    )  # fmt: skip
