"""Where a joint between two segments is welcome; no joint is ever seen, so of very many places some will do."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_PLACES = 4096
"""Of each kind. An analysis crosses to the daemon as one line, and stands in the plan, which is hashed often."""


def scene_ticks(scenes: NDArray[np.int32]) -> tuple[int, ...]:
    """Ticks with which another scene begins, rising; of too many, evenly chosen ones. Takes the scene at each tick."""
    ticks = np.flatnonzero(np.diff(scenes)) + 1
    if len(ticks) > MOST_PLACES:
        ticks = ticks[np.linspace(0, len(ticks) - 1, MOST_PLACES).round().astype(np.int64)]
    return tuple(ticks.tolist())


def longest(pauses_s: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Keep the longest pauses, rising, to the millisecond."""
    kept = sorted(pauses_s, key=lambda pause: pause[0] - pause[1])[:MOST_PLACES]
    return tuple(sorted((round(start, 3), round(stop, 3)) for start, stop in kept))
