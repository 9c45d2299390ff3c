"""A movement of skin is found where it is, and where nothing moved nothing is found."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.render.wav2lip.alignment import followed, movement, pulled, stillness
from heygemd.render.wav2lip.resample import smoothed

Plane = NDArray[np.float32]


def skin(seed: int = 0, sigma_px: float = 1.2) -> Plane:
    noise = np.random.default_rng(seed).normal(0, 60, (48, 96)).astype(np.float32)
    return 120 + smoothed(noise, sigma_px)


def drop(chin_px: float) -> NDArray[np.float32]:
    """A jaw that drops: nothing above row 12, `chin_px` below row 30."""
    rows = np.clip((np.arange(48, dtype=np.float32) - 12) / 18, 0, 1) * -chin_px
    return np.dstack([np.zeros((48, 96), np.float32), np.repeat(rows[:, None], 96, axis=1)])


@pytest.mark.parametrize("chin_px", [1.0, 3.0, 5.0])
def test_a_dropping_jaw_is_followed(chin_px: float) -> None:
    source = skin()
    flow = movement(followed(source, drop(chin_px)), source)
    chin = flow[34:42, 20:76, 1]
    assert np.abs(chin + chin_px).mean() < 0.25
    assert np.abs(flow[2:8, 8:-8]).mean() < 0.15


def test_what_stands_still_has_no_movement_at_all_under_noise_and_another_light() -> None:
    source = skin()
    light = np.linspace(-12, 18, 96, dtype=np.float32)
    noise = np.random.default_rng(5).normal(0, 1.0, source.shape).astype(np.float32)
    still = stillness(movement(source + light + noise, source))
    assert (still == 1).mean() > 0.97


def test_what_moved_is_not_still() -> None:
    source = skin()
    still = stillness(movement(followed(source, drop(3.0)), source))
    assert still[34:42, 20:76].max() < 0.05
    assert still[2:8, 8:-8].min() > 0.95


def test_flat_skin_moves_nowhere() -> None:
    flat = np.full((48, 96), 130, np.float32)
    assert (movement(flat + 3, flat) == 0).all()


def test_number_of_threads_changes_nothing() -> None:
    source = skin()
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = movement(followed(source, drop(2.0)), source)
        cv2.setNumThreads(4)
        assert (movement(followed(source, drop(2.0)), source) == one).all()
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_what_is_pulled_from_nowhere_else_keeps_every_value(interpolation: int) -> None:
    source = skin()
    rest = np.zeros_like(source)
    assert (pulled(source, rest.copy(), rest.copy(), interpolation) == source).all()
    assert (pulled(source, rest + 2, rest - 1, interpolation)[1:, :-2] == source[:-1, 2:]).all()
