"""Everything between the lips of one frame: what the source shows, and what must be painted because it does not."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.gap import MIDDLE, DarkLine, FacePlane, Gap, Lips, Profile, fill_plan, sample, shut
from heygemd.render.atlas.interior import Cavity, paint_interior
from heygemd.render.atlas.mesh import COLUMNS
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.ramp import soft_step
from heygemd.render.atlas.shape import Face
from heygemd.render.atlas.shown import Light, Shown, light_of, look_inside, toothness
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

LENGTHENED = (0.15, 0.45)
"""Doubt in the source's upper teeth from which on painted ones are seen, and from which on wholly."""
JAWS_SHUT = (0.75, 0.92)
"""Upper teeth that reach down to the first part of the mouth's height may stand on lower ones; from the second part on
there is no room for them."""
GRAIN_TILE = 64
"""Side of the square of noise that is laid over what was painted, in pixels."""
GRAIN_BLUR_PX = 0.6
"""Cameras and coders leave noise that is a little soft."""
DARK_GRAIN = 0.25
"""How much of the skin's noise the dark of a mouth carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """n pixels between the lips of the target."""

    colour: Vector
    """float64[n, 3] BGR, in the light of the source."""
    below_upper: Vector
    above_lower: Vector
    """float64[n]: distance from each lip in eye distances; negative on the lip."""


def paint_inside(
    pixels: Vector, after: Vector, *, face: Face, picture: Bgr, source: Face, wanted: Mouth, bite: Bite
) -> Inside:
    """Colour the pixels [n, 2] between the lips of the target.

    `after` (float64[v, 2]) are the target's vertices, `face` is the own face of its frame; both in the coordinates of
    `pixels`. `source` is the face in `picture`, which may be that of any frame of the person.
    """
    lips = _lips(after, FacePlane.of(face))
    own = _lips(source.vertices, FacePlane.of(source))
    light = light_of(picture, source)
    shown = look_inside(picture, own.profile, own.plane, opening=source.opening, lip=light.lip, skin=light.skin)
    line = _line_between_teeth(shown, own, bite, source.opening)
    gap = fill_plan(pixels, lips, own, line, opening=source.opening, teeth=shown.teeth)
    colour = sample(picture, gap.kept)
    if gap.lower_share.any():
        colour += gap.lower_share[:, None] * (sample(picture, gap.lower) - colour)
    # Teeth that bite the lower lip leave no dark below them.
    absent = np.maximum(gap.absent, wanted.lipteeth * (1 - toothness(colour, light.lip, light.skin)))
    if absent.any():
        cavity = _cavity(gap, lips, light, shown, face=face, source=source, wanted=wanted)
        painted = paint_interior(cavity, bite.upper, bite.dentition)
        painted += grain(pixels - lips.plane.shift, painted, light)[:, None]
        colour += absent[:, None] * (painted - colour)
    return Inside(colour=colour, below_upper=gap.below_upper, above_lower=gap.above_lower)


def _lips(vertices: Vector, plane: FacePlane) -> Lips:
    return Lips(plane=plane, profile=Profile.of(vertices, plane))


def _line_between_teeth(shown: Shown, own: Lips, bite: Bite, opening: float) -> DarkLine:
    """Tell where upper teeth end in the source; of shut jaws, which show no dark line, by where the skull holds it."""
    line = shown.line
    height = float((own.profile.lower - own.profile.upper)[MIDDLE].mean())
    if bite.own is None or height <= 0:
        return line
    row = bite.own.hang_at(float(own.profile.upper[MIDDLE].mean()), opening) / height
    sure = min(shown.teeth, shown.lower_teeth) * (1 - soft_step(row, *JAWS_SHUT))
    weight = sure * (1 - line.clearness)
    return DarkLine(
        row=line.row + weight * (row - line.row),
        clearness=max(line.clearness, weight),
        worth_below=line.worth_below,
    )


def _cavity(gap: Gap, lips: Lips, light: Light, shown: Shown, *, face: Face, source: Face, wanted: Mouth) -> Cavity:
    middle, closed = COLUMNS // 2, shut(source.opening)
    return Cavity(
        x=gap.x,
        y=gap.y,
        midline=float(lips.profile.x[middle]),
        across=gap.across,
        below_upper=gap.below_upper,
        above_lower=gap.above_lower,
        top=gap.top,
        slant=lips.plane.slant,
        opening=float(lips.profile.lower[middle] - lips.profile.upper[middle]),
        biting=wanted.lipteeth,
        light=light,
        eye_px=face.eye_px,
        upper_absent=max(closed, soft_step(1 - shown.teeth, *LENGTHENED)),
        # An open mouth shows by itself whether this person's lower teeth are seen.
        lower_absent=closed,
        dark_luma=shown.cavity_luma,
        dark_share=shown.cavity_share * (1 - closed),
    )


def grain(pixels: Vector, colour: Vector, light: Light) -> Vector:
    """Give painted colours (float64[n, 3]) the noise of the picture: float64[n], to be added.

    `pixels` [n, 2] count from a point of the face, so that the noise of a still moves with it and does not twinkle.
    """
    if light.grain == 0:
        return np.zeros(len(pixels))
    x, y = np.rint(pixels).astype(int).T % GRAIN_TILE
    level = colour.mean(axis=1) / max(float(light.skin.mean()), 1.0)
    return np.asarray(light.grain * _noise()[y, x] * (DARK_GRAIN + (1 - DARK_GRAIN) * np.clip(level, 0, 1)))


@cache
def _noise() -> NDArray[np.float32]:
    """Make one square of noise with a standard deviation of 1: float32[GRAIN_TILE, GRAIN_TILE]."""
    random = np.random.default_rng(np.random.Philox(0))
    noise = random.standard_normal((GRAIN_TILE, GRAIN_TILE)).astype(np.float32)
    # Its ends meet, so that squares can be laid side by side.
    wide = np.asarray(cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), GRAIN_BLUR_PX), np.float32)
    noise = wide[GRAIN_TILE : 2 * GRAIN_TILE, GRAIN_TILE : 2 * GRAIN_TILE]
    return np.asarray(noise / noise.std(), np.float32)
