"""Where in a picture the nets look: a turned square, laid around points that were seen before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.picture import Affine
from heygemd.render.faces.topology import LIP_ROWS, OUTER_EYE_CORNER_ROWS, eye_distance

LIP_SQUARE_EYES = 1.05
"""Side of the lip net's crop in eye distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A turned square in the picture."""

    centre: NDArray[np.float64]
    """float64[2]: x, y in pixels."""
    side_px: float
    turn_rad: float
    """Turn that makes the face upright."""

    def to_crop(self, crop_px: int, *, margin: float = 1.0) -> Affine:
        """Map the square, `margin` times as large, onto a crop of `crop_px` pixels."""
        scale = crop_px / (self.side_px * margin)
        cos, sin = scale * np.cos(self.turn_rad), scale * np.sin(self.turn_rad)
        linear = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([linear, crop_px / 2 - linear @ self.centre])

    def moved(self, right: float, down: float, zoom: float, turn_deg: float) -> "Square":
        """Frame the same thing differently; shifts in sides."""
        return Square(
            centre=self.centre + self.side_px * np.array([right, down]),
            side_px=self.side_px * zoom,
            turn_rad=self.turn_rad + np.deg2rad(turn_deg),
        )


def face_square(points: NDArray[np.float64]) -> Square:
    """Square around float64[74, 2]: the longer side of their box, turned with the eyes."""
    low, high = points.min(axis=0), points.max(axis=0)
    return Square(centre=(low + high) / 2, side_px=float((high - low).max()), turn_rad=_turn_of(points))


def mouth_square(points: NDArray[np.float64]) -> Square:
    """Square of one eye distance in the middle of the lips of float64[74, 2], turned with the eyes."""
    return Square(centre=points[LIP_ROWS].mean(axis=0), side_px=float(eye_distance(points)), turn_rad=_turn_of(points))


def _turn_of(points: NDArray[np.float64]) -> float:
    left, right = points[OUTER_EYE_CORNER_ROWS]
    across = right - left
    return -float(np.arctan2(across[1], across[0]))
