"""How long will a task take? Learnt from finished tasks, per kind of task, engine, kind of device and size of frame.

A cost that was measured on another machine (`PRIORS`) says how time grows with frames and pixels; what is learnt is
by how much this machine differs from it: the ratio of measured to expected time. It is the weighted median of the
latest ratios, so that one task that was held up moves nothing; weights grow with the frames of the task and halve
about every four tasks. A size that was never met is judged by all sizes, and before the first task there is the
prior. Pure: no clock; what a task took is passed in.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import TaskKind


class Cost(NamedTuple):
    """What a task takes: `task_s + frames * (frame_s + megapixel_s * pixels / 1e6)` seconds of one worker."""

    task_s: float
    """Whatever its length: tools are started, the film is staged."""
    frame_s: float
    """For each frame, whatever its size."""
    megapixel_s: float
    """For each frame and million pixels of it."""

    def of(self, frames: int, pixels: int) -> float:
        """Return the seconds of a task."""
        return self.task_s + frames * (self.frame_s + self.megapixel_s * pixels / 1e6)


_FINISH = Cost(1.1, 0.0002, 0.004)
_WITH_FACE = Cost(0.6, 0.0045, 0.002)
PRIORS: dict[tuple[TaskKind, EngineName], Cost] = {
    (TaskKind.ANALYSE, EngineName.PASSTHROUGH): Cost(0.3, 0.0005, 0.003),
    (TaskKind.ANALYSE, EngineName.ATLAS): _WITH_FACE,
    (TaskKind.ANALYSE, EngineName.WAV2LIP): _WITH_FACE,
    (TaskKind.RENDER, EngineName.PASSTHROUGH): Cost(0.2, 0.0, 0.0105),
    (TaskKind.RENDER, EngineName.ATLAS): Cost(0.3, 0.007, 0.014),
    (TaskKind.RENDER, EngineName.WAV2LIP): Cost(0.5, 0.022, 0.023),
    (TaskKind.FINISH, EngineName.PASSTHROUGH): _FINISH,
    (TaskKind.FINISH, EngineName.ATLAS): _FINISH,
    (TaskKind.FINISH, EngineName.WAV2LIP): _FINISH,
}
"""Fitted to films of 10 s at 640×360, 1280×720 and 1920×1080, 25 fps, crf 18 veryfast, on two busy cores without a GPU
(stage seconds of their reports); nearly all are met within a third."""
ON_CARD = Cost(0.5, 0.004, 0.018)
"""Rendering with wav2lip on a graphics card: decoding, pasting, encoding stay with the CPU. A guess, not measured."""

DECAY = 0.85
"""What a task counts against the next newer one."""
KEPT = 64
"""Tasks of one engine, device and kind that are remembered; the oldest weighs less than a ten-thousandth."""
LEAST_FRAMES, FULL_FRAMES = 10, 250
"""A task of fewer frames counts no less than the first, one of more no more than the second."""
DOUBT = 0.5
"""What is expected counts as half a task, the heaviest of those that were seen."""


class _Group(NamedTuple):
    kind: TaskKind
    engine: EngineName
    device: str
    """`cpu` or `cuda`."""


class _Seen(NamedTuple):
    size: int
    ratio: float
    """Measured over expected time."""
    weight: float


class Rates:
    """Seconds of one worker, by experience. One per daemon; forgets everything when it ends."""

    def __init__(self) -> None:
        self._seen: dict[_Group, deque[_Seen]] = {}
        """Newest first."""
        self._factors: dict[tuple[_Group, int], float] = {}
        """Answers until the next note: the same sizes are asked for at every tick."""

    def note(  # noqa: PLR0917  # what a task is, in the order in which `task_s` asks for it
        self, kind: TaskKind, engine: EngineName, device: str, pixels: int, frames: int, seconds: float
    ) -> None:
        """Learn from a finished task; one without frames or time says nothing.

        `device` is a label (`cpu`, `cuda:0`) or a kind of device. `frames` are those of the source for an analysis,
        those of the film otherwise. An analysis that came from the cache must not be noted: it was none.
        """
        if frames <= 0 or pixels <= 0 or not (0 < seconds < math.inf):
            return
        group = _group(kind, engine, device)
        ratio = seconds / _prior(group).of(frames, pixels)
        weight = min(max(frames, LEAST_FRAMES), FULL_FRAMES) / FULL_FRAMES
        self._seen.setdefault(group, deque(maxlen=KEPT)).appendleft(_Seen(_size(pixels), ratio, weight))
        self._factors.clear()

    def task_s(self, kind: TaskKind, engine: EngineName, device: str, pixels: int, frames: int) -> float:
        """Return the seconds that one worker needs; positive, and no less for more frames of the same size."""
        group = _group(kind, engine, device)
        return self._factor(group, _size(pixels)) * _prior(group).of(frames, pixels)

    def job_s(
        self,
        engine: EngineName,
        device: str,
        pixels: int,
        source_frames: int,
        film_frames: int,
        *,
        analyse: bool = True,
    ) -> float:
        """Return the seconds that one worker needs for a whole film; `analyse=False`: its analysis is there already."""
        steps = [(TaskKind.RENDER, film_frames), (TaskKind.FINISH, film_frames)]
        if analyse:
            steps.append((TaskKind.ANALYSE, source_frames))
        return sum(self.task_s(kind, engine, device, pixels, frames) for kind, frames in steps)

    def _factor(self, group: _Group, size: int) -> float:
        """Return how much longer than by the prior it takes here."""
        if (group, size) not in self._factors:
            seen = self._seen.get(group, ())
            of_all = _settled(seen, 1.0)
            self._factors[group, size] = _settled((one for one in seen if one.size == size), of_all)
        return self._factors[group, size]


def _settled(seen: Iterable[_Seen], expected: float) -> float:
    """Return the weighted median of the ratios, newest first, with `expected` among them."""
    votes = [(one.ratio, one.weight * DECAY**age) for age, one in enumerate(seen)]
    if not votes:
        return expected
    votes.append((expected, DOUBT * max(weight for _, weight in votes)))
    votes.sort()
    half = sum(weight for _, weight in votes) / 2
    for ratio, weight in votes:
        half -= weight
        if half <= 0:
            return ratio
    return votes[-1][0]


def _group(kind: TaskKind, engine: EngineName, device: str) -> _Group:
    return _Group(kind, engine, device.partition(":")[0])


def _size(pixels: int) -> int:
    """Return the class of a frame's size: half octaves of pixels."""
    return round(2 * math.log2(max(1, pixels)))


def _prior(group: _Group) -> Cost:
    if group == (TaskKind.RENDER, EngineName.WAV2LIP, "cuda"):
        return ON_CARD
    # `auto` is not settled yet; atlas needs no weights that might be absent.
    return PRIORS.get((group.kind, group.engine)) or PRIORS[group.kind, EngineName.ATLAS]
