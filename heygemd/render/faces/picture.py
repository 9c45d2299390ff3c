"""One decoded frame as planes, from which only the part that is looked at is converted to colours."""

from dataclasses import dataclass
from math import ceil, floor
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
"""float64[2, 3]: maps x, y, 1 to new x, y; pixel centres at integers on both sides."""


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

    def patch(self, left_px: float, top_px: float, right_px: float, bottom_px: float, *, thin: int = 1) -> Patch:
        """Convert a rectangle, widened to even borders and clipped to the picture, to colours.

        `thin` > 1 averages blocks of so many pixels a side first, which is cheaper than converting all of them; what
        is left over at the picture's border is then left out. The matrix is BT.601 limited range whatever the file
        says: the nets do not mind.
        """
        left, right = _span(left_px, right_px, self.width_px, 2 * thin)
        top, bottom = _span(top_px, bottom_px, self.height_px, 2 * thin)
        size = (right - left) // thin, (bottom - top) // thin
        return self._shrunk(slice(left, right), slice(top, bottom), size)

    def _shrunk(self, columns: slice, rows: slice, size: tuple[int, int]) -> Patch:
        """Average a rectangle of even borders to `size` (even width, height) and convert it."""
        width, height = columns.stop - columns.start, rows.stop - rows.start
        half = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
        planes = [self.luma[rows, columns], self.chroma_u[half], self.chroma_v[half]]
        if size != (width, height):
            half_size = size[0] // 2, size[1] // 2
            sizes = (size, half_size, half_size)
            planes = [_averaged(plane, wanted) for plane, wanted in zip(planes, sizes, strict=True)]
        scale_x, scale_y = size[0] / width, size[1] / height
        to_patch = np.array(
            [
                [scale_x, 0.0, (0.5 - columns.start) * scale_x - 0.5],
                [0.0, scale_y, (0.5 - rows.start) * scale_y - 0.5],
            ]
        )
        return Patch(bgr=_colours(*planes), to_patch=to_patch)

    def whole(self, scale: float) -> Patch:
        """Convert the whole picture, `scale` times as large."""
        shrink = min(scale, 1.0)
        size = tuple(2 * max(1, round(side * shrink / 2)) for side in (self.width_px, self.height_px))
        patch = self._shrunk(slice(0, self.width_px), slice(0, self.height_px), (size[0], size[1]))
        if scale <= 1:
            return patch
        bgr = cast("NDArray[np.uint8]", cv2.resize(patch.bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR))
        shift = (scale - 1) / 2
        return Patch(bgr=bgr, to_patch=np.array([[scale, 0.0, shift], [0.0, scale, shift]]))


def crop(picture: Picture, to_crop: Affine, side_px: int) -> NDArray[np.uint8]:
    """Cut a turned square out of the picture: uint8[side_px, side_px, 3] BGR.

    `to_crop` maps picture to crop coordinates; outside the picture its edge pixels are repeated.
    """
    return cut_out(patch_around(picture, to_crop, side_px), to_crop, side_px)


def patch_around(picture: Picture, to_crop: Affine, side_px: int) -> Patch:
    """Convert what a crop of `side_px` pixels shows, and half of that again; strong shrinking is averaged first."""
    scale = _scale_of(to_crop)
    centre = invert(to_crop) @ np.array([side_px / 2, side_px / 2, 1.0])
    # Half the diagonal of the square is 0.71 of its side; the rest is for the interpolation.
    reach = 0.75 * side_px / scale + 2
    left, top = centre - reach
    right, bottom = centre + reach
    thin = max(1, min(int(1 / scale), picture.width_px // 2, picture.height_px // 2))
    return picture.patch(left, top, right, bottom, thin=thin)


def cut_out(patch: Patch, to_crop: Affine, side_px: int) -> NDArray[np.uint8]:
    """Turn and scale a patch: uint8[side_px, side_px, 3] BGR; `to_crop` maps picture to crop coordinates."""
    from_patch = _chained(invert(patch.to_patch), to_crop).astype(np.float32)
    turned = cv2.warpAffine(
        patch.bgr, from_patch, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cast("NDArray[np.uint8]", turned)


def invert(affine: Affine) -> Affine:
    """Return the map that undoes `affine`."""
    (a, b, x), (c, d, y) = affine.tolist()
    # Written out: numpy's solver takes ten times as long for a matrix this small.
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def mapped(affine: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply an affine map to float64[..., 2]."""
    return points @ affine[:, :2].T + affine[:, 2]


def _chained(first: Affine, second: Affine) -> Affine:
    linear = second[:, :2]
    return np.column_stack([linear @ first[:, :2], linear @ first[:, 2] + second[:, 2]])


def _scale_of(affine: Affine) -> float:
    (a, b, _), (c, d, _) = affine.tolist()
    return float(abs(a * d - b * c) ** 0.5)


def _span(start: float, stop: float, length: int, step: int) -> tuple[int, int]:
    """Widen to multiples of `step` inside 0..length, at least one step long; `length` itself is no multiple."""
    most = length // step * step
    low = min(max(floor(start / step) * step, 0), most - step)
    high = max(min(ceil(stop / step) * step, most), low + step)
    return low, high


def _averaged(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _colours(luma: NDArray[np.uint8], chroma_u: NDArray[np.uint8], chroma_v: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = luma.shape
    planes = np.concatenate([luma.reshape(-1), chroma_u.reshape(-1), chroma_v.reshape(-1)])
    bgr = cv2.cvtColor(planes.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420)
    return cast("NDArray[np.uint8]", bgr)
