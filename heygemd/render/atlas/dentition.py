"""Teeth for a mouth that was never seen open: grown from a number, the same for the same person in every film.

The front teeth stand on an arch. A tooth has a place along it (`t`, eye distances from the midline as seen from the
front) and its edge a height; how far the arch runs back decides how a turned head shows it, and how dark it is there.

    t   -.3    -.2    -.1     0     .1     .2     .3
        ╭──┬───┬────┬──────┬──────┬────┬───┬──╮       seen from the front: 5 teeth on each side,
        ╰──┴─v─┴────┴──────┴──────┴────┴─v─┴──╯       incisors, canine (pointed), two premolars
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.ramp import smoothstep

Vector = NDArray[np.float64]

ARCH_DEPTH = 2.6
"""A tooth at `t` stands ARCH_DEPTH * t² behind the front ones: canines of adults are 8 mm behind, at 17 mm of 90."""
ARCH_STEPS = 4
"""Rounds in which a place on the arch is found; at 35 degrees each one leaves half of the error."""
UPPER_WIDTHS = np.array([0.088, 0.066, 0.064, 0.048, 0.044])
"""From the middle outwards, as seen from the front; 8.5, 6.5, 7.6, 7 and 6.7 mm wide, turning away."""
LOWER_WIDTHS = np.array([0.056, 0.060, 0.064, 0.050, 0.046])
SHORTER = np.array([0.0, 0.008, 0.001, 0.010, 0.016])
"""How much higher the edges of the upper teeth lie than that of the first."""
POINTED = np.array([0.0, 0.001, 0.008, 0.006, 0.005])
"""How far the middle of an edge stands out."""
WARMTH = np.array([0.0, 0.01, 0.05, 0.03, 0.03])
"""Canines are yellower: so much less blue, and half as much less green."""
SPREAD_WIDTH, SPREAD_EDGE, SPREAD_LIGHT, SPREAD_TILT = 0.05, 0.0025, 0.03, 0.003
"""Standard deviations from tooth to tooth: width (relative), edge, light (relative), slant of an edge."""
SPREAD_SIZE, SPREAD_MIDLINE = 0.05, 0.005
"""Of all teeth of a person together: size (relative), place of the midline."""
TOOTH_CORNER = 0.009
"""How far the corners of an edge are rounded off."""
SEAM = 0.0035
"""Half width of the shadow between two teeth."""
DARKER_BEHIND = 0.22
"""Depth at which the light has fallen to 1/e: the corners of a mouth are dark."""
PER_SIDE = len(UPPER_WIDTHS)


def along_arch(x: Vector, y: Vector, slant: Vector) -> tuple[Vector, Vector]:
    """Find the places t and heights of the tooth points that are seen at x, y of the plane of the teeth.

    `slant` is that of the `FacePlane`.
    """
    t = x
    for _ in range(ARCH_STEPS):
        t = x - slant[0] * arch_depth(t)
    return t, np.asarray(y - slant[1] * arch_depth(t))


def arch_depth(t: Vector) -> Vector:
    """Tell how far behind the front teeth the arch runs at t; beyond the last tooth it runs straight back."""
    last = float(UPPER_WIDTHS.sum())
    return np.asarray(ARCH_DEPTH * np.clip(t, -last, last) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Ten teeth of one jaw, from the left of the picture to the right."""

    borders: Vector
    """float64[11]: places along the arch."""
    edge: Vector
    """float64[10]: how much shorter than the longest a tooth is."""
    pointed: Vector
    tilt: Vector
    """float64[10]: rise of the edge from one side of the tooth to its middle."""
    light: Vector
    warmth: Vector

    def place(self, t: Vector) -> tuple[NDArray[np.intp], Vector]:
        """Tooth number, and -1..1 across that tooth."""
        tooth = np.clip(np.searchsorted(self.borders, t, side="right") - 1, 0, 2 * PER_SIDE - 1)
        left, right = self.borders[tooth], self.borders[tooth + 1]
        return tooth, np.clip(2 * (t - left) / (right - left) - 1, -1, 1)

    def length(self, t: Vector, longest: float) -> Vector:
        """Where the teeth end below the line from which they hang, when the longest one does so at `longest`."""
        tooth, u = self.place(t)
        own = np.minimum(self.edge[tooth] + self.tilt[tooth] * u, longest)
        return np.asarray(longest - own - self.pointed[tooth] * np.abs(u) - TOOTH_CORNER * np.abs(u) ** 5)

    def shade(self, t: Vector, up: Vector, *, soft: float) -> Vector:
        """Light on the teeth as float64[n, 3] of blue, green, red, 1 for the front of a tooth.

        `up` is the distance from the edge upwards, `soft` half the width of the picture's sharpest edges.
        """
        tooth, u = self.place(t)
        half = (self.borders[tooth + 1] - self.borders[tooth]) / 2
        seam = np.hypot(SEAM, soft)
        light = self.light[tooth] * (1 - 0.07 * u**4)
        light *= 1 - 0.32 * SEAM / seam * np.exp(-(((1 - np.abs(u)) * half / seam) ** 2))
        light *= np.exp(-arch_depth(t) / DARKER_BEHIND)
        colour = np.repeat(light[:, None], 3, axis=1)
        warm = self.warmth[tooth] + 0.04 * smoothstep(up, 0.03, 0.09)
        colour *= 1 - warm[:, None] * np.array([1.0, 0.5, 0.0])
        # Enamel is thin at its edge, and the dark behind shines through, bluish.
        clear = smoothstep(up, 0.018, 0.002)
        return np.asarray(colour * (1 - clear[:, None] * np.array([0.03, 0.06, 0.09])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dentition:
    """The teeth of a person whose own were never seen."""

    upper: Row
    lower: Row
    show: float
    """How much of the upper teeth a wide mouth shows, relative to most people's."""


def grow(seed: int) -> Dentition:
    """Grow the teeth of the person with this number."""
    random = np.random.default_rng(np.random.Philox(seed))
    size = 1 + SPREAD_SIZE * _bounded(random, ())
    midline = SPREAD_MIDLINE * float(_bounded(random, ()))
    upper = _row(random, UPPER_WIDTHS * size, midline, SHORTER, POINTED)
    lower = _row(random, LOWER_WIDTHS * size, midline, 0.3 * SHORTER, 0.5 * POINTED)
    return Dentition(upper=upper, lower=lower, show=1 + 0.12 * float(_bounded(random, ())))


def _row(random: np.random.Generator, widths: Vector, midline: float, edge: Vector, pointed: Vector) -> Row:
    """Let both sides differ less from each other than from the next person."""
    sides = 0.8 * np.tile(_bounded(random, (5, PER_SIDE)), (2, 1, 1)) + 0.6 * _bounded(random, (2, 5, PER_SIDE))
    spread = np.concatenate([sides[0, :, ::-1], sides[1]], axis=1)
    width = _both(widths) * (1 + SPREAD_WIDTH * spread[0])
    borders = np.concatenate([[0.0], np.cumsum(width)])
    return Row(
        borders=borders - borders[PER_SIDE] + midline,
        edge=np.maximum(_both(edge) + SPREAD_EDGE * spread[1], 0),
        pointed=_both(pointed),
        tilt=SPREAD_TILT * spread[2],
        light=1 + SPREAD_LIGHT * spread[3],
        warmth=np.maximum(_both(WARMTH) + 0.4 * SPREAD_LIGHT * spread[4], 0),
    )


def _both(values: Vector) -> Vector:
    return np.concatenate([values[::-1], values])


def _bounded(random: np.random.Generator, shape: tuple[int, ...]) -> Vector:
    """Draw from a normal distribution without its tails."""
    return np.clip(random.standard_normal(shape), -2, 2)
