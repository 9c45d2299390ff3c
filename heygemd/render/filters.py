"""Filters of curves over time, in numpy: what a worker needs of them is no reason to load scipy (0.15 to 0.6 CPU s)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAUSS_REACH = 4.0
"""Standard deviations after which the bell is cut off."""
BLOCK_VALUES = 1 << 20
"""Values in the windows whose median is taken at once (8 MB)."""


def running_median(values: NDArray[np.floating], size: int) -> Floats:
    """Take the median of `size` neighbours, an odd number, of float[n]; beyond the ends the last value goes on."""
    if not len(values):
        return np.zeros(0)
    windows = sliding_window_view(np.pad(np.asarray(values, np.float64), size // 2, mode="edge"), size)
    step = max(1, BLOCK_VALUES // size)
    return np.concatenate([np.median(windows[at : at + step], axis=1) for at in range(0, len(windows), step)])


def gauss_blurred(values: NDArray[np.floating], sigma: float) -> Floats:
    """Blur float[n] by a bell of `sigma` values; beyond the ends the last value goes on."""
    reach = int(GAUSS_REACH * sigma + 0.5)
    if not len(values) or not reach:
        return np.asarray(values, np.float64)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(np.asarray(values, np.float64), reach, mode="edge")
    return np.convolve(padded, bell / bell.sum(), "valid")


def polynomials_fitted(values: Floats, window: int, order: int) -> Floats:
    """Smooth float64[n, ...] along time as Savitzky and Golay (1964) do: n is at least `window`, an odd number.

    Each value becomes that of the polynomial of `order` that fits its window best; the first and the last half window
    become those of the one polynomial that fits the first or the last whole window.
    """
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1.0), order + 1, increasing=True)
    fit = powers @ np.linalg.pinv(powers)
    """float64[window, window]: values of the polynomial at each place of a window, from the values in it."""
    flat = values.reshape(len(values), -1)
    inner = len(flat) - 2 * half
    smooth = np.empty_like(flat)
    smooth[half : half + inner] = sum(fit[half, k] * flat[k : k + inner] for k in range(window))
    smooth[:half], smooth[-half:] = fit[:half] @ flat[:window], fit[-half:] @ flat[-window:]
    return smooth.reshape(values.shape)


def numbered_runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.intp], int]:
    """Number the unbroken runs of True in bool[n] from 1 on, 0 elsewhere; and say how many there are."""
    begins = flags & ~np.concatenate([[False], flags[:-1]])
    numbers = np.cumsum(begins)
    return np.where(flags, numbers, 0), int(numbers[-1]) if len(numbers) else 0
