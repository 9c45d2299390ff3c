"""Sound -> level-free log-mel features, in blocks: an hour of memory-mapped sound is never copied whole.

The features of a mapped sound (115 MB for an hour) are mapped, too: they lie in an unnamed file beside it.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import folder_of, let_go, spooled
from heygemd.render.pulse import Pulse, unheard

SAMPLE_RATE_HZ = 16_000
FEATURE_RATE_HZ = 100
HOP_SAMPLES = SAMPLE_RATE_HZ // FEATURE_RATE_HZ
WINDOW_SAMPLES = 400
"""25 ms."""
FFT_SAMPLES = 512
MEL_COUNT = 80
MEL_RANGE_HZ = (55.0, 7600.0)
PRE_EMPHASIS = 0.97
POWER_FLOOR = 1e-7

SHORTEST_SOUND_SAMPLES = 1_600
"""0.1 s: anything shorter cannot hold a syllable and is heard as silence."""
SILENT_FEATURE = -3.0
"""What digital silence looks like after normalisation; the net was trained with it."""

_BLOCK_FRAMES = 6_000
_WINDOW = np.hanning(WINDOW_SAMPLES).astype(np.float32)
_TARGET_LOUDNESS = 0.1
_SILENT_LOUDNESS = 3e-5
_LOUD_PERCENTILE = 95
_ENERGY_PERCENTILES = (5, 95)
_LEAST_ENERGY_SPAN = 0.05
_OUTSTANDING_ENERGY = 1.0
_ACTIVE_FROM = 0.4
_FEATURE_UNIT = 2.5
_FEATURE_RANGE = (-4.0, 3.0)
_LARGEST_SAMPLE = 1e4
"""Floating-point files may hold anything; far beyond full scale their squares would overflow."""


def speech_features(sound: NDArray[np.float32], pulse: Pulse = unheard) -> NDArray[np.float32]:
    """Turn mono sound at 16 kHz, float32[n], into float32[n // 160 + 1, 80] at 100 Hz, in -4..3.

    Feature k is centred on sample 160 k. The same speech gives the same features at any recording level;
    silence, and what is too short to be speech, is -3 everywhere. NaN and infinite samples count as 0.
    """
    frame_count = len(sound) // HOP_SAMPLES + 1
    if len(sound) < SHORTEST_SOUND_SAMPLES:
        return np.full((frame_count, MEL_COUNT), SILENT_FEATURE, np.float32)
    gain = _gain(sound)
    features: NDArray[np.float32] = spooled(folder_of(sound), (frame_count, MEL_COUNT), np.float32)
    for part in _blocks(frame_count):
        features[part] = _log_mel(sound, gain, part.start, part.stop)
        let_go(features, sound)
        pulse()
    _normalise(features)
    return features


def _gain(sound: NDArray[np.float32]) -> float:
    """Factor that brings the loud parts to one level, so that the log's floor sits at the same place for all."""
    block_samples = WINDOW_SAMPLES * max(1, HOP_SAMPLES * _BLOCK_FRAMES // WINDOW_SAMPLES)
    whole = len(sound) // WINDOW_SAMPLES * WINDOW_SAMPLES
    loudness = []
    for start in range(0, whole, block_samples):
        windows = _clean(sound[start : min(start + block_samples, whole)]).reshape(-1, WINDOW_SAMPLES)
        loudness.append(np.sqrt((windows**2).mean(axis=1)))
        let_go(sound)
    every = np.concatenate(loudness)
    loud = float(np.percentile(every, _LOUD_PERCENTILE))
    if loud < _SILENT_LOUDNESS:  # a few words in a long silence
        audible = every[every >= _SILENT_LOUDNESS]
        loud = float(np.percentile(audible, _LOUD_PERCENTILE)) if len(audible) > 0 else _TARGET_LOUDNESS
    return _TARGET_LOUDNESS / loud


def _clean(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = np.nan_to_num(np.asarray(sound, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(finite, -_LARGEST_SAMPLE, _LARGEST_SAMPLE)


def _log_mel(sound: NDArray[np.float32], gain: float, start: int, stop: int) -> NDArray[np.float32]:
    """Log mel power of the frames start..stop; beyond its ends the sound is silent."""
    half = WINDOW_SAMPLES // 2
    first = start * HOP_SAMPLES - half
    last = (stop - 1) * HOP_SAMPLES + half
    # One sample more in front, for the pre-emphasis of the first.
    inside = _clean(sound[max(first - 1, 0) : min(last, len(sound))]) * np.float32(gain)
    block = np.pad(inside, (max(0, 1 - first), max(0, last - len(sound))))
    emphasised = block[1:] - np.float32(PRE_EMPHASIS) * block[:-1]
    if first < 0:
        # The net was trained with a sound that begins from nothing: no click at its very first sample.
        emphasised[-first] = 0.0
    emphasised[max(0, len(sound) - first) :] = 0.0  # nor at its end
    windows = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW_SAMPLES)[::HOP_SAMPLES]
    power = np.abs(np.fft.rfft(windows * _WINDOW, FFT_SAMPLES)).astype(np.float32) ** 2
    mel: NDArray[np.float32] = np.log(power @ _MEL_FILTERS + np.float32(POWER_FLOOR))
    return mel


def _normalise(features: NDArray[np.float32]) -> None:
    """Subtract each band's mean over the active frames, in place."""
    energy = np.empty(len(features), np.float32)
    for part in _blocks(len(features)):
        energy[part] = features[part].mean(axis=1)
        let_go(features)
    low, high = np.percentile(energy, _ENERGY_PERCENTILES)
    if high - low < _LEAST_ENERGY_SPAN:
        # Silence, hum or steady noise, unless something stands out for less than 5 % of the time.
        high = energy.max()
        if high - low < _OUTSTANDING_ENERGY:
            for part in _blocks(len(features)):
                features[part] = SILENT_FEATURE
                let_go(features)
            return
    active = energy >= low + _ACTIVE_FROM * (high - low)
    total = np.zeros(MEL_COUNT)
    for part in _blocks(len(features)):
        total += features[part][active[part]].sum(axis=0, dtype=np.float64)
        let_go(features)
    mean = (total / active.sum()).astype(np.float32)
    for part in _blocks(len(features)):
        features[part] = np.clip((features[part] - mean) / np.float32(_FEATURE_UNIT), *_FEATURE_RANGE)
        let_go(features)


def _blocks(length: int) -> Iterator[slice]:
    for start in range(0, length, _BLOCK_FRAMES):
        yield slice(start, min(start + _BLOCK_FRAMES, length))


def _mel_filters() -> NDArray[np.float32]:
    """Triangular filters of equal area on the HTK mel scale: float32[257, 80]."""
    low, high = (2595 * np.log10(1 + edge / 700) for edge in MEL_RANGE_HZ)
    edges_hz = 700 * (10 ** (np.linspace(low, high, MEL_COUNT + 2) / 2595) - 1)
    bins_hz = np.arange(FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / FFT_SAMPLES
    filters = np.zeros((len(bins_hz), MEL_COUNT), np.float32)
    for band, (left, centre, right) in enumerate(zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False)):
        rising = (bins_hz - left) / (centre - left)
        falling = (right - bins_hz) / (right - centre)
        filters[:, band] = np.maximum(0, np.minimum(rising, falling))
        if not filters[:, band].any():  # narrower than a bin, at the low end
            filters[np.argmin(np.abs(bins_hz - centre)), band] = 1
    filters /= np.maximum(filters.sum(axis=0), 1e-6)
    return filters


_MEL_FILTERS = _mel_filters()
