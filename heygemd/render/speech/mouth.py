"""Speech -> the motion of a mouth: tracks at 50 Hz, read at any times of video frames."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.render.arrays import folder_of, let_go, spooled
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.speech.activity import clear_speech, voice_gate
from heygemd.render.speech.features import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, speech_features
from heygemd.render.speech.network import (
    ANSWER_COUNT,
    CLASSES,
    CLOSURE,
    LIPTEETH,
    OPENING,
    PROTRUSION,
    SILENCE_CLASS,
    WIDTH,
    AnswerRange,
    load_speech_net,
)
from heygemd.render.speech.vocal_tract import class_probabilities, doubt_of, stretch_weights, stretched

log = structlog.get_logger(__name__)

TRACK_RATE_HZ = 50
FEATURES_PER_TRACK = FEATURE_RATE_HZ // TRACK_RATE_HZ

CONTACT_FROM, CONTACT_FULL = 0.15, 0.40
"""Probabilities of closure or lip-teeth at which contact begins and is complete."""
LIPTEETH_SLIT = 0.12
"""Opening left by f and v."""
CONTACT_NARROWING = 0.3
"""Part of the width that a closure takes back."""
OPENING_CURVE = 0.75
"""Power that gives the net's openings the distribution of real ones. Share of the widest opening in speech at the
25th, 50th, 75th and 90th percentile, means over the eleven GRID clips: people .22 .56 .74 .91, the net .26 .48 .66 .85,
its power .36 .57 .73 .89."""

_BLOCK = 6_000
_CONTEXT = 400
"""Tracks computed at once (two minutes), and what the net hears around them (8 s on each side: with 2 s, answers
near the border of a block differed from those of a whole pass by up to 0.1, with 8 s by less than 0.01)."""
_OPENING_PERCENTILES = (8, 95)
_RANGE_FROM_S = 1.0
RANGE_TRUSTED_S = 6.0
_LEAST_RANGE = 0.05
_LARGEST_OPENING = 1.25
_LARGEST_WIDTH = 1.2
_SPEECH_GATE = 0.5

FRAME_AVERAGE = (-0.25, 0.0, 0.25)
_FRAME_MAXIMUM = (-0.5, -0.25, 0.0, 0.25, 0.5)

Track = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthCurve:
    """The mouth at the times of video frames: float32[n] each."""

    opening: Track
    """0 closed .. 1 the widest of this speech (up to 1.25); contact of the lips already in it."""
    width: Track
    """-1 rounded .. 0 neutral .. 1 spread."""
    protrusion: Track
    """0..1."""
    closure: Track
    """Probability that b, p or m holds the lips together; the maximum over the frame's interval."""
    lipteeth: Track
    """Probability that f or v holds the lower lip at the teeth; the maximum over the frame's interval."""
    speech: Track
    """Probability of speech."""
    gate: Track
    """0 where the mouth rests, 1 in speech."""
    opening_raw: Track
    """As the net answers, in lip gap per eye distance of no particular person; not gated."""
    width_raw: Track


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthTracks:
    """The mouth at 50 Hz, entry k at k / 50 s: float32[n] each, but for the answers. Meanings as in `MouthCurve`."""

    opening_raw: Track
    width_raw: Track
    protrusion: Track
    closure: Track
    lipteeth: Track
    speech: Track
    gate: Track
    opening_soft: Track
    """Opening before the contact of the lips is forced."""
    opening: Track
    width: Track
    """Width before the contact of the lips is forced."""
    answers: NDArray[np.float16]
    """float16[n, 20]: all the net said, not gated; possibly mapped (2 kB for a second). Empty where it was not kept."""

    @property
    def has_answers(self) -> bool:
        """Tell whether the answers of the net were kept."""
        return self.answers.ndim > 1 and len(self.answers) == len(self.gate)

    def at(self, times_s: NDArray[np.floating], frame_s: float) -> MouthCurve:
        """Read the mouth for frames that are `frame_s` long and centred on float[n] `times_s`.

        Any rate, even or not. A closure of 40 ms is not lost between two frames: of contacts the maximum over
        the frame's own interval counts.
        """
        ticks = np.asarray(times_s, np.float64) * TRACK_RATE_HZ
        frame_ticks = frame_s * TRACK_RATE_HZ

        average_ticks = [ticks + part * frame_ticks for part in FRAME_AVERAGE]
        maximum_ticks = [ticks + part * frame_ticks for part in _FRAME_MAXIMUM]
        closure: Track = np.max([_read(self.closure, part) for part in maximum_ticks], axis=0)
        lipteeth: Track = np.max([_read(self.lipteeth, part) for part in maximum_ticks], axis=0)
        soft: Track = np.mean([_read(self.opening_soft, part) for part in average_ticks], axis=0)
        spread: Track = np.mean([_read(self.width, part) for part in average_ticks], axis=0)
        opening, width = with_contact(soft, spread, closure, lipteeth)
        return MouthCurve(
            opening=opening,
            width=width,
            protrusion=_read(self.protrusion, ticks),
            closure=closure,
            lipteeth=lipteeth,
            speech=_read(self.speech, ticks),
            gate=_read(self.gate, ticks),
            opening_raw=_read(self.opening_raw, ticks),
            width_raw=_read(self.width_raw, ticks),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name -> track, for saving."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "MouthTracks":
        """Take what `to_arrays` gave, the answers or not; KeyError where a track is missing, others are ignored."""
        answers = np.asarray(arrays.get("answers", np.zeros((0, ANSWER_COUNT))), np.float16)
        names = [field.name for field in fields(cls) if field.name != "answers"]
        return cls(answers=answers, **{name: np.asarray(arrays[name], np.float32) for name in names})


class MouthNet:
    """The speech net with everything that turns its answers into tracks. Deterministic; keeps no sound."""

    def __init__(self) -> None:
        self._net, self._range = load_speech_net()

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> MouthTracks:
        """Hear a whole sound: float32[n], mono, 16 kHz, possibly a read-only memory map.

        Sound that is empty, silent or shorter than 0.1 s gives a mouth that stays closed.
        """
        features = speech_features(sound, pulse)
        weights = stretch_weights(self._net, features)
        count = -(-len(features) // FEATURES_PER_TRACK)
        answers = spooled(folder_of(sound), (count, ANSWER_COUNT), np.float32)
        for part, answer in self._answers(features, weights):
            answers[part] = answer
            let_go(answers, features)
            pulse()
        tracks = tracks_of(answers, self._range, folder_of(sound))
        log.info(
            "speech.sound_heard",
            sound_s=round(len(sound) / SAMPLE_RATE_HZ, 3),
            voiced_s=round(float((tracks.gate > _SPEECH_GATE).sum()) / TRACK_RATE_HZ, 2),
            stretches={f"{stretch:g}": round(weight, 3) for stretch, weight in weights.items()},
        )
        return tracks

    def _answers(
        self, features: NDArray[np.float32], weights: Mapping[float, float]
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Answers of the net at 50 Hz, weighted over the stretches, block by block: float32[block, 20]."""
        count = -(-len(features) // FEATURES_PER_TRACK)
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            first = max(0, start - _CONTEXT)
            heard = features[first * FEATURES_PER_TRACK : (start + _BLOCK + _CONTEXT) * FEATURES_PER_TRACK]
            answer = np.zeros((stop - start, ANSWER_COUNT), np.float32)
            for stretch, weight in weights.items():
                block = self._net.answer(stretched(heard, stretch))
                answer += np.float32(weight) * block[start - first : stop - first]
            yield slice(start, stop), answer


def tracks_of(answers: NDArray[np.float32], answer_range: AnswerRange, folder: Path | None = None) -> MouthTracks:
    """Turn float32[n, 20] answers into tracks: gated, in the range of this speech, with lips that meet.

    The answers are kept as float16, spooled in `folder`, or in memory without one.
    """
    sounding, doubt, *columns = np.empty((2 + CLASSES.start, len(answers)), np.float32)
    kept = spooled(folder, answers.shape, np.float16)
    for start in range(0, len(answers), _BLOCK):
        part = slice(start, start + _BLOCK)
        probabilities = class_probabilities(answers[part])
        sounding[part] = 1 - probabilities[:, SILENCE_CLASS]
        doubt[part] = doubt_of(probabilities)
        for column, values in enumerate(columns):
            values[part] = answers[part, column]
        kept[part] = answers[part]
        let_go(answers, kept)
    speech = clear_speech(sounding, doubt, rate_hz=TRACK_RATE_HZ)
    gate = voice_gate(speech, rate_hz=TRACK_RATE_HZ)
    opening_raw, width_raw = columns[OPENING], columns[WIDTH]
    shut, wide = _opening_range(opening_raw[gate > _SPEECH_GATE], answer_range)
    share = np.clip((opening_raw - shut) / (wide - shut), 0, _LARGEST_OPENING)
    opening_soft = gate * share**OPENING_CURVE
    spread = (width_raw - answer_range.width_rest) / answer_range.width_half_range
    width = gate * np.clip(spread, -_LARGEST_WIDTH, _LARGEST_WIDTH)
    closure, lipteeth = (_share(columns[column]) * gate for column in (CLOSURE, LIPTEETH))
    opening, _ = with_contact(opening_soft, width, closure, lipteeth)
    tracks = {
        "opening_raw": opening_raw,
        "width_raw": width_raw,
        "protrusion": np.clip(columns[PROTRUSION], 0, 1) * gate,
        "closure": closure,
        "lipteeth": lipteeth,
        "speech": speech,
        "gate": gate,
        "opening_soft": opening_soft,
        "opening": opening,
        "width": width,
    }
    return MouthTracks(
        answers=kept, **{name: np.ascontiguousarray(track, np.float32) for name, track in tracks.items()}
    )


def _opening_range(voiced: Track, answer_range: AnswerRange) -> tuple[float, float]:
    """Say what counts as shut and as wide open: the range of this speech as far as there is enough of it."""
    shut, wide = answer_range.shut, answer_range.open
    voiced_s = len(voiced) / TRACK_RATE_HZ
    if voiced_s <= _RANGE_FROM_S:
        return shut, wide
    low, high = (float(value) for value in np.percentile(voiced, _OPENING_PERCENTILES))
    if high - low <= _LEAST_RANGE:
        return shut, wide
    trust = min(1.0, voiced_s / RANGE_TRUSTED_S)
    return (1 - trust) * shut + trust * low, (1 - trust) * wide + trust * high


def with_contact(opening: Track, width: Track, closure: Track, lipteeth: Track) -> tuple[Track, Track]:
    """Bring the lips together for b, p, m, and to a slit for f, v; returns opening and width.

    The opening is a share of the widest, the width counts from rest.
    """
    closed = _contact(closure)
    slit = _contact(lipteeth) * (1 - closed)
    parted = opening * (1 - closed)
    return parted * (1 - slit) + np.minimum(parted, LIPTEETH_SLIT) * slit, width * (1 - CONTACT_NARROWING * closed)


def _share(logits: Track) -> Track:
    """Turn logits into probabilities; written so that no logit is too large for it."""
    probabilities: Track = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return probabilities


def _contact(probability: Track) -> Track:
    part: Track = np.clip((probability - CONTACT_FROM) / (CONTACT_FULL - CONTACT_FROM), 0, 1)
    return part


def _read(track: Track, ticks: NDArray[np.float64]) -> Track:
    """Interpolate at fractional ticks; the ends are held. Of the track, only what lies around them is touched."""
    first = int(np.clip(np.floor(ticks.min(initial=len(track))), 0, len(track) - 1))
    last = int(np.clip(np.ceil(ticks.max(initial=0)) + 2, first + 1, len(track)))
    values = np.interp(ticks, np.arange(first, last), track[first:last]).astype(np.float32)
    let_go(track)
    return values
