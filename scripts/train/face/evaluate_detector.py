"""Step 8b: judge detectors, several sets of weights in one run.

    python -m scripts.train.face.evaluate_detector WEIGHTS_FOLDER... --clips FOLDER [--empty FILM...] [--frames 3]

A folder of weights holds faces8.safetensors. The films of `label.py clips` are shown at full, half and a quarter of
their size; found is a face whose place is off by less than .3 of its side and whose side by less than a third.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from heygemd.render.faces.detector import LONGEST_SIDE_PX, DetectorNet, as_input, decoded
from scripts.train.face.evaluate import reference
from scripts.train.face.scenes import square_of

SIZES = (1.0, 0.5, 0.25)
GREY = (95, 100, 90)


def load_net(folder: Path) -> DetectorNet:
    net = DetectorNet()
    net.load_state_dict({name: value.float() for name, value in load_file(folder / "faces8.safetensors").items()})
    net.requires_grad_(False).eval()
    net.fuse()
    nn.Module.to(net, memory_format=torch.channels_last)
    return net


def peaks_of(net: DetectorNet, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float]:
    """Find candidates in a picture, in its pixels: float64[k, 4], and the seconds of processor time it took."""
    begun = time.process_time()
    scale = min(LONGEST_SIDE_PX / max(picture.shape[:2]), 1.0)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        peaks = decoded(net(as_input(small[None]))[0].numpy())
    peaks[:, :3] /= scale
    return peaks, time.process_time() - begun


def rank_of(face: NDArray[np.float64], peaks: NDArray[np.float64]) -> int | None:
    """Tell which candidate is the face, 0 for the best; None if none is."""
    close = np.hypot(*(peaks[:, :2] - face[:2]).T) < 0.3 * face[2]
    alike = np.abs(np.log(peaks[:, 2] / face[2])) < np.log(1.4)
    found = np.flatnonzero(close & alike)
    return int(found[0]) if len(found) else None


def judge(folder: Path, clips: Path, empty: list[Path], frames: int) -> None:
    net = load_net(folder)
    ranks: dict[float, list[int | None]] = {size: [] for size in SIZES}
    counts, spent = [], []
    for file in sorted(clips.glob("*.npz")):
        points = reference(file)
        video = cv2.VideoCapture(str(np.load(file)["clip"]))
        for number in range(len(points)):
            there, picture = video.read()
            if not there or number % max(len(points) // frames, 1) or not np.isfinite(points[number]).all():
                continue
            for size in SIZES:
                shown = np.full_like(picture, GREY)
                small = cv2.resize(picture, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
                shown[: small.shape[0], : small.shape[1]] = small
                peaks, seconds = peaks_of(net, shown)
                ranks[size].append(rank_of(square_of(points[number] * size), peaks))
                counts.append(len(peaks))
                spent.append(seconds)
    for size, found in ranks.items():
        hits = np.mean([rank is not None for rank in found])
        best = np.mean([rank == 0 for rank in found])
        print(f"{folder.name}: {len(found)} faces at {size:g} of their size: found {hits:.3f}, as the best {best:.3f}")
    print(f"{folder.name}: {np.mean(counts):.1f} candidates a picture, {1e3 * np.median(spent):.1f} ms")
    beliefs = []
    for film in empty:
        video = cv2.VideoCapture(str(film))
        while (read := video.read())[0]:
            beliefs.append(max(peaks_of(net, read[1])[0][:, 3], default=0.0))
    if beliefs:
        most, mean = max(beliefs), float(np.mean(beliefs))
        print(f"{folder.name}: {len(beliefs)} frames without a face: best belief {mean:.2f}, at most {most:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--empty", type=Path, nargs="+", default=[])
    parser.add_argument("--frames", type=int, default=3, help="of each film")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for folder in arguments.weights:
        judge(folder, arguments.clips, arguments.empty, arguments.frames)


if __name__ == "__main__":
    main()
