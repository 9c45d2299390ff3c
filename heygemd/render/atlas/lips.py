"""The inner edge of the lips: where their red really begins in a source, and the line where they meet."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import LUMA, Axes, Profile, sample
from heygemd.render.atlas.mesh import (
    COLUMNS,
    LOWER_INNER,
    LOWER_LIP_MIDDLE,
    LOWER_OUTER,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    UPPER_OUTER,
)
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
SEARCH_SHARES = np.append(np.linspace(0, SEARCH_SHARE, SEARCH_STEPS), 0.7)
"""Parts of that way looked at; the last one lies on the lip in any case."""
INNER, OUTER = (UPPER_INNER, LOWER_INNER), (UPPER_OUTER, LOWER_OUTER)
TOOTH_LUMA, CAVITY_LUMA = 1.25, 0.55
"""Relative to the lips' own luma: brighter and paler is a tooth, darker is the inside of the mouth."""
HOLE_ROWS = 25
"""Points looked at from the outer contour of the upper lip to that of the lower."""
LIP_ROWS = slice(4, 8)
"""Those of them that lie on the red of the upper lip, the darker one."""
HOLE_LUMA = (0.42, 0.30)
"""Relative to the upper lip: down to the first it may be the line between closed lips, from the second on a hole."""
HOLE = (0.010, 0.020)
"""Heights of what is that dark: up to the first the lips are closed, from the second on they are parted."""
LINE_WIDTH = 0.006
"""Half width of the line between closed lips."""
LINE_TINT = np.array([0.42, 0.45, 0.60])
"""Its colour: share of the lips' blue, green, red."""
LINE_STRENGTH = 0.7


def seen_face(picture: Bgr, face: Face) -> Face:
    """Part the inner contour of a face whose lips the tracker takes for closed, where a dark hole lies between them.

    Rounded lips are read as closed: their hole is small and has the colour of a shadow. What is no darker than the line
    between closed lips stays as it is.
    """
    believed = 1 - soft_step(face.opening, *SLIT)
    if believed == 0:
        return face
    height, middle = _hole(picture, face)
    share = believed * smoothstep(height, *HOLE)
    if not share.any():
        return face
    vertices, shape = face.vertices.copy(), face.shape.copy()
    for inner, side in ((UPPER_INNER, -0.5), (LOWER_INNER, 0.5)):
        edge = middle + (side * height)[:, None] * face.down
        move = (share[:, None] * (edge - face.vertices[inner])) @ face.down / face.eye_px**2
        vertices[inner] += move[:, None] * face.down
        shape[inner, 1] += move
    opening = float(shape[LOWER_LIP_MIDDLE, 1] - shape[UPPER_LIP_MIDDLE, 1])
    return replace(face, vertices=vertices, shape=shape, opening=max(opening, face.opening))


def _hole(picture: Bgr, face: Face) -> tuple[Vector, Vector]:
    """Measure what is as dark as the inside of a mouth between the outer contours.

    Returns float64[11], its height in every column in eye distances, and float64[11, 2], its middle in the picture.
    """
    share = np.linspace(0, 1, HOLE_ROWS)
    start, way = face.vertices[UPPER_OUTER], face.vertices[LOWER_OUTER] - face.vertices[UPPER_OUTER]
    rows = start[:, None] + way[:, None] * share[None, :, None]
    luma = sample(picture, rows) @ LUMA
    lip = float(np.median(luma[2 : COLUMNS - 2, LIP_ROWS]))
    dark = smoothstep(luma / max(lip, 1.0), *HOLE_LUMA)
    dark[:, : LIP_ROWS.start] = dark[:, -LIP_ROWS.start :] = 0
    dark[[0, -1]] = 0
    amount = dark.sum(axis=1)
    height = amount * np.linalg.norm(way, axis=1) / face.eye_px / (HOLE_ROWS - 1)
    middle = (dark[..., None] * rows).sum(axis=1) / np.maximum(amount, 1e-6)[:, None]
    smooth = 0.5 * height
    smooth[1:] += 0.25 * height[:-1]
    smooth[:-1] += 0.25 * height[1:]
    return np.minimum(smooth, height), np.where(amount[:, None] > 0, middle, start + way / 2)


def clean_contour(picture: Bgr, face: Face, *, opening: float) -> Vector:
    """Move a source's inner contour into its lips as far as they part from it or meet: float64[468, 2]."""
    parting = soft_step(_ratio(face, opening), *PARTING) * soft_step(opening, *SLIT)
    amount = max(parting, meeting(face, opening=opening))
    vertices = face.vertices.copy()
    if amount == 0:
        return vertices
    # At the corners the lips meet; next to them they part as steeply as a circle.
    envelope = np.sqrt(np.sin(np.linspace(0, np.pi, COLUMNS)).clip(0))
    for reach, inner, side, least in zip(
        _reach(picture, face), INNER, (-1, 1), (UPPER_SHIFT * LEAST_SHIFT, LEAST_SHIFT), strict=True
    ):
        vertices[inner] += (side * amount * np.maximum(reach, least) * envelope)[:, None] * face.down
    return vertices


def meeting(face: Face, *, opening: float) -> float:
    """Tell how far (0..1) an open source mouth is being closed."""
    return soft_step(_ratio(face, opening), *MEETING) * soft_step(face.opening, *SLIT)


def _ratio(face: Face, opening: float) -> float:
    """Wanted opening relative to the source's own; for a closed mouth a large number."""
    return opening / max(face.opening, LEAST_OPENING)


def _reach(picture: Bgr, face: Face) -> Vector:
    """Measure how far what is not lip reaches beyond the tracked contours: float64[2, 11], upper and lower lip."""
    start, end = (face.vertices[np.stack(contour)] for contour in (INNER, OUTER))
    way = end - start
    colour = sample(picture, start[:, :, None] + way[:, :, None] * SEARCH_SHARES[:, None])
    colour, lip = colour[:, :, :-1], _middle(colour[:, 2 : COLUMNS - 2, -1])
    luma = colour @ LUMA / np.maximum(lip @ LUMA, 1.0)[:, None, None]
    red, lip_red = _redness(colour), _redness(lip)[:, None, None]
    foreign = ((luma > TOOTH_LUMA) & (red < (1 + lip_red) / 2)) | (luma < CAVITY_LUMA)
    last = SEARCH_STEPS - foreign[:, :, ::-1].argmax(axis=2)
    steps = np.where(foreign.any(axis=2), last, 0) / (SEARCH_STEPS - 1)
    reach = steps * np.linalg.norm(way, axis=2) / face.eye_px * SEARCH_SHARE
    # A single column may be a glint; then the edge is made smooth.
    left, right = reach[:, [0, *range(COLUMNS - 1)]], reach[:, [*range(1, COLUMNS), COLUMNS - 1]]
    steady = np.maximum(np.minimum(left, reach), np.minimum(np.maximum(left, reach), right))
    left, right = steady[:, [0, *range(COLUMNS - 1)]], steady[:, [*range(1, COLUMNS), COLUMNS - 1]]
    return np.asarray(np.clip(0.25 * left + 0.5 * steady + 0.25 * right, 0, MOST_SHIFT))


def _middle(colours: Vector) -> Vector:
    """Take the median over the second axis: float64[2, 3] of float64[2, n, 3], n odd."""
    return np.asarray(np.sort(colours, axis=1)[:, colours.shape[1] // 2])


def nearer_lip(picture: Bgr, contour: Vector, after: Vector, down: Vector, pixels: Vector) -> Vector:
    """Colour pixels between the target's lips by the source's lip edge nearest to them: float64[n, 3].

    `after` are the target's vertices and `down` its downward direction; `contour` the source's vertices in `picture`.
    """
    axes = Axes.along(down)
    target = Profile.of(after, axes)
    x, y = axes.split(pixels)
    upper, lower = target.at(x)
    column = target.columns(x)
    nearer_upper = (y - upper < lower - y)[:, None]
    first = np.minimum(column.astype(int), COLUMNS - 2)
    share = (column - first)[:, None]
    edge = np.where(nearer_upper, contour[UPPER_INNER[first]], contour[LOWER_INNER[first]])
    following = np.where(nearer_upper, contour[UPPER_INNER[first + 1]], contour[LOWER_INNER[first + 1]])
    return sample(picture, edge + share * (following - edge))


def _redness(colour: Vector) -> Vector:
    """Red relative to green, of BGR colours."""
    return np.asarray(colour[..., 2] / np.maximum(colour[..., 1], 1.0))


def draw_line(
    layer: Bgr, target: Profile, axes: Axes, origin: NDArray[np.intp], *, lip: Vector, strength: float, eye_px: float
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
