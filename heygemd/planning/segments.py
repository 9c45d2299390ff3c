"""Cut a film into segments. Pure arithmetic, in output frames."""

from dataclasses import dataclass
from itertools import pairwise


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


def cut(frame_count: int, max_frames: int) -> tuple[Segment, ...]:
    """Cut `frame_count` frames into the fewest segments of at most `max_frames`.

    Lengths differ by at most one frame, so no segment is a useless stub.
    """
    if frame_count < 1 or max_frames < 1:
        raise ValueError(f"need positive counts, got {frame_count=} {max_frames=}")
    pieces = -(-frame_count // max_frames)
    edges = [i * frame_count // pieces for i in range(pieces + 1)]
    return tuple(Segment(i, a, b) for i, (a, b) in enumerate(pairwise(edges)))
