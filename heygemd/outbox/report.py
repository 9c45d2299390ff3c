"""What is told about one job when it ends: beside the film, in `error.json`, and as the one line in the log.

The fields stand in the file in the order in which they stand here, so two reports can be compared line by line.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, Self

from heygemd import __version__
from heygemd.errors import ADVICE
from heygemd.jobs.job import EngineName, InputFile, Job, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.media.encoders import described
from heygemd.naming import printable
from heygemd.planning.plan import FilmFacts, Order, Plan

FORMAT = 1
"""Value of `heygemd_report`, the mark by which a report of ours is told from any other JSON file."""
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """One input as it was dropped."""

    name: str
    size_bytes: int
    sha256: str
    evidence: tuple[str, ...] = ()
    """Which rungs of the readiness ladder were reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Both halves of the pair; None for one that never came or cannot be told."""

    video: InputFacts | None
    audio: InputFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights file a user brought for the engine."""

    name: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job was given up. Title and advice are the English ones of `ADVICE`."""

    code: str
    title: str
    advice: str
    message: str
    traceback: str = ""


class ReadyFilm(Protocol):
    """A finished film as the scheduler hands it over."""

    @property
    def plan(self) -> Plan:
        """How it was made."""
        ...

    @property
    def facts(self) -> FilmFacts:
        """What was measured on it."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, summed over tasks and workers."""
        ...

    @property
    def device(self) -> str:
        """Where it was made."""
        ...

    @property
    def cached(self) -> tuple[str, ...]:
        """Which of `track` and `speech` were known from an earlier film."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about one job. Fields about the film are None while there is none. Times are ISO 8601 in UTC."""

    heygemd_report: int = FORMAT
    job: str
    name: str
    folder: str
    state: JobState
    batch: str | None = None
    """Id of the manifest or job folder that it came with."""
    row: int | None = None
    """From 1, as people count the rows of that batch."""
    row_id: str | None = None
    """The `id` that the manifest gives the row."""
    duplicate_of: str | None = None
    """Id of the job whose film this one was given: nothing was computed again."""
    output: str | None = None
    """File name of the film."""
    sha256: str | None = None
    size_bytes: int | None = None
    frames: int | None = None
    fps: str | None = None
    """Exact, as a fraction: `25` or `30000/1001`."""
    width_px: int | None = None
    height_px: int | None = None
    film_s: float | None = None
    audio_codec: str | None = None
    audio_copied: bool | None = None
    encoder: str | None = None
    """What wrote the picture, with its settings: `x264 veryfast crf 18`."""
    touched_frames: int | None = None
    passed_frames: int | None = None
    wall_s: float
    """Time worked; when nobody measured it, from the start (not known either: from the queue) to the end."""
    stage_s: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, summed over tasks and workers: may exceed `wall_s`."""
    realtime_factor: float | None = None
    """Seconds of work per second of film: below 1 is faster than the film plays."""
    cached: tuple[str, ...] = ()
    """What an earlier film with this picture or this sound had found out already: `track`, `speech`."""
    device: str = ""
    engine: EngineName
    engine_version: str | None = None
    weights: Weights | None = None
    """None when the engine's weights ship with the package."""
    versions: dict[str, str] = field(default_factory=dict)
    plan: str | None = None
    """Hash of the plan: equal plans give equal pictures."""
    inputs: Inputs
    options: RenderOptions
    priority: int = 0
    queued_at: str
    started_at: str | None = None
    """When work on it began; None when it never did, or nobody knows."""
    finished_at: str
    attempts: int = 0
    warnings: tuple[str, ...] = ()
    error: Failure | None = None
    sheet_sha256: str | None = None
    """Of the contact sheet beside the film. Filled in at delivery: it proves that the sheet is ours."""
    replaces: str | None = None
    """sha256 of the film that stood under this name before. Filled in at delivery."""

    @classmethod
    def of_film(
        cls,
        job: Job,
        film: ReadyFilm,
        *,
        finished_at: datetime,
        started_at: datetime | None = None,
        wall_s: float | None = None,
    ) -> Self:
        """Report a finished film. `facts.versions["engine"]` becomes `engine_version`."""
        facts, order = film.facts, film.plan.order
        worked_s = _worked_s(job, started_at, finished_at) if wall_s is None else wall_s
        return cls(
            **_of_job(job, finished_at=finished_at, started_at=started_at),
            state=JobState.DONE,
            sha256=facts.sha256,
            size_bytes=facts.size_bytes,
            frames=facts.frame_count,
            fps=facts.fps,
            width_px=facts.width_px,
            height_px=facts.height_px,
            film_s=round(facts.duration_s, 3),
            audio_codec=facts.audio_codec,
            audio_copied=facts.audio_copied,
            encoder=described(film.plan.encoder, crf=order.options.crf, preset=order.options.preset),
            touched_frames=facts.touched_frames,
            passed_frames=facts.passed_frames,
            wall_s=round(worked_s, 3),
            stage_s={stage: round(film.seconds[stage], 3) for stage in sorted(film.seconds)},
            realtime_factor=round(worked_s / facts.duration_s, 3) if worked_s > 0 else None,
            cached=film.cached,
            device=film.device,
            engine=order.engine.name,
            engine_version=facts.versions.get("engine"),
            weights=_weights(order),
            versions=_versions(facts.versions),
            plan=film.plan.hash,
            options=order.options,
            warnings=_warnings(job, film.plan.analysis.warnings, facts.warnings),
        )

    @classmethod
    def of_ended(
        cls, job: Job, *, finished_at: datetime, started_at: datetime | None = None, traceback: str = ""
    ) -> Self:
        """Report a job that ended without a film at hand: given up, cancelled, or done in an earlier run."""
        return cls(
            **_of_job(job, finished_at=finished_at, started_at=started_at),
            state=job.state,
            wall_s=round(_worked_s(job, started_at, finished_at), 3),
            engine=job.options.engine,
            versions=_versions({}),
            options=job.options,
            warnings=_warnings(job),
            error=_failure(job, traceback),
        )

    def published_as(self, file_name: str) -> Self:
        """Return the same report with the film's file name."""
        return replace(self, output=file_name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values in the order of the fields: the one canonical log line of a job."""
        plain: dict[str, Any] = json.loads(pretty(self))
        return plain

    def to_json(self) -> str:
        """Return the text of the report file, without a last line end; always valid UTF-8."""
        return pretty(self)


def stamped(report_json: str, *, sha256: str, sheet_sha256: str | None, replaces: str | None) -> str:
    """Fill in what the delivery knows for certain: by these the film and its sheet are known as ours."""
    known = {"sha256": sha256, "sheet_sha256": sheet_sha256, "replaces": replaces}
    return pretty(json.loads(report_json) | known)


def pretty(value: object) -> str:
    """Write a dataclass or plain values as indented JSON that is valid UTF-8 whatever names it holds."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    text = json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False, default=_plain)
    return _SURROGATES.sub(lambda found: printable(found[0]), text)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Fraction | Path):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def iso(moment: datetime) -> str:
    """Write a moment as `2025-01-31T08:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_job(job: Job, *, finished_at: datetime, started_at: datetime | None) -> dict[str, Any]:
    """Return the fields that depend on the job alone."""
    return {
        "job": job.id,
        "name": job.name,
        "folder": job.folder,
        "batch": job.row.batch if job.row else None,
        "row": job.row.number if job.row else None,
        "row_id": job.row.row_id if job.row else None,
        "duplicate_of": job.duplicate_of,
        "priority": job.priority,
        "output": job.published_name,
        "inputs": Inputs(video=_input(job.video), audio=_input(job.audio)),
        "queued_at": iso(job.queued_at),
        "started_at": iso(started_at) if started_at else None,
        "finished_at": iso(finished_at),
        "attempts": job.attempts,
    }


def _input(file: InputFile | None) -> InputFacts | None:
    if file is None:
        return None
    return InputFacts(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256, evidence=file.evidence)


def _failure(job: Job, traceback: str) -> Failure | None:
    """Return what the job failed of; a code nobody knows becomes E500 and stays readable in the message."""
    if job.state is not JobState.FAILED:
        return None
    told = job.error_code or "E500"
    known = told if told in ADVICE else "E500"
    message = job.error_message or ""
    return Failure(
        code=known,
        title=ADVICE[known].title,
        advice=ADVICE[known].todo,
        message=message if told == known else f"{told}: {message}",
        traceback=traceback,
    )


def _worked_s(job: Job, started_at: datetime | None, finished_at: datetime) -> float:
    return max(0.0, (finished_at - (started_at or job.queued_at)).total_seconds())


def _weights(order: Order) -> Weights | None:
    file = order.engine.weights
    return Weights(name=file.name, sha256=order.engine.weights_sha256) if file else None


def _versions(measured: Mapping[str, str]) -> dict[str, str]:
    found = {"heygemd": __version__, **measured}
    found.pop("engine", None)
    return {name: found[name] for name in sorted(found)}


def _warnings(job: Job, *later: tuple[str, ...]) -> tuple[str, ...]:
    """Return every warning once, in the order in which the work met them."""
    media = (*job.media.video.warnings, *job.media.audio.warnings) if job.media else ()
    return tuple(dict.fromkeys(chain(media, *later)))
