"""Another speaker says the same: a vocoder that keeps the articulation and replaces the voice.

The cepstral envelope (Oppenheim & Schafer 1968: the low quefrencies of the log spectrum) is the articulation. It is
warped along frequency (a longer or shorter vocal tract), flattened or sharpened, coloured, smoothed in time, and
driven by a new excitation: jittered pulses of another pitch, and breath. Timing is not touched, so phone borders stay.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from heygemd.render.speech.features import SAMPLE_RATE_HZ

Random = np.random.Generator
Sound = NDArray[np.float32]

WINDOW_SAMPLES, STEP_SAMPLES = 512, 128
_BIN_COUNT = WINDOW_SAMPLES // 2 + 1
_BINS = np.arange(float(_BIN_COUNT))
_WINDOW = np.hanning(WINDOW_SAMPLES).astype(np.float32)

QUEFRENCIES = (28, 52)
"""Cut between envelope and pitch, in samples: above 310 Hz .. below 570 Hz of pitch."""
TRACT_SCALES = (0.80, 1.24)
"""Formants move by so much: children to large men."""
PITCHES_HZ = (75.0, 330.0)
BREATH_DB = (-26.0, -4.0)
WHISPER_SHARE = 0.06
_VOICED_BELOW_BIN = 32
"""1 kHz: voiced sounds have more power below than above."""


def revoiced(sound: Sound, random: Random) -> Sound:
    """Say it with another voice: float32[n] at 16 kHz -> the same length."""
    spectrum = _spectrum(sound)
    log_power = np.log(np.abs(spectrum) + 1e-4)
    envelope = _another_tract(_envelope(log_power, int(random.integers(*QUEFRENCIES))), random)
    smoothing = int(random.integers(1, 5))
    if smoothing > 1:
        envelope = signal.convolve(envelope, np.ones((smoothing, 1)) / smoothing, mode="same")
    voiced = _voicing(log_power)[:, None]
    pulses, noise = _spectrum(_pulses(len(sound), random)), _spectrum(_white(len(sound), random))
    breath = 10 ** (random.uniform(*BREATH_DB) / 20) * np.interp(_BINS, [0, 40, _BIN_COUNT - 1], [0.3, 1, 2.5])
    if random.random() < WHISPER_SHARE:
        voiced = np.zeros_like(voiced)
    excitation = pulses * np.sqrt(voiced) + noise * np.sqrt(1 - voiced + voiced * breath**2)
    return _sound(excitation * np.exp(envelope) / 16, len(sound))


def _envelope(log_power: NDArray[np.float64], quefrency: int) -> NDArray[np.float64]:
    cepstrum = np.fft.irfft(log_power, axis=1)
    lifter = np.zeros(WINDOW_SAMPLES)
    lifter[:quefrency] = 1
    lifter[-quefrency + 1 :] = 1
    envelope: NDArray[np.float64] = np.fft.rfft(cepstrum * lifter, axis=1).real
    return envelope


def _another_tract(envelope: NDArray[np.float64], random: Random) -> NDArray[np.float64]:
    """Warp along frequency, flatten or sharpen around its mean, and colour."""
    place = np.clip(_BINS / random.uniform(*TRACT_SCALES), 0, _BIN_COUNT - 1)
    lower = np.clip(place.astype(np.intp), 0, _BIN_COUNT - 2)
    upper_part = place - lower
    warped = envelope[:, lower] * (1 - upper_part) + envelope[:, lower + 1] * upper_part
    mean = warped.mean(axis=1, keepdims=True)
    colour = np.interp(_BINS, np.linspace(0, _BIN_COUNT - 1, 6), random.normal(0, 0.35, 6))
    tract: NDArray[np.float64] = mean + (warped - mean) * random.uniform(0.65, 1.15) + colour
    return tract


def _voicing(log_power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell voiced (1) from unvoiced (0) frames by the balance of low and high power."""
    low = np.exp(2 * log_power[:, 2:_VOICED_BELOW_BIN]).sum(axis=1)
    high = np.exp(2 * log_power[:, _VOICED_BELOW_BIN:]).sum(axis=1)
    voicing: NDArray[np.float64] = 1 / (1 + np.exp(-2 * (np.log(low + 1e-9) - np.log(high + 1e-9) - 0.3)))
    return voicing


def _pulses(length: int, random: Random) -> Sound:
    """Glottal pulses of one power per second at any pitch, with wandering pitch, jitter and shimmer."""
    knots = max(3, length // 4000)
    melody = np.interp(np.arange(length), np.linspace(0, length, knots), random.normal(0, 0.13, knots))
    pitch_hz = np.exp(melody) * np.exp(random.uniform(*np.log(PITCHES_HZ)))
    phase = np.cumsum(pitch_hz / SAMPLE_RATE_HZ) + np.cumsum(random.standard_normal(length)) * 2e-4
    pulses = np.diff(np.floor(phase), prepend=0) * np.sqrt(SAMPLE_RATE_HZ / pitch_hz)
    shimmered: Sound = (pulses * (1 + 0.15 * random.standard_normal(length))).astype(np.float32)
    return shimmered


def _white(length: int, random: Random) -> Sound:
    return random.standard_normal(length).astype(np.float32)


def _spectrum(sound: Sound) -> NDArray[np.complex128]:
    padded = np.pad(sound, WINDOW_SAMPLES // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::STEP_SAMPLES]
    spectrum: NDArray[np.complex128] = np.fft.rfft(windows * _WINDOW, axis=1)
    return spectrum


def _sound(spectrum: NDArray[np.complex128], length: int) -> Sound:
    """Overlap and add, divided by the windows' own sum (Griffin & Lim 1984, equation 6)."""
    frames = np.fft.irfft(spectrum, WINDOW_SAMPLES, axis=1) * _WINDOW
    total = np.zeros(STEP_SAMPLES * (len(frames) - 1) + WINDOW_SAMPLES)
    weight = np.zeros_like(total)
    per_window = WINDOW_SAMPLES // STEP_SAMPLES
    for phase in range(per_window):  # windows of one phase do not overlap
        some = frames[phase::per_window]
        part = slice(phase * STEP_SAMPLES, phase * STEP_SAMPLES + some.size)
        total[part] += some.reshape(-1)
        weight[part] += np.tile(_WINDOW**2, len(some))
    first = WINDOW_SAMPLES // 2
    sound = (total / np.maximum(weight, 0.1))[first : first + length]
    return np.pad(sound, (0, length - len(sound))).astype(np.float32)
