"""Filters in numpy give what scipy's of the same kind give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.signal import savgol_filter

from heygemd.render import filters
from heygemd.render.filters import gauss_blurred, numbered_runs, polynomials_fitted, running_median

VALUES = np.random.default_rng(4).normal(size=700)


@pytest.mark.parametrize("count", [1, 2, 5, 699])
@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_running_median_goes_on_with_the_last_value(size: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ndimage.median_filter(VALUES[:count], size, mode="nearest")
    assert np.array_equal(running_median(VALUES[:count], size), expected)
    monkeypatch.setattr(filters, "BLOCK_VALUES", 40)
    assert np.array_equal(running_median(VALUES[:count], size), expected)


@pytest.mark.parametrize("count", [1, 3, 700])
@pytest.mark.parametrize("sigma", [0.05, 0.8, 37.5])
def test_bell_goes_on_with_the_last_value(sigma: float, count: int) -> None:
    expected = ndimage.gaussian_filter1d(VALUES[:count], sigma, mode="nearest")
    assert gauss_blurred(VALUES[:count], sigma) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("count", [7, 8, 100])
def test_polynomials_fit_as_savitzky_and_golay_do(count: int) -> None:
    values = VALUES[: 4 * count].reshape(count, 2, 2) if 4 * count <= 700 else np.resize(VALUES, (count, 2, 2))
    assert polynomials_fitted(values, 7, 2) == pytest.approx(savgol_filter(values, 7, 2, axis=0), abs=1e-12)


@given(arrays(np.bool_, st.integers(0, 30)))
def test_runs_are_numbered_in_order(flags: np.ndarray) -> None:
    expected, count = ndimage.label(flags)
    numbers, found = numbered_runs(flags)
    assert (numbers.tolist(), found) == (expected.tolist(), count)


def test_nothing_stays_nothing() -> None:
    nothing = np.zeros(0, np.float32)
    assert len(running_median(nothing, 5)) == len(gauss_blurred(nothing, 3.0)) == 0
