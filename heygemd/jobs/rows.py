"""Jobs and batches as rows of the store and back. Nested records are JSON; times are UTC text that sorts like time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.job import BatchRow, InputFile, Job, Lane, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState

_INPUT: TypeAdapter[InputFile | None] = TypeAdapter(InputFile | None)
_OPTIONS = TypeAdapter(RenderOptions)
_MEDIA = TypeAdapter(MediaInfo)
_ROWS = TypeAdapter(tuple[Row, ...])

Columns = dict[str, str | int | float | None]


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
    duplicate_of: str | None = None


def text_of(moment: datetime) -> str:
    """Write a time so that text order is time order: UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def row_of(job: Job) -> Columns:
    """Return the columns of a job by name."""
    lane, row = job.lane, job.row
    return {
        "id": job.id, "root": job.root, "name": job.name, "folder": job.folder, "state": job.state.value,
        "video": _INPUT.dump_json(job.video).decode(), "audio": _INPUT.dump_json(job.audio).decode(),
        "options": _OPTIONS.dump_json(job.options).decode(),
        "media": None if job.media is None else _MEDIA.dump_json(job.media).decode(),
        "claim_dir": None if job.claim_dir is None else str(job.claim_dir),
        "queued_at": text_of(job.queued_at), "not_before": text_of(job.not_before),
        "priority": job.priority, "turn": job.turn,
        "lane_folder": None if lane is None else lane.folder, "lane_most": None if lane is None else lane.most,
        "keep_days": job.keep_days,
        "batch": None if row is None else row.batch, "row_number": None if row is None else row.number,
        "row_id": None if row is None else row.row_id,
        "content_key": job.content_key, "attempts": job.attempts, "forgiven": job.forgiven, "strikes": job.strikes,
        "published_name": job.published_name, "error_code": job.error_code, "error_message": job.error_message,
        "duplicate_of": job.duplicate_of, "film_sha256": job.film_sha256,
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
        priority=row["priority"], turn=row["turn"],
        lane=None if row["lane_folder"] is None else Lane(folder=row["lane_folder"], most=row["lane_most"]),
        keep_days=row["keep_days"],
        row=None if row["batch"] is None else BatchRow(
            batch=row["batch"], number=row["row_number"], row_id=row["row_id"]
        ),
        content_key=row["content_key"], attempts=row["attempts"], forgiven=row["forgiven"], strikes=row["strikes"],
        published_name=row["published_name"], error_code=row["error_code"], error_message=row["error_message"],
        duplicate_of=row["duplicate_of"], film_sha256=row["film_sha256"],
    )  # fmt: skip


def transition_of(row: Mapping[str, Any]) -> Transition:
    """Rebuild a row of the event table."""
    return Transition(
        seq=row["seq"], job_id=row["job_id"], at=datetime.fromisoformat(row["at"]), state=JobState(row["state"]),
        attempts=row["attempts"], error_code=row["error_code"], error_message=row["error_message"],
        duplicate_of=row["duplicate_of"],
    )  # fmt: skip


def row_of_batch(batch: Batch) -> Columns:
    """Return the columns of a batch by name."""
    return {
        "id": batch.id, "root": batch.root, "kind": batch.kind.value, "name": batch.name, "folder": batch.folder,
        "claim_dir": str(batch.claim_dir), "accepted_at": text_of(batch.accepted_at),
        "strict": int(batch.strict), "bundle": int(batch.bundle),
        "rows": _ROWS.dump_json(batch.rows).decode(), "good_count": len(batch.good_rows),
    }  # fmt: skip


def batch_of(row: Mapping[str, Any]) -> Batch:
    """Rebuild the batch that `row_of_batch` wrote."""
    return Batch(
        id=row["id"], root=row["root"], kind=BatchKind(row["kind"]), name=row["name"], folder=row["folder"],
        claim_dir=Path(row["claim_dir"]), accepted_at=datetime.fromisoformat(row["accepted_at"]),
        strict=bool(row["strict"]), bundle=bool(row["bundle"]), rows=_ROWS.validate_json(row["rows"]),
    )  # fmt: skip
