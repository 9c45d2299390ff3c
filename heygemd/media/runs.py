"""How to fetch frames in any order with few seeks and bounded memory. Pure.

wanted    5 6 7 7 9  8 7 6 … 2   0     (a ping-pong, then a jump)
runs     [5 6 7 7 9][8 7 6 …][2][0]    forward runs are streamed; backward ones come in pieces that fit in memory
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEAP_FRAMES = 300
"""Decoding over a longer gap costs more than seeking: streams have a key frame every 250 frames or so."""


@dataclass(frozen=True, slots=True)
class Run:
    """Wanted frames that are fetched by one decoder."""

    indexes: tuple[int, ...]
    """In the order in which they are wanted; never empty."""
    is_forward: bool

    @property
    def first(self) -> int:
        """Lowest frame."""
        return self.indexes[0] if self.is_forward else self.indexes[-1]

    @property
    def last(self) -> int:
        """Highest frame."""
        return self.indexes[-1] if self.is_forward else self.indexes[0]


def runs_of(indexes: Sequence[int], *, most_backward: int) -> Iterator[Run]:
    """Cut the wanted frames into runs; a backward run spans at most `most_backward` different frames."""
    start = 0
    while start < len(indexes):
        stop = start + 1
        direction = 0
        different = 1
        while stop < len(indexes):
            step = int(indexes[stop]) - int(indexes[stop - 1])
            if step and direction and (step > 0) != (direction > 0):
                break
            if abs(step) > LEAP_FRAMES or (step < 0 and different == most_backward):
                break
            direction = direction or step
            different += step != 0
            stop += 1
        yield Run(tuple(int(i) for i in indexes[start:stop]), is_forward=direction >= 0)
        start = stop
