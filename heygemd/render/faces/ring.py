"""The colour of the skin around the mouth, which tells a hand before it, and how the light changes.

Sixteen patches lie on a ring from .08 to .25 eye distances outside the outer edge of the lips. Patch k is seen from
the middle of the mouth at the angle 2 pi k / 16, counted from the corner on the right of the picture, clockwise in
the upright face: 0 right, 4 below, 8 left, 12 above.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.picture import Patch, cut_out, mapped
from heygemd.render.faces.square import Square
from heygemd.render.faces.topology import OUTER_LIP_ROWS
from heygemd.render.faces.track import SKIN_PATCHES

RING = (0.08, 0.25)
"""Inner and outer border, in eye distances from the outer edge of the lips."""
SIGHT_EYES = 1.5
"""Side of the square in which the ring is looked for: lips are up to .9 eye distances wide."""
SIGHT_PX = 48
"""Pixels of that side; a patch has about 20 of them."""

NO_SKIN = np.zeros((SKIN_PATCHES, 3), np.uint8)
"""Before the lips were looked at."""

_SUBPIXEL_BITS = 4


def _sectors() -> NDArray[np.float32]:
    """float32[16, pixels]: 1 where a pixel belongs to a patch by its angle about the middle."""
    offset = np.arange(SIGHT_PX) - (SIGHT_PX - 1) / 2
    angle = np.arctan2(offset[:, None], offset[None]).ravel()
    sector = np.rint(angle * SKIN_PATCHES / (2 * np.pi)).astype(int) % SKIN_PATCHES
    return np.asarray(sector == np.arange(SKIN_PATCHES)[:, None], np.float32)


_SECTORS = _sectors()


def skin_around(patch: Patch, mouth: Square, points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Mean colour of each patch: uint8[16, 3] BGR.

    `patch` shows at least the surroundings of the lips, `mouth` is one eye distance wide and lies on them, `points`
    are float64[74, 2] in the picture. A patch that has no pixel, of a mouth wider than the sight, takes the mean.
    """
    to_sight = mouth.to_crop(SIGHT_PX, margin=SIGHT_EYES)
    colours = cut_out(patch, to_sight, SIGHT_PX).reshape(-1, 3)
    contour = mapped(to_sight, points[OUTER_LIP_ROWS])
    lips = np.full((SIGHT_PX, SIGHT_PX), 255, np.uint8)
    fixed = np.rint(contour * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(lips, [fixed], 0, shift=_SUBPIXEL_BITS)
    distance = cv2.distanceTransform(lips, cv2.DIST_L2, 3).ravel()
    near, far = (border * SIGHT_PX / SIGHT_EYES for border in RING)
    on_ring = ((distance >= near) & (distance <= far)).astype(np.float32)
    sums = _SECTORS @ np.column_stack([on_ring, on_ring[:, None] * colours])
    mean = sums.sum(axis=0) / max(float(sums[:, 0].sum()), 1.0)
    filled = np.where(sums[:, :1] > 0, sums, mean)
    return np.asarray(np.rint(filled[:, 1:] / np.maximum(filled[:, :1], 1e-6)), np.uint8)
