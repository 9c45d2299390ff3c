"""How one person's mouth follows the speech net: fitted in closed form on the clip's own voice, read for any voice.

    answers of the net, now and 80 ms around ─▶ per-voice units ─▶ general answer + what this person does otherwise
                                              ─▶ the person's own range (quantiles) ─▶ gate and contact of the lips

The net answers for nobody in particular. Where a clip carries the voice of the mouth that it shows, a ridge regression
learns what this mouth does otherwise, as far as folds that it was not fitted on bear it out. Everything is judged by
quick movements alone (see `lag.py`): a smile is no vowel. See `ownvoice.py` for the fitting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import let_go
from heygemd.render.speech.mouth import (
    FRAME_AVERAGE,
    RANGE_TRUSTED_S,
    TRACK_RATE_HZ,
    MouthTracks,
    Track,
    with_contact,
)
from heygemd.render.speech.network import ANSWER_COUNT, OPENING, WIDTH

Vector = NDArray[np.float64]

GENERAL = (OPENING, WIDTH)
"""Answers that say the opening and the width for nobody in particular."""
AROUND_TICKS = (-4, 0, 4)
"""The answers at these ticks (-80, 0, 80 ms) are heard together."""
FEATURE_COUNT = len(AROUND_TICKS) * ANSWER_COUNT
FARTHEST = 4.0
"""Answers are believed up to so many standard deviations of the voice."""
LEVELS = (2.0, 10.0, 25.0, 50.0, 75.0, 90.0, 98.0)
"""Percentiles at which the range of the voice is laid on that of the person."""
BEYOND = 1.15
"""The mouth may open to this multiple of the person's 98th percentile."""
SPEAKING_FROM = 0.5
"""Gate from which a tick counts as speech."""
MOST_SAMPLES = 12_000
"""Ticks of a voice (4 min), evenly spread, that its units are taken from."""
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonCurve:
    """The mouth of one person at the times of video frames: float32[n] each."""

    opening: Track
    """Eye distances; contact of the lips and silence already in it."""
    width: Track
    """Eye distances from the width of the unspeaking mouth."""
    closure: Track
    lipteeth: Track
    speech: Track
    gate: Track
    """As in `MouthCurve`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What turns the answers to one voice into units without a voice."""

    mean: Vector
    deviation: Vector
    """float64[20]: of the answers in speech."""
    trust: float
    """0 for a voice that hardly speaks, 1 from RANGE_TRUSTED_S of speech."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """What was learned of one person; small, and the same on every machine that reads it."""

    lag_s: float
    """What the clip shows at t is heard at t + lag_s in its own sound; new voices are not shifted."""
    speech_s: float
    """Own speech over a seen mouth that it was learned from."""
    explained: Vector
    """float64[2]: how much better opening and width of unseen folds are told, as a share of their variance."""
    weight: Vector
    """float64[2], 0..1: share of what was learned in the opening and in the width."""
    gain: Vector
    """float64[2]: of the general answers, in standard deviations of the mouth per one of the voice."""
    own_way: Vector
    """float64[60, 2]: what this mouth does beside the general answer, per standard deviation of each answer."""
    mean: Vector
    deviation: Vector
    """float64[20]: of the answers to the own voice."""
    asked: Vector
    """float64[7, 2]: what was read from the own voice, at LEVELS."""
    shown: Vector
    """float64[7, 2]: what the mouth did, at LEVELS: opening, and width from the unspeaking width; eye distances."""

    def to_arrays(self) -> dict[str, Vector]:
        """Name -> array, for saving; no bit is lost."""
        return {f"readout_{field.name}": np.asarray(getattr(self, field.name), np.float64) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]]) -> "Readout":
        """Take what `to_arrays` gave, others are ignored; KeyError where something is missing."""
        values = {field.name: np.array(arrays[f"readout_{field.name}"], np.float64) for field in fields(cls)}
        return cls(**{name: value if value.ndim else float(value) for name, value in values.items()})  # type: ignore[arg-type]

    def read(self, tracks: MouthTracks, times_s: NDArray[np.floating], frame_s: float) -> PersonCurve:
        """Read a voice, this person's or another's, for frames `frame_s` long and centred on float[n] `times_s`.

        Depends on the whole voice (its units) and on what lies around the frames; reading a part is reading all of it.
        ValueError where the answers of the net were not kept.
        """
        if not tracks.has_answers:
            raise ValueError("the answers of the net were not kept")
        curve = tracks.at(times_s, frame_s)
        asked, voice = self._units_of(tracks)
        ticks = np.asarray(times_s, np.float64) * TRACK_RATE_HZ
        parts = [
            self._asked_of(tracks.answers, ticks + part * frame_s * TRACK_RATE_HZ, voice) for part in FRAME_AVERAGE
        ]
        drive = np.mean(parts, axis=0)
        widest = max(float(self.shown[-1, 0]), LEAST_DEVIATION)
        opening = np.clip(_laid_over(drive[:, 0], asked[:, 0], self.shown[:, 0]), 0, BEYOND * widest)
        width = _laid_over(drive[:, 1], asked[:, 1], self.shown[:, 1])
        share, spread = (np.asarray(curve.gate * part, np.float32) for part in (opening / widest, width))
        share, spread = with_contact(share, spread, curve.closure, curve.lipteeth)
        return PersonCurve(
            opening=share * np.float32(widest),
            width=spread,
            closure=curve.closure,
            lipteeth=curve.lipteeth,
            speech=curve.speech,
            gate=curve.gate,
        )

    def _units_of(self, tracks: MouthTracks) -> tuple[Vector, Voice]:
        """Percentiles of what this voice asks for, float64[7, 2], and its units; the own voice's where it is short."""
        ticks = speaking_ticks(tracks)
        new = voice_of(tracks, ticks)
        trust = new.trust
        voice = Voice(
            mean=(1 - trust) * self.mean + trust * new.mean,
            deviation=(1 - trust) * self.deviation + trust * new.deviation,
            trust=trust,
        )
        if not len(ticks):
            return self.asked, voice
        asked = np.percentile(self._asked_of(tracks.answers, ticks.astype(np.float64), voice), LEVELS, axis=0)
        return (1 - trust) * self.asked + trust * asked, voice

    def _asked_of(self, answers: NDArray[np.float16], ticks: Vector, voice: Voice) -> Vector:
        """What the voice asks of this mouth at fractional ticks: float64[n, 2], in standard deviations."""
        features = heard_around(answers, ticks, voice)
        return drive_of(features, gain=self.gain, own_way=self.own_way, weight=self.weight)


def drive_of(features: Vector, *, gain: Vector, own_way: Vector, weight: Vector) -> Vector:
    """Add what a person does otherwise to the general answer: float64[n, 60] -> float64[n, 2]."""
    middle = AROUND_TICKS.index(0) * ANSWER_COUNT
    general = features[:, [middle + column for column in GENERAL]]
    return np.asarray(general * gain + (features @ own_way) * weight)


def speaking_ticks(tracks: MouthTracks) -> NDArray[np.intp]:
    """Find at most MOST_SAMPLES ticks with speech, evenly spread, rising."""
    ticks = np.flatnonzero(tracks.gate > SPEAKING_FROM)
    return ticks[:: -(-len(ticks) // MOST_SAMPLES)] if len(ticks) else ticks


def voice_of(tracks: MouthTracks, ticks: NDArray[np.intp]) -> Voice:
    """Take the units of a voice from its speaking ticks."""
    if not len(ticks):
        return Voice(mean=np.zeros(ANSWER_COUNT), deviation=np.ones(ANSWER_COUNT), trust=0.0)
    answers = np.array(tracks.answers[ticks], np.float64)
    let_go(tracks.answers)
    spoken_s = float((tracks.gate > SPEAKING_FROM).sum()) / TRACK_RATE_HZ
    return Voice(
        mean=answers.mean(axis=0),
        deviation=answers.std(axis=0) + LEAST_DEVIATION,
        trust=min(1.0, spoken_s / RANGE_TRUSTED_S),
    )


def heard_around(answers: NDArray[np.float16], ticks: Vector, voice: Voice) -> Vector:
    """Read the answers at and around fractional ticks, in units of the voice: float64[n, 60]; the ends are held.

    Of mapped answers only what lies between the first and the last tick is touched.
    """
    last = len(answers) - 1
    reach = max(AROUND_TICKS)
    first = int(np.clip(np.floor(ticks.min(initial=last)) - reach, 0, last))
    stop = int(np.clip(np.ceil(ticks.max(initial=0)) + reach + 2, first + 1, last + 1))
    near = np.array(answers[first:stop], np.float64)
    let_go(answers)
    units = np.clip((near - voice.mean) / voice.deviation, -FARTHEST, FARTHEST)
    features = [_between(units, np.clip(ticks + step, 0, last) - first) for step in AROUND_TICKS]
    return np.concatenate(features, axis=1)


def _between(rows: Vector, places: Vector) -> Vector:
    """Interpolate rows float64[m, k] at fractional places 0..m - 1."""
    lower = np.clip(np.floor(places), 0, len(rows) - 1).astype(np.intp)
    upper = np.minimum(lower + 1, len(rows) - 1)
    share = (places - lower)[:, None]
    return np.asarray(rows[lower] * (1 - share) + rows[upper] * share)


def _laid_over(drive: Vector, asked: Vector, shown: Vector) -> Vector:
    """Map the range that a voice asks for on what the mouth does, percentile by percentile; straight on beyond both."""
    asked = asked + np.arange(len(asked)) * 1e-9  # rising, where a voice never changes
    inside = np.interp(drive, asked, shown)
    below = np.minimum(drive - asked[0], 0) * _slope(asked[:2], shown[:2])
    above = np.maximum(drive - asked[-1], 0) * _slope(asked[-2:], shown[-2:])
    return np.asarray(inside + below + above)


def _slope(asked: Vector, shown: Vector) -> float:
    return float((shown[1] - shown[0]) / max(asked[1] - asked[0], LEAST_DEVIATION))
