"""The inside of a mouth, painted where no picture of the person shows it.

From the back to the front: the dark of the throat in the tint of the lips, the tongue, lower teeth that go down with
the jaw, upper teeth that hang from the skull and not from the lip, and the shadows of both lips. Everything is a
smooth function of the mouth's shape, so it is quiet from frame to frame; it is as sharp and as grainy as the picture.
"""

from dataclasses import dataclass
from math import exp
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.dentition import Dentition, along_arch, arch_depth
from heygemd.render.atlas.gap import LUMA
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.atlas.shown import Light

Vector = NDArray[np.float64]

CAVITY_TINT = np.array([0.15, 0.13, 0.24])
"""Share of the lips' blue, green, red in the dark of the mouth."""
CAVITY_LIGHT = (0.7, 1.4)
"""A source's own darkness makes the cavity darker and lighter by at most these factors."""
THROAT = 0.45
"""How much darker than its rim the middle of the cavity is."""
TONGUE_TINT = np.array([0.57, 0.50, 0.68])
"""The same for the brightest part of the tongue. Much brighter, and a tracker takes it for the lower lip."""
TONGUE_HEIGHT = (0.05, 0.60, 0.15)
"""Its height in the middle, in eye distances: the least, its growth with the opening, the most."""
TONGUE_HALF = 0.26
"""Half its width; a narrow mouth shows less of it."""
TONGUE_FOOT = 0.55
"""How bright it is behind the lower lip, relative to its brightest part."""
TOOTH_LUMA = (0.93, 0.55)
"""Luma of teeth is the first times the skin's to the power of the second (both of 255): dark skin has bright teeth.

Fitted, like the two tints, to the teeth of 76 faces of the training pictures that models/landmark74.md names (spread: a
third)."""
TOOTH_TINT = np.array([0.90, 0.975, 1.09])
"""Colour of teeth relative to their luma; blue, green, red."""
SKIN_TINT = np.array([0.77, 0.92, 1.25])
"""The same of the skin around them. Teeth take half of the skin's deviation from it."""
TINT_BOUNDS = (0.7, 1.4)
"""What is believed of a light's colour."""
EDGE_SHOWN = (0.012, 0.40, 0.062)
"""How far the upper teeth's edge lies below the lip that they hang from: at rest, its growth with the opening, and
the most."""
PARTED = (0.012, 0.075)
"""Openings up to the first let no light on the teeth; from the second on they are fully lit."""
RISING = 0.03
"""How much less of the teeth the corners of the mouth show: the lips are drawn over them."""
CORNER_SHADE = (0.62, 0.98)
"""Between these places of the mouth (0: middle, 1: corner) the light on the teeth fades to little."""
LOWER_SHOWN = (0.11, 0.25, 0.034)
"""Lower teeth rise over the lower lip between these openings, at most so high."""
TONGUE_LIT, TONGUE_DIM = (0.03, 0.14), 0.45
"""Heights of the gap below the upper teeth between which light reaches the tongue and it comes to be seen, and how
bright it is in the shade: below a smile that opens a little there is only the dark."""
LOWER_WORTH = (0.012, 0.026)
"""Heights of lower teeth up to which none are drawn, and from which on they are: a row of mere tips looks like wire."""
LOWER_LIGHT = 0.68
BITING = 0.006
"""How far the upper teeth reach beyond the edge of the lower lip that they touch (f, v)."""
LEAST_SOFT = 0.0035
"""Half width of an edge in a very sharp picture."""
LIP_SHADOW = 0.032
"""How far down the shadow of the upper lip reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cavity:
    """The n pixels to paint; lengths are eye distances."""

    x: Vector
    y: Vector
    """float64[n]: in the plane of the teeth, see `gap.FacePlane`."""
    midline: float
    """x of the middle of the lips."""
    across: Vector
    """float64[n]: -1 at the left corner of the mouth .. 1 at the right."""
    below_upper: Vector
    """float64[n]: distance from the upper lip; negative on the lip."""
    above_lower: Vector
    """float64[n]: distance from the lower lip."""
    top: float
    """y of the middle of the upper lip, from which the upper teeth hang."""
    slant: Vector
    """float64[2]: of the plane of the teeth."""
    opening: float
    biting: float
    """0..1: the upper teeth touch the lower lip (f, v)."""
    light: Light
    eye_px: float
    upper_absent: float
    lower_absent: float
    """0..1: how surely the source shows no upper teeth of its own, and too little to tell of lower ones."""
    dark_luma: float
    """Of the dark that the source itself shows of its mouth."""
    dark_share: float
    """0..1: how far the cavity takes that luma."""

    @property
    def soft(self) -> float:
        """Half width of the sharpest edges that the picture holds, in eye distances."""
        return max(LEAST_SOFT, 1.2 * self.light.soft_px / self.eye_px)

    @property
    def lit(self) -> float:
        """How much light falls between the lips: 0..1."""
        return soft_step(self.opening, *PARTED)

    @property
    def hang(self) -> float:
        """How far below `top` the longest upper teeth of most people end."""
        rest, growth, most = EDGE_SHOWN
        return rest + (most - rest) * (1 - exp(-growth * max(self.opening, 0.0) / (most - rest)))


class UpperTeeth(Protocol):
    """Somebody's upper row of teeth."""

    @property
    def shaded(self) -> float:
        """How far below the upper lip its shadow on them is still to be painted."""
        ...

    def hang(self, cavity: Cavity) -> float:
        """Tell how far below the middle of the upper lip the longest of them ends."""
        ...

    def colour(self, light: Light) -> Vector:
        """Tell their colour in a light: float64[3] BGR."""
        ...

    def look(self, cavity: Cavity, hang: float) -> tuple[Vector, Vector]:
        """Cover (0..1, float64[n]) and colour (float64[n, 3]) of the teeth in full light, ending at `hang`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownTeeth:
    """Upper teeth of nobody's picture."""

    dentition: Dentition

    @property
    def shaded(self) -> float:
        """How far below the upper lip its shadow on them is still to be painted."""
        return LIP_SHADOW

    def hang(self, cavity: Cavity) -> float:
        """Tell how far below the middle of the upper lip the longest of them ends."""
        return cavity.hang * self.dentition.show

    def colour(self, light: Light) -> Vector:
        """Tell their colour in a light: float64[3] BGR."""
        return tooth_colour(light.skin)

    def look(self, cavity: Cavity, hang: float) -> tuple[Vector, Vector]:
        """Cover (0..1, float64[n]) and colour (float64[n, 3]) of the teeth in full light, ending at `hang`."""
        row, soft = self.dentition.upper, cavity.soft
        t, height = along_arch(cavity.x - cavity.midline, cavity.y - cavity.top, cavity.slant)
        ends = row.length(t, hang)
        ends = ends - RISING * smoothstep(np.abs(cavity.across), 0.35, 0.95)
        cover = smoothstep(ends - height, -soft, soft) * _within(t, row.borders, soft)
        # Beside own teeth those of nobody would be seen to be none.
        cover = cover * max(cavity.upper_absent, cavity.biting)
        colour = tooth_colour(cavity.light.skin) * row.shade(t, np.maximum(ends - height, 0), soft=soft)
        return np.asarray(cover), np.asarray(colour)


def paint_interior(cavity: Cavity, teeth: UpperTeeth, dentition: Dentition) -> Vector:
    """Colour every pixel of the cavity: float64[n, 3] BGR. Lower teeth are those of the dentition."""
    colour = _throat(cavity)
    hang = teeth.hang(cavity)
    tongue, seen = _tongue(cavity)
    lit = soft_step(cavity.opening - hang, *TONGUE_LIT)
    colour = _over(colour, tongue * (TONGUE_DIM + (1 - TONGUE_DIM) * lit), seen * lit)
    colour = _over(colour, *_lower_teeth(cavity, dentition, teeth.colour(cavity.light)))
    biting = cavity.biting
    # Teeth that bite the lower lip reach it all along its middle.
    reach = float(np.max(cavity.below_upper + cavity.above_lower, initial=0.0)) + BITING
    cover, tooth = teeth.look(cavity, hang + biting * max(reach - hang, 0.0))
    shadow = 0.60 + 0.40 * smoothstep(cavity.below_upper, -0.2 * teeth.shaded, teeth.shaded)
    shadow *= 0.55 + 0.45 * max(cavity.lit, 0.8 * biting)
    shadow *= 1 - 0.75 * smoothstep(np.abs(cavity.across), *CORNER_SHADE)
    colour = _over(colour, tooth * shadow[:, None], cover)
    contact = 0.70 + 0.30 * smoothstep(cavity.below_upper, 0, 0.016)
    contact *= 0.86 + 0.14 * smoothstep(cavity.above_lower, 0, 0.012)
    contact *= np.clip(1 + cavity.light.slope * (cavity.x - cavity.midline), 0.7, 1.3)
    return np.asarray(colour * contact[:, None])


def tooth_colour(skin_colour: Vector) -> Vector:
    """Guess the colour of teeth under the light that falls on the skin: float64[3] BGR."""
    luma = float(np.clip(skin_colour @ LUMA, 1.0, 255.0))
    factor, power = TOOTH_LUMA
    light = np.clip(skin_colour / luma / SKIN_TINT, *TINT_BOUNDS)
    return np.asarray(255 * factor * (luma / 255) ** power * TOOTH_TINT * (1 + 0.5 * (light - 1)))


def _throat(cavity: Cavity) -> Vector:
    """Give the cavity its colour: tinted by the lips, as dark as the source shows it, darkest in the middle."""
    dark = cavity.light.lip * CAVITY_TINT + 2
    ratio = float(np.clip(cavity.dark_luma / float(dark @ LUMA), *CAVITY_LIGHT))
    dark = dark * (1 + cavity.dark_share * (ratio - 1))
    height = np.maximum(cavity.below_upper + cavity.above_lower, 1e-3)
    middle = (1 - cavity.across**2) * smoothstep(cavity.below_upper / height, 0.1, 0.5)
    deep = THROAT * soft_step(cavity.opening, 0.04, 0.16) * middle
    return np.asarray(dark * (1 - deep)[:, None])


def _tongue(cavity: Cavity) -> tuple[Vector, Vector]:
    """Colour and cover of the tongue: it lies on the floor of the mouth, rises with the opening, and is wet."""
    least, growth, most = TONGUE_HEIGHT
    x, _ = along_arch(cavity.x - cavity.midline, cavity.y, 0.7 * cavity.slant)
    half = np.minimum(TONGUE_HALF, 0.8 * np.max(np.abs(cavity.x - cavity.midline), initial=0.1))
    u = np.clip(x / half, -1, 1)
    rise = least + growth * max(cavity.opening - 0.07, 0)
    middle = most * (1 - np.exp(-rise / most))
    # Its edge is lower in the middle, where a groove runs back.
    height = middle * (1 - 0.55 * u**2 - 0.16 * np.exp(-((u / 0.22) ** 2)))
    up = cavity.above_lower / np.maximum(height, 1e-3)
    seen = 0.92 * soft_step(cavity.opening, 0.04, 0.13) * (1 - smoothstep(np.abs(u), 0.72, 1.0))
    cover = seen * (1 - smoothstep(up, 0.62, 1.12))
    shade = TONGUE_FOOT + (1 - TONGUE_FOOT) * smoothstep(up, 0.0, 0.6)
    shade *= (1 - 0.38 * smoothstep(up, 0.55, 1.1)) * (1 - 0.35 * u**2)
    shade *= 1 - 0.16 * np.exp(-((u / 0.10) ** 2)) * smoothstep(up, 0.1, 0.6)
    colour = cavity.light.lip * TONGUE_TINT * shade[:, None]
    wet = np.exp(-(((np.abs(u) - 0.30) / 0.13) ** 2) - ((up - 0.62) / 0.16) ** 2)
    gloss = 0.16 * float(cavity.light.skin @ LUMA) * soft_step(cavity.opening, 0.07, 0.16) * seen
    return np.asarray(colour + (gloss * wet)[:, None] * np.array([0.95, 0.95, 1.0])), np.asarray(cover)


def _lower_teeth(cavity: Cavity, dentition: Dentition, tooth: Vector) -> tuple[Vector, Vector]:
    """Colour and cover of the tips of the lower teeth, which go down with the lip and are of the colour `tooth`."""
    low, high, most = LOWER_SHOWN
    row, soft = dentition.lower, cavity.soft
    t, _ = along_arch(cavity.x - cavity.midline, cavity.y, cavity.slant)
    ends = row.length(t, most * soft_step(cavity.opening, low, high)) - 0.5 * arch_depth(t) * most
    cover = smoothstep(ends - cavity.above_lower, -soft, soft) * smoothstep(ends, *LOWER_WORTH)
    cover *= smoothstep(np.abs(t), 0.20, 0.12) * cavity.lower_absent
    light = LOWER_LIGHT * (1 - 0.35 * cavity.biting) * (0.85 + 0.15 * smoothstep(cavity.above_lower, 0.0, 0.02))
    colour = tooth * row.shade(t, np.maximum(ends - cavity.above_lower, 0), soft=soft)
    return np.asarray(colour * light[:, None]), np.asarray(cover)


def _within(t: Vector, borders: Vector, soft: float) -> Vector:
    return smoothstep(t, borders[0] - soft, borders[0] + soft) * smoothstep(t, borders[-1] + soft, borders[-1] - soft)


def _over(below: Vector, above: Vector, cover: Vector) -> Vector:
    return np.asarray(below + (above - below) * cover[:, None])
