"""What is done to a picture of a head before it is learned from: cut out, cut off, put elsewhere, covered."""

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.picture import Affine
from heygemd.render.faces.topology import JAW_ROWS, OUTER_LIP_ROWS
from scripts.train.face.material import Bgr, Points, Rng
from scripts.train.face.scenery import faceless, occlude

SCREENS = ((0, 255, 0), (60, 180, 30), (70, 177, 0), (200, 60, 20), (255, 255, 255), (8, 8, 8), (128, 128, 128))
"""Blue, green, red of the screens that studios use."""


def warped(picture: Bgr, to_crop: Affine, side_px: int) -> Bgr:
    """Cut a turned square out; what shrinks by more than half is blurred first."""
    scale = float(np.sqrt(abs(np.linalg.det(to_crop[:, :2]))))
    if scale < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    return cv2.warpAffine(
        picture, to_crop, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def cut_off(picture: Bgr, points: Points, rng: Rng) -> Bgr:
    """End the picture inside the face, as at the border of a frame; beyond it the last pixels are repeated."""
    low, high = points.min(axis=0), points.max(axis=0)
    inside = rng.uniform(0.02, 0.3)
    height, width = picture.shape[:2]
    match rng.integers(0, 4):
        case 0:
            edge = int(np.clip(low[0] + inside * (high[0] - low[0]), 0, width - 2))
            return cv2.copyMakeBorder(picture[:, edge:], 0, 0, edge, 0, cv2.BORDER_REPLICATE)
        case 1:
            edge = int(np.clip(high[0] - inside * (high[0] - low[0]), 2, width))
            return cv2.copyMakeBorder(picture[:, :edge], 0, 0, 0, width - edge, cv2.BORDER_REPLICATE)
        case 2:
            edge = int(np.clip(low[1] + inside * (high[1] - low[1]), 0, height - 2))
            return cv2.copyMakeBorder(picture[edge:], edge, 0, 0, 0, cv2.BORDER_REPLICATE)
        case _:
            edge = int(np.clip(high[1] - 0.4 * inside * (high[1] - low[1]), 2, height))
            return cv2.copyMakeBorder(picture[:edge], 0, height - edge, 0, 0, cv2.BORDER_REPLICATE)


def mark_head(mask: NDArray[np.float32], points: Points, rng: Rng) -> None:
    """Mark face, hair and, below, neck and shoulders."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    up = half[1] * rng.uniform(1.15, 1.5)
    axes = (int(half[0] * rng.uniform(1.1, 1.5)), int(half[1] + (up - half[1]) / 2))
    cv2.ellipse(mask, (int(middle[0]), int(high[1] - axes[1])), axes, 0, 0, 360, (1.0,), -1)
    if rng.random() < 0.8:
        chin = points[JAW_ROWS][6]
        broad = half[0] * rng.uniform(1.2, 2.6)
        beside = np.array([half[0] * 0.6, 0])
        neck = np.array([chin - beside, chin + beside, (chin[0] + broad, 255), (chin[0] - broad, 255)])
        cv2.fillConvexPoly(mask, neck.astype(np.int32), (1.0,))
    cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 5), dst=mask)


def on_other_ground(picture: Bgr, points: Points, rng: Rng) -> Bgr:
    """Put a head before a screen of one colour, a gradient, or a drawn scene.

    Without this a net takes a strong flat colour for the mark of a drawn thing, and loses people before green screens.
    """
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.float32)
    mark_head(mask, points, rng)
    if rng.random() < 0.25:
        ground = faceless(rng, width)
    else:
        screen = SCREENS[rng.integers(len(SCREENS))] if rng.random() < 0.4 else rng.uniform(0, 255, 3)
        slope = np.linspace(-1, 1, height)[:, None] * rng.normal(0, 25) * (rng.random() < 0.5)
        ground = np.clip(np.broadcast_to(np.asarray(screen), (height, width, 3)) + slope[..., None], 0, 255)
    weight = mask[..., None]
    return np.asarray(picture * weight + ground * (1 - weight), np.uint8)


def covered(crop: Bgr, points: Points, rng: Rng, *, at: Points, size_px: float) -> float:
    """Cover something around `at`, in place; returns how much of the lips (0..1) is hidden."""
    mask = occlude(crop, rng, at, size_px)
    lips = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(lips, [np.round(points[OUTER_LIP_ROWS]).astype(np.int32)], (1,))
    lips = cv2.dilate(lips, np.ones((3, 3), np.uint8)).astype(np.uint8)
    return float((mask & lips).sum() / max(int(lips.sum()), 1))
