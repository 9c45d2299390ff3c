"""How fast a job goes and when it will be there. Pure: times come in as arguments."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 30.0
"""Long enough to smooth over batches, short enough to follow a device that others use too."""


@dataclass(slots=True)
class Pace:
    """Frames per second over the last half minute of one stage."""

    stage: str = ""
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    """(time, frames done), oldest first."""

    def note(self, now_s: float, stage: str, frames_done: int) -> None:
        """Take in how far the job is; another stage, or a step back, starts anew."""
        if stage != self.stage or (self._seen and frames_done < self._seen[-1][1]):
            self.stage = stage
            self._seen.clear()
        if not self._seen or frames_done > self._seen[-1][1]:
            self._seen.append((now_s, frames_done))
        oldest_needed = 2
        while len(self._seen) > oldest_needed and self._seen[1][0] < now_s - WINDOW_S:
            self._seen.popleft()

    @property
    def fps(self) -> float | None:
        """Measured rate; None before there are two different measurements."""
        if not self._seen:
            return None
        (start_s, start), (stop_s, stop) = self._seen[0], self._seen[-1]
        return (stop - start) / (stop_s - start_s) if stop_s > start_s else None

    def eta_s(self, frames_left: int) -> float | None:
        """Seconds until `frames_left` more frames are done at this rate."""
        return frames_left / self.fps if self.fps else None
