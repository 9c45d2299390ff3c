"""What both trainings share: the learning rate over time, the running average of the weights, and the file."""

import argparse
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Made = TypeVar("Made")

PROVENANCE = (
    "trained by heygemd on SFHQ and SFHQ-T2I figures (MIT) and the Young Adult White Faces set (CC BY 4.0); "
    "labels by MediaPipe FaceMesh 0.10.21 (Apache-2.0) and drawn geometry; see models/landmark74.md"
)


def asked_training(parser: argparse.ArgumentParser, *, steps: int, goes_on: str) -> argparse.Namespace:
    """Read what every training is asked for beside its own arguments, and keep to one thread."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="begin", type=Path, help=goes_on)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    return arguments


@dataclass(slots=True, kw_only=True)
class Budget:
    """Ends a training after its steps, or after its minutes if these are over sooner."""

    steps: int
    minutes: float
    step: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.started

    @property
    def progress(self) -> float:
        """0 at the beginning .. 1 at the end."""
        return min(max(self.step / self.steps, self.elapsed_s / (60 * self.minutes)), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A learning rate that rises over the first steps and then falls as half a cosine."""

    peak: float
    last: float
    warm_up_steps: int

    def set(self, optimiser: torch.optim.Optimizer, budget: Budget) -> None:
        """Give the optimiser the rate of this step."""
        falling = (1 + np.cos(np.pi * budget.progress)) / 2
        rate = self.last + self.peak * min(1, (budget.step + 1) / self.warm_up_steps) * falling
        for group in optimiser.param_groups:
            group["lr"] = rate


class RunningAverage:
    """The mean of a net's weights over the last steps: better than any of them, and what is written."""

    def __init__(self, net: nn.Module, keeps: float) -> None:
        self._keeps = keeps
        self.weights = {name: value.clone() for name, value in net.state_dict().items()}

    def follow(self, net: nn.Module, step: int) -> None:
        """Take in the net after one step; early steps are forgotten sooner."""
        keeps = min(self._keeps, (1 + step) / (20 + step))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - keeps)

    def write(self, out: Path, **notes: str) -> None:
        """Write the weights in half precision, key by key as the product reads them."""
        kept = {name: value.half().contiguous() for name, value in self.weights.items() if "num_batches" not in name}
        temporary = out.with_suffix(".tmp")
        save_file(kept, temporary, metadata={"format": "pt", "provenance": PROVENANCE, **notes})
        temporary.replace(out)


def step_down(optimiser: torch.optim.Optimizer, net: nn.Module, loss: Tensor, most_gradient: float) -> None:
    """Make one step of the optimiser against the loss."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), most_gradient)
    optimiser.step()


class Supply(Generic[Made]):
    """Makes batches in a thread of its own while the net computes, in order."""

    WAITING = 3
    """Batches made ahead."""
    POLL_S = 0.2

    def __init__(self, batches: Iterator[Made]) -> None:
        self._waiting: queue.Queue[Made] = queue.Queue(self.WAITING)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._make, args=(batches,))

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread: one that lived on would end with a crash of the interpreter."""
        self._over.set()
        self._thread.join()

    def _make(self, batches: Iterator[Made]) -> None:
        for batch in batches:
            while not self._over.is_set():
                try:
                    self._waiting.put(batch, timeout=self.POLL_S)
                    break
                except queue.Full:
                    continue
            if self._over.is_set():
                return

    def take(self) -> Made:
        """Wait for the next batch; ends with an error if no more come."""
        while True:
            try:
                return self._waiting.get(timeout=self.POLL_S)
            except queue.Empty:
                if not self._thread.is_alive():
                    raise SystemExit("the thread that makes the batches has died; its error stands above") from None
