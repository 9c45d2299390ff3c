"""What it costs to let one of the person's mouths speak in a frame of the film: what must be bent, turned, lit anew.

A cost of 1 is what is seen only by comparing. The scales are those of the prototype (RENDERING.md, atlas 4) and
are squared: half of an error costs a quarter.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.traits import Traits, relative_sharpness, seen_opening
from heygemd.render.faces.track import FaceTrack

Vector = NDArray[np.float64]
Costs = NDArray[np.float32]

OPENING, WIDTH = 0.035, 0.05
"""Eye distances that a mouth is bent at the cost of 1."""
OPENED_FURTHER = 4.0
"""Opening a mouth further costs so many times as much: what was hidden must be painted."""
TURN_DEG = (5.0, 5.0, 15.0)
"""Yaw, pitch, roll: degrees between source and frame at the cost of 1."""
BLUR = 0.3
"""Part of the usual sharpness that a mouth lacks at the cost of 1."""
SEEN_OPEN = (0.02, 0.06)
"""Openings by colour between which a mouth that is to be shut counts as open, whatever its contour says."""
OPEN_WHEN_SHUT = 4.0
SHUT_OPENING = 0.03
"""Wanted openings below this are shut, the more so the smaller."""
TOOTHLESS = 0.5
"""A wide mouth without upper teeth."""
WIDE = (0.06, 0.12)
"""Wanted openings between which teeth begin to matter."""
LIGHT_LEVELS = 15.0
"""RMS difference of the skin around the mouth, in levels of 0..255, at the cost of 1."""
DRIFT_S, DRIFT = 60.0, 0.3
"""Two moments so far apart, and further, cost so much: hair and beard, posture, the sun."""
OTHER_SCENE = 1.0
"""A mouth from another shot of the clip: another lens, another place."""
FEWER_PIXELS = (0.3, 2.0)
"""Octaves by which a source may be smaller than the frame's face, and the cost of each further one squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the film asks for, by output frame; lengths are eye distances in the face frame."""

    opening: Vector
    width: Vector
    effect: Vector
    """float64[n]: 0 untouched .. 1; below 1 the own mouth is kept."""
    source_frames: NDArray[np.int32]
    """int32[n]: the source frame that it is painted on."""
    shots: NDArray[np.int64]
    """int64[n]: changes where the picture of the film does not go on smoothly."""
    fps: float
    closure: Vector | None = None
    """float64[n]: 0..1, how firmly the lips are pressed together; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """Costs of the gallery's mouths, block by block of the film."""

    wanted: Wanted
    motion: HeadMotion
    track: FaceTrack
    traits: Traits
    sharpness: Vector = field(init=False)
    seen_opening: Vector = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sharpness", relative_sharpness(self.traits))
        object.__setattr__(self, "seen_opening", seen_opening(self.traits))

    def of(self, block: slice) -> tuple[Costs, Vector, NDArray[np.intp], NDArray[np.bool_]]:
        """Weigh every mouth for the film frames of a block.

        Returns the costs of the gallery float32[b, m] and of the own mouth float64[b], which mouth of the gallery
        looks like the own intp[b], and whether it is that bool[b].
        """
        wanted, frames = self.wanted, self.wanted.source_frames[block]
        mouth = self._opening_and_width(frames)
        place, quality = self._place(frames), self._quality(block)
        goal = np.stack([wanted.opening[block], wanted.width[block]], axis=1)
        gallery = np.stack([self.traits.opening, self.traits.width], axis=1)
        costs = _bend(goal[:, None], gallery[None]) + place + quality
        stand_in, is_own = self._stand_ins(frames, place + _bend(mouth[:, None], gallery[None]))
        own = _bend(goal, mouth) + np.where(is_own, quality[np.arange(len(frames)), stand_in], 0)
        return costs.astype(np.float32), own, stand_in, is_own

    def _opening_and_width(self, frames: NDArray[np.int32]) -> Vector:
        """Opening and width of the own mouth: float64[b, 2]."""
        return np.nan_to_num(np.stack([self.motion.opening[frames], self.motion.width[frames]], axis=1))

    def _stand_ins(self, frames: NDArray[np.int32], unlikeness: Vector) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Find the gallery's mouth that is the own one, or else looks most like it."""
        at = np.minimum(np.searchsorted(self.traits.frames, frames), len(self.traits) - 1)
        is_own = self.traits.frames[at] == frames
        return np.where(is_own, at, unlikeness.argmin(axis=1)), is_own

    def _place(self, frames: NDArray[np.int32]) -> Vector:
        """Weigh where the head is, how it is lit and when that was: float64[b, m]."""
        motion, track, traits = self.motion, self.track, self.traits
        turns = [
            (motion.yaw_deg, traits.yaw_deg),
            (motion.pitch_deg, traits.pitch_deg),
            (motion.roll_deg, traits.roll_deg),
        ]
        cost = np.zeros((len(frames), len(traits)))
        for (here, there), scale in zip(turns, TURN_DEG, strict=True):
            cost += ((np.nan_to_num(here[frames])[:, None] - there) / scale) ** 2
        cost += DRIFT * np.minimum(np.abs(track.pts_s[frames][:, None] - traits.time_s) / DRIFT_S, 1)
        cost += OTHER_SCENE * (track.scene[frames][:, None] != traits.scene)
        octaves = np.log2(np.nan_to_num(motion.eye_px[frames], nan=1.0))[:, None] - np.log2(traits.eye_px)
        cost += FEWER_PIXELS[1] * np.maximum(octaves - FEWER_PIXELS[0], 0) ** 2
        return cost + _light(track.skin[frames], track.skin[traits.frames])

    def _quality(self, block: slice) -> Vector:
        """Weigh what the pictures show: float64[b, m]."""
        traits, wanted = self.traits, self.wanted
        shut = np.clip(1 - wanted.opening[block] / SHUT_OPENING, 0, 1)
        if wanted.closure is not None:
            shut = np.maximum(shut, wanted.closure[block])
        wide = smoothstep(wanted.opening[block], *WIDE)
        cost = (np.maximum(1 - self.sharpness, 0) / BLUR) ** 2 + TOOTHLESS * wide[:, None] * (1 - traits.teeth)
        return np.asarray(cost + OPEN_WHEN_SHUT * shut[:, None] * smoothstep(self.seen_opening, *SEEN_OPEN))


def _bend(goal: Vector, mouth: Vector) -> Vector:
    """Weigh bending mouths [..., 2] of opening and width into others."""
    opening, width = np.moveaxis(goal - mouth, -1, 0)
    return np.asarray((opening / OPENING) ** 2 * np.where(opening > 0, OPENED_FURTHER, 1) + (width / WIDTH) ** 2)


def _light(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Vector:
    """Weigh the differences of skin colours [b, 16, 3] and [m, 16, 3]: float64[b, m]; 0 where they are not known."""
    a, b = (colours.reshape(len(colours), -1).astype(np.float64) for colours in (here, there))
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    known = (a.sum(axis=1) > 0)[:, None] & (b.sum(axis=1) > 0)
    return np.where(known, np.maximum(square, 0) / a.shape[1] / LIGHT_LEVELS**2, 0)
