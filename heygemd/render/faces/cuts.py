"""Notices a cut between two scenes from thumbnails of the luma plane."""

from collections import deque
from statistics import median
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = (48, 36)
"""Width, height: small enough that noise and the motion of a talking head average out."""
SAMPLES_PER_CELL = 4
"""The plane is thinned to about so many samples a cell and side before averaging."""
LEAST_CHANGE = 12.0
"""Mean difference, in grey levels of 255, below which nothing is a cut."""
LEAST_UNLIKENESS = 0.4
"""1 - correlation below which two thumbnails show the same scene: a flash or a fade changes levels, not places."""
OUTSTANDING = 3.0
"""A cut changes so many times more than the frames before it do: hand-held and noisy pictures change always."""
MEMORY_FRAMES = 12
FLATNESS = 2.0
"""Standard deviation, in grey levels, under which a thumbnail has no places to compare."""


class CutDetector:
    """Compares each frame with the one before. Dissolves are not noticed: they change little from frame to frame."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def is_cut(self, luma: NDArray[np.uint8]) -> bool:
        """Whether another scene begins with this frame; False for the first. Takes uint8[h, w]."""
        thumbnail = _thumbnail(luma)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail - last).mean())
        usual = median(self._changes) if self._changes else 0.0
        if change > LEAST_CHANGE and change > OUTSTANDING * usual and _unlikeness(last, thumbnail) > LEAST_UNLIKENESS:
            self._changes.clear()
            return True
        self._changes.append(change)
        return False


def _thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = luma.shape
    columns, rows = THUMBNAIL_PX
    thin = luma[:: max(1, height // (rows * SAMPLES_PER_CELL)), :: max(1, width // (columns * SAMPLES_PER_CELL))].copy()
    small = cv2.resize(thin, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.float32]", small.astype(np.float32))


def _unlikeness(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """1 - Pearson correlation; 1 where either is flat."""
    spread = float(before.std() * after.std())
    if min(before.std(), after.std()) < FLATNESS:
        return 1.0
    return 1.0 - float(((before - before.mean()) * (after - after.mean())).mean()) / spread
