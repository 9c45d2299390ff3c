"""Between the planes of yuv420p and BGR, with the stream's own matrix and range, for a part of the picture.

Only the part that an engine paints is ever converted, and only painted pixels are written back. Values stay
unclipped floats in between: not every YUV triple is a BGR colour, and each must survive the way there and back.

Chroma is read as lying in the middle of its 2 x 2 block. A left-sited stream is off by a quarter of a chroma
sample, the same on both ways.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import ColourTags

Bgr = NDArray[np.float32]
"""float32[h, w, 3], nominally 0..255, unclipped."""

LUMA_WEIGHTS: dict[str, tuple[float, float]] = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),
}
"""Share of red and of blue in luma (ITU-T H.273 table 4), by ffprobe's names. bt2020c is treated as bt2020nc: its
constant-luminance form needs the transfer curve and is not met in practice."""

FULL_RANGE_NAMES = frozenset({"pc", "jpeg", "full"})
"""ffprobe's names of a range that uses all 256 values; anything else, and silence, means 16..235."""

HD_WIDTH_PX, SD_HEIGHT_PX = 1280, 576
"""A picture without a tag is BT.709 if at least this wide or taller than this, else BT.601: the rule of mpv."""

CENTRE = 128.0
"""The code of no colour in both chroma planes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YuvCoding:
    """How the three planes stand for colours: two affine maps, each the inverse of the other."""

    to_bgr: NDArray[np.float64]
    """float64[3, 4]: B, G, R from Y, U, V, 1."""
    to_yuv: NDArray[np.float64]
    """float64[3, 4]: Y, U, V from B, G, R, 1."""


def coding_of(tags: ColourTags, *, width_px: int, height_px: int) -> YuvCoding:
    """Find the coding that the tags name; what they leave open is guessed from the size as players do."""
    hd = width_px >= HD_WIDTH_PX or height_px > SD_HEIGHT_PX
    red, blue = LUMA_WEIGHTS.get(tags.matrix or "", LUMA_WEIGHTS["bt709" if hd else "smpte170m"])
    full = tags.range in FULL_RANGE_NAMES
    black, luma_span, chroma_span = (0.0, 255.0, 255.0) if full else (16.0, 219.0, 224.0)
    weights = np.array([blue, 1 - red - blue, red])
    luma = weights * luma_span / 255
    u = (np.array([1.0, 0.0, 0.0]) - weights) / (2 * (1 - blue)) * chroma_span / 255
    v = (np.array([0.0, 0.0, 1.0]) - weights) / (2 * (1 - red)) * chroma_span / 255
    forward = np.stack([luma, u, v])
    back = np.linalg.inv(forward)
    offset = np.array([black, CENTRE, CENTRE])
    return YuvCoding(to_bgr=np.c_[back, -back @ offset], to_yuv=np.c_[forward, offset])


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A rectangle of the picture whose four edges are even, so that it cuts no chroma block."""

    x: int
    y: int
    width: int
    height: int

    @property
    def origin(self) -> NDArray[np.float64]:
        """float64[2]: x, y of its first pixel in the picture."""
        return np.array([self.x, self.y], np.float64)


def region_around(
    points: NDArray[np.float64], *, margin_px: float, width_px: int, height_px: int, least_px: int = 8
) -> Region | None:
    """Lay the even rectangle around points[n, 2], cut off at the picture's borders; None when too little is left."""
    low = np.floor((points.min(axis=0) - margin_px) / 2).astype(int) * 2
    high = np.ceil((points.max(axis=0) + margin_px + 1) / 2).astype(int) * 2
    x0, y0 = (max(int(value), 0) for value in low)
    x1, y1 = min(int(high[0]), width_px), min(int(high[1]), height_px)
    if x1 - x0 < least_px or y1 - y0 < least_px:
        return None
    return Region(x=x0, y=y0, width=x1 - x0, height=y1 - y0)


def parts_of(
    planes: NDArray[np.uint8], region: Region
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Take views of Y, U and V of an I420 picture (uint8[height * 3 // 2, width], C-contiguous) inside the region."""
    width, height = planes.shape[1], planes.shape[0] * 2 // 3
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    x, y = region.x, region.y
    luma = planes[y : y + region.height, x : x + region.width]
    half = chroma[:, y // 2 : (y + region.height) // 2, x // 2 : (x + region.width) // 2]
    return luma, half[0], half[1]


def read_bgr(planes: NDArray[np.uint8], region: Region, coding: YuvCoding) -> Bgr:
    """Convert the region of an I420 picture (uint8[height * 3 // 2, width], C-contiguous) to BGR."""
    luma, u, v = parts_of(planes, region)
    yuv = cv2.merge([luma.astype(np.float32), _grow(u), _grow(v)])
    return np.asarray(cv2.transform(yuv, coding.to_bgr), np.float32)


def write_bgr(
    planes: NDArray[np.uint8], region: Region, coding: YuvCoding, picture: Bgr, mask: NDArray[np.bool_]
) -> None:
    """Put the pixels of `picture` where `mask` (bool[h, w]) holds into the planes, in place.

    Luma is written where the mask holds, chroma where it holds for any pixel of the 2 x 2 block; every other
    byte stays as it is.
    """
    yuv = np.asarray(cv2.transform(picture, coding.to_yuv), np.float32)
    luma, u, v = parts_of(planes, region)
    np.copyto(luma, _bytes(yuv[:, :, 0]), where=mask)
    blocks = mask[0::2] | mask[1::2]
    blocks = blocks[:, 0::2] | blocks[:, 1::2]
    small = np.asarray(
        cv2.resize(yuv, (region.width // 2, region.height // 2), interpolation=cv2.INTER_AREA), np.float32
    )
    np.copyto(u, _bytes(small[:, :, 1]), where=blocks)
    np.copyto(v, _bytes(small[:, :, 2]), where=blocks)


def _grow(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring chroma to luma resolution: linear, but every block keeps its mean, so that `_shrink` undoes it."""
    small = plane.astype(np.float32)
    size = (plane.shape[1] * 2, plane.shape[0] * 2)
    large = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)
    lost = small - _shrink(large)
    return np.asarray(large + cv2.resize(lost, size, interpolation=cv2.INTER_NEAREST), np.float32)


def _shrink(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the means of the 2 x 2 blocks."""
    size = (plane.shape[1] // 2, plane.shape[0] // 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round and clip to 0..255."""
    return np.asarray(cv2.addWeighted(values, 1.0, values, 0.0, 0.0, dtype=cv2.CV_8U), np.uint8)
