"""The inside of a mouth, painted where no picture of the person shows it.

A dark cavity in the tint of the lips, a tongue when the mouth is well open, upper teeth that hang from the skull and
not from the lip, and the shadows of both lips. Plain, but quiet from frame to frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.ramp import smoothstep, soft_step

Vector = NDArray[np.float64]

CAVITY_TINT = np.array([0.16, 0.15, 0.24])
"""Share of the lips' blue, green, red."""
CAVITY_LIGHT = (0.7, 1.4)
"""A source's own darkness makes the cavity darker and lighter by at most these factors."""
TONGUE_TINT = np.array([0.53, 0.47, 0.60])
"""The same for the brightest part of the tongue. Much brighter, and the tracker takes it for the lower lip."""
TONGUE_HEIGHT = (0.05, 0.48, 0.13)
"""Its height in the middle, in eye distances: the least, its growth with the opening, the most."""
TONGUE_FOOT = 0.60
"""How bright it is behind the lower lip, relative to its brightest part."""
TOOTH_TINT = np.array([0.92, 0.97, 1.06])
"""Colour of teeth under white light; blue, green, red."""
SKIN_TINT = np.array([0.82, 0.95, 1.17])
"""Colour of skin under white light, relative to its luma."""
LUMA = np.array([0.114, 0.587, 0.299])
TOOTH_EDGES = np.array([0.0, 0.086, 0.152, 0.226, 0.29, 0.36])
"""Borders between the upper teeth, from the middle outwards, in eye distances."""
TOOTH_SHORTER = np.array([0.0, 0.007, 0.003, 0.008, 0.012])
"""How much shorter than the first tooth each one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cavity:
    """The n pixels to paint; lengths are eye distances."""

    across: Vector
    """float64[n]: -1 at the left corner of the mouth .. 1 at the right."""
    below_upper: Vector
    """float64[n]: distance from the upper lip; negative on the lip."""
    above_lower: Vector
    """float64[n]: distance from the lower lip."""
    below_top: Vector
    """float64[n]: distance below the middle of the upper lip: the height at which the upper teeth hang."""
    teeth: float
    """0..1: how much of painted teeth may be seen; 0 where the source shows its own."""
    opening: float
    mouth_width: float
    lip_colour: Vector
    """float64[3]: blue, green, red."""
    skin_colour: Vector
    dark_luma: float
    """Of the dark that the source itself shows of its mouth."""
    dark_share: float
    """0..1: how far the cavity takes that luma."""


def paint_interior(cavity: Cavity) -> Vector:
    """Colour every pixel of the cavity: float64[n, 3] BGR."""
    tooth = tooth_colour(cavity.skin_colour)
    colour = np.tile(_dark(cavity), (len(cavity.across), 1))
    cover, shade = _tongue(cavity)
    colour = _over(colour, cavity.lip_colour * TONGUE_TINT * shade[:, None], cover)
    cover, shade = _upper_teeth(cavity)
    colour = _over(colour, tooth * shade[:, None], cover * cavity.teeth)
    shadow = 0.72 + 0.28 * smoothstep(cavity.below_upper, 0, 0.018)
    shadow *= 0.75 + 0.25 * smoothstep(cavity.above_lower, 0, 0.018)
    return np.asarray(colour * shadow[:, None])


def tooth_colour(skin_colour: Vector) -> Vector:
    """Guess the colour of teeth under the light that falls on the skin: float64[3] BGR."""
    luma = float(skin_colour @ LUMA)
    light = skin_colour / max(luma, 1.0) / SKIN_TINT
    return np.asarray(min(luma * 1.14 + 8, 232) * TOOTH_TINT * (1 + 0.5 * (light - 1)))


def _dark(cavity: Cavity) -> Vector:
    """Give the cavity its colour: tinted by the lips, as dark as the source shows it: float64[3]."""
    dark = cavity.lip_colour * CAVITY_TINT + 2
    ratio = float(np.clip(cavity.dark_luma / float(dark @ LUMA), *CAVITY_LIGHT))
    return np.asarray(dark * (1 + cavity.dark_share * (ratio - 1)))


def _tongue(cavity: Cavity) -> tuple[Vector, Vector]:
    """Cover (0..1) and brightness of a soft mound on the floor of the mouth that rises with the opening.

    Each float64[n].
    """
    x = cavity.across / 0.8
    least, growth, most = TONGUE_HEIGHT
    middle = min(least + growth * max(cavity.opening - 0.07, 0), most)
    height = middle * np.sqrt(np.clip(1 - x**2, 0.001, 1))
    up = cavity.above_lower / height
    seen = 0.85 * soft_step(cavity.opening, 0.05, 0.13) * (1 - smoothstep(np.abs(x), 0.7, 1.0))
    shade = (TONGUE_FOOT + (1 - TONGUE_FOOT) * smoothstep(up, 0, 0.45)) * (1 - 0.45 * smoothstep(up, 0.4, 1.0))
    shade *= 1 - 0.10 * np.exp(-((x / 0.09) ** 2))
    return np.asarray((1 - smoothstep(up, 0.25, 1.0)) * seen), np.asarray(shade)


def _upper_teeth(cavity: Cavity) -> tuple[Vector, Vector]:
    """Cover (0..1) and brightness of the upper teeth: each float64[n]."""
    x = np.abs(cavity.across)
    edge = np.clip(0.012 + 0.40 * cavity.opening, 0, 0.062) * soft_step(cavity.opening, 0.035, 0.085)
    edge = edge * np.clip(1 - 0.75 * (x / 0.92) ** 2, 0, 1)
    from_middle = x * cavity.mouth_width / 2
    tooth = np.clip(np.searchsorted(TOOTH_EDGES, from_middle, side="right") - 1, 0, len(TOOTH_SHORTER) - 1)
    on_tooth = 2 * (from_middle - TOOTH_EDGES[tooth]) / (TOOTH_EDGES[tooth + 1] - TOOTH_EDGES[tooth]) - 1
    length = edge - TOOTH_SHORTER[tooth] * smoothstep(edge, 0.02, 0.04) - 0.007 * on_tooth**4
    cover = smoothstep(length - cavity.below_top, -0.004, 0.004) * (1 - smoothstep(x, 0.66, 0.9))
    brightness = (1 - 0.5 * x**1.5) * (0.66 + 0.34 * smoothstep(cavity.below_upper, 0, 0.03))
    brightness *= (1 - 0.14 * on_tooth**6) * (1 - 0.10 * smoothstep(cavity.below_top - edge + 0.012, 0, 0.012))
    return cover, np.asarray(brightness)


def _over(below: Vector, above: Vector, cover: Vector) -> Vector:
    return np.asarray(below + (above - below) * cover[:, None])
