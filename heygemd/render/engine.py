"""What every engine must be able to do, and the data it works on.

    sound ──▶ listen() ─▶ speech.npz ─┐
    track.npz ────────────────────────┴▶ Clip ─▶ prepare() ─▶ Performance ─▶ render(frames of one segment)
                                                   │   ▲
                                                   ▼   │
                                                settled-….npz

`prepare` sees the whole clip and is deterministic, so every worker that renders a segment of the same film has the
same Performance, and the frames of a segment are those of a single pass. The first one leaves what it settled in the
work directory, and the others map that. What grows with the film is mapped everywhere: memory does not grow with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import RenderOptions, VideoInfo
from heygemd.planning.timeline import Timeline
from heygemd.render.arrays import map_arrays
from heygemd.render.cache import recall, save_arrays
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pulse import Pulse, unheard

Speech = dict[str, NDArray[np.float32]]
"""What an engine heard in the whole sound; arrays of its own choosing, saved as speech.npz and mapped from there."""
Settled = Mapping[str, NDArray[Any]]
"""What an engine settled for the frames of one film; arrays of its own choosing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The file that a user brought for an engine."""

    path: Path
    sha256: str | None = None
    """What the plan names; another content is refused."""


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
    settled_file: Path | None = None
    """Where `prepare` keeps what it settles for every frame, for itself and for other workers; None: in memory."""

    @property
    def folder(self) -> Path | None:
        """Where unnamed files may be made while it is settled."""
        return None if self.settled_file is None else self.settled_file.parent

    def settled(self, settle: Callable[[], Settled]) -> Settled:
        """Take what was settled for this film before, or settle it now and keep it."""
        if self.settled_file is None:
            return settle()
        found = recall(self.settled_file, map_arrays)
        if found is None:
            save_arrays(self.settled_file, settle())
            found = map_arrays(self.settled_file)
        return found


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

    @property
    def precision(self) -> str:
        """Number format of its network, as torch names it (`float16`); empty for an engine that has none."""
        ...

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear the whole sound: float32[n], mono, 16 kHz, possibly a read-only memory map.

        Beside a mapped sound unnamed files may be made; the arrays of the answer may lie in such.
        """
        ...

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell where nobody speaks: start and stop in seconds of the sound; empty when it cannot tell."""
        ...

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> Performance:
        """Settle everything that depends on the whole clip. Raises InputError E131 without a usable face."""
        ...
