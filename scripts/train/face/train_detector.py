"""Step 7: train the detector.

python -m scripts.train.face.train_detector FOLDER --out FILE.safetensors [--steps 8000] [--minutes 40] [--seed 1]
    [--from FILE]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from heygemd.render.faces.detector import CELL_PX, UNIT_SIDE_PX, DetectorNet, as_input, decoded
from scripts.train.face.learning import Budget, Rates, RunningAverage, Supply, asked_training, step_down
from scripts.train.face.material import Material
from scripts.train.face.scenes import Scene, make_scene

SCENES = ((256, 8), (256, 8), (256, 8), (384, 4))
"""Side of the scenes of a batch and their number, in turn: the large ones hold the largest faces."""
JUDGED_SCENES, JUDGED_PX = 80, 384
MEMORY, REMEMBERED_SHARE = 400, 0.6
"""Scenes of a size that may be shown again, mirrored, and how many of all are: composing one costs more than learning
from it."""
SPREAD = 0.11
"""Standard deviation of a face's hill in the heat map, in sides of the face."""
LEAST_SPREAD_CELLS = 0.55
NEAR_PEAK = 0.5
"""Cells from this height of the hill on learn side and shift."""
RATES = Rates(peak=3e-3, last=2e-5, warm_up_steps=100)
WEIGHT_DECAY = 1e-4
MOST_GRADIENT = 5.0
AVERAGE_KEEPS = 0.995
SAVE_EVERY_S = 90.0
SIDE_WEIGHT, SHIFT_WEIGHT = 1.0, 2.0
FIRST_LOGIT = -3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the maps of one scene should say; float32[rows, columns] each, shift float32[2, rows, columns]."""

    hill: NDArray[np.float32]
    """0..1; 1 in the cell of a face's middle."""
    log_side: NDArray[np.float32]
    shift: NDArray[np.float32]
    near: NDArray[np.float32]
    """Weight of side and shift."""
    matters: NDArray[np.float32]
    """0 where a face that is hardly in the picture lies."""


def encoded(scene: Scene) -> Target:
    """Write the faces of a scene into maps that `decoded` reads."""
    rows, columns = (length // CELL_PX for length in scene.picture.shape[:2])
    y, x = (np.mgrid[:rows, :columns] + 0.5) * CELL_PX - 0.5
    hill, near = np.zeros((2, rows, columns), np.float32)
    log_side, matters = np.zeros((rows, columns), np.float32), np.ones((rows, columns), np.float32)
    shift = np.zeros((2, rows, columns), np.float32)
    for at_x, at_y, side in scene.ignored:
        matters[(np.abs(x - at_x) < side / 2) & (np.abs(y - at_y) < side / 2)] = 0
    for at_x, at_y, side in scene.faces:
        spread = max(SPREAD * side, LEAST_SPREAD_CELLS * CELL_PX)
        own = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * spread**2)).astype(np.float32)
        row, column = (int(np.clip(v // CELL_PX, 0, n - 1)) for v, n in ((at_y + 0.5, rows), (at_x + 0.5, columns)))
        own[row, column] = 1
        mine = own > hill
        hill[mine] = own[mine]
        mine &= own > NEAR_PEAK
        log_side[mine], near[mine] = np.log(side / UNIT_SIDE_PX), 1
        shift[0][mine], shift[1][mine] = (at_x - x[mine]) / side, (at_y - y[mine]) / side
        matters[mine] = 1
    return Target(hill=hill, log_side=log_side, shift=shift, near=near, matters=matters)


def loss_of(maps: Tensor, targets: list[Target]) -> tuple[Tensor, dict[str, float]]:
    """Focal loss of the hills (Zhou et al. 2019, Objects as Points) and L1 of side and shift."""
    hill, near, matters, log_side = (
        torch.from_numpy(np.stack([getattr(target, name) for target in targets]))
        for name in ("hill", "near", "matters", "log_side")
    )
    shift = torch.from_numpy(np.stack([target.shift for target in targets]))
    logit = maps[:, 0]
    belief = torch.sigmoid(logit)
    on_peak = (hill == 1).float()
    faces = on_peak.sum().clamp(min=1)
    hit = on_peak * (1 - belief) ** 2 * torch.nn.functional.softplus(-logit)
    miss = (1 - on_peak) * matters * (1 - hill) ** 4 * belief**2 * torch.nn.functional.softplus(logit)
    found = (hit + miss).sum() / faces
    cells = near.sum().clamp(min=1)
    sized = ((maps[:, 1] - log_side).abs() * near).sum() / cells
    placed = ((maps[:, 2:] - shift).abs().sum(dim=1) * near).sum() / cells
    total = found + SIDE_WEIGHT * sized + SHIFT_WEIGHT * placed
    return total, {"found": float(found.detach()), "side": float(sized.detach()), "shift": float(placed.detach())}


def recall(net: DetectorNet, scenes: list[Scene]) -> str:
    """Judge on scenes: share of faces found, by size, and candidates per scene that are no face."""
    found: dict[str, list[bool]] = {"<24": [], "24-96": [], ">96": []}
    false = 0
    for scene in scenes:
        with torch.inference_mode():
            peaks = decoded(net(as_input(scene.picture[None]))[0].numpy())
        everyone = np.concatenate([scene.faces, scene.ignored])
        for face in scene.faces:
            bin_ = "<24" if face[2] < 24 else "24-96" if face[2] < 96 else ">96"
            close = np.hypot(*(peaks[:, :2] - face[:2]).T) < 0.3 * face[2]
            found[bin_].append(bool((close & (np.abs(np.log(peaks[:, 2] / face[2])) < 0.4)).any()))
        for peak in peaks:
            false += not any(np.hypot(*(peak[:2] - face[:2])) < 0.6 * max(face[2], 8) for face in everyone)
    shares = ", ".join(f"{name} px {np.mean(hits):.3f}" for name, hits in found.items() if hits)
    return f"found {shares}; false {false / len(scenes):.2f} per scene"


def mirrored(scene: Scene) -> Scene:
    """Turn a scene's sides around."""
    faces, ignored = scene.faces.copy(), scene.ignored.copy()
    for squares in (faces, ignored):
        squares[:, 0] = scene.picture.shape[1] - 1 - squares[:, 0]
    return Scene(picture=np.ascontiguousarray(scene.picture[:, ::-1]), faces=faces, ignored=ignored)


def batches(material: Material, seed: int) -> Iterator[tuple[NDArray[np.uint8], list[Target]]]:
    """Compose batches for ever, from one seed."""
    rng = np.random.default_rng(seed)
    memory: dict[int, list[Scene]] = {side_px: [] for side_px, _ in SCENES}
    for side_px, count in cycle(SCENES):
        known, scenes = memory[side_px], []
        for _ in range(count):
            full = len(known) == MEMORY
            if full and rng.random() < REMEMBERED_SHARE:
                scenes.append(mirrored(known[rng.integers(MEMORY)]))
                continue
            scene = make_scene(material, rng, side_px)
            if full:
                known[rng.integers(MEMORY)] = scene
            else:
                known.append(scene)
            scenes.append(scene)
        yield np.stack([scene.picture for scene in scenes]), [encoded(scene) for scene in scenes]


def judged(average: dict[str, Tensor], scenes: list[Scene]) -> str:
    net = DetectorNet()
    net.load_state_dict(average)
    net.eval()
    return recall(net, scenes)


def train(folder: Path, out: Path, *, budget: Budget, seed: int, begin: Path | None) -> None:
    torch.manual_seed(seed)
    material, net = Material.read(folder), DetectorNet()
    torch.nn.init.constant_(net.head.bias[:1], FIRST_LOGIT)
    if begin is not None:
        net.load_state_dict({name: value.float() for name, value in load_file(begin).items()})
    net.to(memory_format=torch.channels_last)
    rng = np.random.default_rng(seed + 1)
    judge = [make_scene(material, rng, JUDGED_PX) for _ in range(JUDGED_SCENES)]
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATES.peak, weight_decay=WEIGHT_DECAY)
    average = RunningAverage(net, AVERAGE_KEEPS)
    saved = 0.0
    with Supply(batches(material, seed)) as supply:
        while budget.progress < 1:
            RATES.set(optimiser, budget)
            pictures, targets = supply.take()
            with torch.autocast("cpu", torch.bfloat16):
                maps = net(as_input(pictures))
            loss, parts = loss_of(maps.float(), targets)
            step_down(optimiser, net, loss, MOST_GRADIENT)
            average.follow(net, budget.step)
            if budget.step % 50 == 0:
                seen = " ".join(f"{part} {value:.3f}" for part, value in parts.items())
                print(f"step {budget.step} of {budget.steps}, {budget.elapsed_s:.0f} s: {seen}", flush=True)
            budget.step += 1
            if budget.elapsed_s - saved > SAVE_EVERY_S:
                saved = budget.elapsed_s
                average.write(out)
                print(judged(average.weights, judge), flush=True)
    average.write(out)
    print(f"ended after {budget.step} steps;", judged(average.weights, judge), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = asked_training(parser, steps=8000, goes_on="weights to go on from")
    budget = Budget(steps=arguments.steps, minutes=arguments.minutes)
    train(arguments.folder, arguments.out, budget=budget, seed=arguments.seed, begin=arguments.begin)


if __name__ == "__main__":
    main()
