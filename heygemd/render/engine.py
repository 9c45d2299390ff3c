"""What every engine must be able to do, and the data it works on.

    picture ─▶ track.npz ─▶ Footage ─▶ study() ─▶ likeness.npz ─┐
    sound ──────────────────────────▶ listen() ─▶ speech.npz ────┴▶ Clip ─▶ prepare() ─▶ Performance ─▶ render(frames)
                                                   │   ▲
                                                   ▼   │
                                                settled-….npz

`prepare` sees the whole clip and is deterministic, so every worker that renders a segment of the same film has the
same Performance, and the frames of a segment are those of a single pass. The first one leaves what it settled in the
work directory, and the others map that. What grows with the film is mapped everywhere: memory does not grow with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

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
Likeness = Mapping[str, NDArray[Any]]
"""What an engine learned about the person from the clip alone; arrays of its own choosing, saved as likeness.npz.

It depends on nothing but the picture file (with its own sound) and the face that was chosen, so that a hundred voices
for one clip share it."""
Settled = Mapping[str, NDArray[Any]]
"""What an engine settled for the frames of one film; arrays of its own choosing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The file that a user brought for an engine."""

    path: Path
    sha256: str | None = None
    """What the plan names; another content is refused."""
    backend: str = "auto"
    """What computes with them on a CPU, as the setting `render.backend` names it."""
    cache_dir: Path | None = None
    """Where it is kept what does so fastest on this machine; None: it is found out each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """The clip as it was shot, before anybody knows what is to be said."""

    track: FaceTrack
    video: VideoInfo
    read: Callable[[Sequence[int]], Iterator[NDArray[np.uint8]]]
    """Decode some source frames, rising: each uint8[height * 3 // 2, width], the planes of yuv420p."""
    hear: Callable[[], Speech | None] = lambda: None
    """Listen to the clip's own sound: what `listen` makes of it, from the clip's beginning; None for a silent file."""
    folder: Path | None = None
    """Where unnamed files may be made; None: in memory."""


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
    likeness: Likeness = field(default_factory=dict)
    """What `study` learned from this clip."""
    seed: int = 0
    """The same for all films of this picture file: what is left to chance comes from here."""
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


@runtime_checkable
class Overlapping(Performance, Protocol):
    """A performance whose network works while others of its frames are read and written."""

    def begin(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Sequence[bool]]:
        """Begin what `render` does; what is returned finishes it. Calls are finished in the order they were begun."""
        ...


class LipSync(Protocol):
    """An engine, loaded once per worker."""

    name: str
    version: str
    """Changes whenever the same inputs would give other pixels."""
    needs_face: bool
    """False: the clip is not searched for a face, and `Clip.track` holds time stamps only."""
    studies: bool
    """False: `study` would give nothing, and is not asked."""

    @property
    def precision(self) -> str:
        """Number format of its network (`float16`), after what computes it if that is not torch (`openvino bfloat16`).

        Empty for an engine that has none.
        """
        ...

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Hear the whole sound: float32[n], mono, 16 kHz, possibly a read-only memory map.

        Beside a mapped sound unnamed files may be made; the arrays of the answer may lie in such.
        """
        ...

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell where nobody speaks: start and stop in seconds of the sound; empty when it cannot tell."""
        ...

    def study(self, footage: Footage, pulse: Pulse = unheard) -> Likeness:
        """Learn what the clip alone tells about the person; an engine that needs nothing of it gives nothing."""
        ...

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> Performance:
        """Settle everything that depends on the whole clip. Raises InputError E131 without a usable face."""
        ...
