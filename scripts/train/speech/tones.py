"""Tones of instruments that play at random, float64[COUNT] at 16 kHz: plucked, struck, and bells.

All of them keep their spectral envelopes, but for the ringing off: nothing in them has moving formants like speech.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.features import SAMPLE_RATE_HZ

NOISE_S = 4
COUNT = NOISE_S * SAMPLE_RATE_HZ
TABLE = 2048
"""Entries of a wave's period."""

A4_HZ, A4_NOTE, OCTAVE = 440.0, 69, 12
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10), (0, 2, 4, 6, 8, 10))
"""Major, minor, pentatonic, blues and whole tones, as semitones above the root."""
ROOTS = (45, 69)
"""MIDI notes A2 to A4: melodies then lie where voices do, and are hardest to tell from them."""
BEATS_PER_MINUTE = (60.0, 180.0)
"""Largo to presto, the range of a metronome that music makes use of."""
BEAT_PARTS = (0.25, 0.5, 0.5, 1.0)
"""Sixteenths to quarters; syllables come 3 to 8 a second, as these do."""
WIDEST_STEP = 3
"""Degrees of the scale between notes: melodies mostly move by small steps."""
REST_SHARE = 0.15

RING_S = (0.15, 1.2)
"""Muted guitar to piano."""
STRING_DAMPING = (0.985, 0.999)
"""Left of a string's swing after a period (Karplus & Strong 1983: 1; below it the string is damped by hand)."""
STRING_SOFTNESS = (0.3, 2.0)
"""Power of Karplus and Strong's low-pass for each period: below 1 a bright steel string, above it nylon."""
PLUCK_SLOPE = (0.0, 1.0)
"""The pluck is noise, fallen off by so many orders of the frequency: plectrum to thumb."""
STRUCK_SLOPE = (0.6, 2.5)
"""Overtone k of a struck tone has strength k^-slope: harpsichord to marimba."""

FM_RATIOS = (1.0, 1.4, 2.0, 3.5, 7.0, 14.0)
"""Modulator to carrier: brass, bells (1.4: Chowning 1973), tines of electric pianos (1 and 14: the DX7's)."""
FM_INDEX = (0.5, 8.0)
"""Chowning's bell uses 10; at high ratios that aliases at 16 kHz."""

Random = np.random.Generator
Wave = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """First sample, samples up to the next note, and pitch."""

    start: int
    length: int
    pitch_hz: float


def levelled(wave: Wave) -> Wave:
    """Bring the peak to 1."""
    return wave / max(float(np.abs(wave).max()), 1e-9)


def times_s(count: int = COUNT) -> Wave:
    """Time of each sample."""
    return np.arange(count) / SAMPLE_RATE_HZ


def _pitch_hz(note: float) -> float:
    return float(A4_HZ * 2 ** ((note - A4_NOTE) / OCTAVE))


def _degree(scale: tuple[int, ...], degree: int) -> int:
    """Semitones above the root; beyond the scale's last degree, the next octave begins."""
    return scale[degree % len(scale)] + OCTAVE * (degree // len(scale))


def _scale(random: Random) -> tuple[int, ...]:
    return SCALES[int(random.integers(len(SCALES)))]


def _melody(random: Random) -> list[Note]:
    """Walk about a scale; the first note is never a rest."""
    scale, root = _scale(random), int(random.integers(*ROOTS))
    beat_s = 60 / random.uniform(*BEATS_PER_MINUTE)
    notes: list[Note] = []
    start, degree = 0, 0
    while start < COUNT:
        part = BEAT_PARTS[int(random.integers(len(BEAT_PARTS)))]
        length = min(int(beat_s * part * SAMPLE_RATE_HZ), COUNT - start)
        degree = int(np.clip(degree + random.integers(-WIDEST_STEP, WIDEST_STEP + 1), -len(scale), 2 * len(scale)))
        if not notes or random.random() > REST_SHARE:
            notes.append(Note(start=start, length=length, pitch_hz=_pitch_hz(root + _degree(scale, degree))))
        start += length
    return notes


def _ringing(random: Random, notes: list[Note], tone: Callable[[float, int], Wave]) -> Wave:
    """Let each note ring on into the next ones, each of its own strength."""
    total, ring = np.zeros(COUNT), int(random.uniform(*RING_S) * SAMPLE_RATE_HZ)
    for note in notes:
        length = min(max(note.length, ring), COUNT - note.start)
        decay = np.exp(-3 * np.arange(length) / max(ring, 1))
        total[note.start : note.start + length] += random.uniform(0.5, 1) * decay * tone(note.pitch_hz, length)
    return total


def plucked(random: Random) -> Wave:
    """Strings of Karplus & Strong (1983): a period of noise, each repetition duller. All periods are made at once."""
    damping, softness, slope = (random.uniform(*part) for part in (STRING_DAMPING, STRING_SOFTNESS, PLUCK_SLOPE))

    def tone(pitch_hz: float, length: int) -> Wave:
        period = round(SAMPLE_RATE_HZ / pitch_hz)
        overtone = np.arange(period // 2 + 1)
        pluck = np.fft.rfft(random.standard_normal(period)) / np.maximum(overtone, 1) ** slope * (overtone > 0)
        kept = damping * np.maximum(np.cos(np.pi * overtone / period), 0) ** softness
        periods = kept[None] ** np.arange(-(-length // period))[:, None]
        return levelled(np.fft.irfft(pluck * periods, period, axis=1).ravel()[:length])

    return _ringing(random, _melody(random), tone)


def struck(random: Random) -> Wave:
    """Keys and bars: overtones without strings' noise, of a strength that falls off by a drawn slope."""
    slope = random.uniform(*STRUCK_SLOPE)

    def tone(pitch_hz: float, length: int) -> Wave:
        return _tabled(_table(slope, pitch_hz, random), np.arange(length) * (pitch_hz / SAMPLE_RATE_HZ))

    return _ringing(random, _melody(random), tone)


def _table(slope: float, highest_hz: float, random: Random) -> Wave:
    """One period with overtones k^-slope, none of them above half the sample rate at the highest pitch."""
    count = max(1, min(TABLE // 2 - 1, int(SAMPLE_RATE_HZ / 2 / highest_hz)))
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    spectrum[1 : count + 1] = np.arange(1, count + 1) ** -slope * np.exp(2j * np.pi * random.random(count))
    return levelled(np.fft.irfft(spectrum))


def _tabled(table: Wave, turns: NDArray[np.floating]) -> Wave:
    return table[(turns * TABLE).astype(np.intp) % TABLE]


def bells(random: Random) -> Wave:
    """Bells, tines and the like by frequency modulation, whose depth rings off with the tone (Chowning 1973)."""
    ratio, index = FM_RATIOS[int(random.integers(len(FM_RATIOS)))], random.uniform(*FM_INDEX)

    def tone(pitch_hz: float, length: int) -> Wave:
        turn = 2 * np.pi * pitch_hz * times_s(length)
        depth = min(index, SAMPLE_RATE_HZ / 3 / (ratio * pitch_hz))
        return np.sin(turn + depth * np.exp(-3 * np.arange(length) / length) * np.sin(ratio * turn))

    return _ringing(random, _melody(random), tone)
