"""What a source mouth shows of its inside, and in which light: teeth, the line between them, the dark.

Everything is read off the one picture and rises and falls softly, so that film made in pieces stays the same film
and does not flicker.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import LUMA, MIDDLE, Coordinates, DarkLine, Profile, sample
from heygemd.render.atlas.mesh import LIP_OUTLINE
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.atlas.shape import Face
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


LIP_SAMPLES = np.array([16, 315, 85, 15])
SKIN_SAMPLES = np.array([164, 393, 167, 18, 200, 313, 83])
LEFT_SKIN, RIGHT_SKIN = np.array([207, 212, 214, 216]), np.array([427, 432, 434, 436])
"""Vertices on the lips, on the skin around them, and beside the corners of the mouth."""
SLOPE_BOUND = 0.8
"""Most that is believed of a relative change of light over one eye distance."""
FACE_MARGIN = 0.12
"""Sharpness and noise are measured so far around the lips."""
GRAIN_SHARE = 12
"""Percentile of the residuals that tells the noise: the smoothest of skin and lips, without pores and hair."""
MOST_GRAIN = 8.0
"""Of a pixel, in luma; more is texture."""
SOFT_BOUNDS_PX = (0.4, 4.0)
PROBES_PX = (0.8, 1.6)
"""Standard deviations of two blurs: an edge that survives the second as well as the first is soft itself."""
SHARPEST_SHARE = 97
"""Percentile of the gradients that are taken for edges, and of their sharpness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """The light in which a source was taken, and what its camera made of it."""

    lip: Vector
    skin: Vector
    """float64[3]: colours of the lips and of the skin around them; blue, green, red."""
    slope: float = 0.0
    """How much brighter the right of the picture is: relative change per eye distance."""
    grain: float = 0.0
    """Standard deviation of the noise of a pixel, in luma."""
    soft_px: float = SOFT_BOUNDS_PX[0]
    """Standard deviation of the blur of the sharpest edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What can be seen between the lips of a source."""

    line: DarkLine
    teeth: float
    """0..1: how surely a row of upper teeth, tall enough to keep."""
    lower_teeth: float
    """0..1: how surely something like teeth in the lower half, be it the lower ones or those of shut jaws."""
    cavity_luma: float
    """Of its darkest part."""
    cavity_share: float
    """0..1: how surely that is the dark of the mouth."""


def look_inside(
    picture: Bgr, profile: Profile, axes: Coordinates, *, opening: float, lip: Vector, skin: Vector
) -> Shown:
    """Look between the lips of a source, in the middle of the mouth; `lip` and `skin` are its colours."""
    x, upper, lower = (
        np.repeat(a[MIDDLE, None], len(SHARES), axis=1) for a in (profile.x, profile.upper, profile.lower)
    )
    colour = sample(picture, axes.join(x, upper + (lower - upper) * SHARES))
    luma = colour @ LUMA
    tooth = toothness(colour, lip, skin)
    teeth, lower_teeth = (soft_step(_toothed(tooth[:, rows]), *TEETH_SEEN) for rows in (UPPER_ROWS, LOWER_ROWS))
    cavity_luma = float(np.sort(luma, axis=1)[:, :CAVITY_ROWS].mean())
    return Shown(
        line=_dark_line(luma, worth_below=max(teeth, lower_teeth)),
        teeth=teeth * soft_step(opening, *TALL_TEETH),
        lower_teeth=lower_teeth,
        cavity_luma=cavity_luma,
        cavity_share=1 - soft_step(cavity_luma / max(float(lip @ LUMA), 1.0), *CAVITY_LUMA),
    )


def toothness(colour: Vector, lip: Vector, skin: Vector) -> Vector:
    """Tell how much BGR colours [..., 3] look like teeth: float64[...], 0..1."""
    bright = smoothstep(colour @ LUMA / max(float(skin @ LUMA), 1.0), *TOOTH_LUMA)
    lip_red = max(float(_redness(lip)) - 1, LEAST_LIP_RED)
    pale = smoothstep((_redness(colour) - 1) / lip_red, *TOOTH_RED)
    return np.asarray(bright * pale)


def _toothed(tooth: Vector) -> float:
    """Tell which share of the columns of toothness[column, row] shows a tooth."""
    return float(np.sort(tooth, axis=1)[:, -TOOTH_ROWS:].mean())


def light_of(picture: Bgr, face: Face) -> Light:
    """Measure the light on a face and the sharpness and noise of its picture, around the mouth."""
    left, right = (float(_median_colour(picture, face, side) @ LUMA) for side in (LEFT_SKIN, RIGHT_SKIN))
    apart = float(face.shape[RIGHT_SKIN, 0].mean() - face.shape[LEFT_SKIN, 0].mean())
    slope = 2 * (right - left) / max(right + left, 1.0) / apart
    grain, soft_px = _texture_of(picture, face)
    return Light(
        lip=_median_colour(picture, face, LIP_SAMPLES),
        skin=_median_colour(picture, face, SKIN_SAMPLES),
        slope=float(np.clip(slope, -SLOPE_BOUND, SLOPE_BOUND)),
        grain=grain,
        soft_px=soft_px,
    )


def _median_colour(picture: Bgr, face: Face, vertices: NDArray[np.intp]) -> Vector:
    """Take the median colour of the picture at some vertices: float64[3] BGR."""
    height, width = picture.shape[:2]
    x, y = np.rint(face.vertices[vertices]).astype(int).T
    return np.asarray(np.median(picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], axis=0), np.float64)


def _texture_of(picture: Bgr, face: Face) -> tuple[float, float]:
    """Measure noise (luma) and softness (pixels) of the picture around the mouth."""
    margin = FACE_MARGIN * face.eye_px
    low = np.maximum(np.floor(face.vertices[LIP_OUTLINE].min(axis=0) - margin).astype(int), 0)
    high = np.ceil(face.vertices[LIP_OUTLINE].max(axis=0) + margin).astype(int)
    luma = np.asarray(picture[low[1] : high[1], low[0] : high[0]] @ LUMA.astype(np.float32), np.float32)
    if min(luma.shape, default=0) < 8:  # noqa: PLR2004  # no picture to measure
        return 0.0, SOFT_BOUNDS_PX[0]
    residual = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), PROBES_PX[1]))
    spread = cv2.blur(residual, (5, 5))
    # A mean absolute deviation is 0.8 standard deviations.
    grain = float(np.percentile(spread, GRAIN_SHARE)) / 0.8
    slopes = [np.hypot(cv2.Sobel(b, cv2.CV_32F, 1, 0), cv2.Sobel(b, cv2.CV_32F, 0, 1)) for b in _blurred(luma)]
    edges = slopes[1] >= np.percentile(slopes[1], SHARPEST_SHARE)
    ratio = float(np.percentile(slopes[0][edges] / np.maximum(slopes[1][edges], 1e-3), SHARPEST_SHARE))
    # The slope of a step blurred by s, then by a probe p, is as 1 / sqrt(s² + p²).
    near, far = (probe**2 for probe in PROBES_PX)
    square = (far - ratio**2 * near) / max(ratio**2 - 1, 1e-3)
    return min(grain, MOST_GRAIN), float(np.clip(np.sqrt(max(square, 0.0)), *SOFT_BOUNDS_PX))


def _blurred(luma: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [np.asarray(cv2.GaussianBlur(luma, (0, 0), probe), np.float32) for probe in PROBES_PX]


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
