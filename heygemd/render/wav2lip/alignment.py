"""Where in the source each pixel of a painted mouth lies: dense optical flow on the square, coarse to fine.

Lucas and Kanade's method ("An iterative image registration technique", 1981) in its form with a window, over three
sizes. A jaw that drops carries the skin of the chin with it, and this finds by how much. It is written out here, and
not taken from OpenCV, because the latter's fast flow (DIS) depends on the number of threads.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.wav2lip.resample import Plane, merged, smoothed, smoothstep

Flow = NDArray[np.float32]
"""float32[h, w, 2]: x, y from a pixel of the painted half to where its skin lies in the source, in its pixels."""

COMMON_PX = 6.0
"""What is smoother than this differs by light and tone, not by movement, and is left out."""
WINDOW_PX = 2.0
"""Standard deviation of the window in which the movement is taken to be one."""
FLATNESS = 8.0
"""Squared levels per pixel: a window with less gradient than this tells no movement, and takes little."""
SMOOTHING_PX = 2.0
"""Movements are smoothed by this after each step: skin does not tear, except where the mouth opens."""
ROUNDS = ((2, 2), (1, 2), (0, 1))
"""How often the square is halved, and how many steps are made at that size."""
SAME, OTHER = 8.0, 24.0
"""Levels by which the pictures differ where they show the same, and surely another thing: the dark of an open mouth has
no part in the mean around it, or the skin beside it would seem to move."""
LARGEST_DIFFERENCE = 10.0
"""Levels; more pulls no harder: it is no movement but another thing, such as teeth."""
STILL_PX, MOVED_PX = 0.12, 0.4
"""Below the first nothing has moved, so that still skin keeps its texture to the byte; above the second all counts."""


def movement(painted: Plane, source: Plane) -> Flow:
    """Find where the source shows what is painted: two luma pictures float32[h, w] of one size."""
    common = smoothstep(np.abs(painted - source), OTHER, SAME)
    wanted, shown = _pyramid(painted, common), _pyramid(source, common)
    flow: Flow = np.zeros((*wanted[-1].shape, 2), np.float32)
    for level, steps in ROUNDS:
        height, width = wanted[level].shape
        if flow.shape[0] != height:
            flow = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * 2, np.float32)
        flow = _refined(wanted[level], shown[level], flow, steps)
    return flow


def stillness(flow: Flow) -> Plane:
    """Tell what has not moved: float32[h, w], 1 where it lies still, 0 where it surely moved."""
    length = cv2.magnitude(flow[:, :, 0], flow[:, :, 1])
    return smoothstep(np.asarray(length, np.float32), MOVED_PX, STILL_PX)


def followed(values: Plane, flow: Flow) -> Plane:
    """Move the source's values, float32[h, w] or [h, w, n], to where the painted picture has them: linear."""
    x, y = cv2.split(flow)
    return pulled(values, np.asarray(x, np.float32), np.asarray(y, np.float32), cv2.INTER_LINEAR)


def pulled(values: Plane, x: Plane, y: Plane, interpolation: int) -> Plane:
    """Read the values, float32[h, w] or [h, w, n], so far from each pixel; `x` and `y`, float32[h, w], are used up."""
    height, width = x.shape
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _pyramid(picture: Plane, common: Plane) -> list[Plane]:
    """Take out the mean of what is `common` (a weight) around each pixel, and halve twice."""
    total, weight = cv2.split(smoothed(merged(picture * common, common), COMMON_PX))
    levels = [np.asarray(picture - total / (weight + 1e-3), np.float32)]
    for _ in range(ROUNDS[0][0]):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    return levels


def _refined(wanted: Plane, shown: Plane, flow: Flow, steps: int) -> Flow:
    """Improve the flow by some steps; gradients are those of the picture that stands still."""
    across = np.asarray(cv2.Sobel(wanted, -1, 1, 0, scale=1 / 8), np.float32)
    down = np.asarray(cv2.Sobel(wanted, -1, 0, 1, scale=1 / 8), np.float32)
    xx, yy, xy = cv2.split(smoothed(merged(across * across, down * down, across * down), WINDOW_PX))
    xx, yy = xx + FLATNESS, yy + FLATNESS
    inverse = 1 / (xx * yy - xy * xy)
    for _ in range(steps):
        off = np.clip(wanted - followed(shown, flow), -LARGEST_DIFFERENCE, LARGEST_DIFFERENCE)
        x, y = cv2.split(smoothed(merged(across * off, down * off), WINDOW_PX))
        step = merged((yy * x - xy * y) * inverse, (xx * y - xy * x) * inverse)
        flow = smoothed(flow + np.clip(step, -1, 1), SMOOTHING_PX)
    return flow
