"""What the Wav2Lip network hears: the mel spectrogram it was trained on, and the window of each film frame.

The numbers are the reference's (`hparams.py` and `audio.py` of Rudrabha/Wav2Lip): 16 kHz, pre-emphasis 0.97, Hann
window of 800 samples every 200, 80 Slaney bands from 55 to 7600 Hz, decibels laid into -4..4. The transform is numpy's
in float64, as the reference computes it; the bands are librosa's, without the 0.6 CPU seconds and 100 MB that importing
librosa (and numba with it) costs each worker. The sound is mirrored at both ends (`pad_mode="reflect"`), where newer
librosa would continue it with zeros.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from heygemd.planning.timeline import Timeline
from heygemd.render.arrays import folder_of, let_go, spooled
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.wav2lip.network import MEL_BANDS, MEL_FRAMES

RATE_HZ = 16_000
WINDOW_SAMPLES = 800
HOP_SAMPLES = 200
MELS_PER_S = RATE_HZ // HOP_SAMPLES
PRE_EMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 55, 7600
FLOOR = 1e-5
"""-100 dB: quieter bands are as silent as this."""
LIMIT = 4.0
SILENCE = -LIMIT
"""Value of a band in which nothing sounds."""
BLOCK_FRAMES = 1000
"""Mel frames made at once (12.5 s, about 20 MB)."""

Mel = NDArray[np.float32]
"""float32[n, 80]: mel frames, 80 a second; frame k is centred on k / 80 s."""


def mel_of(sound: NDArray[np.float32], pulse: Pulse = unheard) -> Mel:
    """Hear the whole sound, float32[n] mono 16 kHz: 1 + n // 200 mel frames, at least 16.

    A sound that is too short is continued with silence. Works in blocks, so it may be a memory map of hours; the mel
    (92 MB for an hour) lies in an unnamed file beside it then.
    """
    count = 1 + len(sound) // HOP_SAMPLES if len(sound) else 0
    mel: Mel = spooled(folder_of(sound), (max(count, MEL_FRAMES), MEL_BANDS), np.float32)
    mel[count:] = SILENCE
    for start in range(0, count, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, count)
        mel[start:stop] = _block(sound, start, stop)
        let_go(mel, sound)
        pulse()
    return mel


def window_starts(
    timeline: Timeline, mel_frames: int, offset_ms: int = 0, *, frames: Sequence[int] | None = None
) -> NDArray[np.int64]:
    """First mel frame that each film frame hears, of all or of some: int64, each between 0 and `mel_frames` - 16.

    That is int(80 · i / fps) as in the reference, in exact arithmetic; a positive offset lets the mouth follow later.
    """
    step_num, step_den = (MELS_PER_S / timeline.fps).as_integer_ratio()
    numbers = np.asarray(range(timeline.frame_count) if frames is None else frames, np.int64)
    # Both terms over one denominator, in whole numbers: floats would misplace windows that begin exactly on a frame.
    offset = MELS_PER_S * offset_ms
    starts = (numbers * (step_num * 1000) - offset * step_den) // (1000 * step_den)
    return np.clip(starts, 0, mel_frames - MEL_FRAMES)


def frames_with_silence(mel_frames: int, length_s: float) -> int:
    """How many mel frames a film of `length_s` needs; those beyond `mel_frames` are silence."""
    return max(mel_frames, math.ceil(length_s * MELS_PER_S) + MEL_FRAMES)


def window_at(mel: Mel, first: int) -> Mel:
    """Take the window that begins with frame `first`; beyond the end of the mel is silence: float32[16, 80]."""
    heard = np.full((MEL_FRAMES, MEL_BANDS), SILENCE, np.float32)
    inside = mel[first : first + MEL_FRAMES]
    heard[: len(inside)] = inside
    return heard


def _block(sound: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float64]:
    """Mel frames [start, stop): float64[stop - start, 80]."""
    half = WINDOW_SAMPLES // 2
    wanted = np.arange(start * HOP_SAMPLES - half, (stop - 1) * HOP_SAMPLES + half)
    samples = _emphasised(sound, _mirrored(wanted, len(sound)))
    frames = sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]
    magnitude = np.abs(np.fft.rfft(frames * _hann(), axis=1))
    bands = magnitude @ mel_bank().T
    value: NDArray[np.float64] = np.clip(1.6 * np.log10(np.maximum(FLOOR, bands)) + 2.4, -LIMIT, LIMIT)
    return value


def _mirrored(indexes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Where the samples outside the sound are read: mirrored at its first and last sample, as often as needed."""
    period = max(1, 2 * (length - 1))
    folded = np.abs(indexes) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(indexes)


def _emphasised(sound: NDArray[np.float32], indexes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Take samples, at any indexes, of y[n] = x[n] - 0.97 x[n - 1] with x[-1] = 0."""
    low = max(0, int(indexes.min()) - 1)
    piece = np.asarray(sound[low : int(indexes.max()) + 1], np.float64)
    before = np.concatenate([np.zeros(1), piece[:-1]])
    emphasised: NDArray[np.float64] = (piece - PRE_EMPHASIS * before)[indexes - low]
    return emphasised


@cache
def _hann() -> NDArray[np.float64]:
    """Make the periodic form, which spectral analysis uses."""
    window: NDArray[np.float64] = np.hanning(WINDOW_SAMPLES + 1)[:-1]
    return window


@cache
def mel_bank() -> NDArray[np.float64]:
    """float64[80, 401]: triangles of area one, even on Slaney's scale; rounded to float32, as in the reference.

    It is that of `librosa.filters.mel`, bit for bit; tests and `heygemd doctor` compare them.
    """
    edges = _hertz(np.linspace(_pitch(LOWEST_HZ), _pitch(HIGHEST_HZ), MEL_BANDS + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / RATE_HZ)
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    bank = (triangles.astype(np.float32) * (2 / (high - low))).astype(np.float32)
    return bank.astype(np.float64)


LINEAR_STEP_HZ, LINEAR_STEPS = 200 / 3, 15
"""Slaney's scale of pitch (Auditory Toolbox, 1998): even steps up to 1000 Hz,"""
LOG_STEP = math.log(6.4) / 27
"""and above 27 even steps of the logarithm for a factor of 6.4."""


def _pitch(hertz: float) -> float:
    steps = hertz / LINEAR_STEP_HZ
    return steps if steps < LINEAR_STEPS else LINEAR_STEPS + math.log(hertz / 1000) / LOG_STEP


def _hertz(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 1000 * np.exp(LOG_STEP * np.maximum(pitch - LINEAR_STEPS, 0))
    return np.where(pitch < LINEAR_STEPS, LINEAR_STEP_HZ * pitch, above)
