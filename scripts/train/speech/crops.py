"""What the net sees in a step: crops of utterances, GRID clips and sounds that are no speech, each disturbed anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal
from torch import Tensor

from heygemd.render.speech.features import MEL_COUNT, SAMPLE_RATE_HZ, SILENT_FEATURE, speech_features
from heygemd.render.speech.mouth import FEATURES_PER_TRACK, TRACK_RATE_HZ
from scripts.train.speech.coarticulation import Calibration, targets_of
from scripts.train.speech.corpus import Utterance
from scripts.train.speech.grid import GridClip
from scripts.train.speech.phonemes import Segment

Random = np.random.Generator
Features = NDArray[np.float32]

CROP_FRAMES = 256
"""2.56 s of features."""
CROP_TRACKS = CROP_FRAMES // FEATURES_PER_TRACK
CROPS = 20
"""In a step."""
RECORDED_SHARE = 0.65
"""Of the utterances, so many are heard badly recorded."""
NOISE_SHARE = 0.5
"""So many steps contain one sound that is no speech."""
MEASURED_PART = 0.5
"""Of the targets of GRID clips; the other half is what the rules say of the aligned phones."""
PICTURE_LATE_S = 0.015
"""The measured mouth is read so much later: a picture shows the middle of its exposure."""
NOISE_SOUNDS, NOISE_S = 80, 4
WARP_COUNT = 300


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


def grid_example(clip: GridClip, segments: Sequence[Segment], calibration: Calibration) -> Example:
    """Blend what the rules say of a clip with its measured mouth, brought to the mean and spread of the rules."""
    targets, classes = targets_of(segments, segments[-1].stop_s, calibration)
    count = min(len(clip.features) // FEATURES_PER_TRACK, len(targets))
    targets = targets[:count].copy()
    read_s = np.arange(count) / TRACK_RATE_HZ + PICTURE_LATE_S
    for column, curve in enumerate((clip.opening, clip.width)):
        seen = np.interp(read_s, clip.time_s, curve)
        ruled = targets[:, column]
        measured = (seen - seen.mean()) / (seen.std() + 1e-6) * ruled.std() + ruled.mean()
        targets[:, column] = (1 - MEASURED_PART) * ruled + MEASURED_PART * measured
    features = clip.features.astype(np.float16)
    return Example(clean=features, recorded=features, targets=targets, classes=classes[:count])


def noise_examples(random: Random, count: int = NOISE_SOUNDS) -> list[Example]:
    """Make sounds at which a mouth stays shut: hiss, rumble, hum, clicks, and noise like wind."""
    return [_still(speech_features(_noise(kind % 5, random))) for kind in range(count)]


def _still(features: Features) -> Example:
    heard, count = features.astype(np.float16), len(features) // FEATURES_PER_TRACK
    return Example(
        clean=heard,
        recorded=heard,
        targets=np.zeros((count, 5), np.float32),
        classes=np.zeros(count, np.int64),
    )


def _noise(kind: int, random: Random) -> NDArray[np.float32]:
    count = NOISE_S * SAMPLE_RATE_HZ
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    white = random.standard_normal(count)
    if kind == 0:
        sound = white
    elif kind == 1:
        sound = 0.02 * np.cumsum(white)
    elif kind == 2:
        sound = np.zeros(count)
        for pitch_hz in random.uniform(60, 1500, 6):
            swell = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(0.1, 2) * time_s + random.uniform(0, 6))
            sound += np.sin(2 * np.pi * pitch_hz * time_s) * swell
    elif kind == 3:
        clicks = (random.random(count) < 3 / SAMPLE_RATE_HZ) * white
        click = np.exp(-np.arange(800) / 120) * random.standard_normal(800)
        sound = np.convolve(clicks, click, "same") + 1e-3 * random.standard_normal(count)
    else:
        gusts = np.interp(time_s, np.linspace(0, NOISE_S, 9), random.standard_normal(9))
        sound = signal.lfilter([1], [1, -0.95], white) * np.exp(0.6 * gusts)
    return (0.03 * sound).astype(np.float32)


class CropDealer:
    """Deals batches; the same seed and examples give the same batches."""

    def __init__(self, utterances: Sequence[Example], clips: Sequence[Example], clip_crops: int, seed: int) -> None:
        self._random = np.random.default_rng((seed, 1))
        self._utterances, self._clips = utterances, clips
        self._clip_crops = clip_crops if clips else 0
        self._noises = noise_examples(self._random)
        self._warps = [_warp(self._random) for _ in range(WARP_COUNT)]

    def deal(self) -> Batch:
        """Draw a batch of CROPS crops."""
        drawn = [self._cropped(self._draw(place)) for place in range(CROPS)]
        features, targets, classes = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return Batch(
            features=torch.from_numpy(features).transpose(1, 2),
            targets=torch.from_numpy(targets).transpose(1, 2),
            classes=torch.from_numpy(classes),
        )

    def _draw(self, place: int) -> Example:
        random = self._random
        if place < self._clip_crops:
            return self._clips[int(random.integers(len(self._clips)))]
        if place == self._clip_crops and random.random() < NOISE_SHARE:
            return self._noises[int(random.integers(len(self._noises)))]
        return self._utterances[int(random.integers(len(self._utterances)))]

    def _cropped(self, example: Example) -> tuple[Features, NDArray[np.float32], NDArray[np.int64]]:
        heard = example.recorded if self._random.random() < RECORDED_SHARE else example.clean
        longest_start = max(1, (len(heard) - CROP_FRAMES) // FEATURES_PER_TRACK + 1)
        start = int(self._random.integers(0, longest_start))
        first = start * FEATURES_PER_TRACK
        features = heard[first : first + CROP_FRAMES].astype(np.float32)
        targets = example.targets[start : start + CROP_TRACKS]
        classes = example.classes[start : start + CROP_TRACKS]
        features = np.pad(features, ((0, CROP_FRAMES - len(features)), (0, 0)), constant_values=SILENT_FEATURE)
        rest = CROP_TRACKS - len(targets)
        return (
            disturbed(features, self._warps, self._random),
            np.pad(targets, ((0, rest), (0, 0))),
            np.pad(classes, (0, rest)),
        )


def _warp(random: Random) -> Features:
    """Float32[80, 80] that moves formants up or down, and often blurs the bands."""
    bands = np.arange(float(MEL_COUNT))
    scale = random.uniform(0.86, 1.16) if random.random() < 0.7 else 1.0
    place = np.clip(bands * scale + random.uniform(-1.5, 1.5), 0, MEL_COUNT - 1)
    lower = np.clip(place.astype(np.intp), 0, MEL_COUNT - 2)
    upper_part = place - lower
    warp = np.zeros((MEL_COUNT, MEL_COUNT), np.float32)
    warp[lower, np.arange(MEL_COUNT)] += 1 - upper_part
    warp[lower + 1, np.arange(MEL_COUNT)] += upper_part
    if random.random() < 0.6:
        blur = np.exp(-0.5 * ((bands[:, None] - bands[None]) / random.uniform(0.3, 2.2)) ** 2)
        warp = (warp @ (blur / blur.sum(axis=0))).astype(np.float32)
    return warp


def disturbed(features: NDArray[np.floating], warps: Sequence[Features], random: Random) -> Features:
    """Change float32[t, 80] as another voice, microphone or room would, and hide parts (SpecAugment: Park 2019)."""
    count = len(features)
    features = features.astype(np.float64)
    if random.random() < 0.8:
        features = features @ warps[int(random.integers(len(warps)))]
    if random.random() < 0.7:  # another microphone
        features = features + np.interp(np.linspace(0, 5, MEL_COUNT), np.arange(6), random.normal(0, 0.25, 6))
    features = features * random.uniform(0.75, 1.2) + random.normal(0, 0.1)
    if random.random() < 0.5:
        features = features + random.standard_normal(features.shape) * random.uniform(0, 0.3)
    if random.random() < 0.3:  # a noise floor
        features = np.maximum(features, random.uniform(-2.5, -0.9))
    if random.random() < 0.25:  # slow gain
        drift = np.interp(np.arange(count), np.linspace(0, count, 7), random.normal(0, 0.25, 7))
        features = features + drift[:, None]
    if random.random() < 0.2:  # a room
        window = int(random.integers(2, 5))
        sums = np.cumsum(np.pad(features, ((window, 0), (0, 0)), mode="edge"), axis=0)
        features = (sums[window:] - sums[:-window]) / window
    return _with_holes(np.clip(features, -4, 3.5).astype(np.float32), random)


def _with_holes(features: Features, random: Random) -> Features:
    for _ in range(random.integers(0, 3)):
        band = int(random.integers(0, 70))
        features[:, band : band + int(random.integers(1, 12))] = 0
    if random.random() < 0.3:
        frame = int(random.integers(0, len(features)))
        features[frame : frame + int(random.integers(2, 14))] = -1
    return features
