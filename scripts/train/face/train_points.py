"""Step 6: train the landmark net or the lip net, from nothing or from a file of this script.

    python -m scripts.train.face.train_points FOLDER landmark74|lips40 --out FILE.safetensors
        [--steps 12000] [--minutes 50] [--seed 1] [--from FILE]

The learning rate falls as a cosine over the steps, or over the minutes if these are over sooner. The averaged weights
are written every few minutes, so a run can be stopped and its file still be used. A run that its steps end is
reproducible up to the rounding of the machine.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from heygemd.render.faces.networks import LandmarkNet, LipNet, PointNet
from heygemd.render.faces.picture import mapped
from heygemd.render.faces.reader import FACE_MARGIN
from heygemd.render.faces.square import LIP_SQUARE_EYES, face_square, mouth_square
from heygemd.render.faces.topology import (
    BROW_ROWS,
    INNER_LIP_ROWS,
    JAW_ROWS,
    LIP_ROWS,
    MESH_INDEXES,
    POINT_COUNT,
)
from scripts.train.face.heads import warped
from scripts.train.face.learning import Budget, Rates, RunningAverage, Supply, asked_training, step_down
from scripts.train.face.material import Material
from scripts.train.face.samples import Batch, FaceFramer, Framer, LipFramer, Remembering, batch_of

RATES = Rates(peak=2e-3, last=1e-5, warm_up_steps=400)
AGAIN_PEAK = 1e-3
"""Peak rate of a training that goes on from trained weights."""
MOST_GRADIENT = 2.0
WEIGHT_DECAY = 1e-3
AVERAGE_KEEPS = 0.998
"""Share of the running average of the weights that each step keeps."""
SAVE_EVERY_S = 150.0
LIP_WEIGHT = 1.6
GAP_WEIGHT, BELIEF_WEIGHT, TWIN_WEIGHT = 0.5, 0.03, 0.6
TWIN_RAMP = (0.05, 0.2)
"""Part of the training over which the twins' weight grows to its full value. A net that knows nothing yet can please
them only by answering always the same, and one that began with them never learned anything else."""
TWIN_ROW_WEIGHT = 2.0
"""Jaw and brows, which have no sharp features of their own, tremble most."""
UPPER_COLUMN, LOWER_COLUMN = list(range(39, 30, -1)), list(range(21, 30))
"""Rows of the inner lip that face each other, without the corners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is trained and how."""

    net: PointNet
    framer: Framer
    batch: int
    twins: int
    bend: float
    """Distance (in half crops) from which on an error counts linearly."""


def task_of(name: str) -> Task:
    if name == "landmark74":
        return Task(net=LandmarkNet(), framer=FaceFramer(), batch=48, twins=6, bend=0.04)
    return Task(net=LipNet(), framer=LipFramer(), batch=64, twins=8, bend=0.06)


def wing(error: Tensor, bend: float) -> Tensor:
    """Small errors count logarithmically: they keep mattering when the large ones are gone (Feng et al. 2018)."""
    steepness = 0.01
    joint = bend * float(np.log1p(bend / steepness)) - bend
    size = error.abs()
    return torch.where(size < bend, bend * torch.log1p(size / steepness), size + joint)


def row_weights(count: int) -> tuple[Tensor, Tensor]:
    """Weights of the points against labels, and against their own twins: float32[count] each."""
    label, twin = torch.ones(POINT_COUNT), torch.ones(POINT_COUNT)
    label[LIP_ROWS] = LIP_WEIGHT
    twin[JAW_ROWS] = twin[BROW_ROWS] = TWIN_ROW_WEIGHT
    return label[:count], twin[:count]


def loss_of(answers: Tensor, batch: Batch, task: Task, *, twin_share: float) -> tuple[Tensor, dict[str, float]]:
    """Total loss of the linear layer's answers, and its parts; `twin_share` is 0..1."""
    count = task.framer.point_count
    points = answers[:, : 2 * count].unflatten(1, (count, 2))
    error = points - torch.from_numpy(batch.points)
    faces = torch.from_numpy(batch.weights)
    label_weight, twin_weight = row_weights(count)
    placed = ((wing(error, task.bend).mean(dim=2) * label_weight).mean(dim=1) * faces).mean()
    gap = (error[:, UPPER_COLUMN] - error[:, LOWER_COLUMN])[..., 1]
    opened = (wing(gap, task.bend).mean(dim=1) * faces).mean()
    beliefs = nn.functional.binary_cross_entropy_with_logits(answers[:, 2 * count :], torch.from_numpy(batch.beliefs))
    steady = points.new_zeros(())
    if twins := len(batch.twins):
        back = torch.from_numpy(batch.twins)
        returned = points[-twins:] @ back[:, :, :2].transpose(1, 2) + back[:, None, :, 2]
        apart = (returned - points[-2 * twins : -twins]).abs().mean(dim=2)
        steady = (apart * twin_weight).mean()
    total = placed + GAP_WEIGHT * opened + BELIEF_WEIGHT * beliefs + twin_share * TWIN_WEIGHT * steady
    parts = {"points": placed, "gap": opened, "belief": beliefs, "twin": steady}
    return total, {name: float(part.detach()) for name, part in parts.items()}


def batches(task: Task, material: Material, seed: int) -> Iterator[Batch]:
    """Make batches for ever, from one seed."""
    framer, rng = Remembering(task.framer), np.random.default_rng(seed)
    while True:
        yield batch_of(framer, material, rng, size=task.batch, twins=task.twins)


def as_input(crops: np.ndarray) -> Tensor:
    """Prepare uint8[n, s, s, 3] as `networks.look` does."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def held_out(material: Material, task: Task) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Crops of the pictures held out, their points float64[n, p, 2] and eye distances float64[n] in crop pixels."""
    crops, points, eyes = [], [], []
    side_px, lips_only = task.framer.side_px, task.framer.point_count < POINT_COUNT
    framed, margin = (mouth_square, LIP_SQUARE_EYES) if lips_only else (face_square, FACE_MARGIN)
    for row in material.held_out:
        own = material.still_points[row]
        to_crop = framed(own).to_crop(side_px, margin=margin)
        crops.append(warped(np.ascontiguousarray(material.stills[row]), to_crop, side_px))
        there = mapped(to_crop, own)
        points.append(there[: task.framer.point_count])
        eyes.append(np.linalg.norm(there[MESH_INDEXES.index(33)] - there[MESH_INDEXES.index(263)]))
    return as_input(np.stack(crops)), np.array(points), np.array(eyes)


def answers_of(net: PointNet, crops: Tensor) -> Tensor:
    """Run the features in bfloat16, where most of the work is, and the last layer in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        features = net.f(crops)
    return net.l(features.float().flatten(1))


def first_guess(task: Task, material: Material) -> None:
    """Let the net begin at the mean of all points and at "probably a face"."""
    batch = batch_of(task.framer, material, np.random.default_rng(0), size=256, twins=0)
    mean = batch.points[batch.weights > 0].mean(axis=0).ravel()
    with torch.no_grad():
        task.net.l.weight.mul_(0.3)
        task.net.l.bias[: len(mean)] = torch.from_numpy(mean)
        task.net.l.bias[len(mean) :] = 1.0


def train(folder: Path, name: str, out: Path, *, budget: Budget, seed: int, begin: Path | None) -> None:
    torch.manual_seed(seed)
    task, material = task_of(name), Material.read(folder)
    net, rates = task.net, RATES
    if begin is None:
        first_guess(task, material)
    else:
        net.load_state_dict({key: value.float() for key, value in load_file(begin).items()})
        rates = replace(RATES, peak=AGAIN_PEAK)
    net.to(memory_format=torch.channels_last)
    judge = held_out(material, task)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rates.peak, weight_decay=WEIGHT_DECAY)
    average = RunningAverage(net, AVERAGE_KEEPS)
    points = ",".join(str(index) for index in MESH_INDEXES[: net.point_count])
    saved = 0.0
    with Supply(batches(task, material, seed)) as supply:
        while budget.progress < 1:
            rates.set(optimiser, budget)
            ramp = (budget.progress - TWIN_RAMP[0]) / (TWIN_RAMP[1] - TWIN_RAMP[0])
            batch = supply.take()
            twin_share = float(np.clip(ramp, 0, 1)) if begin is None else 1.0
            loss, parts = loss_of(answers_of(net, as_input(batch.crops)), batch, task, twin_share=twin_share)
            step_down(optimiser, net, loss, MOST_GRADIENT)
            average.follow(net, budget.step)
            if budget.step % 100 == 0:
                seen = " ".join(f"{part} {value:.4f}" for part, value in parts.items())
                print(f"step {budget.step} of {budget.steps}, {budget.elapsed_s:.0f} s: {seen}", flush=True)
            budget.step += 1
            if budget.elapsed_s - saved > SAVE_EVERY_S:
                saved = budget.elapsed_s
                average.write(out, points=points)
                print(report(task, average.weights, judge), flush=True)
    average.write(out, points=points)
    print(f"ended after {budget.step} steps;", report(task, average.weights, judge), flush=True)


def report(task: Task, average: dict[str, Tensor], judge: tuple[Tensor, np.ndarray, np.ndarray]) -> str:
    """Judge the averaged weights on the pictures held out: errors in percent of the eye distance."""
    net = type(task.net)()
    net.load_state_dict(average)
    net.eval()
    crops, points, eyes = judge
    with torch.inference_mode():
        seen = (net(crops)[0].numpy() + 1) * task.framer.side_px / 2
    error = np.linalg.norm(seen - points, axis=2) / eyes[:, None]
    inner = np.abs((seen - points)[:, INNER_LIP_ROWS, 1]).mean() / eyes.mean()
    lips = error[:, LIP_ROWS].mean()
    return f"held out: all {100 * error.mean():.2f} %, lips {100 * lips:.2f} %, inner y {100 * inner:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("net", choices=("landmark74", "lips40"))
    arguments = asked_training(parser, steps=12000, goes_on="weights to go on from, at a lower rate")
    budget = Budget(steps=arguments.steps, minutes=arguments.minutes)
    train(arguments.folder, arguments.net, arguments.out, budget=budget, seed=arguments.seed, begin=arguments.begin)


if __name__ == "__main__":
    main()
