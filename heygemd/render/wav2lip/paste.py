"""Between a frame's planes and the network's 96-pixel square: cut the face out, put the mouth back.

Only the lower face is put back, through a soft mask that follows the jaw; what the mask leaves out is never written.
Colours are converted where there are few of them, in the square: the large picture stays in its own planes.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.colour import Region, YuvCoding, parts_of, region_around
from heygemd.render.wav2lip.detail import Yuv, compared, textured, tinted
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW
from heygemd.render.wav2lip.resample import Bytes, Floats, Plane, averaged, chroma_map, enlarged, merged, sample, spread

Square = NDArray[np.float32]
"""float32[96, 96, 3] BGR, 0..255."""
Half = NDArray[np.float32]
"""float32[48, 96, 3] BGR, 0..255: its lower half."""

SQUARE_SIZE, HALF_SIZE = (FACE_PX, FACE_PX), (FACE_PX, FACE_PX - LOWER_ROW)
"""Width, height."""
FIRST_ROW, FULL_ROW = 50, 60
"""The mask rises between these rows: from the middle of the nose (row 48, where the network begins) to its base."""
BORDER_PX = 4
"""The mask falls to 0 over this many pixels before the other three edges of the square."""
JAW_MARGIN_PX = 3
"""How far the painted chin may reach beyond the source's own: a jaw that drops further than it does in the source."""
FEATHER_PX = 2.5
"""Standard deviation of the mask's soft edge."""
FEATHER_REACH_PX = 10
"""As far as OpenCV follows a Gaussian of that width: 4 standard deviations."""
RING_LOW, RING_HIGH = 0.05, 0.5
"""Colour is compared where the mask is between these: skin that hardly moves, at the seam."""
LARGEST_SHIFT = np.array([21.0, 12.0, 12.0], np.float32)
"""Of Y, U, V. A larger difference of colour is no matter of tone: something else is in the ring."""
LEAST_ALPHA = 1 / 512
"""Less cannot change a byte."""
SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a picture, and how the square lies over it."""

    region: Region
    to_square: Floats
    """float64[2, 3]: region pixel → pixel of the square."""

    def maps(self, first_row: int) -> tuple[Floats, Floats, Floats]:
        """Map the pixels of each plane to those of the square's part from `first_row` down."""
        luma = self.to_square - np.array([[0, 0, 0], [0, 0, first_row]])
        chroma = chroma_map(luma)
        return luma, chroma, chroma


def window(
    box: Floats,
    *,
    width_px: int,
    height_px: int,
    rows: tuple[int, int] = (0, FACE_PX),
    columns: tuple[int, int] = (0, FACE_PX),
) -> Window | None:
    """Lay these rows and columns of the square over the picture; None when too little of them lies inside."""
    pixel = (box[2:] - box[:2]) / FACE_PX
    corners = box[:2] + pixel * np.array([[columns[0], rows[0]], [columns[1], rows[1]]])
    region = region_around(corners, margin_px=1, width_px=width_px, height_px=height_px)
    if region is None:
        return None
    # Pixel centres lie at integers on both sides, edges half a pixel before them.
    shift = (region.origin - box[:2]) / pixel - 0.5
    return Window(region=region, to_square=np.column_stack([np.diag(1 / pixel), shift]))


def cut_face(planes: Bytes, window: Window, coding: YuvCoding) -> Square:
    """Read the face into the square: bilinear, as the reference does, whole colours clipped to 0..255."""
    parts = zip(parts_of(planes, window.region), window.maps(0), strict=True)
    yuv = merged(*(sample(values, to_square, SQUARE_SIZE) for values, to_square in parts))
    return np.asarray(np.clip(cv2.transform(yuv, coding.to_bgr), 0, 255), np.float32)


def lower_face_mask(jaw: Floats, box: Floats) -> Plane:
    """Weight of the painted picture, float32[48, 96] in 0..1: soft, inside the jaw line, 0 above row 50."""
    first = LOWER_ROW - FEATHER_REACH_PX - JAW_MARGIN_PX
    points = (jaw - box[:2]) * (FACE_PX / (box[2:] - box[:2])) - 0.5 - (0, first)
    filled = np.zeros((FACE_PX - first, FACE_PX), np.uint8)
    outline = np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(filled, [outline], 255, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
    # Downwards only: beside the jaw the source's own hair and background are better than painted ones.
    column = np.ones((JAW_MARGIN_PX + 1, 1), np.uint8)
    wide = cv2.dilate(filled, column, anchor=(0, JAW_MARGIN_PX)).astype(np.float32) / 255
    soft = cv2.GaussianBlur(wide, (0, 0), FEATHER_PX)
    return np.asarray(soft[LOWER_ROW - first :] * _frame(), np.float32)


def matched(painted: Yuv, source: Yuv, mask: Plane) -> Yuv:
    """Shift the painted picture's tone so that the skin at the seam has that of the source.

    The median over the ring ignores what moved through it: a chin, hair, a collar.
    """
    ring = (mask > RING_LOW) & (mask < RING_HIGH)
    if not ring.any():
        return painted
    shift = np.median(source[ring] - painted[ring], axis=0)
    return np.asarray(painted + np.clip(shift, -LARGEST_SHIFT, LARGEST_SHIFT), np.float32)


def put_mouth(
    planes: Bytes, box: Floats, coding: YuvCoding, painted: Half, mask: Plane, *, strength: float, detail: bool
) -> bool:
    """Blend the painted half into the picture (uint8[height * 3 // 2, width]), in place.

    `mask`, float32[48, 96], times `strength` is the share of the painted half; `detail` gives it the source's own fine
    texture. Returns whether anything was written.
    """
    bounds = {"width_px": planes.shape[1], "height_px": planes.shape[0] * 2 // 3}
    lower = window(box, **bounds, rows=(LOWER_ROW, FACE_PX))
    place = _place_of(mask, box, **bounds)
    if lower is None or place is None or strength <= LEAST_ALPHA:
        return False
    source = _carried(planes, lower)
    half = matched(np.asarray(cv2.transform(painted, coding.to_yuv), np.float32), source, mask)
    likeness = compared(half, source) if detail else None
    for channel, (values, to_half) in enumerate(
        zip(parts_of(planes, place.region), place.maps(LOWER_ROW), strict=True)
    ):
        size = (values.shape[1], values.shape[0])
        if likeness is None:
            large = enlarged(np.ascontiguousarray(half[:, :, channel]), to_half, size)
        else:
            large = tinted(likeness, channel, values, to_half) if channel else textured(likeness, values, to_half)
        _blend(values, large, spread(mask * strength, to_half, size, beyond=False))
    return True


def _place_of(mask: Plane, box: Floats, *, width_px: int, height_px: int) -> Window | None:
    """Lay the part of the square in which the mask says anything over the picture."""
    rows, columns = (np.flatnonzero((mask > LEAST_ALPHA).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return window(
        box,
        width_px=width_px,
        height_px=height_px,
        rows=(LOWER_ROW + int(rows[0]) - 1, LOWER_ROW + int(rows[-1]) + 2),
        columns=(int(columns[0]) - 1, int(columns[-1]) + 2),
    )


def _carried(planes: Bytes, lower: Window) -> Yuv:
    """Read what a square can carry of the lower face: every plane averaged, Y, U, V."""
    parts = zip(parts_of(planes, lower.region), lower.maps(LOWER_ROW), strict=True)
    return merged(*(averaged(values, to_half, HALF_SIZE) for values, to_half in parts))


def _blend(values: Bytes, large: Plane, alpha: Plane) -> None:
    """Blend one plane, in place. Less than half a level, and so all outside the mask, leaves a byte as it is."""
    change = np.asarray(cv2.subtract(large, values, large, dtype=cv2.CV_32F), np.float32)
    change *= alpha
    np.copyto(values, cv2.add(values, change, dtype=cv2.CV_8U))


@cache
def _frame() -> Plane:
    """float32[48, 96]: 1 in the lower half of the square, falling to 0 at its top and at the other three edges."""
    place = np.arange(FACE_PX, dtype=np.float32)
    edge = np.clip((np.minimum(place, FACE_PX - 1 - place)) / BORDER_PX, 0, 1)
    rows = np.clip((place - FIRST_ROW) / (FULL_ROW - FIRST_ROW), 0, 1)
    rows = rows * rows * (3 - 2 * rows)
    rows = np.minimum(rows, np.clip((FACE_PX - 1 - place) / BORDER_PX, 0, 1))
    return np.asarray(rows[LOWER_ROW:, None] * edge[None, :], np.float32)
