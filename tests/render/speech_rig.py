"""Answers of a speech net that never was, and mouths that follow them."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from heygemd.render.speech.features import SAMPLE_RATE_HZ
from heygemd.render.speech.mouth import MouthTracks
from heygemd.render.speech.network import ANSWER_COUNT, OPENING, WIDTH

TICKS_PER_S = 50
MEMORY_TICKS = 3
GENERAL_PART = 0.7


def babbling(seconds: float, *, seed: int, gate: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> MouthTracks:
    """Somebody speaks all the time: every answer of the net wanders on its own."""
    count = round(seconds * TICKS_PER_S) + 1
    wander = gaussian_filter1d(np.random.default_rng(seed).normal(size=(count, ANSWER_COUNT)), MEMORY_TICKS, axis=0)
    answers = (scale * wander / max(wander.std(), 1e-9) + shift).astype(np.float16)
    nothing = {name: np.zeros(count, np.float32) for name in MouthTracks.__dataclass_fields__ if name != "answers"}
    voice = {
        "gate": np.full(count, gate, np.float32),
        "opening_raw": answers[:, OPENING].astype(np.float32),
        "width_raw": answers[:, WIDTH].astype(np.float32),
    }
    return MouthTracks(answers=answers, **{**nothing, **voice})


def own_way(seed: int) -> np.ndarray:
    """What a person does beside the general answer: float64[20, 2]."""
    way = np.random.default_rng(seed).normal(size=(ANSWER_COUNT, 2))
    way[[OPENING, WIDTH]] = 0
    return way / np.linalg.norm(way, axis=0)


def mouth_of(
    tracks: MouthTracks, at_s: np.ndarray, *, noise: float = 0.0, way: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Opening and width in eye distances of a mouth that follows the answers at these times."""
    ticks = np.arange(len(tracks.gate))
    heard = np.stack([np.interp(at_s * TICKS_PER_S, ticks, column) for column in tracks.answers.T.astype(float)], 1)
    moved = GENERAL_PART * heard[:, [OPENING, WIDTH]] + (0 if way is None else heard @ way)
    trouble = gaussian_filter1d(np.random.default_rng(len(at_s)).normal(size=moved.shape), 2, axis=0)
    moved = moved + noise * trouble / max(trouble.std(), 1e-9)
    return 0.15 + 0.04 * moved[:, 0], 0.6 + 0.02 * moved[:, 1]


def times(seconds: float, fps: float) -> np.ndarray:
    return np.arange(int(seconds * fps)) / fps


def voice_like(seconds: float = 2.0) -> np.ndarray:
    """A buzz whose loudness goes up and down four times a second."""
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 30))
    return (0.1 * buzz * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time_s))).astype(np.float32)
