"""What a source mouth shows of its inside: the line between its teeth, its upper teeth, its darkness.

Everything is read off the one picture and rises and falls softly, so that film made in pieces stays the same film
and does not flicker.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import LUMA, MIDDLE, Axes, DarkLine, Profile, sample
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

SHARES = np.linspace(0.1, 0.9, 17)
"""Rows looked at: 0 at the upper lip .. 1 at the lower."""
UPPER_ROWS = slice(0, 11)
"""Those of them where upper teeth hang; what is pale further down are lower teeth or a shining lip."""
LOWER_ROWS = slice(8, None)
"""Those where lower teeth may stand."""
TOOTH_ROWS = 3
"""So many tooth-coloured rows make a column show a tooth."""
TOOTH_LUMA = (0.40, 0.62)
"""Luma relative to the skin's: below the first it is too dark for a tooth, from the second on it is not."""
TOOTH_RED = (0.85, 0.55)
"""Redness relative to the lips': tongue and gums lie above the first, teeth below the second."""
LEAST_LIP_RED = 0.05
"""Keeps redness relative to the lips finite in grey pictures."""
TEETH_SEEN = (0.15, 0.50)
"""Share of the columns that show a tooth: up to the first no row of teeth is seen, from the second on one is.

Over nine clips of talking people, mouths without upper teeth lay at 0.00 .. 0.27, nearly all others above 0.45.
"""
TALL_TEETH = (0.050, 0.070)
"""Openings up to the first show too little of the teeth to fill a wide mouth; from the second on enough."""
LINE_ROWS = slice(4, None)
"""Those where the line between upper and lower teeth may lie; a dark row further up is the upper lip's shadow."""
CAVITY_ROWS = 4
"""So many of a column's darkest rows are the cavity."""
CAVITY_LUMA = (0.35, 0.60)
"""Relative to the lips': up to the first it is the cavity, from the second on there is no cavity to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What can be seen between the lips of a source."""

    line: DarkLine
    teeth: float
    """0..1: how surely a row of upper teeth, tall enough to keep."""
    cavity_luma: float
    """Of its darkest part."""
    cavity_share: float
    """0..1: how surely that is the dark of the mouth."""


def look_inside(picture: Bgr, profile: Profile, axes: Axes, *, opening: float, lip: Vector, skin: Vector) -> Shown:
    """Look between the lips of a source, in the middle of the mouth; `lip` and `skin` are its colours."""
    x, upper, lower = (
        np.repeat(a[MIDDLE, None], len(SHARES), axis=1) for a in (profile.x, profile.upper, profile.lower)
    )
    colour = sample(picture, axes.join(x, upper + (lower - upper) * SHARES))
    luma = colour @ LUMA
    teeth, lower_teeth = (
        soft_step(_toothed(colour[:, rows], lip, skin), *TEETH_SEEN) for rows in (UPPER_ROWS, LOWER_ROWS)
    )
    cavity_luma = float(np.sort(luma, axis=1)[:, :CAVITY_ROWS].mean())
    return Shown(
        line=_dark_line(luma, worth_below=max(teeth, lower_teeth)),
        teeth=teeth * soft_step(opening, *TALL_TEETH),
        cavity_luma=cavity_luma,
        cavity_share=1 - soft_step(cavity_luma / max(float(lip @ LUMA), 1.0), *CAVITY_LUMA),
    )


def _toothed(colour: Vector, lip: Vector, skin: Vector) -> float:
    """Tell which share of the columns of colour[column, row, 3] shows a tooth."""
    bright = smoothstep(colour @ LUMA / max(float(skin @ LUMA), 1.0), *TOOTH_LUMA)
    lip_red = max(float(_redness(lip)) - 1, LEAST_LIP_RED)
    pale = smoothstep((_redness(colour) - 1) / lip_red, *TOOTH_RED)
    return float(np.sort(bright * pale, axis=1)[:, -TOOTH_ROWS:].mean())


def _redness(colour: Vector) -> Vector:
    """Red relative to green, of BGR colours."""
    return np.asarray(colour[..., 2] / np.maximum(colour[..., 1], 1.0))


def _dark_line(luma: Vector, *, worth_below: float) -> DarkLine:
    """Find the dark line between the teeth in luma[column, row]."""
    rows, shares = np.median(luma, axis=0)[LINE_ROWS], SHARES[LINE_ROWS]
    brightest = max(float(rows.max()), 1.0)
    # Of equally dark rows, the one a little below the middle: upper teeth show more than lower ones.
    row = int((rows + 0.15 * brightest * np.abs(shares - 0.65)).argmin())
    clearness = float(np.clip((0.62 - rows[row] / brightest) / 0.25, 0, 1))
    return DarkLine(row=float(shares[row]) * clearness + 1 - clearness, clearness=clearness, worth_below=worth_below)
