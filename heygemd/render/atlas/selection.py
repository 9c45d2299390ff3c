"""Which of the person's mouths speaks in each frame of the film: the cheapest way through all of them (Viterbi).

After *Video Rewrite* (Bregler, Covell and Slaney 1997). A mouth costs what must still be bent, turned and lit
anew; going from one to the next costs what the eye sees of the jump, and nothing where the clip itself goes on.

    frame     0    1    2    3    4    5    6
    mouth    17   18   19   19  402  403  OWN      OWN: the frame's own mouth, never a jump from itself
    step        0    0  hold jump   0  jump
    faded                   ×    ×    ×    ×       one frame on each side of a jump

It runs once over the whole film, before that is cut into segments. Where a film has more frames a second, jumps cost
more, so that a second is weighed alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.render.arrays import spooled
from heygemd.render.atlas.fitness import Fitness, Wanted
from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.person import MOVING_SPAN
from heygemd.render.atlas.traits import Traits
from heygemd.render.atlas.ways import NEAR, OWN, find_ways
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pulse import Pulse, unheard

log = structlog.get_logger(__name__)

Vector = NDArray[np.float64]

FADE_SHARE = 1 / 3
"""Weight of the other mouth in the two frames beside a jump."""
BLOCK_FRAMES = 4096
"""Film frames looked at at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The mouths of every film frame, as numbers of the gallery or OWN.

    In a cross-fade the own mouth, too, goes by its number wherever the gallery keeps it.
    """

    first: NDArray[np.int32]
    """int32[n]: the one that counts most."""
    second: NDArray[np.int32]
    """int32[n]: the other one in a cross-fade."""
    share: NDArray[np.float32]
    """float32[n]: weight of `second`, 0 where there is none; that of `first` is what lacks to 1."""

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Name -> array, for saving."""
        return {f"selection_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Selection":
        """Take what `to_arrays` gave, mapped or not; KeyError where something is missing."""
        return cls(**{field.name: arrays[f"selection_{field.name}"] for field in fields(cls)})  # type: ignore[arg-type]


def select(
    wanted: Wanted,
    motion: HeadMotion,
    track: FaceTrack,
    traits: Traits,
    *,
    near: int = NEAR,
    folder: Path | None = None,
    pulse: Pulse = unheard,
) -> Selection:
    """Choose the mouths of a whole film.

    `traits` are those of the gallery. Of a person who never speaks in the clip, and in frames that fade into untouched
    ones, it is the own mouth. In every frame the `near` mouths that fit best are looked at, and some that lie beside
    those of the frame before. `folder` is where unnamed files may be made; None: in memory.
    """
    count = len(wanted.opening)
    path = spooled(folder, (count,), np.int32)
    path[:] = OWN
    if speaks(traits):
        fitness = Fitness(wanted=wanted, motion=motion, track=track, traits=traits)
        find_ways(fitness, near=near, folder=folder, pulse=pulse).trace(path)
    selection = _faded(path, wanted, traits, folder)
    jumps = int((selection.share > 0).sum()) // 2
    log.info("atlas.mouths_selected", gallery=len(traits), frames=count, own=int((path == OWN).sum()), jumps=jumps)
    return selection


def speaks(traits: Traits) -> bool:
    """Tell whether the mouth moves as in speech: a smile or a single word does not make a gallery."""
    if len(traits) == 0:
        return False
    low, high = np.percentile(traits.opening, [5, 95])
    return bool(high - low >= MOVING_SPAN)


def _faded(path: NDArray[np.int32], wanted: Wanted, traits: Traits, folder: Path | None) -> Selection:
    """Fade one frame on each side of a jump: the mouth before goes on for one frame, the one after begins earlier."""
    count = len(path)
    first, second = path, spooled(folder, (count,), np.int32)
    share = spooled(folder, (count,), np.float32)
    second[:] = first
    rows = {frame: row for row, frame in enumerate(traits.frames.tolist())}
    # All jumps are known before the first is faded: fading gives own mouths a number.
    jumps = [(frame, int(path[frame - 1]), int(path[frame])) for frame in _jumps(path, wanted, traits)]
    for frame, before, after in jumps:
        for at, other in ((frame - 1, _neighbour(after, -1, traits)), (frame, _neighbour(before, 1, traits))):
            # Between two jumps in a row the later one is faded.
            second[at], share[at] = other, FADE_SHARE
            for mouths in (first, second):
                if mouths[at] == OWN:
                    mouths[at] = rows.get(int(wanted.source_frames[at]), OWN)
    return Selection(first=first, second=second, share=share)


def _jumps(path: NDArray[np.int32], wanted: Wanted, traits: Traits) -> Iterator[int]:
    """Yield the film frames whose mouth does not go on from the one before, within a shot."""
    frames, kept = wanted.source_frames, np.append(traits.frames, 0)
    for start in range(1, len(path), BLOCK_FRAMES):
        part = slice(start, min(start + BLOCK_FRAMES, len(path)))
        before = slice(part.start - 1, part.stop - 1)
        shown = [np.where(path[p] == OWN, frames[p], kept[path[p]]).astype(np.int64) for p in (before, part)]
        both_own = (path[before] == OWN) & (path[part] == OWN)
        goes_on = (np.abs(shown[1] - shown[0]) <= 1) | both_own
        yield from (np.flatnonzero(~goes_on & (wanted.shots[before] == wanted.shots[part])) + part.start).tolist()


def _neighbour(mouth: int, step: int, traits: Traits) -> int:
    """Find the mouth that lies beside another in the clip; itself where that is not kept, or for the own mouth."""
    beside = mouth + step
    if mouth == OWN or not 0 <= beside < len(traits):
        return mouth
    return beside if traits.frames[beside] - traits.frames[mouth] == step else mouth
