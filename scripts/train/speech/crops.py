"""What the net sees in a step: crops of utterances and of sounds that are no speech, each disturbed anew."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heygemd.render.speech.features import SILENT_FEATURE, speech_features
from heygemd.render.speech.mouth import FEATURES_PER_TRACK
from scripts.train.speech.coarticulation import Calibration, targets_of
from scripts.train.speech.corpus import Utterance
from scripts.train.speech.disturb import Disturber
from scripts.train.speech.noises import MUSIC, NOISES, drawn_noise

Random = np.random.Generator
Features = NDArray[np.float32]

CROP_FRAMES = 256
"""2.56 s of features."""
CROP_TRACKS = CROP_FRAMES // FEATURES_PER_TRACK
RECORDED_SHARE = 0.65
"""Of the utterances, so many are heard badly recorded."""
NOISE_SHARE = 0.5
"""So many steps contain one sound that is no speech."""
NOISE_SOUNDS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Features float16[t, 80] in one or two versions, targets float32[n, 5] and mouth classes int64[n] at 50 Hz."""

    clean: NDArray[np.float16]
    recorded: NDArray[np.float16]
    targets: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Features float32[b, 80, t], targets float32[b, 5, n] and classes int64[b, n]."""

    features: Tensor
    targets: Tensor
    classes: Tensor


def synthetic_example(utterance: Utterance, calibration: Calibration) -> Example:
    """Draw the targets of an utterance."""
    targets, classes = targets_of(utterance.segments, utterance.duration_s, calibration)
    count = len(utterance.clean) // FEATURES_PER_TRACK
    return Example(clean=utterance.clean, recorded=utterance.recorded, targets=targets[:count], classes=classes[:count])


def noise_examples(random: Random, count: int = NOISE_SOUNDS) -> list[Example]:
    """Make sounds at which a mouth stays shut: noise and music by turns, the kinds of each one after another."""
    kinds = zip(itertools.cycle(NOISES), itertools.cycle(MUSIC), strict=True)
    drawn = itertools.islice(itertools.chain.from_iterable(kinds), count)
    return [_still(speech_features(drawn_noise(random, kind))) for kind in drawn]


def _still(features: Features) -> Example:
    heard, count = features.astype(np.float16), len(features) // FEATURES_PER_TRACK
    return Example(
        clean=heard,
        recorded=heard,
        targets=np.zeros((count, 5), np.float32),
        classes=np.zeros(count, np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Examples of one kind, and how many crops of a step are drawn from them."""

    examples: Sequence[Example]
    crops: int


class CropDealer:
    """Deals batches; the same seed and pools give the same batches."""

    def __init__(self, pools: Sequence[Pool], seed: int) -> None:
        self._random = np.random.default_rng((seed, 1))
        self._pools = [pool for pool in pools if pool.crops]
        self._noises = noise_examples(self._random)
        self._disturber = Disturber(seed)

    def deal(self) -> Batch:
        """Draw a batch of as many crops as all pools ask for."""
        drawn = [self._cropped(example) for example in self._drawn()]
        features, targets, classes = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return Batch(
            features=self._disturber.disturbed(torch.from_numpy(features)).transpose(1, 2),
            targets=torch.from_numpy(targets).transpose(1, 2),
            classes=torch.from_numpy(classes),
        )

    def _drawn(self) -> list[Example]:
        drawn = [_one_of(pool.examples, self._random) for pool in self._pools for _ in range(pool.crops)]
        if self._random.random() < NOISE_SHARE:
            drawn[-1] = _one_of(self._noises, self._random)
        return drawn

    def _cropped(self, example: Example) -> tuple[Features, NDArray[np.float32], NDArray[np.int64]]:
        heard = example.recorded if self._random.random() < RECORDED_SHARE else example.clean
        longest_start = max(1, (len(heard) - CROP_FRAMES) // FEATURES_PER_TRACK + 1)
        start = int(self._random.integers(0, longest_start))
        first = start * FEATURES_PER_TRACK
        features = heard[first : first + CROP_FRAMES].astype(np.float32)
        targets = example.targets[start : start + CROP_TRACKS]
        classes = example.classes[start : start + CROP_TRACKS]
        rest = CROP_TRACKS - len(targets)
        return (
            np.pad(features, ((0, CROP_FRAMES - len(features)), (0, 0)), constant_values=SILENT_FEATURE),
            np.pad(targets, ((0, rest), (0, 0))),
            np.pad(classes, (0, rest)),
        )


def _one_of(examples: Sequence[Example], random: Random) -> Example:
    return examples[int(random.integers(len(examples)))]
