"""Phone borders in the GRID clips: forced alignment with a net that has learned from synthetic speech only.

Viterbi over segments (a hidden semi-Markov model: Ostendorf et al. 1996, "From HMM's to segment models"): the known
phones in their order, each as likely as the net finds its mouth class, and as long as espeak would speak it, within a
log-normal.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.features import FEATURE_RATE_HZ
from heygemd.render.speech.network import CLASSES, SpeechNet
from scripts.train.speech.espeak import Espeak
from scripts.train.speech.grid import GridClip, sentence_of
from scripts.train.speech.phonemes import GAP, SILENCE, Segment, class_of, segments_of

VOICE = "en"
SHORTEST_FRAMES = 3
LONGEST_PHONE_FRAMES, LONGEST_SILENCE_FRAMES = 45, 200
SLOWER_THAN_ESPEAK = 1.15
DURATION_SPREAD = 0.55
"""Standard deviation of the logarithm of a phone's length."""
DURATION_WEIGHT = 1.5
"""Against the sum of the log probabilities over the phone's frames."""
LEAST_LOG_PROBABILITY = -6.0
"""No single frame forbids a phone."""


def aligned(clip: GridClip, net: SpeechNet, espeak: Espeak) -> list[Segment]:
    """Find when each phone of a clip's sentence is spoken; silence before and after."""
    speech = espeak.say(sentence_of(clip.code), VOICE)
    total_s = len(speech.sound) / speech.rate_hz
    phones = [one for one in segments_of([(0.0, ""), *speech.phonemes], total_s) if one.symbol not in (SILENCE, GAP)]
    symbols = [SILENCE, *(one.symbol for one in phones), SILENCE]
    expected_frames = [None, *(one.duration_s * FEATURE_RATE_HZ * SLOWER_THAN_ESPEAK for one in phones), None]
    columns = _log_probabilities(clip, net)[:, [class_of(symbol) for symbol in symbols]]
    borders = best_borders(columns, expected_frames)
    return [
        Segment(start / FEATURE_RATE_HZ, stop / FEATURE_RATE_HZ, symbol)
        for start, stop, symbol in zip(borders, borders[1:], symbols, strict=False)
    ]


def _log_probabilities(clip: GridClip, net: SpeechNet) -> NDArray[np.float64]:
    """Of the mouth classes at 100 Hz: float64[t, 15]."""
    logits = net.answer(clip.features)[:, CLASSES].astype(np.float64)
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    ticks, count = np.arange(len(clip.features)) / 2, np.arange(len(logits))
    columns = [np.interp(ticks, count, column) for column in log_probabilities.T]
    floored: NDArray[np.float64] = np.maximum(np.stack(columns, axis=1), LEAST_LOG_PROBABILITY)
    return floored


def best_borders(columns: NDArray[np.float64], expected_frames: Sequence[float | None]) -> list[int]:
    """Cut float64[t, m] log probabilities of m segments in order: m + 1 borders in frames, from 0 to t.

    `expected_frames` are the segments' likely lengths; None is a silence of any length.
    """
    frames, count = columns.shape
    sums = np.concatenate([np.zeros((1, count)), np.cumsum(columns, axis=0)])
    best = np.full((count + 1, frames + 1), -np.inf)
    origin = np.zeros((count + 1, frames + 1), np.intp)
    best[0, 0] = 0
    for segment, expected in enumerate(expected_frames):
        longest = LONGEST_SILENCE_FRAMES if expected is None else LONGEST_PHONE_FRAMES
        for length in range(SHORTEST_FRAMES, min(longest, frames + 1)):
            score = best[segment, : frames + 1 - length] + sums[length:, segment] - sums[:-length, segment]
            if expected is not None:
                score = score - DURATION_WEIGHT * (np.log(length / expected) / DURATION_SPREAD) ** 2
            better = score > best[segment + 1, length:]
            best[segment + 1, length:][better] = score[better]
            origin[segment + 1, length:][better] = np.flatnonzero(better)
    borders = [frames]
    for segment in range(count, 0, -1):
        borders.append(int(origin[segment, borders[-1]]))
    return borders[::-1]


def save_alignments(path: Path, alignments: dict[str, list[Segment]]) -> None:
    """Write the segments of each clip as JSON."""
    rows = {code: [(one.start_s, one.stop_s, one.symbol) for one in segments] for code, segments in alignments.items()}
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_alignments(path: Path) -> dict[str, list[Segment]]:
    """Read what `save_alignments` wrote."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {code: [Segment(*row) for row in segments] for code, segments in rows.items()}
