"""Which way of computing the network is the cheapest on this machine, and near enough: measured, never guessed.

All candidates paint the same faces, in turns. What they paint is compared with plain float32. A number format of 16
bits costs something whoever computes it, and how much depends on the weights; so the network is also computed in
float32 with every layer's numbers rounded to that format, and a candidate may be worse than that by half, not more.
Weights for which even that is too far off are computed in float32.
"""

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
import torch
from torch import Tensor
from typing_extensions import override

from heygemd.errors import SetupError
from heygemd.render.shortage import shortage_of
from heygemd.render.wav2lip.folding import Convolution, Folded
from heygemd.render.wav2lip.forward import forward
from heygemd.render.wav2lip.generator import Halves, Squares, Windows
from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES
from heygemd.render.wav2lip.torchnetwork import Plain, network_input

log = structlog.get_logger(__name__)

COMPARED_FACES = 4
"""Painted in plain float32 for comparison; means over 55,000 numbers."""
TURNS = 3
"""Turns that count of each candidate, after one that only warms up; the median is taken."""
HOPELESS = 1.5
"""A candidate whose first turn takes this many times the CPU time of the best gets no other, nor does its format."""
LEAD = 0.85
"""A candidate goes before an earlier one when it takes less than this share of its CPU time. What is nearly equal is so
by chance, and several workers, or the next start, should come to the same choice."""
EXACT_LEVELS = 0.05
"""Mean error, of 255, that is allowed in any format: kernels for float32 differ by 0.0003 (at most 0.004)."""
SHARE_OF_ROUNDING = 1.5
"""Largest mean error of a candidate, as a share of what its number format costs at the least with these weights."""
MOST_LEVELS = 4.0
"""Largest mean error in any case. Untrained weights, which carry noise to the last layer, have 2.9 in bfloat16;
some that were trained for ten minutes to paint faces have 0.2."""

Paint = Callable[[Windows, Squares], Halves]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to compute the network."""

    name: str
    """What it is remembered by."""
    precision: str
    """What events call it."""
    dtype: str
    build: Callable[[Folded], Paint]
    unless: str = ""
    """Name of a candidate before it that makes this one needless, if it is near enough."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """What was found out about one candidate."""

    candidate: Candidate
    paint: Paint
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_cpu_s(self) -> float:
        """CPU time of one batch, of all threads together: what it takes from encoders and from other workers."""
        return float(np.median(self.cpu_s))

    @property
    def batch_cpu_ms(self) -> float:
        """The same in milliseconds, for people."""
        return round(1000 * self.median_cpu_s, 1)

    def take_turn(self, windows: Windows, faces: Squares, clock: Callable[[], float]) -> None:
        """Paint once more, and note what it took."""
        began_s = clock()
        self.paint(windows, faces)
        self.cpu_s.append(clock() - began_s)


class Yardstick:
    """What should be painted, and how far off a number format may be."""

    def __init__(self, network: Folded, count: int) -> None:
        """Paint the first of `count` faces in plain float32."""
        self.windows, self.faces = sample(count)
        self._network = network
        self._exact = self._painted(Plain())
        self._allowed_levels = {"float32": EXACT_LEVELS}

    def objection(self, painted: Halves, dtype: str) -> str:
        """Say why what was painted in this number format is not near enough; empty: it is."""
        mean_levels, allowed_levels = self.mean_levels(painted), self.allowed_levels(dtype)
        if mean_levels <= allowed_levels:
            return ""
        return f"it is off by {mean_levels:.3g} levels on average; {allowed_levels:.3g} are allowed"

    def mean_levels(self, painted: Halves) -> float:
        """Mean difference of the first faces from plain float32, in levels of 0..255."""
        return float(np.abs(painted[: len(self._exact)] - self._exact).mean())

    def allowed_levels(self, dtype: str) -> float:
        """Largest mean difference of whatever computes in this number format."""
        if dtype not in self._allowed_levels:
            rounded_levels = self.mean_levels(self._painted(Rounded(getattr(torch, dtype))))
            allowed_levels = max(EXACT_LEVELS, SHARE_OF_ROUNDING * rounded_levels)
            # Not a number where the format overflows: then nothing is near enough.
            self._allowed_levels[dtype] = min(MOST_LEVELS, allowed_levels) if np.isfinite(rounded_levels) else 0.0
        return self._allowed_levels[dtype]

    @torch.inference_mode()
    def _painted(self, arithmetic: Plain) -> Halves:
        windows, faces = (torch.from_numpy(values[:COMPARED_FACES]) for values in (self.windows, self.faces))
        painted = forward(self._network, arithmetic, *network_input(windows, faces))
        return np.asarray(painted.permute(0, 2, 3, 1).numpy() * 255, np.float32)


class Rounded(Plain):
    """Computes in float32 with weights and results rounded to a shorter format: the least that the format costs."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    @override
    def convolve(self, x: Tensor, convolution: Convolution) -> Tensor:
        short = Convolution(
            row=convolution.row, weight=self._rounded(convolution.weight), bias=self._rounded(convolution.bias)
        )
        return self._rounded(super().convolve(self._rounded(x), short))

    def _rounded(self, x: Tensor) -> Tensor:
        return x.to(self._dtype).to(x.dtype)


def calibrated(
    network: Folded, candidates: Sequence[Candidate], *, count: int, clock: Callable[[], float] = time.process_time
) -> Trial:
    """Try the candidates with batches of `count` faces; returns the cheapest of those that are near enough.

    One that cannot be built is left out. Raises SetupError E401 when none is left.
    """
    yardstick = Yardstick(network, count)
    trials: list[Trial] = []
    hopeless: set[str] = set()
    near: set[str] = set()
    for candidate in candidates:
        if candidate.dtype in hopeless or candidate.unless in near:
            continue
        if (trial := _begun(network, candidate, yardstick)) is None:
            continue
        near.add(candidate.name)
        trial.take_turn(yardstick.windows, yardstick.faces, clock)
        trials.append(trial)
        least_s = min(trial.cpu_s[0] for trial in trials)
        hopeless |= {trial.candidate.dtype for trial in trials if trial.cpu_s[0] > HOPELESS * least_s}
        trials = [trial for trial in trials if trial.cpu_s[0] <= HOPELESS * least_s]
        del trial  # a hopeless one holds 150 MB of weights, which would still be there while the next is built
        ctypes.CDLL(None).malloc_trim(0)
    for _ in range(TURNS - 1 if len(trials) > 1 else 0):
        for trial in trials:
            trial.take_turn(yardstick.windows, yardstick.faces, clock)
    return _cheapest(trials)


def sample(count: int) -> tuple[Windows, Squares]:
    """Return mel windows and faces of noise, the hardest picture there is; always the same."""
    rng = np.random.default_rng(7)
    windows = rng.uniform(-4, 0, (count, MEL_FRAMES, MEL_BANDS)).astype(np.float32)
    return windows, rng.uniform(0, 255, (count, FACE_PX, FACE_PX, 3)).astype(np.float32)


def _begun(network: Folded, candidate: Candidate, yardstick: Yardstick) -> Trial | None:
    """Build a candidate and paint once; None when it cannot be built, or is not near enough."""
    try:
        paint = candidate.build(network)
        painted = paint(yardstick.windows, yardstick.faces)
    except (SetupError, RuntimeError, TypeError) as error:  # torch's packed operations are not announced
        if shortage_of(error):
            raise
        reason = str(error).partition("\n")[0]
    else:
        reason = yardstick.objection(painted, candidate.dtype)
    if reason:
        log.info("wav2lip.candidate_left_out", candidate=candidate.name, reason=reason)
        return None
    return Trial(candidate=candidate, paint=paint)


def _cheapest(trials: Sequence[Trial]) -> Trial:
    if not trials:
        raise SetupError("E401", "none of the ways to compute the network is near enough with these weights")
    best = trials[0]
    for trial in trials[1:]:
        if trial.median_cpu_s < LEAD * best.median_cpu_s:
            best = trial
    figures = {trial.candidate.name: trial.batch_cpu_ms for trial in trials}
    log.info("wav2lip.backend_calibrated", chosen=best.candidate.name, batch_cpu_ms=figures)
    return best
