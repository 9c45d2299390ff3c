"""How fast a job goes and when it will be there. Pure: times come in as arguments."""

from collections import deque
from dataclasses import dataclass, field

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import TaskKind
from heygemd.scheduler.rates import Rates

WINDOW_S = 30.0
"""Long enough to smooth over batches, short enough to follow a device that others use too."""
TRUST_S = 5.0
"""A rate measured over this time counts as much as experience does; over a longer time it counts for more."""


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

    def blend_s(self, frames_left: int, expected_s: float) -> float:
        """The same where experience says `expected_s`: what was measured counts the more the longer it was."""
        measured_s = self.eta_s(frames_left)
        if measured_s is None:
            return expected_s
        span_s = self._seen[-1][0] - self._seen[0][0]
        trust = span_s / (span_s + TRUST_S)
        return trust * measured_s + (1 - trust) * expected_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is still to be done for one film."""

    engine: EngineName
    device: str
    """Where it is done; a label or a kind of device."""
    pixels: int
    """Of one frame."""
    stage: TaskKind | None
    """The present one; None when the film is ready."""
    stage_frames: int
    """Frames of it that are not done, those in work counted as far as they are."""
    film_frames: int
    """Of the whole film; before it is planned, as its sound promises."""
    workers: int = 1
    """Workers that are on it now."""
    spread: int = 1
    """Workers that its rendering will find, if it has not begun."""


def film_left_s(ahead: Ahead, rates: Rates, pace: Pace | None = None) -> float:
    """Return the seconds until the film can be handed over, by what tasks took before.

    The present stage also goes by `pace`, if it was measured in this stage. Only rendering is shared by several
    workers; what each of them does once (starting, staging) is counted for each.
    """
    if ahead.stage is None:
        return 0.0
    workers = max(1, ahead.workers)
    left_s = _stage_s(ahead, ahead.stage, ahead.stage_frames, workers, rates)
    if pace is not None and pace.stage == ahead.stage:
        left_s = pace.blend_s(ahead.stage_frames, left_s)
    if ahead.stage is TaskKind.ANALYSE:
        left_s += _stage_s(ahead, TaskKind.RENDER, ahead.film_frames, max(1, ahead.spread), rates)
    if ahead.stage is not TaskKind.FINISH:
        left_s += _stage_s(ahead, TaskKind.FINISH, ahead.film_frames, 1, rates)
    return left_s


def _stage_s(ahead: Ahead, kind: TaskKind, frames: int, workers: int, rates: Rates) -> float:
    """Return how long a stage takes with its frames dealt to so many workers."""
    shared = -(-frames // workers) if kind is TaskKind.RENDER else frames
    return rates.task_s(kind, ahead.engine, ahead.device, ahead.pixels, shared)
