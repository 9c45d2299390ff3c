"""The vocabulary that every room shares: what a job is, what was dropped, and what the user asked for."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Final

from typing_extensions import override

from heygemd.jobs.states import JobState
from heygemd.limits import X264Preset


class EngineName(StrEnum):
    """Which renderer moves the mouth."""

    AUTO = "auto"
    """wav2lip when its weights are present and verified, else atlas."""
    ATLAS = "atlas"
    """Embedded: warps the person's own mouth at native resolution."""
    WAV2LIP = "wav2lip"
    """The published 96-px network; users bring its weights."""
    PASSTHROUGH = "passthrough"
    """Returns the picture untouched: dry runs and tests; never chosen by `auto`."""


class LengthPolicy(StrEnum):
    """What happens when sound and picture differ in length."""

    AUTO = "auto"
    """The film is as long as the sound: ping-pong when the picture is shorter, trim when longer."""
    LOOP = "loop"
    """As long as the sound: the picture starts again from its first frame."""
    FREEZE = "freeze"
    """As long as the sound: the picture's last frame is held."""
    KEEP_VIDEO = "keep_video"
    """As long as the picture: the sound is padded with silence or cut."""

    @classmethod
    @override
    def _missing_(cls, value: object) -> "LengthPolicy | None":
        """`pingpong` is what people call `auto` by the way it looks."""
        return cls.AUTO if value == "pingpong" else None


class SilenceRule(StrEnum):
    """What the mouth does where nobody speaks."""

    CLOSE = "close"
    SOURCE = "source"
    """Follow the source's own mouth."""


FACE_RULES: Final = ("main", "largest", "left", "right")
"""Whose mouth moves where a picture shows several people; beside these words, `index:N` counts them from the left."""
DEFAULT_FACE: Final = "main"
_FACE_INDEX: Final = re.compile(r"index:[1-9][0-9]?", re.ASCII)


def is_face_rule(text: str) -> bool:
    """Tell whether the text says whose mouth moves: `main`, `largest`, `left`, `right`, or `index:1` to `index:99`."""
    return text in FACE_RULES or _FACE_INDEX.fullmatch(text) is not None


class EncoderName(StrEnum):
    """What writes a film's picture; settled once per film."""

    X264 = "x264"
    """On the processor: the same everywhere, and the only one for lossless films."""
    NVENC = "nvenc"
    """On an NVIDIA card, where it has an encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """What the user may choose per job; one frozen type shared by every way of submitting."""

    engine: EngineName = EngineName.AUTO
    length: LengthPolicy = LengthPolicy.AUTO
    silence: SilenceRule = SilenceRule.CLOSE
    audio_offset_ms: int = 0
    """Positive: the mouth follows the sound later."""
    face: str = DEFAULT_FACE
    """Whose mouth moves: see `is_face_rule`."""
    idle_motion: bool = True
    """A still picture blinks and sways a little; film is never touched by it."""
    detail: bool = True
    """The 96-pixel mouth of wav2lip gets the fine texture of the source's own frame; no other engine needs it."""
    crf: int = 18
    """x264 constant rate factor; 0 is lossless."""
    preset: X264Preset = "veryfast"
    """x264 preset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourTags:
    """ITU-T H.273 tags as ffprobe names them; None where the file says nothing."""

    matrix: str | None = None
    range: str | None = None
    primaries: str | None = None
    transfer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What the probe found in the picture file. Sizes are those of the decoded, upright picture."""

    demuxer: str
    """The ffmpeg demuxer that must be forced to open the file."""
    codec: str
    stream: int
    """Index of the chosen video stream among all streams of the file."""
    fps: Fraction
    """Constant rate of the film to be made (the source's nominal rate)."""
    frame_count: int
    """Packets of the stream; the decoder may give fewer."""
    width_px: int
    height_px: int
    rotation_deg: int = 0
    sample_aspect: Fraction = Fraction(1)
    pixel_format: str = "yuv420p"
    colour: ColourTags = field(default_factory=ColourTags)
    is_vfr: bool = False
    is_still: bool = False
    duration_s: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioInfo:
    """What the probe found in the sound file, decoded once to its end."""

    demuxer: str
    codec: str
    stream: int
    rate_hz: int
    channels: int
    sample_count: int
    """Decoded samples per channel: the exact length of the sound."""
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> Fraction:
        """Exact length in seconds."""
        return Fraction(self.sample_count, self.rate_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Both halves of a pair."""

    video: VideoInfo
    audio: AudioInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One claimed file: the name the user gave it, and where it lies now."""

    name: str
    path: Path
    size_bytes: int
    sha256: str
    evidence: tuple[str, ...] = ()
    """Which rungs of the readiness ladder were reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A folder of the inbox whose `.heygemd.toml` says how many of its jobs may run at once."""

    folder: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """The place of a job in a manifest or in a job folder with several members."""

    batch: str
    """Id of the batch."""
    number: int
    """From 1, as people count rows."""
    row_id: str | None = None
    """The `id` that the manifest gives the row: its idempotency key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One film to be made; a row of the store, never changed in place."""

    id: str
    """Sortable: `YYYYMMDDTHHMMSSmmm-` + 10 random base32 characters."""
    root: str
    """uuid of the root it was dropped into; empty for a film made without a daemon."""
    name: str
    """The film's name without suffix, as people will see it (stem of the audio for a pair)."""
    folder: str
    """Sub-folder of the inbox, mirrored in the outbox; `` for the top."""
    state: JobState
    video: InputFile | None
    """None only in a job that failed at the door: an orphan, a manifest that cannot be read."""
    audio: InputFile | None
    """None as `video` is."""
    options: RenderOptions
    media: MediaInfo | None
    """None only when the probe refused the files (the job is then failed)."""
    claim_dir: Path | None
    """Folder in `processing/` that holds the inputs; None when they stay where they are."""
    queued_at: datetime
    not_before: datetime
    priority: int = 0
    turn: float = 0.0
    """Place in the queue of its folder, the smallest first (`turns.py`)."""
    lane: Lane | None = None
    """Set when its folder limits how many run at once."""
    keep_days: int | None = None
    """How long its originals are kept; None: as the settings say."""
    row: BatchRow | None = None
    """Set when it came with a manifest or a job folder with several members."""
    content_key: str | None = None
    """Equal for jobs that would give the same film: hash of inputs, options, engine, weights and program version."""
    attempts: int = 0
    """How often it was started; counted before the run."""
    forgiven: int = 0
    """Attempts made before a person put the job back: they do not count against the limit."""
    strikes: int = 0
    """How often its present task ended a worker or met a bug; back to 0 when a task succeeds."""
    published_name: str | None = None
    """File name of the film in the outbox, chosen and stored before publishing."""
    error_code: str | None = None
    error_message: str | None = None
    duplicate_of: str | None = None
    """Id of the job whose film this one is given, so that nothing is computed twice."""
    film_sha256: str | None = None
    """Of the published film."""

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """The files that are there: picture, then sound."""
        return tuple(file for file in (self.video, self.audio) if file is not None)

    @property
    def film_s(self) -> float | None:
        """Seconds that the film lasts, or will last; None when nothing is known of its inputs."""
        if self.media is None:
            return None
        if self.options.length is LengthPolicy.KEEP_VIDEO:
            return round(self.media.video.duration_s, 3)
        return round(float(self.media.audio.duration_s), 3)

    @property
    def id8(self) -> str:
        """The first 8 random characters: short enough for names people see."""
        return self.id.rsplit("-", 1)[-1][:8]
