"""How like the mouths of real talkers is what a net makes of their sound? Figures over a folder of measured clips.

A clip's sound may lie early or late to its picture; the lag that fits best says how far. Clips of GRID, which the
shipped weights learn from, are told apart from those of strangers. Two nets are compared clip by clip: clips differ
among each other far more than nets do on one clip, so the differences have smaller errors than the means.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.mouth import MouthCurve, MouthNet, MouthTracks
from scripts.train.speech.grid import read_sound

LAGS_S = np.round(np.arange(-0.16, 0.3201, 0.02), 2) + 0.0  # no -0.0
"""Offsets of sound and picture that clips are known to have."""
GRID_NAME = "grid_"
"""Beginning of the names of clips that the weights learn from."""

SHUT_PERCENTILES = (5, 95)
SHUT_SHARE = 0.15
"""A mouth is shut in the lowest part of its own range; the range is cut against single wrong frames."""
LONGEST_CLOSURE_S = 0.25
"""Lips that stay shut for longer rest; b, p and m take about 0.1 s, with the frames around them."""
SPOKEN_FROM = 0.5
"""Gate from which a frame is spoken. Closures count from the first to the last such frame: elsewhere nobody speaks."""
CLAIMED_PERCENTILE = 20
"""The lowest fifth of a curve's spoken frames claims closures: independent of its units, equally many for each net.
Silence at the ends would use that fifth up."""
CLOSURE_TOLERANCE_S = 0.06
CHANCE_SHIFTS = 12
"""Turned by so many parts of its length, a curve keeps its own movement and loses its tie to the sound."""

RAW, FINISHED = "raw", "finished"
"""What the net answers, and what the product makes of it."""
KINDS = (RAW, FINISHED)

Vector = NDArray[np.float64]
Lags = Mapping[str, float]
"""Lag in seconds by RAW and FINISHED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talker:
    """Sound float32[n] at 16 kHz; times in s of frames that show a mouth, its opening and width: float64[m] each."""

    name: str
    sound: NDArray[np.float32]
    time_s: Vector
    opening: Vector
    width: Vector

    @property
    def frame_s(self) -> float:
        """Length of a frame."""
        return float(np.median(np.diff(self.time_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureCount:
    """Real closures, those of them that were claimed, claimed stretches, and those of them with lips really shut."""

    found: int = 0
    real: int = 0
    right: int = 0
    claimed: int = 0

    def __add__(self, other: "ClosureCount") -> "ClosureCount":
        """Count over both."""
        return ClosureCount(
            found=self.found + other.found,
            real=self.real + other.real,
            right=self.right + other.right,
            claimed=self.claimed + other.claimed,
        )

    @property
    def recall(self) -> float:
        """Share of the real closures that was claimed; NaN without any."""
        return self.found / self.real if self.real else np.nan

    @property
    def precision(self) -> float:
        """Share of the claims that was right; NaN without any."""
        return self.right / self.claimed if self.claimed else np.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkerFigures:
    """What is found for a clip: <kind>_<opening or width>_r_<lag_0 or fitted_lag> in `likeness`."""

    name: str
    lags_s: dict[str, float]
    likeness: dict[str, float]
    closures: ClosureCount
    chance: ClosureCount

    @property
    def is_grid(self) -> bool:
        """The clip is one that the shipped weights learn from."""
        return self.name.startswith(GRID_NAME)

    @property
    def figures(self) -> dict[str, float]:
        """All that can be compared with the same clip of another net."""
        return {
            **self.likeness,
            "closure_recall": self.closures.recall,
            "closure_precision": self.closures.precision,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A mean over clips and its standard error, None for fewer than two clips."""

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: Collection[float]) -> "Spread":
        """Take the clips that have a value; ValueError where none has."""
        known = np.array([value for value in values if np.isfinite(value)])
        if not len(known):
            raise ValueError("no clip has this figure")
        error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
        return cls(mean=float(known.mean()), error=error)


def pearson(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Correlation; 0 where one of them does not move."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-12))


def load_talker(clip: Path, curves: Path) -> Talker:
    """Read the sound of a clip, of any container, and its mouth: time_s, opening and width, NaN where none is seen."""
    with np.load(curves) as stored:
        time_s, opening, width = (np.asarray(stored[name], np.float64) for name in ("time_s", "opening", "width"))
    seen = np.isfinite(opening) & np.isfinite(width)
    if seen.sum() < 2:
        raise ValueError(f"{curves} shows no mouth")
    return Talker(name=clip.stem, sound=read_sound(clip), time_s=time_s[seen], opening=opening[seen], width=width[seen])


def load_talkers(clips: Path, curves: Path) -> list[Talker]:
    """Read every clip of a folder with <clip's name>.npz of the other; ValueError where a clip has no curves."""
    paths = sorted(path for path in clips.iterdir() if path.is_file() and not path.name.startswith("."))
    unmeasured = [path.name for path in paths if not (curves / f"{path.stem}.npz").exists()]
    if unmeasured or not paths:
        raise ValueError(f"{curves} lacks the mouths of {', '.join(unmeasured) or 'any clip'}")
    return [load_talker(path, curves / f"{path.stem}.npz") for path in paths]


def closures_of(time_s: Vector, opening: Vector) -> Vector:
    """Find the middles, in s, of the short closures of a measured mouth; what is cut by an end is none."""
    return np.array(
        [
            (time_s[first] + time_s[last]) / 2
            for first, last in _stretches(_is_shut(opening))
            if time_s[last] - time_s[first] < LONGEST_CLOSURE_S and first > 0 and last < len(opening) - 1
        ]
    )


def count_closures(
    time_s: Vector, opening: Vector, told: NDArray[np.floating], gate: NDArray[np.floating]
) -> ClosureCount:
    """Compare a measured opening with a told one, float[n] each, between the first and last frame with an open gate.

    Nothing is counted where no closure is measured there.
    """
    return _counted(time_s, opening, told, gate, shift=0)


def chance_closures(
    time_s: Vector, opening: Vector, told: NDArray[np.floating], gate: NDArray[np.floating]
) -> ClosureCount:
    """Count the same where the told opening and its gate are turned within that span; summed over CHANCE_SHIFTS."""
    length = len(time_s[_spoken_span(gate)])
    shifts = [round(length * part / (CHANCE_SHIFTS + 1)) for part in range(1, CHANCE_SHIFTS + 1)]
    return sum((_counted(time_s, opening, told, gate, shift) for shift in shifts), ClosureCount())


def likeness_at(tracks: MouthTracks, talker: Talker, lag_s: float) -> dict[str, tuple[float, float]]:
    """Pearson r of opening and width, by kind; what is shown at t is heard at t + `lag_s`."""
    curve = tracks.at(talker.time_s + lag_s, talker.frame_s)
    return {kind: _pearsons(curve, talker, kind) for kind in KINDS}


def fitted_lags(tracks: MouthTracks, talker: Talker) -> dict[str, float]:
    """Find the lag of LAGS_S, by kind, at which opening and width together are most alike."""
    likeness = {lag_s: likeness_at(tracks, talker, lag_s) for lag_s in LAGS_S.tolist()}
    return {kind: max(likeness, key=lambda lag_s: sum(likeness[lag_s][kind])) for kind in KINDS}


def measured_talker(tracks: MouthTracks, talker: Talker, lags_s: Lags | None = None) -> TalkerFigures:
    """Compare what is told with what was seen, at lag 0 and at the given lags, or those that fit best.

    Raw and finished curves have a lag each. Closures are those of the finished opening at the lag of the raw answers:
    these alone are the net's, and nothing in them is forced.
    """
    lags_s = fitted_lags(tracks, talker) if lags_s is None else lags_s
    at_0 = likeness_at(tracks, talker, 0.0)
    fitted = {kind: likeness_at(tracks, talker, lags_s[kind])[kind] for kind in KINDS}
    told = tracks.at(talker.time_s + lags_s[RAW], talker.frame_s)
    return TalkerFigures(
        name=talker.name,
        lags_s=dict(lags_s),
        likeness={
            f"{kind}_{part}_r_{name}": value
            for kind in KINDS
            for name, pair in (("lag_0", at_0[kind]), ("fitted_lag", fitted[kind]))
            for part, value in zip(("opening", "width"), pair, strict=True)
        },
        closures=count_closures(talker.time_s, talker.opening, told.opening, told.gate),
        chance=chance_closures(talker.time_s, talker.opening, told.opening, told.gate),
    )


def measured_talkers(
    listener: MouthNet, talkers: Sequence[Talker], lags_s: Mapping[str, Lags] | None = None
) -> list[TalkerFigures]:
    """Listen to every talker; `lags_s` by name, of another net, where they shall not be fitted to this one."""
    return [
        measured_talker(listener.listen(talker.sound), talker, lags_s[talker.name] if lags_s else None)
        for talker in talkers
    ]


def spreads(measured: Sequence[TalkerFigures]) -> dict[str, Spread]:
    """Mean and standard error over clips of the likeness."""
    return {name: Spread.of([one.likeness[name] for one in measured]) for name in measured[0].likeness}


def paired(measured: Sequence[TalkerFigures], others: Sequence[TalkerFigures]) -> dict[str, Spread]:
    """Mean and standard error of a net's figures less another's, clip by clip; closures where a clip has any."""
    pairs = [(one.figures, other.figures) for one, other in zip(measured, others, strict=True)]
    differences = {name: [one[name] - other[name] for one, other in pairs] for name in measured[0].figures}
    return {name: Spread.of(values) for name, values in differences.items() if np.isfinite(values).any()}


def _pearsons(curve: MouthCurve, talker: Talker, kind: str) -> tuple[float, float]:
    opening, width = (curve.opening_raw, curve.width_raw) if kind == RAW else (curve.opening, curve.width)
    return pearson(opening, talker.opening), pearson(width, talker.width)


def _spoken_span(gate: NDArray[np.floating]) -> slice:
    """From the first to the last frame with an open gate; empty without any."""
    spoken = np.flatnonzero(gate > SPOKEN_FROM)
    return slice(int(spoken[0]), int(spoken[-1]) + 1) if len(spoken) else slice(0)


def _counted(
    time_s: Vector, opening: Vector, told: NDArray[np.floating], gate: NDArray[np.floating], shift: int
) -> ClosureCount:
    """Count within the spoken span, in which the told opening and its gate are turned by so many frames."""
    span, shut_s = _spoken_span(gate), time_s[_is_shut(opening)]
    span_s = time_s[span]
    real = [middle for middle in closures_of(time_s, opening) if len(span_s) and span_s[0] <= middle <= span_s[-1]]
    if not real:
        return ClosureCount()
    turned, spoken = np.roll(told[span], shift), np.roll(gate[span], shift) > SPOKEN_FROM
    low = spoken & (turned <= np.percentile(turned[spoken], CLAIMED_PERCENTILE))
    claims = [
        (span_s[first] - CLOSURE_TOLERANCE_S, span_s[last] + CLOSURE_TOLERANCE_S) for first, last in _stretches(low)
    ]
    return ClosureCount(
        found=sum(any(start <= middle <= stop for start, stop in claims) for middle in real),
        real=len(real),
        right=sum(bool(((shut_s >= start) & (shut_s <= stop)).any()) for start, stop in claims),
        claimed=len(claims),
    )


def _is_shut(opening: Vector) -> NDArray[np.bool_]:
    low, high = np.percentile(opening, SHUT_PERCENTILES)
    return np.asarray(opening < low + SHUT_SHARE * (high - low))


def _stretches(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch in which the mask is true."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))
