"""What a stranger's file may cost: a table of the configuration that travels with every task."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

X264Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]
EncoderWish = Literal["x264", "nvenc", "auto"]
TrackerWish = Literal["auto", "built-in", "face-alignment"]
DetectorName = Literal["s3fd", "blazeface"]


class Part(BaseModel):
    """Base of every table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(Part):
    """What a stranger's file may cost."""

    max_pixels: int = Field(8192 * 4352, gt=0, description="Pixels of one picture.")
    max_streams: int = Field(64, gt=0, description="Streams in one file.")
    max_duration_s: float = Field(4 * 3600.0, gt=0, description="Length of one file.")
    max_frames: int = Field(2_000_000, gt=0, description="Frames of one file.")
    probe_wall_s: float = Field(120.0, gt=0, description="Wall clock of one probe.")
    stall_s: float = Field(120.0, gt=0, description="A decoder or encoder that is silent for longer is ended.")
    memory_bytes: int = Field(4 << 30, gt=0, description="Address space of one decoder; small pictures get less.")
