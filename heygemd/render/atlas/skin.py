"""Layer A: the person's own lower face, bent so that jaw and cheeks follow the mouth.

The displacement is computed on a coarse grid and blurred a little: skin has no creases along the edges of
triangles. The planes are bent as they are, bytes into bytes, and only where something moves: the cost grows with the
pixels that change. The mouth itself is painted over it by layer B (`mouth.py`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import lower_face
from heygemd.render.atlas.warp import (
    Grid,
    Plane,
    affine_table,
    corner_bounds,
    drawing_order,
    interpolate,
    triangle_numbers,
)
from heygemd.render.colour import Region, region_around

Vector = NDArray[np.float64]
Bytes = NDArray[np.uint8]

GRID_STEPS_PER_EYE = 40
"""The coarse grid has about this many steps per eye distance."""
BLUR = 0.03
"""Side of the box blur of the displacement, in eye distances."""
LEAST_SHIFT_PX = 0.02
"""A pixel displaced by less stays untouched."""
REACH_PX = 3
"""Neighbours that the cubic interpolation looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """Where the pixels of a rectangle come from."""

    region: Region
    shift_x: Plane
    shift_y: Plane
    """float32[region.height, region.width]: pixels, relative to each pixel."""


def bend_skin(planes: Bytes, before: Vector, after: Vector, *, eye_px: float) -> bool:
    """Move the mesh, ring included, of a yuv420p picture (uint8[h * 3 // 2, w]) from `before` to `after`, in place.

    Vertices are float64[v, 2] in its pixels. What moves by less than `LEAST_SHIFT_PX` keeps its bytes. Returns whether
    anything moved.
    """
    bend = find_bend(before, after, width_px=planes.shape[1], height_px=planes.shape[0] * 2 // 3, eye_px=eye_px)
    if bend is None:
        return False
    height = planes.shape[0] * 2 // 3
    chroma = planes[height:].reshape(2, height // 2, planes.shape[1] // 2)
    moved = np.abs(bend.shift_x) + np.abs(bend.shift_y) >= LEAST_SHIFT_PX
    _move(planes[:height], bend.region, bend.shift_x, bend.shift_y, moved)
    half = Region(
        x=bend.region.x // 2, y=bend.region.y // 2, width=bend.region.width // 2, height=bend.region.height // 2
    )
    blocks = moved[0::2] | moved[1::2]
    blocks = blocks[:, 0::2] | blocks[:, 1::2]
    # Half the pixels, half the way.
    shift_x, shift_y = (_halved(plane) for plane in (bend.shift_x, bend.shift_y))
    for plane in chroma:
        _move(plane, half, shift_x, shift_y, blocks)
    return bool(moved.any())


def find_bend(before: Vector, after: Vector, *, width_px: int, height_px: int, eye_px: float) -> Bend | None:
    """Find the displacement that takes `before` to `after` in a picture of that size; None when nothing moves in it."""
    mesh = lower_face()
    moving = np.abs(after - before).max(axis=1) >= LEAST_SHIFT_PX
    reached = np.unique(mesh.triangles[moving[mesh.triangles].any(axis=1)])
    if len(reached) == 0:
        return None
    region = region_around(after[reached], margin_px=BLUR * eye_px + 1, width_px=width_px, height_px=height_px)
    if region is None:
        return None
    shift_x, shift_y = _displacement(before - region.origin, after - region.origin, region, eye_px)
    return Bend(region=region, shift_x=shift_x, shift_y=shift_y)


def _displacement(before: Vector, after: Vector, region: Region, eye_px: float) -> tuple[Plane, Plane]:
    """Find where each pixel of the region comes from, relative to itself: two float32[h, w] in pixels."""
    mesh = lower_face()
    grid = Grid(width=region.width, height=region.height, step_px=max(round(eye_px / GRID_STEPS_PER_EYE), 1))
    numbers = triangle_numbers(mesh, after, drawing_order(mesh, after), size=grid.cells, step_px=grid.step_px)
    table = affine_table(mesh.triangles, after, before - after)
    blur = max(int(eye_px * BLUR / grid.step_px) | 1, 3)
    outside = numbers == 0
    planes = []
    bounds = corner_bounds(mesh.triangles, before - after)
    for plane in interpolate(table, numbers, grid.x, grid.y, bounds):
        soft = cv2.blur(plane, (blur, blur))
        soft[outside] = 0
        planes.append(grid.enlarge(np.asarray(soft, np.float32)))
    return planes[0], planes[1]


def _halved(shift: Plane) -> Plane:
    """Bring a displacement to the chroma planes: their pixels, and the mean of each 2 x 2 block."""
    size = (shift.shape[1] // 2, shift.shape[0] // 2)
    return np.asarray(cv2.resize(shift, size, interpolation=cv2.INTER_AREA) * np.float32(0.5), np.float32)


def _move(plane: Bytes, region: Region, shift_x: Plane, shift_y: Plane, moved: NDArray[np.bool_]) -> None:
    """Take the pixels of the region where `moved` holds from where the displacement says, in place."""
    left, right = int(np.floor(shift_x.min())) - REACH_PX, int(np.ceil(shift_x.max())) + REACH_PX
    up, down = int(np.floor(shift_y.min())) - REACH_PX, int(np.ceil(shift_y.max())) + REACH_PX
    x0, y0 = max(region.x + left, 0), max(region.y + up, 0)
    seen = plane[y0 : region.y + region.height + down, x0 : region.x + region.width + right]
    x = shift_x + np.arange(region.x - x0, region.x - x0 + region.width, dtype=np.float32)
    y = shift_y + np.arange(region.y - y0, region.y - y0 + region.height, dtype=np.float32)[:, None]
    bent = cv2.remap(np.ascontiguousarray(seen), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    target = plane[region.y : region.y + region.height, region.x : region.x + region.width]
    np.copyto(target, bent, where=moved)
