"""What crosses the border to a worker process, and what a worker says back; both as one JSON object a line.

A job is made in three kinds of task. `analyse` looks at the whole clip and writes track and speech; from its
answer the scheduler makes the `Plan`, once, and saves it. `render` makes one segment, `finish` stitches and
verifies. Everything a task leaves behind is a file in the job's work directory:

    work/<job id>/order.json                 what to make, from which files, with which engine
                  faces.npz  track.npz       every face in the whole clip, and the one that was chosen
                  likeness.npz               what was learned of the person
                  speech.npz                 what was heard in the whole sound
                  analysis.json              what the plan needs of it; written last
                  plan.json                  order + timeline + segments
                  settled-….npz              what the engine settled for the whole film, once for all workers
                  segments-<plan hash>/00000.mp4 …
                  film-<plan hash>.mp4  .jpg the stitched, verified film and its contact sheet
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from heygemd import __version__
from heygemd.jobs.job import AudioInfo, EncoderName, EngineName, RenderOptions, VideoInfo
from heygemd.limits import DetectorName, EncoderWish, Limits
from heygemd.planning.segments import Segment
from heygemd.planning.timeline import Timeline

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """The engine a job uses, settled before its first task; never `auto`."""

    name: EngineName
    weights: Path | None = None
    """Weights the user brought; None for an engine whose weights ship with the package."""
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerChoice:
    """Who follows the faces of a job, settled before its first task."""

    detector: DetectorName | None = None
    """What finds the faces that face-alignment then follows; None: the built-in tracker does both."""
    models_dir: Path | None = None
    """Where its weights lie, seen there and compared with the catalogue."""
    reason: str = ""
    """Why, for people."""

    @property
    def name(self) -> str:
        """Return what the setting calls it."""
        return "built-in" if self.detector is None else "face-alignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to make. Only `media/ffmpeg.py` opens the inputs: no native library ever sees a user's file name."""

    job_id: str
    work_dir: Path
    cache_dir: Path
    video: Path
    video_sha256: str
    video_info: VideoInfo
    audio: Path
    audio_sha256: str
    audio_info: AudioInfo
    options: RenderOptions
    engine: EngineChoice
    max_segment_s: float
    min_segment_s: float = 8.0
    tracker: TrackerChoice = field(default_factory=TrackerChoice)
    workers: int = 1
    """Workers that the film may be spread over, as the machine stood when the order was made."""
    encoder: EncoderWish = "x264"
    """What the film is to be written with; the analysis settles it."""
    version: str = __version__

    @property
    def analysis_file(self) -> Path:
        """`Analysis`; written last, so its existence means that the analysis is whole."""
        return self.work_dir / "analysis.json"

    @property
    def crowd_file(self) -> Path:
        """Every face of the whole clip."""
        return self.work_dir / "faces.npz"

    @property
    def track_file(self) -> Path:
        """The chosen face in the whole clip."""
        return self.work_dir / "track.npz"

    @property
    def likeness_file(self) -> Path:
        """What the engine learned about the person from the clip alone."""
        return self.work_dir / "likeness.npz"

    @property
    def speech_file(self) -> Path:
        """What the engine heard in the whole sound."""
        return self.work_dir / "speech.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What the analyse task learned that the plan needs."""

    tick_count: int
    """Source length on the constant clock, in frames of `fps`."""
    face_frames: int
    source_frames: int
    warnings: tuple[str, ...] = ()
    scene_ticks: tuple[int, ...] = ()
    """Ticks at which the source cuts to another scene, rising: good places for a joint."""
    pauses_s: tuple[tuple[float, float], ...] = ()
    """Start and stop of the stretches of the sound in which nobody speaks, rising: good places, too."""
    encoder: EncoderName = EncoderName.X264
    """What writes the film: every segment of it, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the film is made; saved once per job, before the first segment."""

    order: Order
    analysis: Analysis
    timeline: Timeline
    segments: tuple[Segment, ...]

    @property
    def hash(self) -> str:
        """12 hex digits over everything that can change a pixel or a time stamp."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:12]

    @property
    def encoder(self) -> EncoderName:
        """What writes every segment of the film."""
        return self.analysis.encoder

    @property
    def segments_dir(self) -> Path:
        """Where this plan's segments lie; another plan never meets them."""
        return self.order.work_dir / f"segments-{self.hash}"

    @property
    def film_file(self) -> Path:
        """The stitched and verified film."""
        return self.order.work_dir / f"film-{self.hash}.mp4"

    @property
    def sheet_file(self) -> Path:
        """Contact sheet: source row above result row."""
        return self.film_file.with_suffix(".jpg")

    @property
    def facts_file(self) -> Path:
        """`FilmFacts` of the film; written before the film gets its name."""
        return self.film_file.with_suffix(".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFacts:
    """What was measured on the finished film; the report carries it."""

    sha256: str
    size_bytes: int
    frame_count: int
    fps: str
    width_px: int
    height_px: int
    duration_s: float
    audio_codec: str
    audio_copied: bool
    touched_frames: int
    """Frames whose mouth was rendered."""
    passed_frames: int
    """Frames passed through untouched because no usable face was seen."""
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class TaskKind(StrEnum):
    """The three kinds of work."""

    ANALYSE = "analyse"
    RENDER = "render"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One unit of work for one worker."""

    job_id: str
    kind: TaskKind
    order_path: Path
    """order.json for analyse, plan.json for render and finish."""
    segment: Segment | None = None
    device: str = "cpu"
    batch_size: int = 16
    limits: Limits = field(default_factory=Limits)
    """What the strangers' files may cost; no part of the plan, for it changes no pixel."""
    hardware_decoding: bool = False
    """The card of the worker may decode; no part of the plan either."""


class EventKind(StrEnum):
    """What a worker says."""

    READY = "ready"
    """Engine loaded; may be given a task."""
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line from a worker."""

    kind: EventKind
    job_id: str = ""
    task: TaskKind | None = None
    segment: int | None = None
    frames_done: int = 0
    frames_total: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of a finished task."""
    peak_vram_bytes: int = 0
    """Most graphics memory that torch held reserved during the task (without the context); 0 on a CPU."""
    held_vram_bytes: int = 0
    """What it holds reserved now."""
    peak_rss_bytes: int = 0
    """Most main memory resident during the task: the worker and the decoder and encoder beside it."""
    rss_bytes: int = 0
    """Main memory of the worker itself that is resident now, without mapped files."""
    device: str = ""
    """Set by `ready`: what the worker really runs on."""
    precision: str = ""
    """Set by `ready`: number format of the engine's network (`float16`, `openvino bfloat16`); empty: it has none."""
    cached: tuple[str, ...] = ()
    """Set by a finished analysis: which of `track` and `speech` came from the cache."""
    analysis: Analysis | None = None
    error_code: str | None = None
    message: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderFacts:
    """Left beside each segment (`00000.json`): what a resumed job must still know at the end."""

    touched_frames: int
    passed_frames: int
    seconds: dict[str, float] = field(default_factory=dict)


def to_json(value: object) -> str:
    """Any of the types above as one line of JSON."""
    return _adapter(type(value)).dump_json(value).decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read one of the types above; raises pydantic.ValidationError on anything else."""
    found: T = _adapter(kind).validate_json(text)
    return found


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
"""Building one costs milliseconds, and a plan is hashed often."""


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
