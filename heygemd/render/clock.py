"""Puts a source of any timing on the constant clock of the film."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import blocks

STEP_BYTES = 64
"""What the search for one tick takes for a moment."""


def ticks_of(pts_s: NDArray[np.float64], fps: Fraction) -> NDArray[np.int32]:
    """Source frame shown at each tick: int32[tick_count].

    Tick k lasts from k / fps to (k + 1) / fps and shows the latest frame that begins before its middle, the
    rounding of ffmpeg's `fps` filter (`round=near`), so a constant-rate source maps to itself whatever the
    jitter of its container. The last frame is taken to last as long as the median one.
    """
    n = len(pts_s)
    if n == 0:
        raise ValueError("a source needs at least one frame")
    rate = float(fps)
    steps = np.diff(pts_s)
    last_s = float(np.median(steps)) if n > 1 else 1 / rate
    # Whole ticks only: a source that ends 0.3 ticks after a boundary must not add a frame to a loop.
    ticks = np.empty(max(1, round((float(pts_s[-1]) + last_s) * rate)), np.int32)
    for part in blocks(len(ticks), STEP_BYTES):
        middles = (np.arange(part.start, part.stop) + 0.5) / rate
        # 1 µs guards against the last bit of float arithmetic at exact half ticks.
        frames = np.searchsorted(pts_s, middles - 1e-6, side="left") - 1
        ticks[part] = np.clip(frames, 0, n - 1)
    return ticks
