"""One decoded frame as planes, from which only the part that is looked at is converted to colours."""

from dataclasses import dataclass
from math import ceil, floor
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
"""float64[2, 3]: maps x, y, 1 to new x, y; pixel centres at integers on both sides."""

AVERAGED_BELOW = 0.5
"""A crop that shrinks the picture more than this would alias if it were only interpolated."""
AVERAGED_DETAIL = 1.3
"""Such a picture is averaged to so many times the crop's resolution; the bilinear warp does the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A converted part of a picture."""

    bgr: NDArray[np.uint8]
    """uint8[h, w, 3]."""
    to_patch: Affine
    """Picture coordinates -> patch coordinates (a scaling and a shift)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Planes of yuv420p: luma uint8[h, w], both chroma planes uint8[h / 2, w / 2]; even sizes."""

    luma: NDArray[np.uint8]
    chroma_u: NDArray[np.uint8]
    chroma_v: NDArray[np.uint8]

    @classmethod
    def of_planes(cls, planes: NDArray[np.uint8]) -> "Picture":
        """Look at uint8[h * 3 // 2, w] in the I420 layout of OpenCV; copies nothing that is contiguous."""
        rows, width = planes.shape
        height = rows * 2 // 3
        flat = planes.reshape(-1)
        luma_bytes, chroma_bytes = height * width, height * width // 4
        chroma = flat[luma_bytes : luma_bytes + 2 * chroma_bytes].reshape(2, height // 2, width // 2)
        return cls(luma=flat[:luma_bytes].reshape(height, width), chroma_u=chroma[0], chroma_v=chroma[1])

    @property
    def width_px(self) -> int:
        """Width of the luma plane."""
        return int(self.luma.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the luma plane."""
        return int(self.luma.shape[0])

    def patch(self, left_px: float, top_px: float, right_px: float, bottom_px: float, *, shrink: float = 1.0) -> Patch:
        """Convert a rectangle, widened to even borders and clipped to the picture, to colours.

        `shrink` < 1 averages the planes down first, which is cheaper than converting all pixels. The matrix is
        BT.601 limited range whatever the file says: the nets do not mind.
        """
        left, right = _even_span(left_px, right_px, self.width_px)
        top, bottom = _even_span(top_px, bottom_px, self.height_px)
        luma = self.luma[top:bottom, left:right]
        chroma_u = self.chroma_u[top // 2 : bottom // 2, left // 2 : right // 2]
        chroma_v = self.chroma_v[top // 2 : bottom // 2, left // 2 : right // 2]
        if shrink < 1:
            half = (max(1, round((right - left) * shrink / 2)), max(1, round((bottom - top) * shrink / 2)))
            luma = _averaged(luma, (2 * half[0], 2 * half[1]))
            chroma_u, chroma_v = _averaged(chroma_u, half), _averaged(chroma_v, half)
        height, width = luma.shape
        scale_x, scale_y = width / (right - left), height / (bottom - top)
        to_patch = np.array(
            [
                [scale_x, 0.0, (0.5 - left) * scale_x - 0.5],
                [0.0, scale_y, (0.5 - top) * scale_y - 0.5],
            ]
        )
        return Patch(bgr=_colours(luma, chroma_u, chroma_v), to_patch=to_patch)

    def whole(self, scale: float) -> Patch:
        """Convert the whole picture, `scale` times as large."""
        patch = self.patch(0, 0, self.width_px, self.height_px, shrink=min(scale, 1.0))
        if scale <= 1:
            return patch
        bgr = cast("NDArray[np.uint8]", cv2.resize(patch.bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR))
        shift = (scale - 1) / 2
        return Patch(bgr=bgr, to_patch=np.array([[scale, 0.0, shift], [0.0, scale, shift]]))


def crop(picture: Picture, to_crop: Affine, side_px: int) -> NDArray[np.uint8]:
    """Cut a turned square out of the picture: uint8[side_px, side_px, 3] BGR.

    `to_crop` maps picture to crop coordinates. Strong shrinking is averaged first, else the crop would alias;
    outside the picture its edge pixels are repeated.
    """
    scale = float(np.sqrt(abs(np.linalg.det(to_crop[:, :2]))))
    centre = invert(to_crop) @ np.array([side_px / 2, side_px / 2, 1.0])
    # Half the diagonal of the square is 0.71 of its side; the rest is for the interpolation.
    reach = 0.75 * side_px / scale + 2
    left, top = centre - reach
    right, bottom = centre + reach
    shrink = AVERAGED_DETAIL * scale if scale < AVERAGED_BELOW else 1.0
    patch = picture.patch(left, top, right, bottom, shrink=shrink)
    from_patch = _chained(invert(patch.to_patch), to_crop).astype(np.float32)
    turned = cv2.warpAffine(
        patch.bgr, from_patch, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cast("NDArray[np.uint8]", turned)


def invert(affine: Affine) -> Affine:
    """Return the map that undoes `affine`."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def mapped(affine: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply an affine map to float64[..., 2]."""
    return points @ affine[:, :2].T + affine[:, 2]


def _chained(first: Affine, second: Affine) -> Affine:
    linear = second[:, :2]
    return np.column_stack([linear @ first[:, :2], linear @ first[:, 2] + second[:, 2]])


def _even_span(start: float, stop: float, length: int) -> tuple[int, int]:
    """Widen to even borders inside 0..length, at least two pixels long."""
    low = min(max(floor(start / 2) * 2, 0), length - 2)
    high = max(min(ceil(stop / 2) * 2, length), low + 2)
    return low, high


def _averaged(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _colours(luma: NDArray[np.uint8], chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = luma.shape
    planes = np.concatenate([luma.reshape(-1), chroma_u.reshape(-1), chroma_v.reshape(-1)])
    bgr = cv2.cvtColor(planes.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420)
    return cast("NDArray[np.uint8]", bgr)
