"""Music to which no mouth should move, made here from sines and noise; float32[n] at 16 kHz each.

No sound is recorded and none depends on a library: the same numbers make the same music anywhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from heygemd.render.speech.features import SAMPLE_RATE_HZ

PEAK = 0.3
A4_HZ, A4_NOTE = 440.0, 69
CHORDS = ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62))
"""A minor, F, C, G, as MIDI notes."""
CHORD_S = 1.0
VIBRATO_HZ, VIBRATO_PART = 5.5, 0.008
"""A singer's or a violin's vibrato: 5 to 7 Hz, about a seventh of a tone to each side."""
NOTE_S = 0.15
GLIDE_HZ = (110.0, 330.0)
GLIDE_S = 4.0
"""Up and down again."""
VOWELS_HZ = ((730.0, 1090.0, 2440.0), (270.0, 2290.0, 3010.0), (300.0, 870.0, 2240.0))
"""Formants of a, i and u of men (Peterson & Barney 1952)."""
FORMANT_WIDTHS_HZ = (80.0, 100.0, 140.0)
BEAT_S = 0.25
"""An eighth at 120 beats a minute."""
OVERTONES = 12

Sound = NDArray[np.float32]
Wave = NDArray[np.float64]


def music(seconds: float) -> dict[str, Sound]:
    """Make every kind, so long."""
    count = round(seconds * SAMPLE_RATE_HZ)
    makers = {"chords": _chords, "arpeggio": _arpeggio, "sung_vowels": _sung_vowels, "drums": _drums}
    return {name: _levelled(make(np.arange(count) / SAMPLE_RATE_HZ)) for name, make in makers.items()}


def _levelled(wave: Wave) -> Sound:
    return (PEAK / max(float(np.abs(wave).max(initial=0)), 1e-9) * wave).astype(np.float32)


def _pitch_hz(note: int) -> float:
    return float(A4_HZ * 2 ** ((note - A4_NOTE) / 12))


def _tone(time_s: Wave, pitch_hz: Wave | float) -> Wave:
    """Overtones that fall off like those of a string; none above half the sample rate."""
    turns = np.cumsum(np.broadcast_to(pitch_hz, time_s.shape)) / SAMPLE_RATE_HZ
    heard = [k for k in range(1, OVERTONES + 1) if k * np.max(pitch_hz, initial=0) < SAMPLE_RATE_HZ / 2]
    return np.asarray(sum((np.sin(2 * np.pi * k * turns) / k for k in heard), np.zeros(len(time_s))))


def _chords(time_s: Wave) -> Wave:
    """Slow chords with vibrato, each swelling and fading."""
    number, swell = (time_s // CHORD_S).astype(np.intp) % len(CHORDS), np.sin(np.pi * (time_s % CHORD_S) / CHORD_S)
    vibrato = 1 + VIBRATO_PART * np.sin(2 * np.pi * VIBRATO_HZ * time_s)
    pitches_hz = np.array([[_pitch_hz(note) for note in chord] for chord in CHORDS])[number]
    return np.asarray(sum(_tone(time_s, pitch_hz * vibrato) for pitch_hz in pitches_hz.T) * (0.2 + 0.8 * swell))


def _arpeggio(time_s: Wave) -> Wave:
    """Plucked notes up and down the chords, with a shaker on each."""
    order = (0, 1, 2, 1)
    step = (time_s // NOTE_S).astype(np.intp)
    pitches_hz = np.array([[_pitch_hz(chord[place] + 12) for place in order] for chord in CHORDS])
    pitch_hz = pitches_hz[step // 8 % len(CHORDS), step % len(order)]
    since_s = time_s % NOTE_S
    shaker = np.random.default_rng(1).standard_normal(len(time_s)) * np.exp(-since_s / 0.02)
    return _tone(time_s, pitch_hz) * np.exp(-since_s / 0.08) + 0.4 * shaker


def _sung_vowels(time_s: Wave) -> Wave:
    """A sung tone that glides up and down through a, i, u and back: harmonics under moving formants."""
    glide = 0.5 - 0.5 * np.cos(2 * np.pi * time_s / GLIDE_S)
    vibrato = 1 + 2 * VIBRATO_PART * np.sin(2 * np.pi * VIBRATO_HZ * time_s)
    pitch_hz = GLIDE_HZ[0] * (GLIDE_HZ[1] / GLIDE_HZ[0]) ** glide * vibrato
    vowel = glide * (len(VOWELS_HZ) - 1)
    formants_hz = [np.interp(vowel, range(len(VOWELS_HZ)), places) for places in zip(*VOWELS_HZ, strict=True)]
    turns, wave = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ, np.zeros(len(time_s))
    for k in range(1, int(SAMPLE_RATE_HZ / 2 / GLIDE_HZ[0])):
        harmonic_hz = k * pitch_hz
        audible = harmonic_hz < SAMPLE_RATE_HZ / 2
        wave += _under(harmonic_hz, formants_hz) / k * audible * np.sin(2 * np.pi * k * turns)
    return wave


def _under(harmonic_hz: Wave, formants_hz: Sequence[Wave]) -> Wave:
    """Gain of a harmonic under resonances of the formants' widths."""
    gains = [
        1 / (1 + ((harmonic_hz - formant_hz) / width_hz) ** 2)
        for formant_hz, width_hz in zip(formants_hz, FORMANT_WIDTHS_HZ, strict=True)
    ]
    return np.asarray(sum(gains))


def _drums(time_s: Wave) -> Wave:
    """Bass drum on 1 and 3, snare on 2 and 4, hi-hat on every eighth."""
    noise = np.random.default_rng(2).standard_normal(len(time_s))
    beat, since_s = (time_s // BEAT_S).astype(np.intp) % 8, time_s % BEAT_S
    falling_hz = 50 + 70 * np.exp(-since_s / 0.03)
    bass = np.sin(2 * np.pi * np.cumsum(falling_hz) / SAMPLE_RATE_HZ) * np.exp(-since_s / 0.08) * (beat % 4 == 0)
    snare = noise * np.exp(-since_s / 0.06) * (beat % 4 == 2)
    bright = signal.sosfilt(signal.butter(2, 5000, "highpass", fs=SAMPLE_RATE_HZ, output="sos"), noise)
    return np.asarray(bass + 0.5 * snare + 0.3 * bright * np.exp(-since_s / 0.015))
