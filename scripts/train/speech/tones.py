"""Tones of instruments that play at random, float64[COUNT] at 16 kHz: plucked, struck, bowed, blown, pads, bells.

All of them keep their spectral envelopes, but for the ringing off: nothing in them has moving formants like speech.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

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
BASS_LOWER = 2 * OCTAVE
"""A bass plays so far below the melody."""

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

CHORD_S = (0.5, 2.0)
CHORD_DEGREES = (0, 2, 4, 6)
"""Thirds upon each other: a seventh chord."""
PAD_DETUNE_CENTS = 12.0
"""Voices of a synthesizer or of strings in a section lie so far from each other."""
PAD_VOICES = 2
SWELL_HZ = (0.1, 1.5)
PAD_SLOPE = (0.8, 2.0)
"""Sawtooth with a filter half open to nearly a sine."""

FM_RATIOS = (1.0, 1.4, 2.0, 3.5, 7.0, 14.0)
"""Modulator to carrier: brass, bells (1.4: Chowning 1973), tines of electric pianos (1 and 14: the DX7's)."""
FM_INDEX = (0.5, 8.0)
"""Chowning's bell uses 10; at high ratios that aliases at 16 kHz."""

VIBRATO_HZ, VIBRATO_CENTS = (4.5, 7.0), (0.0, 60.0)
"""Of strings, flutes and singers (Prame 1994); none to strong."""
PORTAMENTO_S = (0.01, 0.15)
BOW_SLOPE = (0.8, 1.8)
"""A bowed string swings as a sawtooth (Helmholtz): 1; winds fall off more steeply."""
BODY_RESONANCES = 4
BODY_HZ, BODY_QUALITY = (250.0, 4500.0), (2.0, 12.0)
"""Resonances of an instrument's body, as sharp as formants are; but they stay where they are."""
BODY_PART = 2.0
BREATH_PART = (0.0, 0.05)
BOW_EDGE_S = (0.02, 0.15)
"""Length of the attack and the end of a bowed or blown note."""

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


def _melody(random: Random, lower: int = 0) -> list[Note]:
    """Walk about a scale; the first note is never a rest."""
    scale, root = _scale(random), int(random.integers(*ROOTS)) - lower
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


def plucked(random: Random, lower: int = 0) -> Wave:
    """Strings of Karplus & Strong (1983): a period of noise, each repetition duller. All periods are made at once."""
    damping, softness, slope = (random.uniform(*part) for part in (STRING_DAMPING, STRING_SOFTNESS, PLUCK_SLOPE))

    def tone(pitch_hz: float, length: int) -> Wave:
        period = round(SAMPLE_RATE_HZ / pitch_hz)
        overtone = np.arange(period // 2 + 1)
        pluck = np.fft.rfft(random.standard_normal(period)) / np.maximum(overtone, 1) ** slope * (overtone > 0)
        kept = damping * np.maximum(np.cos(np.pi * overtone / period), 0) ** softness
        periods = kept[None] ** np.arange(-(-length // period))[:, None]
        return levelled(np.fft.irfft(pluck * periods, period, axis=1).ravel()[:length])

    return _ringing(random, _melody(random, lower), tone)


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


def pads(random: Random) -> Wave:
    """Chords of detuned voices that swell slowly."""
    scale, root, slope = _scale(random), int(random.integers(*ROOTS)), random.uniform(*PAD_SLOPE)
    chord = (times_s() // random.uniform(*CHORD_S)).astype(np.intp)
    bases = random.integers(-2, len(scale), int(chord[-1]) + 1)
    total = np.zeros(COUNT)
    for degree in CHORD_DEGREES[: int(random.integers(2, len(CHORD_DEGREES) + 1))]:
        pitches_hz = np.array([_pitch_hz(root + _degree(scale, int(base) + degree)) for base in bases])
        table, pitch_hz = _table(slope, 1.01 * pitches_hz.max(), random), pitches_hz[chord]
        for _ in range(PAD_VOICES):
            detuned = 2 ** (random.normal(0, PAD_DETUNE_CENTS / 2) / 100 / OCTAVE) / SAMPLE_RATE_HZ
            total += _tabled(table, random.random() + np.cumsum(pitch_hz * detuned))
    knots = np.arange(0, NOISE_S + 0.1, 0.1)
    swell = np.sin(2 * np.pi * random.uniform(*SWELL_HZ) * knots + random.uniform(0, 6))
    return total * np.interp(times_s(), knots, 0.55 + 0.45 * swell)


def bells(random: Random) -> Wave:
    """Bells, tines and the like by frequency modulation, whose depth rings off with the tone (Chowning 1973)."""
    ratio, index = FM_RATIOS[int(random.integers(len(FM_RATIOS)))], random.uniform(*FM_INDEX)

    def tone(pitch_hz: float, length: int) -> Wave:
        turn = 2 * np.pi * pitch_hz * times_s(length)
        depth = min(index, SAMPLE_RATE_HZ / 3 / (ratio * pitch_hz))
        return np.sin(turn + depth * np.exp(-3 * np.arange(length) / length) * np.sin(ratio * turn))

    return _ringing(random, _melody(random), tone)


def bowed(random: Random) -> Wave:
    """Strings and winds with vibrato that glide from note to note, under a body whose resonances stand still."""
    notes, time_s = _melody(random), times_s()
    semitones, loudness = np.zeros(COUNT), np.zeros(COUNT)
    edge_s = random.uniform(*BOW_EDGE_S)
    for note in notes:
        own_s = times_s(note.length)
        semitones[note.start :] = OCTAVE * np.log2(note.pitch_hz / A4_HZ)
        edge = np.minimum(1, np.minimum(own_s, own_s[::-1]) / edge_s)
        loudness[note.start : note.start + note.length] = random.uniform(0.5, 1) * edge
    kept = np.exp(-1 / (random.uniform(*PORTAMENTO_S) * SAMPLE_RATE_HZ))
    gliding = signal.lfilter([1 - kept], [1, -kept], semitones - semitones[0]) + semitones[0]
    cents, rate_hz = random.uniform(*VIBRATO_CENTS), random.uniform(*VIBRATO_HZ)
    pitch_hz = A4_HZ * 2 ** ((gliding + cents / 100 * np.sin(2 * np.pi * rate_hz * time_s)) / OCTAVE)
    table = _table(random.uniform(*BOW_SLOPE), float(pitch_hz.max()), random)
    wave = _tabled(table, np.cumsum(pitch_hz / SAMPLE_RATE_HZ))
    wave += random.uniform(*BREATH_PART) * random.standard_normal(COUNT)
    return _in_body(wave * loudness, random)


def _in_body(wave: Wave, random: Random) -> Wave:
    """Add resonances at places that do not move."""
    heard = levelled(wave)
    for _ in range(BODY_RESONANCES):
        place_hz = float(np.exp(random.uniform(*np.log(BODY_HZ))))
        resonance = signal.iirpeak(place_hz, random.uniform(*BODY_QUALITY), fs=SAMPLE_RATE_HZ)
        heard = heard + random.uniform(0, BODY_PART) * levelled(signal.lfilter(*resonance, wave))
    return heard
