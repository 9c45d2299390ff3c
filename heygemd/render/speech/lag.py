"""Does the sound of a clip belong to the mouth in its picture, and how far apart are the two?

The mouth that was seen is laid on the ticks of the speech tracks (50 Hz). Slow changes are taken out of both: a smile
or a turning head says nothing about the sound, and makes unrelated curves look alike. What is left is compared at
every lag; chance is judged by how many independent moments the two curves have (Bartlett 1935).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthTracks

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

LAG_TICKS = range(-8, 17)
"""-0.16 to +0.32 s: sound that comes late (or pictures that are shown early) is the more common fault of clips."""
SLOW_S = 0.5
"""Standard deviation of the Gaussian whose smooth part is taken out before comparing."""
CERTAIN_FROM = 3.0
"""Standard deviations of chance. The lags hold about six independent positions, so a foreign sound reaches this once
in a hundred clips."""
LEAST_SPEECH_S = 1.0
"""Less speech over a seen mouth says nothing."""
LEAST_MOVEMENT = 0.01
"""Eye distances: a mouth whose opening has a smaller standard deviation does not speak (trembling points have .005)."""
LARGEST_GAP_S = 0.25
"""Between seen frames further apart than this, nothing is assumed."""
MEMORY_S = 1.0
"""Mouths and voices have forgotten what they did so long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How a sound lies to the mouth of a picture."""

    seconds: float
    """What is shown at t is heard at t + `seconds`; 0 where the sound is not that of this mouth."""
    score: float
    """Correlation of the opening plus that of the width, -2..2, at the best lag."""
    certainty: float
    """The score in standard deviations of what chance gives."""
    is_own_voice: bool
    """The sound belongs to this mouth."""


NOT_OWN = Lag(seconds=0.0, score=0.0, certainty=0.0, is_own_voice=False)


def estimate_lag(
    tracks: MouthTracks, times_s: NDArray[np.floating], opening: NDArray[np.floating], width: NDArray[np.floating]
) -> Lag:
    """Compare the mouth in a picture, float[n] each (NaN where not seen), with what its sound asks for.

    `times_s` rise; opening and width are eye distances. Any frame rate, even or not.
    """
    count = len(tracks.gate)
    seen_opening, seen = seen_at_ticks(times_s, opening, count)
    seen_width, _ = seen_at_ticks(times_s, np.where(np.isfinite(opening), width, np.nan), count)
    if (seen & (tracks.gate > 0)).sum() < LEAST_SPEECH_S * TRACK_RATE_HZ:
        return NOT_OWN
    if seen_opening[seen].std() < LEAST_MOVEMENT:
        return NOT_OWN
    pairs = [
        (quick_part(shown, seen), quick_part(np.asarray(heard, np.float64), np.ones(count, np.bool_)))
        for shown, heard in ((seen_opening, tracks.opening_raw), (seen_width, tracks.width_raw))
    ]
    scores = [sum(_correlation(*_overlap(shown, seen, heard, lag)) for shown, heard in pairs) for lag in LAG_TICKS]
    best = int(np.argmax(scores))
    chance = sum(1 / _independent_moments(*_overlap(shown, seen, heard, LAG_TICKS[best])) for shown, heard in pairs)
    certainty = float(scores[best] / np.sqrt(chance))
    is_own = certainty >= CERTAIN_FROM
    seconds = LAG_TICKS[best] / TRACK_RATE_HZ if is_own else 0.0
    return Lag(seconds=seconds, score=float(scores[best]), certainty=certainty, is_own_voice=is_own)


def seen_at_ticks(
    times_s: NDArray[np.floating], values: NDArray[np.floating], tick_count: int, *, lag_s: float = 0.0
) -> tuple[Vector, Flags]:
    """Lay what was seen (float[n], NaN where not) on the ticks of a sound that comes `lag_s` later.

    Returns float64[ticks], 0 where nothing was seen, and bool[ticks]. Gaps of up to LARGEST_GAP_S are bridged.
    """
    finite = np.isfinite(values)
    at = np.round((np.asarray(times_s, np.float64)[finite] + lag_s) * TRACK_RATE_HZ, 6)  # 0.1 + 0.2 is no 0.3
    if not len(at):
        return np.zeros(tick_count), np.zeros(tick_count, np.bool_)
    ticks = np.arange(tick_count, dtype=np.float64)
    near = np.zeros(tick_count, np.bool_)
    for side in ("left", "right"):  # a frame that stands at the very tick ends one gap and begins the next
        after = np.clip(np.searchsorted(at, ticks, side=side), 1, max(len(at) - 1, 1))
        near |= at[np.minimum(after, len(at) - 1)] - at[after - 1] <= LARGEST_GAP_S * TRACK_RATE_HZ
    known = near & (ticks >= at[0]) & (ticks <= at[-1])
    return np.where(known, np.interp(ticks, at, np.asarray(values, np.float64)[finite]), 0.0), known


def quick_part(values: Vector, known: Flags, slow_s: float = SLOW_S) -> Vector:
    """Take slow changes out of float64[ticks] or [ticks, k]; what is not known (bool[ticks]) is 0 and tells nothing."""
    width = slow_s * TRACK_RATE_HZ
    weight = gaussian_filter1d(known.astype(np.float64), width, mode="constant")
    shape = (-1, *([1] * (values.ndim - 1)))
    inside = values * known.reshape(shape)
    slow = gaussian_filter1d(inside, width, axis=0, mode="constant") / np.maximum(weight, 1e-9).reshape(shape)
    return np.asarray((values - slow) * known.reshape(shape))


def _overlap(shown: Vector, known: Flags, heard: Vector, lag_ticks: int) -> tuple[Vector, Vector, Flags]:
    """Line up the picture with the sound `lag_ticks` later: parts of equal length."""
    count = len(heard)
    picture = slice(max(0, -lag_ticks), min(count, count - lag_ticks))
    sound = slice(max(0, lag_ticks), min(count, count + lag_ticks))
    return shown[picture], heard[sound], known[picture]


def _correlation(shown: Vector, heard: Vector, known: Flags) -> float:
    if known.sum() < LEAST_SPEECH_S * TRACK_RATE_HZ:
        return 0.0
    one, other = shown[known] - shown[known].mean(), heard[known] - heard[known].mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else 0.0


def _independent_moments(shown: Vector, heard: Vector, known: Flags) -> float:
    """Count the moments of two unrelated curves with these memories: 1 / variance of their correlation."""
    count = float(known.sum())
    one, other = (_memory(np.where(known, curve, 0.0)) for curve in (shown, heard))
    return count / max(1.0 + 2 * float(one @ other), 1.0)


def _memory(curve: Vector) -> Vector:
    """Autocorrelation at 1, 2, ... ticks, up to MEMORY_S."""
    ticks = min(round(MEMORY_S * TRACK_RATE_HZ), len(curve) - 1)
    power = max(float(curve @ curve), 1e-12)
    return np.array([curve[:-lag] @ curve[lag:] / power for lag in range(1, ticks + 1)])
