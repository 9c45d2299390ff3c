"""Trains the net that ships: a number of steps, no clock, so that a run on the same machine can be repeated exactly."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from heygemd.render.speech.network import (
    CHANNELS,
    CLASSES,
    CLOSURE,
    DILATIONS,
    OPENING,
    PROTRUSION,
    WIDTH,
    GatedBlock,
    SpeechNet,
)
from scripts.train.speech.crops import Batch, CropDealer

DROPOUT = 0.1
WEIGHT_DECAY = 1e-2
LARGEST_GRADIENT = 1.0
WARM_UP_STEPS = 150
AVERAGING = 0.998
"""The kept net is a running mean of the trained one (Polyak & Juditsky 1992) over some 500 steps."""
AVERAGING_FROM = 20
LABEL_SMOOTHING = 0.05
REPORTS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One training run."""

    name: str
    steps: int
    learning_rate: float
    crops: Mapping[str, int]
    """Name of a kind of material -> how many crops of a step come from it."""
    seed: int


class _DroppingBlock(GatedBlock):
    """The block of the net with dropout, which has no weights: the same names, the same file."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.p(self.c(self.n(x))).chunk(2, dim=1)
        result: Tensor = x + functional.dropout(value * torch.sigmoid(gate), DROPOUT, self.training)
        return result


def new_net() -> SpeechNet:
    """Make an untrained net that drops out while it trains."""
    net = SpeechNet()
    net.b = nn.Sequential(*[_DroppingBlock(CHANNELS, dilation) for dilation in DILATIONS])
    return net


def loss_of(answers: Tensor, batch: Batch) -> Tensor:
    """How wrong float[b, 20, n] answers are: values and shapes of the curves, contacts and classes."""
    targets = batch.targets
    loss = torch.zeros(())
    for column, weight in ((OPENING, 6.0), (WIDTH, 3.0), (PROTRUSION, 2.0)):
        loss = loss + weight * functional.smooth_l1_loss(answers[:, column], targets[:, column], beta=0.1)
    for column in (OPENING, WIDTH):
        loss = loss + 0.3 * (1 - _likeness(answers[:, column], targets[:, column]))
    contacts = slice(CLOSURE, CLASSES.start)
    loss = loss + functional.binary_cross_entropy_with_logits(answers[:, contacts], targets[:, contacts].clamp(0, 1))
    classes = functional.cross_entropy(answers[:, CLASSES], batch.classes, label_smoothing=LABEL_SMOOTHING)
    return loss + 0.5 * classes


def _likeness(answers: Tensor, targets: Tensor) -> Tensor:
    """Mean Pearson r along time; flat targets count as unlike."""
    one, other = answers - answers.mean(-1, keepdim=True), targets - targets.mean(-1, keepdim=True)
    return ((one * other).sum(-1) / torch.sqrt((one**2).sum(-1) * (other**2).sum(-1) + 1e-2)).mean()


class Trainer:
    """A net in training and its running mean."""

    def __init__(self, stage: Stage, initial: SpeechNet | None = None) -> None:
        torch.manual_seed(stage.seed)
        self.stage, self.steps_done = stage, 0
        self._net = new_net()
        if initial is not None:
            self._net.load_state_dict(initial.state_dict())
        self._net.train()
        self.mean = copy.deepcopy(self._net).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(self._net.parameters(), lr=stage.learning_rate, weight_decay=WEIGHT_DECAY)

    def step(self, batch: Batch) -> float:
        """Learn from one batch; returns the loss before."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        loss = loss_of(self._net(batch.features), batch)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._net.parameters(), LARGEST_GRADIENT)
        self._optimiser.step()
        self.steps_done += 1
        self._average()
        return loss.item()

    def _learning_rate(self) -> float:
        """Rise, then fall along a half cosine (Loshchilov & Hutter 2017)."""
        warm = min(1.0, (self.steps_done + 1) / WARM_UP_STEPS)
        fall = (1 + np.cos(np.pi * self.steps_done / self.stage.steps)) / 2
        return float(self.stage.learning_rate * warm * fall + 1e-6)

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(AVERAGING, self.steps_done / (self.steps_done + AVERAGING_FROM))
        for mean, value in zip(self.mean.state_dict().values(), self._net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)


def trained(
    stage: Stage,
    dealer: CropDealer,
    initial: SpeechNet | None = None,
    *,
    report: Callable[[SpeechNet], str] = lambda _: "",
) -> SpeechNet:
    """Train a stage and return the running mean of the net; prints the mean loss, and what `report` says of the net."""
    report_every = max(1, stage.steps // REPORTS)
    trainer, began_s, losses = Trainer(stage, initial), time.monotonic(), []
    for step in range(1, stage.steps + 1):
        losses.append(trainer.step(dealer.deal()))
        if step % report_every == 0 or step == stage.steps:
            took_s = time.monotonic() - began_s
            print(
                f"{stage.name} {step:5} {took_s:5.0f} s  loss {np.mean(losses):.3f}  {report(trainer.mean)}", flush=True
            )
            losses.clear()
    return trainer.mean


def save_net(net: SpeechNet, path: Path) -> None:
    """Keep a net in full precision, between stages; a file that exists is whole."""
    part = path.with_suffix(".part")
    torch.save(net.state_dict(), part)
    part.rename(path)


def load_net(path: Path) -> SpeechNet:
    """Read what `save_net` wrote, ready for inference."""
    net = SpeechNet()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.requires_grad_(False).eval()
