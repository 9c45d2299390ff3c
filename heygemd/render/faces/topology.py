"""Which 74 points of a face are tracked: names and places of the points, and the measures taken from them.

A *mesh index* is a vertex number of MediaPipe's FaceMesh (0..467); a *row* is a position in the array of 74 points.
Left and right are those of the picture, not of the person.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# fmt: off
OUTER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""Closed ring from the left corner along the lower lip to the right corner and back along the upper lip."""
INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""The same ring where the lips meet."""
JAW = (234, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 454)
"""From the left ear along the chin (152) to the right ear."""
NOSE = (168, 6, 195, 4, 2, 98, 327)
"""Down the bridge to the tip (4) and the base (2), then the left and the right wing."""
EYES = (33, 133, 159, 145, 263, 362, 386, 374)
"""Outer corner, inner corner, upper lid, lower lid; left eye, then right eye."""
BROWS = (70, 105, 107, 300, 334, 336)
"""Outer end, middle, inner end; left brow, then right brow."""
MESH_INDEXES = OUTER_LIP + INNER_LIP + JAW + NOSE + EYES + BROWS
"""Mesh index of each of the 74 rows."""
# fmt: on

POINT_COUNT = len(MESH_INDEXES)
MESH_VERTEX_COUNT = 468

OUTER_LIP_ROWS = slice(0, 20)
INNER_LIP_ROWS = slice(20, 40)
LIP_ROWS = slice(0, 40)
JAW_ROWS = slice(40, 53)
NOSE_ROWS = slice(53, 60)
EYE_ROWS = slice(60, 68)
BROW_ROWS = slice(68, 74)

LIP_POINT_COUNT = 40


def rows_of(mesh_indexes: Iterable[int]) -> NDArray[np.intp]:
    """Rows of the given mesh indexes; ValueError for one that is not tracked."""
    return np.array([MESH_INDEXES.index(index) for index in mesh_indexes], dtype=np.intp)


OUTER_EYE_CORNER_ROWS = rows_of((33, 263))
"""Left, right: their distance is the unit of length of a face."""
MOUTH_CORNER_ROWS = rows_of((61, 291))
"""Left, right corner of the outer lip."""
INNER_UPPER_ROWS = rows_of((82, 13, 312))
"""Middle of the upper lip's inner edge."""
INNER_LOWER_ROWS = rows_of((87, 14, 317))
"""Middle of the lower lip's inner edge, below the three above."""
CHIN_ROW = int(rows_of((152,))[0])
NOSE_TIP_ROW = int(rows_of((4,))[0])
STABLE_ROWS = rows_of((33, 133, 263, 362, 168, 6, 195, 4, 2, 98, 327, 234, 454, 70, 105, 107, 300, 334, 336))
"""Points that speech hardly moves: eye corners, nose, ears, brows."""


def eye_distance(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distance of the outer eye corners: [..., 74, 2] pixels -> [...] pixels."""
    left, right = OUTER_EYE_CORNER_ROWS
    distance: NDArray[np.floating] = np.linalg.norm(points[..., right, :] - points[..., left, :], axis=-1)
    return distance


def nose_offset(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far the nose's tip is off the middle of the eyes along their line, in eye distances: [..., 74, 2] -> [...].

    The mean face shows .18 when turned by 20 degrees, .34 by 35, .58 by 50, whatever the picture's scale and roll.
    """
    left, right = (points[..., row, :] for row in OUTER_EYE_CORNER_ROWS)
    across = right - left
    nose = points[..., NOSE_TIP_ROW, :] - (left + right) / 2
    offset: NDArray[np.floating] = (nose * across).sum(axis=-1) / np.maximum((across * across).sum(axis=-1), 1e-9)
    return offset


def opening(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Gap between the lips in eye distances: [..., 74, 2] -> [...], 0 where they touch."""
    upper = points[..., INNER_UPPER_ROWS, :].mean(axis=-2)
    lower = points[..., INNER_LOWER_ROWS, :].mean(axis=-2)
    gap: NDArray[np.floating] = np.linalg.norm(upper - lower, axis=-1)
    return gap / eye_distance(points)


def width(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distance of the mouth corners in eye distances: [..., 74, 2] -> [...]."""
    left, right = MOUTH_CORNER_ROWS
    distance: NDArray[np.floating] = np.linalg.norm(points[..., right, :] - points[..., left, :], axis=-1)
    return distance / eye_distance(points)
