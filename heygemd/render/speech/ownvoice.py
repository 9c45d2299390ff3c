"""Learns a `Readout` from a clip that carries the voice of the mouth it shows: a ridge regression, judged on folds.

Fits are made from the products of whole folds, so that a fold is left out by subtraction; nothing is iterated, and
nothing depends on chance.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from heygemd.render.speech.lag import Lag, estimate_lag, quick_part, seen_at_ticks
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthTracks
from heygemd.render.speech.readout import (
    AROUND_TICKS,
    FEATURE_COUNT,
    GENERAL,
    LEVELS,
    SPEAKING_FROM,
    Readout,
    drive_of,
    heard_around,
    speaking_ticks,
    voice_of,
)

log = structlog.get_logger(__name__)

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_OWN_SPEECH_S = 8.0
FULL_OWN_SPEECH_S = 16.0
"""From so much own speech over a seen mouth a readout is made, and trusted fully. With 5 to 8 s of it the fit does
worse on folds that it did not see than no fit, with 12 s it does better."""
MOST_OWN_SPEECH_S = 600.0
"""More of a clip is not listened to."""
RIDGE = 1000.0
"""Weight of "like everybody" against what was seen, in frames of 1/25 s: 40 s of speech outweigh it for an answer that
moves on its own; for answers that move together, as most do, a few seconds do."""
GAIN_RIDGE = 25.0
"""The same for the gain of the general answer: one second."""
LEAST_GAIN = 0.3
"""The general answer is never dropped."""
RIDGE_RATE_HZ = 25
SLOW_S = 1.0
"""Slower movements are expression and posture."""
FOLD_S = 3.0
LEAST_FOLDS, MOST_FOLDS = 4, 12
FOLD_GAP_S = 0.3
"""Between folds so much is left out: neighbouring moments tell each other."""
REST_S = 1.5
"""The unspeaking width is the median over so long (that of the films: `atlas/targets.py`)."""

_ONE_OTHER = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The part of a clip in which a seen mouth speaks, on ticks of its sound."""

    features: Vector
    """float64[m, 60]: answers in units of the voice."""
    mouth: Vector
    """float64[m, 2]: opening, and width from the unspeaking width, in eye distances."""
    quick_features: Vector
    quick_mouth: Vector
    """Without slow movement; the mouth in standard deviations."""
    ticks: NDArray[np.intp]
    """intp[m]: rising."""


def fit_readout(
    tracks: MouthTracks,
    times_s: NDArray[np.floating],
    opening: NDArray[np.floating],
    width: NDArray[np.floating],
    seen: NDArray[np.bool_],
) -> Readout | None:
    """Learn how this mouth follows its own voice; None where there is too little, or the voice is not its own.

    `tracks` are those of the clip's own sound; times_s (rising), opening, width (eye distances, NaN where unknown) and
    `seen` (frames to learn from) are those of its n frames. The lag between the two is found first.
    """
    openings, widths = (np.where(seen, values, np.nan).astype(np.float64) for values in (opening, width))
    lag = estimate_lag(tracks, times_s, openings, widths)
    material = _material(tracks, times_s, openings, widths, lag) if lag.is_own_voice and tracks.has_answers else None
    speech_s = len(material.ticks) / TRACK_RATE_HZ if material else 0.0
    readout = _fitted(tracks, material, lag, speech_s) if material and speech_s >= LEAST_OWN_SPEECH_S else None
    log.info(
        "speech.own_voice_judged",
        is_own_voice=lag.is_own_voice,
        lag_s=lag.seconds,
        score=round(lag.score, 3),
        certainty=round(lag.certainty, 2),
        speech_s=round(speech_s, 2),
        opening_weight=round(float(readout.weight[0]), 3) if readout else 0.0,
        width_weight=round(float(readout.weight[1]), 3) if readout else 0.0,
        opening_explained=round(float(readout.explained[0]), 3) if readout else 0.0,
        width_explained=round(float(readout.explained[1]), 3) if readout else 0.0,
    )
    return readout


def _material(
    tracks: MouthTracks, times_s: NDArray[np.floating], opening: Vector, width: Vector, lag: Lag
) -> Material | None:
    """Cut out what can be learned from; None without any."""
    count = len(tracks.gate)
    shown_opening, known = seen_at_ticks(times_s, opening, count, lag_s=lag.seconds)
    shown_width, _ = seen_at_ticks(times_s, width, count, lag_s=lag.seconds)
    speaking = known & (tracks.gate > SPEAKING_FROM)
    ends = np.flatnonzero(np.cumsum(speaking) == round(MOST_OWN_SPEECH_S * TRACK_RATE_HZ))
    stop = int(ends[0]) if len(ends) else count
    ticks = np.flatnonzero(speaking[:stop])
    if not len(ticks):
        return None
    known, mouth = known[:stop], np.stack([shown_opening[:stop], shown_width[:stop]], axis=1)
    features = heard_around(tracks.answers, np.arange(stop, dtype=np.float64), voice_of(tracks, speaking_ticks(tracks)))
    quick_mouth = quick_part(mouth, known, SLOW_S)[ticks]
    mouth[:, 1] -= median_filter(mouth[:, 1], size=round(REST_S * TRACK_RATE_HZ), mode="nearest")
    return Material(
        features=features[ticks],
        mouth=mouth[ticks],
        quick_features=quick_part(features, known, SLOW_S)[ticks],
        quick_mouth=quick_mouth / np.maximum(quick_mouth.std(axis=0), 1e-6),
        ticks=ticks,
    )


def _fitted(tracks: MouthTracks, material: Material, lag: Lag, speech_s: float) -> Readout:
    weight, explained = _judged(material)
    weight *= np.clip((speech_s - LEAST_OWN_SPEECH_S) / (FULL_OWN_SPEECH_S - LEAST_OWN_SPEECH_S), 0, 1)
    gain, own_way = _ridge(_products(material, slice(None)))
    voice = voice_of(tracks, speaking_ticks(tracks))
    drive = drive_of(material.features, gain=gain, own_way=own_way, weight=weight)
    return Readout(
        lag_s=lag.seconds,
        speech_s=speech_s,
        explained=explained,
        weight=weight,
        gain=gain,
        own_way=own_way,
        mean=voice.mean,
        deviation=voice.deviation,
        asked=np.percentile(drive, LEVELS, axis=0),
        shown=np.percentile(material.mouth, LEVELS, axis=0),
    )


def _judged(material: Material) -> tuple[Vector, Vector]:
    """Judge the fit on folds it did not see: the weight that explains them best, 0..1, and the variance it explains."""
    first, last = material.ticks[0], material.ticks[-1] + 1
    fold_count = int(np.clip(round(len(material.ticks) / TRACK_RATE_HZ / FOLD_S), LEAST_FOLDS, MOST_FOLDS))
    edges = np.linspace(first, last, fold_count + 1)
    gap = FOLD_GAP_S * TRACK_RATE_HZ / 2
    folds = [
        _products(material, (material.ticks >= start + gap) & (material.ticks < stop - gap))
        for start, stop in pairwise(edges)
    ]
    everything = np.sum(folds, axis=0)
    agreement, effort, variance = np.zeros(2), np.zeros(2), np.zeros(2)
    for fold in folds:
        gain, own_way = _ridge(everything - fold)
        square = fold[:FEATURE_COUNT, :FEATURE_COUNT]
        for one in _ONE_OTHER:
            shown = fold[:FEATURE_COUNT, FEATURE_COUNT + one]
            general = _general_column(one)
            agreement[one] += own_way[:, one] @ (shown - gain[one] * square[:, general])
            effort[one] += own_way[:, one] @ square @ own_way[:, one]
            variance[one] += fold[FEATURE_COUNT + one, FEATURE_COUNT + one]
    weight = np.clip(agreement / np.maximum(effort, 1e-9), 0, 1)
    return weight, (2 * weight * agreement - weight**2 * effort) / np.maximum(variance, 1e-9)


def _products(material: Material, rows: Flags | slice) -> Vector:
    """Sum the products of all features and measures over some rows: float64[62, 62], in frames of 1/25 s."""
    both = np.concatenate([material.quick_features[rows], material.quick_mouth[rows]], axis=1)
    return np.asarray(both.T @ both * (RIDGE_RATE_HZ / TRACK_RATE_HZ))


def _ridge(products: Vector) -> tuple[Vector, Vector]:
    """Solve for gain[2] of the general answers, and for what the mouth does beside them: float64[60, 2]."""
    square, shown = products[:FEATURE_COUNT, :FEATURE_COUNT], products[:FEATURE_COUNT, FEATURE_COUNT:]
    columns = [_general_column(one) for one in _ONE_OTHER]
    gain = np.array([shown[column, one] / (square[column, column] + GAIN_RIDGE) for one, column in enumerate(columns)])
    gain = np.maximum(gain, LEAST_GAIN)
    rest = shown - square[:, columns] * gain
    own_way: Vector = np.linalg.solve(square + RIDGE * np.eye(FEATURE_COUNT), rest)
    return gain, own_way


def _general_column(one: int) -> int:
    """Find where among the features the general opening (0) or width (1) of this moment stands."""
    return AROUND_TICKS.index(0) * (FEATURE_COUNT // len(AROUND_TICKS)) + GENERAL[one]
