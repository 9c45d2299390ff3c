"""Figures of curves: how well a mouth that was measured follows the one that was wanted, or the real one.

A curve is float64[n], one value a frame of the film; `rows` (bool[n]) are the frames that count. Openings and widths
are in eye distances. A figure that cannot be taken (too few frames, nothing moves) is None.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
Rows = NDArray[np.bool_]
Figures = dict[str, float | int | None]

LEAST_FRAMES = 8
"""Fewer say nothing about a correlation."""
LEAST_SPREAD = 1e-4
"""Standard deviation below which a curve stands still."""
WANTED_SHUT = 0.01
"""A wanted opening below this is a closure."""
SEEN_SHUT = 0.02
"""A measured opening below this is closed, as near as any tracker tells."""
NEARLY_SHUT = 0.03
"""A mouth seen closed was right to close where less than this was wanted: both measures have an error."""
LONGEST_CLOSURE_S = 0.3
"""Lips of b, p, m meet for 40 to 150 ms (Stevens, *Acoustic Phonetics*, 1998); what is shut for longer rests."""
MOST_LAG_S = 0.32
"""Offsets of picture and sound that are believed of a clip."""


def pearson(a: Curve, b: Curve, rows: Rows) -> float | None:
    """Correlate two curves."""
    use = rows & np.isfinite(a) & np.isfinite(b)
    if use.sum() < LEAST_FRAMES or min(a[use].std(), b[use].std()) < LEAST_SPREAD:
        return None
    return float(np.corrcoef(a[use], b[use])[0, 1])


def agreement(found: Curve, wanted: Curve, rows: Rows) -> Figures:
    """Compare what was found with what was wanted: `r`, `rms`, `bias` (found less wanted), and frames compared."""
    use = rows & np.isfinite(found) & np.isfinite(wanted)
    error = (found - wanted)[use]
    return {
        "r": pearson(found, wanted, rows),
        "rms": float(np.sqrt(np.mean(error**2))) if len(error) else None,
        "bias": float(error.mean()) if len(error) else None,
        "frames": int(use.sum()),
    }


def at_lag(found: Curve, real: Curve, rows: Rows, lag_frames: int) -> float | None:
    """Correlate `found`, taken `lag_frames` later, with `real`."""
    if lag_frames < 0:
        return at_lag(real, found, rows, -lag_frames)
    stop = len(found) - lag_frames
    if stop < LEAST_FRAMES:
        return None
    return pearson(found[lag_frames:], real[:stop], rows[lag_frames:] & rows[:stop])


def fitted_lag(found: Curve, real: Curve, rows: Rows, fps: float) -> int:
    """Find by how many frames `found` is late (negative: early) against `real`; 0 where nothing fits."""
    most = round(MOST_LAG_S * fps)
    scores = {lag: at_lag(found, real, rows, lag) for lag in range(-most, most + 1)}
    known = {lag: score for lag, score in scores.items() if score is not None}
    # Of equals the nearest to 0.
    return max(known, key=lambda lag: (known[lag], -abs(lag)), default=0)


def closures(found: Curve, wanted: Curve, rows: Rows, fps: float) -> Figures:
    """Count the short closures that were wanted and those that were seen, and what stays open where shut was wanted."""
    use = rows & np.isfinite(found) & np.isfinite(wanted)
    longest = LONGEST_CLOSURE_S * fps
    asked = [run for run in runs(use & (wanted < WANTED_SHUT)) if run.stop - run.start <= longest]
    seen = [run for run in runs(use & (found < SEEN_SHUT)) if run.stop - run.start <= longest]
    hits = sum(bool((found[run] < SEEN_SHUT).any()) for run in asked)
    right = sum(bool((wanted[run] < NEARLY_SHUT).any()) for run in seen)
    left = found[use & (wanted < WANTED_SHUT)]
    return {
        "wanted": len(asked),
        "seen": len(seen),
        "recall": hits / len(asked) if asked else None,
        "precision": right / len(seen) if seen else None,
        "left_open_median": float(np.median(left)) if len(left) else None,
        "left_open_p95": float(np.percentile(left, 95)) if len(left) else None,
    }


def runs(flags: Rows) -> list[slice]:
    """Cut out the unbroken runs of true."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [slice(int(start), int(stop)) for start, stop in list(pairwise(edges))[::2]]
