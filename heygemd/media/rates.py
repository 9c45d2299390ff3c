"""From the time stamps of a stream to the one constant rate of the film. Pure.

stamps (ticks)   0  1001 2002 3003 …        → 24000/1001, constant
stamps (ms)      0  33 67 100 133 167 …     → 30, constant: only rounded to a coarse clock
stamps           0  512 1536 2048 2560 …    → the rate of the commonest step, variable (one frame is missing)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

STILL_FPS = Fraction(25)
"""Rate of a film made from one picture."""

COMMON = tuple(Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144, 240)) + tuple(
    Fraction(1000 * n, 1001) for n in (24, 30, 48, 60, 120, 240)
)

SNAP = Fraction(1, 5000)
"""Relative distance within which a rate is taken for a common one; 30 and 29.97 are 1/1000 apart."""

VARIABLE_SNAP = Fraction(3, 100)
"""The same for the commonest step of a variable stream, which is only a rough idea of its rate."""

FINEST_HZ = 12_800
"""Least ticks per second of a track: what ffmpeg itself takes for MP4 at 25 fps."""

HIGHEST = Fraction(240)
LOWEST = Fraction(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What the time stamps of a stream say."""

    fps: Fraction
    is_vfr: bool
    duration_s: Fraction
    """First stamp to the end of the last frame."""
    longest_gap_s: Fraction
    """Between two neighbours."""


def clock_of(stamps: Sequence[int], tick_s: Fraction, *, declared: Sequence[Fraction] = ()) -> Clock:
    """Read the clock of at least one frame: `stamps` in units of `tick_s`, any order.

    `declared` are rates that the file names; one of them is believed where the stamps do not contradict it.
    """
    times = sorted(set(stamps))
    count = len(times)
    if count == 1:
        fps = next((rate for rate in declared if LOWEST <= rate <= HIGHEST), STILL_FPS)
        return Clock(fps=fps, is_vfr=False, duration_s=1 / fps, longest_gap_s=Fraction(0))
    steps = [b - a for a, b in pairwise(times)]
    span = times[-1] - times[0]
    mean = Fraction(span, count - 1)
    tolerance = max(8 * (count - 1), span)  # two ticks or a quarter of a step, here and below times 4 (count - 1)
    constant = all(4 * abs((t - times[0]) * (count - 1) - i * span) <= tolerance for i, t in enumerate(times))
    if constant:
        fuzz = Fraction(2, span)
        fps = _snap(1 / (mean * tick_s), max(SNAP, fuzz), declared)
    else:
        fps = _snap(1 / (_usual_step(steps) * tick_s), VARIABLE_SNAP, declared)
    return Clock(
        fps=fps,
        is_vfr=not constant,
        duration_s=span * tick_s + 1 / fps,
        longest_gap_s=max(steps) * tick_s,
    )


def _usual_step(steps: Sequence[int]) -> Fraction:
    """Find the commonest step with its rounding neighbours, averaged; the median where no step is common."""
    best, _ = Counter(steps).most_common(1)[0]
    near = [step for step in steps if abs(step - best) <= max(1, best // 20)]
    if len(near) * 3 < len(steps):
        return Fraction(sorted(steps)[len(steps) // 2])
    return Fraction(sum(near), len(near))


def _snap(rate: Fraction, tolerance: Fraction, declared: Sequence[Fraction]) -> Fraction:
    rate = min(max(rate, LOWEST), HIGHEST)
    whole = (Fraction(round(rate)),) if rate >= 1 else ()
    near = [r for r in (*declared, *COMMON, *whole) if r > 0 and abs(r - rate) <= tolerance * rate]
    if near:
        common = [r for r in near if r in COMMON]
        return Fraction(min(common or near, key=lambda r: abs(r - rate)))
    return rate.limit_denominator(1001)


def timescale(fps: Fraction) -> int:
    """Ticks per second of a track in which every frame lasts a whole number of ticks."""
    return fps.numerator * max(1, -(-FINEST_HZ // fps.numerator))
