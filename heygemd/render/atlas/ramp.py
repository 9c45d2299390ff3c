"""The soft step that every fade of the atlas uses."""

import numpy as np
from numpy.typing import NDArray


def smoothstep(x: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    """Rise from 0 at `low` to 1 at `high` with level ends (3t² - 2t³); falls when `high` < `low`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
