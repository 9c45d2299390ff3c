"""Cut a film into segments. Pure arithmetic, in output frames.

    welcome      scene │        pause ┊ ┊            │
    even edges         ·   ╎               ╎             an edge may move by `PLAY` of a piece
    cut        ├───────┼──────────────┼──────────────┤   to a scene, else to a pause, else it stays

A joint cannot be seen wherever it lies. A scene costs no extra key frame, and in a pause the mouth rests, so they are
preferred; no cut depends on them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

PIECES_PER_WORKER = 3
"""One each would be fastest if all were equally fast; with three, a slow one holds up the others by a third at most."""

PLAY = Fraction(1, 8)
"""How far an edge may move to a place that is welcome, as a share of a piece."""

NEAREST = 8
"""So many places of each kind are considered for one edge."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The half-open range [start, stop) of output frames."""

    index: int
    start: int
    stop: int

    @property
    def frame_count(self) -> int:
        """How many frames the segment holds."""
        return self.stop - self.start

    @property
    def file_name(self) -> str:
        """Name of the rendered segment inside its segments folder."""
        return f"{self.index:05d}.mp4"


@dataclass(frozen=True, slots=True)
class Places:
    """Frames before which a cut is welcome; they come again with every lap, so that a long film costs nothing."""

    frames: tuple[int, ...]
    """Rising, all in [0, lap_frames)."""
    lap_frames: int

    def within(self, start: int, stop: int) -> Iterator[int]:
        """Yield those in [start, stop), rising."""
        for lap in range(start // self.lap_frames, -(-stop // self.lap_frames)):
            first = lap * self.lap_frames
            for index in range(bisect_left(self.frames, start - first), bisect_left(self.frames, stop - first)):
                yield first + self.frames[index]


def cut(
    frame_count: int, max_frames: int, *, min_frames: int = 1, workers: int = 1, welcome: Sequence[Places] = ()
) -> tuple[Segment, ...]:
    """Cut `frame_count` frames into segments of `min_frames` to `max_frames`.

    One worker gets the fewest, several get `PIECES_PER_WORKER` each, or fewer where those would be too short. Lengths
    differ by at most one frame, but for edges that moved to a place in `welcome`, whose kinds are in order of
    preference. Where both bounds cannot be kept, `max_frames` is.
    """
    if frame_count < 1 or max_frames < 1:
        raise ValueError(f"need positive counts, got {frame_count=} {max_frames=}")
    welcome = [places for places in welcome if places.frames]
    pieces = _piece_count(frame_count, max_frames, max(1, min_frames), max(1, workers), has_places=bool(welcome))
    even = [i * frame_count // pieces for i in range(pieces + 1)]
    reach = int(PLAY * frame_count / pieces)
    spots = [_spots(edge, reach, welcome) for edge in even[1:-1]]
    lengths = range(min(min_frames, frame_count // pieces), max_frames + 1)
    edges = _best_edges(spots, frame_count, lengths)
    return tuple(Segment(i, start, stop) for i, (start, stop) in enumerate(pairwise(edges)))


def _piece_count(frame_count: int, max_frames: int, min_frames: int, workers: int, *, has_places: bool) -> int:
    fewest = -(-frame_count // max_frames)
    most = max(fewest, frame_count // min_frames)
    if has_places and fewest > 1:  # an edge between two full pieces could not move
        fewest = min(most, -(-frame_count // max(1, int(max_frames * (1 - PLAY)))))
    if workers == 1:
        return fewest
    # Whole waves: nobody is idle while the last pieces are made.
    waves = max(-(-fewest // workers), 1, min(PIECES_PER_WORKER, most // workers))
    return min(most, waves * workers)


@dataclass(frozen=True, slots=True)
class _Spot:
    """One place where an edge could lie."""

    frame: int
    rank: int
    """0 for the kind of place that is preferred, larger for others, largest for none."""
    distance: int
    """Frames from the even edge."""


def _spots(edge: int, reach: int, welcome: Sequence[Places]) -> list[_Spot]:
    spots = [_Spot(edge, len(welcome), 0)]
    for rank, places in enumerate(welcome):
        near = sorted(places.within(edge - reach, edge + reach + 1), key=lambda frame: abs(frame - edge))
        spots += [_Spot(frame, rank, abs(frame - edge)) for frame in near[:NEAREST]]
    return spots


@dataclass(frozen=True, slots=True)
class _Way:
    """The best row of edges that ends at `frame`."""

    frame: int
    cost: tuple[int, int]
    """Ranks, then distances, of all its edges."""
    before: "_Way | None" = None


def _best_edges(spots: Sequence[Sequence[_Spot]], frame_count: int, lengths: range) -> list[int]:
    """Choose one of each edge's spots; there is a way, for the even edges keep to `lengths`."""
    ways = [_Way(0, (0, 0))]
    for choices in (*spots, [_Spot(frame_count, 0, 0)]):
        ways = [
            _Way(spot.frame, (before.cost[0] + spot.rank, before.cost[1] + spot.distance), before)
            for spot in choices
            if (before := _best(way for way in ways if spot.frame - way.frame in lengths))
        ]
    way, edges = _best(ways), []
    while way:
        edges.append(way.frame)
        way = way.before
    return edges[::-1]


def _best(ways: "Iterator[_Way] | list[_Way]") -> _Way | None:
    return min(ways, key=lambda way: way.cost, default=None)
