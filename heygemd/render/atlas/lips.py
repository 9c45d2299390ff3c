"""The inner edge of the lips: where their red really begins in a source, and the line where they meet."""

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import LUMA, Axes, Profile, sample
from heygemd.render.atlas.mesh import COLUMNS, LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.atlas.shape import LEAST_OPENING, Face
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

PARTING, MEETING = (1.05, 1.6), (0.95, 0.4)
"""Ratios of wanted to own opening between which lips count as parting, and as meeting."""
SLIT = (0.015, 0.035)
"""Openings between which closed lips become an open mouth."""
LEAST_SHIFT = 0.014
MOST_SHIFT = 0.06
"""How far inside the red of the lips a source's contour is taken, so that no teeth or shadow sticks to a lip."""
UPPER_SHIFT = 0.6
"""The upper contour is tracked better: this part of the least shift is enough."""
SEARCH_SHARE = 0.6
"""The search for the edge ends at this part of the way to the outer contour."""
SEARCH_STEPS = 9
TOOTH_LUMA, CAVITY_LUMA = 1.25, 0.55
"""Relative to the lips' own luma: brighter and paler is a tooth, darker is the inside of the mouth."""
LINE_WIDTH = 0.006
"""Half width of the line between closed lips."""
LINE_TINT = np.array([0.42, 0.45, 0.60])
"""Its colour: share of the lips' blue, green, red."""
LINE_STRENGTH = 0.7


def clean_contour(picture: Bgr, face: Face, *, opening: float) -> Vector:
    """Move a source's inner contour into its lips as far as they part from it or meet: float64[468, 2]."""
    parting = soft_step(_ratio(face, opening), *PARTING) * soft_step(opening, *SLIT)
    amount = max(parting, meeting(face, opening=opening))
    vertices = face.vertices.copy()
    if amount == 0:
        return vertices
    envelope = np.sin(np.linspace(0, np.pi, COLUMNS))
    for inner, outer, side, least in (
        (LOWER_INNER, LOWER_OUTER, 1, LEAST_SHIFT),
        (UPPER_INNER, UPPER_OUTER, -1, UPPER_SHIFT * LEAST_SHIFT),
    ):
        reach = np.maximum(_reach(picture, face, inner, outer), least) * envelope
        vertices[inner] += (side * amount * reach)[:, None] * face.down
    return vertices


def meeting(face: Face, *, opening: float) -> float:
    """Tell how far (0..1) an open source mouth is being closed."""
    return soft_step(_ratio(face, opening), *MEETING) * soft_step(face.opening, *SLIT)


def _ratio(face: Face, opening: float) -> float:
    """Wanted opening relative to the source's own; for a closed mouth a large number."""
    return opening / max(face.opening, LEAST_OPENING)


def _reach(picture: Bgr, face: Face, inner: NDArray[np.int32], outer: NDArray[np.int32]) -> Vector:
    """Measure how far what is not lip reaches beyond the tracked contour: float64[11], eye distances."""
    share = np.linspace(0, SEARCH_SHARE, SEARCH_STEPS)
    start, way = face.vertices[inner], face.vertices[outer] - face.vertices[inner]
    colour = sample(picture, start[:, None] + way[:, None] * share[None, :, None])
    lip = np.median(sample(picture, (start + 0.7 * way)[2 : COLUMNS - 2]), axis=0)
    luma = colour @ LUMA / max(float(lip @ LUMA), 1.0)
    red, lip_red = _redness(colour), float(_redness(lip))
    foreign = ((luma > TOOTH_LUMA) & (red < (1 + lip_red) / 2)) | (luma < CAVITY_LUMA)
    steps = np.where(foreign.any(axis=1), SEARCH_STEPS - foreign[:, ::-1].argmax(axis=1), 0) / (SEARCH_STEPS - 1)
    length = np.linalg.norm(way, axis=1) / face.eye_px * SEARCH_SHARE
    padded = np.pad(steps * length, 1, mode="edge")
    steady = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    smooth = np.convolve(np.pad(steady, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    return np.asarray(np.clip(smooth, 0, MOST_SHIFT))


def _redness(colour: Vector) -> Vector:
    """Red relative to green, of BGR colours."""
    return np.asarray(colour[..., 2] / np.maximum(colour[..., 1], 1.0))


def draw_line(
    layer: Bgr, target: Profile, axes: Axes, origin: tuple[int, int], *, lip: Vector, strength: float, eye_px: float
) -> None:
    """Draw the line between closing lips into the layer (whose first pixel is at `origin`), in place.

    It fades where the lips are apart.
    """
    width_px = LINE_WIDTH * eye_px + 0.5
    columns, rows = (np.arange(length, dtype=np.float64) for length in (layer.shape[1], layer.shape[0]))
    x, y = axes.split(np.stack(np.meshgrid(columns, rows), axis=-1) + origin)
    upper, lower = target.at(x)
    near = (np.abs(y - (upper + lower) / 2) < 3 * width_px) & (x > target.x[0]) & (x < target.x[-1])
    distance = np.abs(y[near] - (upper[near] + lower[near]) / 2) / width_px
    apart = (lower[near] - upper[near]) / eye_px
    ends = smoothstep(1 - np.abs(2 * target.columns(x[near]) / (COLUMNS - 1) - 1), 0.0, 0.12)
    cover = LINE_STRENGTH * strength * np.exp(-(distance**2)) * smoothstep(apart, 0.02, 0.0) * ends
    layer[near] += cover[:, None] * (LINE_TINT * lip - layer[near])
