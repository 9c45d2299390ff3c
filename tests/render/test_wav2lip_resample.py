"""What is shrunk and enlarged lies where it lay, and keeps its values."""

import cv2
import numpy as np
import pytest

from heygemd.render.wav2lip.resample import averaged, chroma_map, enlarged, sample, smoothed, spread

SIZE = (96, 48)


def to_small(scale: float, shift: tuple[float, float] = (0.3, -0.2)) -> np.ndarray:
    """Map of a plane whose pixels are `scale` times finer."""
    return np.array([[1 / scale, 0, shift[0]], [0, 1 / scale, shift[1]]])


def slope(width: int, height: int) -> np.ndarray:
    """A picture that says where it is: uint8."""
    y, x = np.mgrid[:height, :width]
    return np.asarray((20 + 100 * x / width + 80 * y / height), np.float32)


@pytest.mark.parametrize("scale", [1.0, 1.6, 2.0, 3.0, 4.4, 8.0])
def test_averaging_neither_moves_nor_changes_a_slope(scale: float) -> None:
    place = to_small(scale)
    large = slope(int(110 * scale), int(60 * scale))
    small = averaged(np.round(large).astype(np.uint8), place, SIZE)
    expected = sample(large, place, SIZE)
    assert np.abs(small - expected)[4:-4, 4:-4].max() < 0.5
    assert abs(float((small - expected)[4:-4, 4:-4].mean())) < 0.06


@pytest.mark.parametrize("scale", [2.0, 3.0, 5.0])
def test_averaging_takes_the_mean_of_what_a_small_pixel_covers(scale: float) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (int(60 * scale), int(110 * scale)), dtype=np.uint8)
    place = to_small(scale, shift=(1 / scale / 2 - 0.5, 1 / scale / 2 - 0.5))
    small = averaged(noise, place, SIZE)
    expected = cv2.resize(noise, (110, 60), interpolation=cv2.INTER_AREA).astype(np.float32)
    assert np.abs(small[:40, :90] - expected[:40, :90]).max() < 0.6


def test_sampling_averages_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 600), dtype=np.uint8)
    small = sample(noise, to_small(5, shift=(0, 0)), SIZE)
    assert (small == noise[: 48 * 5 : 5, : 96 * 5 : 5]).all()


@pytest.mark.parametrize("scale", [1.0, 1.7, 3.3, 8.0])
def test_enlarging_is_cubic_and_moves_nothing(scale: float) -> None:
    small = smoothed(np.random.default_rng(2).uniform(40, 200, (48, 96)).astype(np.float32), 1.0)
    place, size = to_small(scale), (int(90 * scale), int(44 * scale))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(small, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(enlarged(small, place, size) - expected).max() < 3
    assert np.abs(enlarged(small, place, size) - expected).mean() < 0.35


def test_beyond_the_small_picture_a_mask_is_zero() -> None:
    mask = np.ones((48, 96), np.float32)
    place = to_small(2, shift=(-10, -10))
    assert spread(mask, place, (300, 200), beyond=False)[0, 0] == 0
    assert spread(mask, place, (300, 200))[0, 0] == 1


def test_chroma_lies_in_the_middle_of_its_four_luma_pixels() -> None:
    luma = to_small(2.5)
    chroma = chroma_map(luma)
    for x, y in ((0, 0), (7, 3)):
        middle = luma @ np.array([2 * x + 0.5, 2 * y + 0.5, 1])
        np.testing.assert_allclose(chroma @ np.array([x, y, 1]), middle)
