"""Sounds at which a mouth stays shut, drawn at random, to learn from: noise, and music of many makings.

None of the pieces of music.py is made here: those are for evaluation, and a net shall not have heard their like.
Nothing in the music has moving formants, so that none of it is speech.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from heygemd.render.speech.features import SAMPLE_RATE_HZ
from scripts.train.speech.tones import (
    BEATS_PER_MINUTE,
    COUNT,
    NOISE_S,
    Random,
    Wave,
    bells,
    levelled,
    plucked,
    struck,
    times_s,
)

NOISE_LEVEL = 0.03
MUSIC_PEAK = 0.1
"""Music of about the loudness of the noise; the features undo most of it."""
MUSIC_FLOOR = 1e-4
"""Hiss under the music, 60 dB below its peak, as of a good tape: its rests are no digital silence."""

KICK_HZ = ((35.0, 60.0), (60.0, 250.0))
"""A bass drum falls to the first from that much above it."""
KICK_FALL_S, KICK_RING_S = (0.01, 0.05), (0.05, 0.2)
SNARE_HZ, SNARE_RING_S = (800.0, 2500.0), (0.04, 0.15)
HAT_HZ, HAT_RING_S = (4000.0, 7000.0), (0.01, 0.08)
"""Lower edges of the noise of snares and hi-hats, and how long these ring: shut to half open."""
HIT_S = 0.4
GRID_STEPS = 16
"""Sixteenths in a bar."""
SWING = (0.5, 0.67)
"""Part of a pair of sixteenths that the first one takes: straight to triplets."""
HIT_SHARES = ((0.15, 0.4), (0.1, 0.3), (0.3, 0.9))
"""Of the steps with a kick, a snare, a hat."""

Sound = NDArray[np.float32]
Maker = Callable[[Random], Wave]


def drawn_noise(random: Random, kind: str | None = None) -> Sound:
    """Make one of NOISES or of MUSIC, float32[n] at 16 kHz; without a kind, noise and music are equally likely."""
    if kind is None:
        kinds = tuple(NOISES if random.random() < 0.5 else MUSIC)
        kind = kinds[int(random.integers(len(kinds)))]
    if kind in NOISES:
        return (NOISE_LEVEL * NOISES[kind](random)).astype(np.float32)
    played = MUSIC_PEAK * levelled(MUSIC[kind](random))
    return (played + MUSIC_FLOOR * random.standard_normal(COUNT)).astype(np.float32)


def _hiss(random: Random) -> Wave:
    return random.standard_normal(COUNT)


def _rumble(random: Random) -> Wave:
    return 0.02 * np.cumsum(random.standard_normal(COUNT))


def _hum(random: Random) -> Wave:
    time_s, sound = times_s(), np.zeros(COUNT)
    for pitch_hz in random.uniform(60, 1500, 6):
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(0.1, 2) * time_s + random.uniform(0, 6))
        sound += np.sin(2 * np.pi * pitch_hz * time_s) * swell
    return sound


def _clicks(random: Random) -> Wave:
    clicks = (random.random(COUNT) < 3 / SAMPLE_RATE_HZ) * random.standard_normal(COUNT)
    click = np.exp(-np.arange(800) / 120) * random.standard_normal(800)
    return np.asarray(signal.fftconvolve(clicks, click, "same") + 1e-3 * random.standard_normal(COUNT))


def _wind(random: Random) -> Wave:
    gusts = np.interp(times_s(), np.linspace(0, NOISE_S, 9), random.standard_normal(9))
    return np.asarray(signal.lfilter([1], [1, -0.95], random.standard_normal(COUNT)) * np.exp(0.6 * gusts))


def drums(random: Random) -> Wave:
    """Kick, snare and hi-hat at random places of a bar, which repeats, a little swinging."""
    step = 15 / random.uniform(*BEATS_PER_MINUTE) * SAMPLE_RATE_HZ
    swing, time_s, total = random.uniform(*SWING), times_s(int(HIT_S * SAMPLE_RATE_HZ)), np.zeros(COUNT)
    hits = (_kick(time_s, random), _burst(time_s, SNARE_HZ, SNARE_RING_S, random),
            _burst(time_s, HAT_HZ, HAT_RING_S, random))  # fmt: skip
    for hit, share in zip(hits, HIT_SHARES, strict=True):
        bar, gain = random.random(GRID_STEPS) < random.uniform(*share), random.uniform(0.3, 1)
        bar[int(random.integers(GRID_STEPS // 4))] = True
        for number in range(int(COUNT / step) + 1):
            start = int((number + (number % 2) * (2 * swing - 1)) * step)
            if bar[number % GRID_STEPS] and start < COUNT:
                length = min(len(hit), COUNT - start)
                total[start : start + length] += gain * random.uniform(0.7, 1) * hit[:length]
    return total


def _kick(time_s: Wave, random: Random) -> Wave:
    """Sine whose pitch falls."""
    (base_hz, above_hz), fall_s = (random.uniform(*part) for part in KICK_HZ), random.uniform(*KICK_FALL_S)
    turns = base_hz * time_s + above_hz * fall_s * (1 - np.exp(-time_s / fall_s))
    return np.asarray(np.sin(2 * np.pi * turns) * np.exp(-time_s / random.uniform(*KICK_RING_S)))


def _burst(time_s: Wave, edges_hz: tuple[float, float], rings_s: tuple[float, float], random: Random) -> Wave:
    """Noise above an edge, ringing off."""
    above = signal.butter(2, random.uniform(*edges_hz), "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = signal.sosfilt(above, random.standard_normal(len(time_s)))
    return levelled(noise * np.exp(-time_s / random.uniform(*rings_s)))


NOISES: Mapping[str, Maker] = MappingProxyType(
    {"hiss": _hiss, "rumble": _rumble, "hum": _hum, "clicks": _clicks, "wind": _wind}
)
MUSIC: Mapping[str, Maker] = MappingProxyType({"plucked": plucked, "struck": struck, "bells": bells, "drums": drums})
"""Nothing that is held: bowed tones and pads among these taught the net to shut the mouth at held vowels."""
