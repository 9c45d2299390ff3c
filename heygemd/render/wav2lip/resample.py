"""Between the pixels of a picture's planes and those of the network's 96-pixel square.

Maps are float64[2, 3]: a plane's pixel → a pixel of the square, or of its lower half. Pixel centres lie at integers.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]

FINER = 3
"""Enlarging goes over a grid this much finer than the square's: cubic on to that, which is small, and linear from there
(a third of the time of cubic all the way at 680 x 460, and no more than .3 levels beside it)."""


def chroma_map(luma_map: Floats) -> Floats:
    """Map the chroma plane as the luma plane is mapped: its pixels lie in the middle of 2 x 2 of luma's."""
    return np.column_stack([2 * luma_map[:, :2], luma_map[:, 2] + luma_map[:, :2].sum(axis=1) / 2])


def sample(values: Bytes | Plane, to_small: Floats, size: tuple[int, int]) -> Plane:
    """Read the plane at the pixels of the small picture (width, height): float32, bilinear, nothing is averaged."""
    small = cv2.warpAffine(values, to_small, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(small, np.float32)


def averaged(values: Bytes, to_small: Floats, size: tuple[int, int]) -> Plane:
    """Shrink the plane: each small pixel (float32) is the mean of what it covers, to the next whole pixel."""
    counts = [max(1, round(1 / float(to_small[axis, axis]))) for axis in (0, 1)]
    means = cv2.boxFilter(values, cv2.CV_32F, (counts[0], counts[1]), borderType=cv2.BORDER_REPLICATE)
    # The mean over an even number stands half a pixel before the one it is written to.
    shift = [to_small[axis, axis] / 2 * (counts[axis] % 2 == 0) for axis in (0, 1)]
    return sample(np.asarray(means, np.float32), to_small - np.c_[np.zeros((2, 2)), shift], size)


def enlarged(small: Plane, to_small: Floats, size: tuple[int, int]) -> Plane:
    """Bring a small picture, float32[h, w] or [h, w, n], to the plane's pixels (width, height): cubic."""
    height, width = small.shape[:2]
    finer = cv2.resize(small, (width * FINER, height * FINER), interpolation=cv2.INTER_CUBIC)
    to_finer = to_small * FINER + np.c_[np.zeros((2, 2)), [(FINER - 1) / 2] * 2]
    return spread(np.asarray(finer, np.float32), to_finer, size)


def spread(small: Plane, to_small: Floats, size: tuple[int, int], *, beyond: bool = True) -> Plane:
    """Bring a small picture, float32[h, w] or [h, w, n], to the plane's pixels (width, height): linear.

    Not `beyond`: 0 outside the small picture, else its edge goes on.
    """
    border = cv2.BORDER_REPLICATE if beyond else cv2.BORDER_CONSTANT
    large = cv2.warpAffine(small, to_small, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)
    return np.asarray(large, np.float32)


def merged(*pictures: Plane) -> Plane:
    """Lay float32[h, w] pictures on one another: float32[h, w, n]."""
    return np.asarray(cv2.merge(pictures), np.float32)


def smoothed(values: Plane, sigma_px: float) -> Plane:
    """Blur by a Gaussian: float32[h, w] or [h, w, n]."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)


def smoothstep(values: Plane, low: float, high: float) -> Plane:
    """Rise from 0 at `low` to 1 at `high` (which may lie below), level at both ends."""
    place = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(place * place * (3 - 2 * place), np.float32)
