"""What every engine must be able to do, and the data it works on.

    sound ──▶ listen() ─▶ speech.npz ─┐
    track.npz ────────────────────────┴▶ Clip ─▶ prepare() ─▶ Performance ─▶ render(frames of one segment)

`prepare` sees the whole clip and is deterministic, so every worker that renders a segment of the same film
computes the same Performance, and the frames of a segment are those of a single pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import RenderOptions, VideoInfo
from heygemd.planning.timeline import Timeline
from heygemd.render.faces.track import FaceTrack

Speech = dict[str, NDArray[np.float32]]
"""What an engine heard in the whole sound; arrays of its own choosing, saved as speech.npz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The whole film to be made, as known after the analysis."""

    timeline: Timeline
    source_frames: NDArray[np.int32]
    """int32[frame_count]: source frame that each output frame shows."""
    track: FaceTrack
    speech: Speech
    video: VideoInfo
    options: RenderOptions


class Performance(Protocol):
    """One film, ready to be rendered in any order of segments."""

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint the mouth into consecutive output frames, in place.

        `frames[i]` shows output frame `start + i`: uint8[height * 3 // 2, width], the planes Y, U, V of
        yuv420p one after the other (the I420 layout of OpenCV). Pixels outside the mouth's mask stay as they are.
        Returns for each frame whether anything was painted.
        """
        ...


class LipSync(Protocol):
    """An engine, loaded once per worker."""

    name: str
    version: str
    """Changes whenever the same inputs would give other pixels."""
    needs_face: bool
    """False: the clip is not searched for a face, and `Clip.track` holds time stamps only."""

    def listen(self, sound: NDArray[np.float32]) -> Speech:
        """Hear the whole sound: float32[n], mono, 16 kHz, possibly a read-only memory map."""
        ...

    def prepare(self, clip: Clip) -> Performance:
        """Settle everything that depends on the whole clip. Raises InputError E131 without a usable face."""
        ...
