"""What is a cut and what is not."""

import cv2
import numpy as np
import pytest

from heygemd.render.faces.cuts import CutDetector

GENERATOR = np.random.default_rng(7)


def scene(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """A picture of large soft shapes."""
    coarse = np.random.default_rng(seed).uniform(20, 235, (6, 8)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def noisy(luma: np.ndarray, level: float = 5.0) -> np.ndarray:
    return (luma + GENERATOR.normal(0, level, luma.shape)).clip(0, 255).astype(np.uint8)


def cuts(frames: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [number for number, frame in enumerate(frames) if detector.is_cut(frame)]


def test_change_of_scene_is_a_cut_at_its_first_frame() -> None:
    assert cuts([noisy(scene(1))] * 3 + [noisy(scene(2))] * 3 + [noisy(scene(3))] * 2) == [3, 6]


def test_every_frame_of_a_fast_montage_is_a_cut() -> None:
    assert cuts([scene(seed) for seed in range(5)]) == [1, 2, 3, 4]


def test_cut_to_black_and_back_are_cuts() -> None:
    black = np.full((240, 320), 16, np.uint8)
    assert cuts([scene(1)] * 3 + [black] * 3 + [scene(1)] * 3) == [3, 6]


def test_noise_is_no_cut() -> None:
    assert cuts([noisy(scene(1), 25) for _ in range(10)]) == []


def test_flash_is_no_cut() -> None:
    picture = scene(1)
    bright = (picture * 0.6 + 100).astype(np.uint8)
    assert cuts([picture, picture, bright, picture, picture]) == []


def test_slow_fade_is_no_cut() -> None:
    frames = [(scene(1) * (1 - part) + scene(2) * part).astype(np.uint8) for part in np.linspace(0, 1, 25)]
    assert cuts(frames) == []


def test_steady_pan_is_no_cut() -> None:
    wide = scene(4, width=1600)
    assert cuts([np.ascontiguousarray(wide[:, 8 * step : 8 * step + 320]) for step in range(40)]) == []


def test_first_frame_is_no_cut() -> None:
    assert not CutDetector().is_cut(scene(1))


@pytest.mark.parametrize("size", [(16, 16), (36, 48), (1080, 1920)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    assert cuts([scene(1, *size)] * 2 + [scene(2, *size)] * 2) == [2]
