"""The arithmetic of the benches: costs per frame, sums of floors, ratios. Looks at no clock and starts nothing.

Costs are CPU seconds unless a name says otherwise.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ONCE_EACH = ("decode", "follow", "forward", "encode")
"""What a film costs at least: decode its picture once, follow its face, paint its mouths, encode its frames."""
AS_PROMISED = ("decode", "decode", "follow", "forward", "encode", "decode film")
"""What is promised besides. The whole clip is looked at before the first frame is painted, because a face is smoothed
and chosen over all of it: a second decode. And nobody gets a film that was not decoded to its end: a third."""
WITHOUT_NETWORK = frozenset({"atlas", "passthrough"})
"""Engines with no forward pass that somebody else has published."""
WITHOUT_FACE = frozenset({"passthrough"})


@dataclass(frozen=True, slots=True)
class Line:
    """cost = fixed + per_frame · frames."""

    fixed: float
    per_frame: float

    def at(self, frames: float) -> float:
        """The cost of so many frames."""
        return self.fixed + self.per_frame * frames


def fit_line(points: Iterable[tuple[float, float]]) -> Line:
    """Least squares through (frames, cost); raises ValueError unless there are two different numbers of frames."""
    known = list(points)
    if len({frames for frames, _ in known}) < 2:
        raise ValueError("a cost per frame needs films of two lengths")
    mean_frames = statistics.fmean(frames for frames, _ in known)
    mean_cost = statistics.fmean(cost for _, cost in known)
    spread = sum((frames - mean_frames) ** 2 for frames, _ in known)
    per_frame = sum((frames - mean_frames) * (cost - mean_cost) for frames, cost in known) / spread
    return Line(fixed=mean_cost - per_frame * mean_frames, per_frame=per_frame)


def floors_of(engine: str, names: Iterable[str]) -> tuple[str, ...]:
    """Leave out the floors of what an engine does not do."""
    absent = {"forward"} if engine in WITHOUT_NETWORK else set()
    absent |= {"follow"} if engine in WITHOUT_FACE else set()
    return tuple(name for name in names if name not in absent)


def sum_of(floors: Mapping[str, float], names: Iterable[str]) -> float:
    """Add up floors by name; a name that comes twice counts twice. Raises KeyError for one that was not measured."""
    return sum(floors[name] for name in names)


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of every figure over the rounds; of one that some rounds lack, over those that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.median(row[name] for row in rows if name in row) for name in names}


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """What a slow program would take, told from two short runs."""

    few_frames: int
    many_frames: int
    line: Line

    def of(self, frames: float) -> float:
        """The cost of so many frames, if it goes on as it began."""
        return self.line.at(frames)

    def __str__(self) -> str:
        return f"extrapolated from runs of {self.few_frames} and {self.many_frames} frames"


def extrapolate(few: tuple[int, float], many: tuple[int, float]) -> Extrapolation:
    """Take (frames, cost) of a short and a longer run; the difference is what a frame costs, the rest the start-up.

    Raises ValueError when the longer run has no more frames than the short one, or cost no more.
    """
    if many[0] <= few[0]:
        raise ValueError(f"the longer run gave {many[0]} frames, the shorter one {few[0]}")
    if many[1] <= few[1]:
        raise ValueError("the longer run cost no more than the shorter one: too short to tell anything")
    return Extrapolation(few_frames=few[0], many_frames=many[0], line=fit_line([few, many]))


def ratio(theirs: float, ours: float) -> float | None:
    """How many times ours theirs is; None when ours is nothing."""
    return theirs / ours if ours > 0 else None
