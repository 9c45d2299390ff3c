"""How far a job has come, read from the files in its work directory and from nothing else.

    work/<job id>/order.json  analysis.json  plan.json  segments-<hash>/…  film-<hash>.mp4
                  took.json      what the analysis and the finish took and reused, for the report

A step is done when its file exists under its final name. A file that cannot be read counts as absent and is removed.
"""

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import ValidationError

from heygemd.errors import ResourceError
from heygemd.filesystem import sync_folder, write_text
from heygemd.jobs.job import EncoderName
from heygemd.planning.plan import (
    Analysis,
    FilmFacts,
    Order,
    Plan,
    RenderFacts,
    TaskKind,
    from_json,
    to_json,
)
from heygemd.planning.segments import Segment, cut
from heygemd.planning.timeline import plan_timeline

log = structlog.get_logger(__name__)

T = TypeVar("T")
Seconds = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job has come."""

    plan: Plan | None = None
    """None until the analysis is there."""
    missing: tuple[Segment, ...] = ()
    """Segments of the plan that are not rendered yet."""
    film: FilmFacts | None = None
    """The film is finished and verified."""

    @property
    def next_kind(self) -> TaskKind | None:
        """The kind of task that brings the job forward; None when the film is there."""
        if self.film is not None:
            return None
        if self.plan is None:
            return TaskKind.ANALYSE
        return TaskKind.RENDER if self.missing else TaskKind.FINISH

    @property
    def frames_done(self) -> int:
        """Frames of the film that lie in finished segments."""
        return self.frames_total - sum(segment.frame_count for segment in self.missing)

    @property
    def frames_total(self) -> int:
        """Frames of the film; 0 until it is planned."""
        return self.plan.timeline.frame_count if self.plan else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a film took."""

    seconds: Seconds
    """By stage, over all tasks, those of earlier runs included."""
    device: str
    """Where the latest of the tasks for the whole clip ran; empty when none is noted."""
    devices: tuple[str, ...]
    """Where these tasks ran, each once, in the order of the work; what the segments ran on they do not say."""
    cached: tuple[str, ...]
    """Which of `track` and `speech` came from the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes:
    """What took.json holds of the tasks for the whole clip, by kind of task."""

    by_kind: dict[str, Seconds] = field(default_factory=dict)
    device: str = ""
    device_by_kind: dict[str, str] = field(default_factory=dict)
    cached: tuple[str, ...] = ()


def make_plan(order: Order, analysis: Analysis) -> Plan:
    """Lay out the film and cut it into segments, best at scenes, else in pauses.

    Raises ValueError for an analysis that no clip can have.
    """
    timeline = plan_timeline(
        fps=order.video_info.fps,
        tick_count=analysis.tick_count,
        sound_s=order.audio_info.duration_s,
        policy=order.options.length,
    )
    # Seconds are the decimals that were written: 0.3 s at 10 fps are 3 frames.
    segments = cut(
        timeline.frame_count,
        max(1, math.floor(Fraction(str(order.max_segment_s)) * timeline.fps)),
        min_frames=math.ceil(Fraction(str(order.min_segment_s)) * timeline.fps),
        workers=order.workers,
        welcome=(timeline.scene_places(analysis.scene_ticks), timeline.pause_places(analysis.pauses_s)),
    )
    return Plan(order=order, analysis=analysis, timeline=timeline, segments=segments)


@dataclass(frozen=True, slots=True)
class WorkDir:
    """The work directory of one job; every method raises ResourceError E202 when the disk refuses."""

    path: Path

    @classmethod
    def of(cls, state_dir: Path, job_id: str) -> "WorkDir":
        """Where the job's files lie; made by `open_for`."""
        return cls(state_dir / "work" / job_id)

    @property
    def order_file(self) -> Path:
        """What the analyse task reads."""
        return self.path / "order.json"

    @property
    def plan_file(self) -> Path:
        """What the render and finish tasks read."""
        return self.path / "plan.json"

    def saved_order(self) -> Order | None:
        """Return the order of an earlier run, if it can be read."""
        with _disk_faults(self.path):
            return self._read(self.order_file, Order)

    def open_for(self, order: Order) -> None:
        """Make the directory hold the work on `order`; what belongs to another order is thrown away."""
        with _disk_faults(self.path):
            if self.saved_order() != order:
                if self.path.exists():
                    log.warning("workdir.started_over", job_id=order.job_id, reason="no order, or another one")
                self.discard()
                self.path.mkdir(parents=True)
                write_text(self.order_file, to_json(order))
                sync_folder(self.path.parent)
            for leftover in (*self.path.glob("*.part"), *self.path.glob("segments-*/*.part")):
                leftover.unlink()

    def look(self, order: Order) -> Progress:
        """See what is there; makes and saves the plan as soon as the analysis is there."""
        with _disk_faults(self.path):
            plan = self._plan(order)
            if plan is None:
                return Progress()
            present = _finished_files(plan.segments_dir)
            missing = tuple(s for s in plan.segments if not _is_rendered(s, present))
            return Progress(plan=plan, missing=missing, film=self._film(plan))

    def do_without_card_encoder(self, order: Order, reason: str) -> None:
        """Begin the film again with x264, as far as its picture is concerned; a film begun so is left alone.

        The analysis comes first: the plan is only made from it, and a plan that outlives a crash in between is whole.
        Segments of the plan before lie in a folder of their own, so the two encoders never meet in one film.
        """
        with _disk_faults(self.path):
            analysis = self._read(order.analysis_file, Analysis)
            if analysis is None or analysis.encoder is EncoderName.X264:
                return
            warning = f"the film was made with x264, for the card's encoder gave out: {reason}"
            analysis = replace(analysis, encoder=EncoderName.X264, warnings=(*analysis.warnings, warning))
            write_text(order.analysis_file, to_json(analysis))
            before = self._read(self.plan_file, Plan)
            write_text(self.plan_file, to_json(make_plan(order, analysis)))
            if before is not None:
                shutil.rmtree(before.segments_dir, ignore_errors=True)
        log.warning("workdir.encoder_changed", job_id=order.job_id, reason=reason)

    def note_took(self, kind: TaskKind, seconds: Seconds, device: str, cached: Sequence[str] = ()) -> None:
        """Keep what a whole-clip task took, where it ran and what it had from the cache.

        The segments keep theirs beside themselves.
        """
        with _disk_faults(self.path):
            before = self._notes()
            notes = _Notes(
                by_kind={**before.by_kind, kind.value: seconds},
                device=device,
                device_by_kind={**before.device_by_kind, kind.value: device},
                cached=tuple(cached) if kind is TaskKind.ANALYSE else before.cached,
            )
            write_text(self.path / "took.json", to_json(notes))

    def took(self, plan: Plan) -> Took:
        """Sum up what is noted of all tasks."""
        folder = plan.segments_dir
        with _disk_faults(self.path):
            notes = self._notes()
            facts = [self._read((folder / s.file_name).with_suffix(".json"), RenderFacts) for s in plan.segments]
        total: Seconds = {}
        for span in (*notes.by_kind.values(), *(fact.seconds for fact in facts if fact)):
            for stage, stage_s in span.items():
                total[stage] = total.get(stage, 0.0) + stage_s
        devices = dict.fromkeys(notes.device_by_kind.get(kind, notes.device) for kind in notes.by_kind)
        return Took(
            seconds={stage: round(stage_s, 3) for stage, stage_s in total.items()},
            device=notes.device,
            devices=tuple(filter(None, devices)),
            cached=notes.cached,
        )

    def discard(self) -> None:
        """Remove the directory with everything in it; may take a moment for long films."""
        with _disk_faults(self.path):
            if self.path.exists():
                shutil.rmtree(self.path)

    def _plan(self, order: Order) -> Plan | None:
        plan = self._read(self.plan_file, Plan)
        if plan is not None and plan.order == order:
            return plan
        analysis = self._read(order.analysis_file, Analysis)
        if analysis is None:
            return None
        try:
            plan = make_plan(order, analysis)
        except ValueError as error:
            _drop(order.analysis_file, str(error))
            return None
        write_text(self.plan_file, to_json(plan))
        return plan

    def _film(self, plan: Plan) -> FilmFacts | None:
        film_file = plan.film_file  # asked once: each name of a plan costs a hash over all of it
        facts = self._read(film_file.with_suffix(".json"), FilmFacts)
        if facts is None or not film_file.is_file():
            return None
        if film_file.stat().st_size != facts.size_bytes:
            _drop(film_file, "its size is not the recorded one")
            return None
        return facts

    def _notes(self) -> _Notes:
        return self._read(self.path / "took.json", _Notes) or _Notes()

    def _read(self, file: Path, kind: type[T]) -> T | None:
        try:
            return from_json(kind, file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            _drop(file, f"{error.error_count()} errors, the first: {error.errors()[0]['msg']}")
            return None


def _finished_files(folder: Path) -> frozenset[str]:
    """Names of the files that are there and not empty (a power cut can leave a name without its bytes)."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.stat().st_size)
    except FileNotFoundError:
        return frozenset()


def _is_rendered(segment: Segment, present: frozenset[str]) -> bool:
    return {segment.file_name, Path(segment.file_name).with_suffix(".json").name} <= present


def _drop(file: Path, reason: str) -> None:
    log.warning("workdir.file_dropped", path=str(file), reason=reason)
    file.unlink(missing_ok=True)


@contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError("E202", f"{path}: {error.strerror or error}") from error
