"""Layer A: the person's own lower face, bent so that jaw and cheeks follow the mouth.

The displacement is computed on a coarse grid and blurred a little: skin has no creases along the edges of
triangles. The mouth itself is painted over it by layer B (`mouth.py`).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import lower_face
from heygemd.render.atlas.warp import Plane, affine_table, drawing_order, interpolate, triangle_numbers
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

GRID_STEPS_PER_EYE = 40
"""The coarse grid has about this many steps per eye distance."""
BLUR = 0.03
"""Side of the box blur of the displacement, in eye distances."""
LEAST_SHIFT_PX = 0.02
"""A pixel displaced by less stays untouched."""


def bend_skin(picture: Bgr, before: Vector, after: Vector, *, eye_px: float) -> tuple[Bgr, NDArray[np.bool_]]:
    """Move the picture's mesh, ring included, from vertices `before` to `after` (float64[v, 2], its pixels).

    Returns the bent picture and bool[h, w] of the pixels that moved; all others are those of `picture`.
    """
    height, width = picture.shape[:2]
    shift_x, shift_y = _displacement(before, after, size=(height, width), eye_px=eye_px)
    touched = np.abs(shift_x) + np.abs(shift_y) >= LEAST_SHIFT_PX
    x = shift_x + np.arange(width, dtype=np.float32)
    y = shift_y + np.arange(height, dtype=np.float32)[:, None]
    bent = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    bent[~touched] = picture[~touched]
    return np.asarray(bent, np.float32), touched


def _displacement(before: Vector, after: Vector, *, size: tuple[int, int], eye_px: float) -> tuple[Plane, Plane]:
    """Find where each pixel comes from, relative to itself: two float32[h, w] in pixels."""
    mesh = lower_face()
    step = max(round(eye_px / GRID_STEPS_PER_EYE), 1)
    cells = -(-size[0] // step), -(-size[1] // step)
    numbers = triangle_numbers(mesh, after, drawing_order(mesh, after), size=cells, step_px=step)
    table = affine_table(mesh.triangles, after, before - after)
    middle = (step - 1) / 2
    x = np.arange(cells[1], dtype=np.float32) * step + middle
    y = np.arange(cells[0], dtype=np.float32)[:, None] * step + middle
    blur = max(int(eye_px * BLUR / step) | 1, 3)
    outside = numbers == 0
    planes = []
    for plane in interpolate(table, numbers, x, y):
        soft = cv2.blur(plane, (blur, blur))
        soft[outside] = 0
        large = cv2.resize(soft, (cells[1] * step, cells[0] * step), interpolation=cv2.INTER_LINEAR)
        planes.append(np.asarray(large[: size[0], : size[1]], np.float32))
    return planes[0], planes[1]
