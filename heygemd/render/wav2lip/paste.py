"""Between a frame's planes and the network's 96-pixel square: cut the face out, put the mouth back.

Only the lower face is put back, through a soft mask that follows the jaw; what the mask leaves out is never written.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.colour import Region, YuvCoding, read_bgr, region_around, write_bgr
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW

Square = NDArray[np.float32]
"""float32[96, 96, 3] BGR, 0..255."""
Half = NDArray[np.float32]
"""float32[48, 96, 3] BGR, 0..255: its lower half."""
Floats = NDArray[np.float64]

FIRST_ROW, FULL_ROW = 50, 60
"""The mask rises between these rows: from the middle of the nose (row 48, where the network begins) to its base."""
BORDER_PX = 4
"""The mask falls to 0 over this many pixels before the other three edges of the square."""
JAW_MARGIN_PX = 3
"""How far the painted chin may reach beyond the source's own: a jaw that drops further than it does in the source."""
FEATHER_PX = 2.5
"""Standard deviation of the mask's soft edge."""
RING_LOW, RING_HIGH = 0.05, 0.5
"""Colour is compared where the mask is between these: skin that hardly moves, at the seam."""
LARGEST_SHIFT = 24.0
"""A larger difference of colour is no matter of tone: something else is in the ring."""
LEAST_ALPHA = 1 / 512
"""Less cannot change a byte."""
SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a picture, and how the square lies over it."""

    region: Region
    to_square: Floats
    """float64[2, 3]: region pixel → pixel of the square."""


def window(box: Floats, *, width_px: int, height_px: int, first_row: int = 0) -> Window | None:
    """Lay the square, from `first_row` down, over the picture; None when too little of it lies inside."""
    scale = FACE_PX / (box[2:] - box[:2])
    top = box[1] + first_row / scale[1]
    corners = np.array([[box[0], top], [box[2], box[3]]])
    region = region_around(corners, margin_px=1, width_px=width_px, height_px=height_px)
    if region is None:
        return None
    # Pixel centres lie at integers on both sides, edges half a pixel before them.
    shift = (region.origin - box[:2]) * scale - 0.5
    return Window(region=region, to_square=np.column_stack([np.diag(scale), shift]))


def cut_face(planes: NDArray[np.uint8], window: Window, coding: YuvCoding) -> Square:
    """Read the face into the square: bilinear, as the reference does, whole colours clipped to 0..255."""
    picture = read_bgr(planes, window.region, coding)
    square = cv2.warpAffine(
        picture, window.to_square, (FACE_PX, FACE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _colours(square)


def lower_face_mask(jaw: Floats, box: Floats) -> NDArray[np.float32]:
    """Weight of the painted picture, float32[48, 96] in 0..1: soft, inside the jaw line, 0 above row 50."""
    points = (jaw - box[:2]) * (FACE_PX / (box[2:] - box[:2])) - 0.5
    filled = np.zeros((FACE_PX, FACE_PX), np.uint8)
    outline = np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(filled, [outline], 255, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
    # Downwards only: beside the jaw the source's own hair and background are better than painted ones.
    column = np.ones((JAW_MARGIN_PX + 1, 1), np.uint8)
    wide = cv2.dilate(filled, column, anchor=(0, JAW_MARGIN_PX)).astype(np.float32) / 255
    soft = cv2.GaussianBlur(wide, (0, 0), FEATHER_PX)
    return np.asarray((soft * _frame())[LOWER_ROW:], np.float32)


def matched(painted: Half, face: Half, mask: NDArray[np.float32]) -> Half:
    """Shift the painted picture's colours so that the skin at the seam has those of the source.

    The median over the ring ignores what moved through it: a chin, hair, a collar.
    """
    ring = (mask > RING_LOW) & (mask < RING_HIGH)
    if not ring.any():
        return painted
    shift = np.median(face[ring] - painted[ring], axis=0)
    return _colours(painted + np.clip(shift, -LARGEST_SHIFT, LARGEST_SHIFT))


def put_mouth(
    planes: NDArray[np.uint8], window: Window, coding: YuvCoding, painted: Half, mask: NDArray[np.float32]
) -> bool:
    """Blend the painted half into the window's region, in place; returns whether anything was written."""
    size = (window.region.width, window.region.height)
    to_half = window.to_square - np.array([[0, 0, 0], [0, 0, LOWER_ROW]])
    alpha = cv2.warpAffine(mask, to_half, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    written = alpha > LEAST_ALPHA
    if not written.any():
        return False
    large = cv2.warpAffine(
        painted, to_half, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    source = read_bgr(planes, window.region, coding)
    blended = source + alpha[:, :, None] * (_colours(large) - source)
    write_bgr(planes, window.region, coding, blended, written)
    return True


def _colours(values: cv2.typing.MatLike) -> NDArray[np.float32]:
    """Clip to 0..255."""
    return np.asarray(np.clip(values, 0, 255), np.float32)


@cache
def _frame() -> NDArray[np.float32]:
    """float32[96, 96]: 1 in the lower half of the square, falling to 0 at its top and at the other three edges."""
    place = np.arange(FACE_PX, dtype=np.float32)
    edge = np.clip((np.minimum(place, FACE_PX - 1 - place)) / BORDER_PX, 0, 1)
    rows = np.clip((place - FIRST_ROW) / (FULL_ROW - FIRST_ROW), 0, 1)
    rows = rows * rows * (3 - 2 * rows)
    rows = np.minimum(rows, np.clip((FACE_PX - 1 - place) / BORDER_PX, 0, 1))
    return np.asarray(rows[:, None] * edge[None, :], np.float32)
