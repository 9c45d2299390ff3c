"""The soft step that every fade of the atlas uses."""

import numpy as np
from numpy.typing import NDArray


def smoothstep(x: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """Rise from 0 at `low` to 1 at `high` with level ends (3t² - 2t³); fall when `high` < `low`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def soft_step(x: float, low: float, high: float) -> float:
    """Do the same for one number."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)
