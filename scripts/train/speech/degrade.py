"""What becomes of a voice on its way to a file: rooms, noise, babble, filters, clipping, slow gain, codecs."""

import subprocess
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from heygemd.render.speech.features import SAMPLE_RATE_HZ

Random = np.random.Generator
Sound = NDArray[np.float32]

ROOM_SHARE, NOISE_SHARE, LOW_PASS_SHARE, HIGH_PASS_SHARE = 0.6, 0.8, 0.4, 0.3
CLIPPING_SHARE, GAIN_SHARE, CODEC_SHARE = 0.3, 0.25, 0.12
REVERBERATION_S = (0.08, 0.7)
"""Time to fall by 60 dB: a car to a hall."""
NOISE_DB = (3.0, 35.0)
BABBLE_DB = (8.0, 30.0)
"""Signal to noise. Babble louder than the voice leaves nobody to listen to."""
LEAST_BABBLE_VOICES = 4
CODECS = (
    ("libopus", "ogg", ("12k", "16k", "24k", "32k")),
    ("libmp3lame", "mp3", ("24k", "32k", "48k")),
    ("aac", "adts", ("24k", "32k", "48k")),
)
_LONGEST_CODEC_DELAY = 4_000
"""Samples: a quarter of a second."""
_RAW = ("-f", "f32le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1")


def degraded(sound: Sound, babble: Sequence[Sound], random: Random) -> Sound:
    """Record it badly: float32[n] at 16 kHz -> the same length; `babble` are voices for the background."""
    worse = sound.astype(np.float64)
    if random.random() < ROOM_SHARE:
        worse = _in_room(worse, random)
    if random.random() < NOISE_SHARE:
        worse = _in_noise(worse, babble, random)
    if random.random() < LOW_PASS_SHARE:
        worse = _filtered(worse, 4, random.uniform(3200, 7500), "low")
    if random.random() < HIGH_PASS_SHARE:
        worse = _filtered(worse, 2, random.uniform(60, 250), "high")
    if random.random() < CLIPPING_SHARE:
        worse = np.tanh(worse * random.uniform(1, 6) / (np.abs(worse).max() + 1e-6))
    if random.random() < GAIN_SHARE:
        worse = worse * np.exp(_drifting(len(worse), 6, 0.5, random))
    heard = worse.astype(np.float32)
    return _coded(heard, random) if random.random() < CODEC_SHARE else heard


def _in_room(sound: NDArray[np.float64], random: Random) -> NDArray[np.float64]:
    """Exponentially decaying noise behind the direct sound: a diffuse room (Moorer 1979)."""
    length = int(random.uniform(*REVERBERATION_S) * SAMPLE_RATE_HZ)
    tail = random.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= 10 ** (random.uniform(-18, -2) / 20) / np.sqrt((tail**2).sum())
    delay = int(random.uniform(0.001, 0.02) * SAMPLE_RATE_HZ)
    echoes: NDArray[np.float64] = signal.fftconvolve(sound, np.concatenate([[1.0], np.zeros(delay), tail]))
    return echoes[: len(sound)]


def _in_noise(sound: NDArray[np.float64], babble: Sequence[Sound], random: Random) -> NDArray[np.float64]:
    kind, ratio_db = random.random(), random.uniform(*NOISE_DB)
    if kind < 0.35:
        noise = random.standard_normal(len(sound))
    elif kind < 0.65:
        noise = _brown(len(sound), random)
    elif kind < 0.85 and len(babble) >= LEAST_BABBLE_VOICES:
        noise, ratio_db = _babble(len(sound), babble, random), random.uniform(*BABBLE_DB)
    else:
        noise = _chord(len(sound), random)
    loudness, noise_loudness = _loudness(sound), _loudness(noise)
    return sound + noise * (loudness + 1e-6) / 10 ** (ratio_db / 20) / (noise_loudness + 1e-9)


def _loudness(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt((sound**2).mean()))


def _brown(length: int, random: Random) -> NDArray[np.float64]:
    rumble: NDArray[np.float64] = signal.lfilter([1, -1], [1, -0.995], np.cumsum(random.standard_normal(length)))
    return rumble


def _babble(length: int, voices: Sequence[Sound], random: Random) -> NDArray[np.float64]:
    total = np.zeros(length)
    for _ in range(random.integers(1, 6)):
        voice = voices[int(random.integers(len(voices)))]
        total += np.roll(np.resize(voice, length), int(random.integers(length)))
    return total


def _chord(length: int, random: Random) -> NDArray[np.float64]:
    time_s, base_hz = np.arange(length) / SAMPLE_RATE_HZ, random.uniform(100, 400)
    total = np.zeros(length)
    for overtone in (1, 1.25, 1.5, 2, 3):
        tremolo = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.3, 3) * time_s)
        total += np.sin(2 * np.pi * base_hz * overtone * time_s + random.uniform(0, 6)) * tremolo
    return total


def _filtered(sound: NDArray[np.float64], order: int, edge_hz: float, kind: str) -> NDArray[np.float64]:
    passed: NDArray[np.float64] = signal.sosfilt(
        signal.butter(order, edge_hz, kind, fs=SAMPLE_RATE_HZ, output="sos"), sound
    )
    return passed


def _drifting(length: int, knots: int, spread: float, random: Random) -> NDArray[np.float64]:
    return np.interp(np.arange(length), np.linspace(0, length, knots), random.normal(0, spread, knots))


def _coded(sound: Sound, random: Random) -> Sound:
    """Through a lossy codec and back, its delay taken out again so that phone borders stay."""
    encoder, container, bit_rates = CODECS[int(random.integers(len(CODECS)))]
    bit_rate = bit_rates[int(random.integers(len(bit_rates)))]
    coded = _ffmpeg([*_RAW, "-i", "-", "-c:a", encoder, "-b:a", bit_rate, "-f", container, "-"], sound.tobytes())
    heard = np.frombuffer(_ffmpeg(["-i", "-", *_RAW, "-"], coded), np.float32)
    late = heard[_delay(sound, heard) :]
    return np.pad(late, (0, max(0, len(sound) - len(late))))[: len(sound)].copy()


def _delay(sound: Sound, heard: Sound) -> int:
    """Samples by which `heard` is late, by cross-correlation of the first seconds."""
    size, first = 1 << 17, 60_000
    product = np.fft.rfft(heard[:first], size) * np.conj(np.fft.rfft(sound[:first], size))
    return int(np.fft.irfft(product, size)[:_LONGEST_CODEC_DELAY].argmax())


def _ffmpeg(arguments: list[str], content: bytes) -> bytes:
    command = ["ffmpeg", "-v", "error", *arguments]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout
