"""Piecewise-affine warps: a mesh drawn into a picture of triangle numbers, then one affine map per triangle."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import Index, LowerFace, signed_area

Vector = NDArray[np.float64]
Plane = NDArray[np.float32]

SUBPIXEL_BITS = 4
"""Corners are drawn to 1/16 pixel."""
LEAST_AREA_PX2 = 0.05
"""Triangles smaller than this (seen from the side) carry no displacement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A rectangle of pixels, looked at in cells of `step_px` x `step_px`: what is smooth needs no more."""

    width: int
    height: int
    """Of the rectangle, in pixels."""
    step_px: int

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells; the last ones may reach beyond the rectangle."""
        return -(-self.height // self.step_px), -(-self.width // self.step_px)

    @property
    def x(self) -> Plane:
        """float32[columns]: middles of the cells."""
        return np.arange(self.cells[1], dtype=np.float32) * self.step_px + np.float32((self.step_px - 1) / 2)

    @property
    def y(self) -> Plane:
        """float32[rows, 1]."""
        rows = np.arange(self.cells[0], dtype=np.float32) * self.step_px + np.float32((self.step_px - 1) / 2)
        return rows[:, None]

    def enlarge(self, cells: Plane) -> Plane:
        """Interpolate values of cells (float32[rows, columns] or with channels) to the pixels of the rectangle."""
        if self.step_px == 1:
            return cells
        size = (cells.shape[1] * self.step_px, cells.shape[0] * self.step_px)
        large = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(large[: self.height, : self.width], np.float32)


def drawing_order(mesh: LowerFace, points: Vector) -> Index:
    """Sort the triangles so that later ones may cover earlier ones.

    First the mouth's interior, then skin; what is turned away or thin comes before what faces the camera.
    """
    area = signed_area(points, mesh.triangles[: mesh.skin_count]) * mesh.facing
    return np.concatenate([np.arange(mesh.skin_count, len(mesh.triangles)), np.argsort(area)]).astype(np.int32)


def triangle_numbers(
    mesh: LowerFace, points: Vector, order: Index, *, size: tuple[int, int], step_px: int = 1
) -> NDArray[np.int32]:
    """Draw the mesh with vertices points[v, 2] into int32[h, w] of (triangle + 1), 0 outside.

    `size` is (h, w); one cell stands for a square of `step_px` pixels, sampled at its middle.
    """
    numbers = np.zeros(size, np.int32)
    if numbers.size == 0:
        return numbers
    cells = (points - (step_px - 1) / 2) / step_px
    corners = np.round(cells * (1 << SUBPIXEL_BITS)).astype(np.int32)[mesh.triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    limit = np.array([size[1], size[0]]) << SUBPIXEL_BITS
    seen = ((high >= 0) & (low < limit)).all(axis=1)
    for k in order[seen[order]].tolist():
        cv2.fillConvexPoly(numbers, corners[k], k + 1, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
    return numbers


def affine_table(triangles: Index, points: Vector, values: Vector) -> NDArray[np.float32]:
    """Interpolate two values per vertex linearly over each triangle: float32[t + 1, 6].

    Row k + 1 holds (a, b, c, d, e, f) of triangle k: first value a x + b y + c, second d x + e y + f at picture
    point (x, y). Row 0, which stands for "no triangle", and degenerate triangles give 0.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    first, second = b - a, c - a
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    flat = np.abs(area) < LEAST_AREA_PX2
    area = np.where(flat, 1.0, area)
    # Weight of corner b is to_b . (p - a), of corner c to_c . (p - a).
    to_b = np.stack([second[:, 1], -second[:, 0]], axis=1) / area[:, None]
    to_c = np.stack([-first[:, 1], first[:, 0]], axis=1) / area[:, None]
    at_a, at_b, at_c = (values[triangles[:, k]] for k in range(3))
    slope = (at_b - at_a)[:, :, None] * to_b[:, None] + (at_c - at_a)[:, :, None] * to_c[:, None]
    start = at_a - (slope * a[:, None]).sum(axis=2)
    table = np.zeros((len(triangles) + 1, 6), np.float32)
    table[1:, [0, 1, 3, 4]] = slope.reshape(-1, 4)
    table[1:, [2, 5]] = start
    table[1:][flat] = 0
    return table


def corner_bounds(triangles: Index, values: Vector) -> NDArray[np.float32]:
    """Find the least and the largest of two values per vertex in each triangle: float32[t + 1, 4].

    Row k + 1 holds (least first, largest first, least second, largest second) of triangle k, row 0 zeros.
    """
    corners = values[triangles]
    bounds = np.zeros((len(triangles) + 1, 4), np.float32)
    bounds[1:, [0, 2]], bounds[1:, [1, 3]] = corners.min(axis=1), corners.max(axis=1)
    return bounds


def interpolate(
    table: NDArray[np.float32],
    numbers: NDArray[np.int32],
    x: Plane,
    y: Plane,
    bounds: NDArray[np.float32],
) -> tuple[Plane, Plane]:
    """Evaluate an affine table at the points (x, y), each in the triangle of that number; all of one shape.

    The middle of a cell may lie beside its triangle, and one that is all but turned away has slopes without limit:
    no value goes beyond those at the triangle's corners (`bounds`, see `corner_bounds`).
    """
    rows, limits = np.take(table, numbers, axis=0), np.take(bounds, numbers, axis=0)
    first = rows[..., 0] * x + rows[..., 1] * y + rows[..., 2]
    second = rows[..., 3] * x + rows[..., 4] * y + rows[..., 5]
    return np.clip(first, limits[..., 0], limits[..., 1]), np.clip(second, limits[..., 2], limits[..., 3])
