"""Step 8: judge nets, several sets of weights in one run.

    python -m scripts.train.face.evaluate WEIGHTS_FOLDER... [--stills FOLDER] [--clips FOLDER] [--empty FILM...]

A folder of weights holds landmark74.safetensors and lips40.safetensors; the first is usually the shipped one. What is
measured is the two nets alone, each frame read from the last one's points; tracker and search are not part of it.

--stills   pictures.npy and labels.npz of photographs that were not trained on (label.py stills)
--clips    what label.py clips wrote: films that were never used for training or for deciding when to stop
--empty    films without a face

Errors are in eye distances; the reference is MediaPipe, which itself reads rounded, slightly open lips as closed.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from heygemd.render.faces import topology
from heygemd.render.faces.networks import ConvBlock, LandmarkNet, LipNet, PointNet, look
from heygemd.render.faces.picture import Picture, crop, invert, mapped
from heygemd.render.faces.reader import FACE_MARGIN
from heygemd.render.faces.square import LIP_SQUARE_EYES, Square, face_square, mouth_square
from scripts.train.face.photography import coded
from scripts.train.face.scenery import faceless, occlude

Points = NDArray[np.float64]

MOVING = 0.012
"""Standard deviation of the reference's opening from which a clip's correlation says something."""
SAME_FACE = 1.2
"""Distance of the middles, in eye distances, from which on the nets and the reference look at different faces."""
STILL_FRAMES = 24
"""A photograph is shown so often, each time with new grain and coding, to see its points tremble."""
GRAIN = 4.0
HIDDEN = 0.45
"""Share of the lips that an occluder hides for it to count."""
ROWS = {
    "lips": topology.LIP_ROWS,
    "jaw": topology.JAW_ROWS,
    "brows": topology.BROW_ROWS,
    "eyes": topology.EYE_ROWS,
    "nose": topology.NOSE_ROWS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What both nets say of one frame."""

    points: Points
    face: float
    visible: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Nets:
    """One set of weights."""

    name: str
    landmarks: LandmarkNet
    lips: LipNet

    @classmethod
    def load(cls, folder: Path) -> "Nets":
        """Read both files of a folder."""
        landmarks, lips = LandmarkNet(), LipNet()
        for net, file in ((landmarks, "landmark74"), (lips, "lips40")):
            weights = load_file(folder / f"{file}.safetensors")
            net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
            prepare(net)
        return cls(name=folder.name, landmarks=landmarks, lips=lips)

    def read(self, picture: Picture, square: Square) -> Reading:
        """Read a face in a square and refine its lips."""
        to_crop = square.to_crop(LandmarkNet.side_px, margin=FACE_MARGIN)
        seen, beliefs = look(self.landmarks, crop(picture, to_crop, LandmarkNet.side_px)[None])
        points = mapped(invert(to_crop), seen[0])
        to_lips = mouth_square(points).to_crop(LipNet.side_px, margin=LIP_SQUARE_EYES)
        lips, visible = look(self.lips, crop(picture, to_lips, LipNet.side_px)[None])
        points[topology.LIP_ROWS] = mapped(invert(to_lips), lips[0])
        return Reading(points=points, face=float(beliefs[0, 0]), visible=float(min(beliefs[0, 1], visible[0, 0])))


def prepare(net: PointNet) -> None:
    """Make a net ready for inference, as the product does."""
    net.requires_grad_(False).eval()
    for block in net.f:
        assert isinstance(block, ConvBlock)
        block.fuse()
    nn.Module.to(net, memory_format=torch.channels_last)


def as_picture(bgr: NDArray[np.uint8]) -> Picture:
    """Turn BGR into the planes that the product sees."""
    height, width = (length // 2 * 2 for length in bgr.shape[:2])
    return Picture.of_planes(cv2.cvtColor(bgr[:height, :width], cv2.COLOR_BGR2YUV_I420))


def reference(folder: Path) -> Points:
    """Read labels as float64[n, 74, 2]."""
    return np.load(folder)["points"][:, list(topology.MESH_INDEXES), :2].astype(np.float64)


def errors(seen: Points, wanted: Points) -> Points:
    """Distances float64[n, 74] in eye distances."""
    return np.linalg.norm(seen - wanted, axis=2) / topology.eye_distance(wanted)[:, None]


def described(seen: Points, wanted: Points) -> str:
    """Put errors of n readings into words."""
    wrong = errors(seen, wanted)
    parts = " ".join(f"{name} {100 * wrong[:, rows].mean():.2f}" for name, rows in ROWS.items())
    off = np.abs(topology.opening(seen) - topology.opening(wanted)).mean()
    return f"NME {100 * wrong.mean():.2f} % ({parts}), opening off by {off:.4f}"


def judge_stills(nets: Nets, folder: Path) -> None:
    pictures, wanted = np.load(folder / "pictures.npy"), reference(folder / "labels.npz")
    seen = []
    for picture, points in zip(pictures, wanted, strict=True):
        planes = as_picture(picture)
        # Twice, as the tracker does: the first square is the reference's own.
        first = nets.read(planes, face_square(points).moved(0.04, -0.03, 1.06, 4))
        seen.append(nets.read(planes, face_square(first.points)).points)
    print(f"{nets.name}: {len(seen)} photographs: {described(np.array(seen), wanted)}")


def judge_tremble(nets: Nets, folder: Path, count: int = 12) -> None:
    pictures = np.load(folder / "pictures.npy")
    wanted = reference(folder / "labels.npz")
    rng = np.random.default_rng(0)
    spread: dict[str, list[float]] = {name: [] for name in (*ROWS, "opening")}
    for row in np.linspace(0, len(pictures) - 1, count).astype(int):
        square, track = face_square(wanted[row]), []
        for _ in range(STILL_FRAMES):
            grain = np.clip(pictures[row] + rng.normal(0, GRAIN, pictures[row].shape), 0, 255).astype(np.uint8)
            reading = nets.read(as_picture(coded(grain, rng)), square)
            square = face_square(reading.points)
            track.append(reading.points)
        points = np.array(track[4:])
        eye = topology.eye_distance(points).mean()
        deviation = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)) / eye
        for name, rows in ROWS.items():
            spread[name].append(float(deviation[rows].mean()))
        spread["opening"].append(float(topology.opening(points).std()))
    parts = ", ".join(f"{name} {100 * np.mean(values):.3f}" for name, values in spread.items())
    print(f"{nets.name}: tremble of {count} stills in % (standard deviation): {parts}")


def judge_visibility(nets: Nets, folder: Path) -> None:
    pictures, wanted = np.load(folder / "pictures.npy"), reference(folder / "labels.npz")
    rng = np.random.default_rng(0)
    free, covered = [], []
    for picture, points in zip(pictures, wanted, strict=True):
        square = face_square(points)
        free.append(nets.read(as_picture(picture), square).visible)
        hidden = picture.copy()
        mask = occlude(hidden, rng, points[topology.LIP_ROWS].mean(axis=0), 0.5 * float(topology.eye_distance(points)))
        lips = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(lips, [points[topology.OUTER_LIP_ROWS].astype(np.int32)], (1,))
        if (mask & lips).sum() > HIDDEN * lips.sum():
            covered.append(nets.read(as_picture(hidden), square).visible)
    clean, masked = np.array(free), np.array(covered)
    auc = (clean[:, None] > masked[None]).mean() + (clean[:, None] == masked[None]).mean() / 2
    low = np.quantile(clean, 0.01)
    print(
        f"{nets.name}: visibility AUC {auc:.4f} ({len(masked)} covered); 1st percentile of free lips {low:.3f}; "
        f"covered found at .90: {(masked < 0.9).mean():.3f}, at .50: {(masked < 0.5).mean():.3f}"
    )


def judge_drawn_things(nets: Nets, count: int = 600) -> None:
    rng = np.random.default_rng(1234)
    crops = np.stack([faceless(rng, LandmarkNet.side_px) for _ in range(count)])
    _, beliefs = look(nets.landmarks, crops)
    shares = ", ".join(f"{(beliefs[:, 0] > limit).mean():.4f} above {limit}" for limit in (0.4, 0.5, 0.97))
    print(f"{nets.name}: {count} drawn things taken for a face: {shares}")


def judge_empty(nets: Nets, films: list[Path]) -> None:
    rng = np.random.default_rng(0)
    beliefs = []
    for film in films:
        video, number = cv2.VideoCapture(str(film)), 0
        while True:
            there, frame = video.read()
            if not there:
                break
            number += 1
            if number % 10:
                continue
            planes, short = as_picture(frame), min(frame.shape[:2])
            for _ in range(20):
                side = short * np.exp(rng.uniform(np.log(0.1), 0))
                centre = rng.uniform(0, 1, 2) * frame.shape[1::-1]
                beliefs.append(nets.read(planes, Square(centre=centre, side_px=side, turn_rad=0.0)).face)
    seen = np.array(beliefs)
    print(
        f"{nets.name}: {len(seen)} windows without a face: {(seen > 0.5).mean():.4f} above .5, "
        f"{(seen > 0.97).mean():.4f} above .97"
    )


def follow(nets: Nets, film: str, wanted: Points) -> tuple[Points, Points, list[Reading]]:
    """Read a film from the reference's first points on.

    Returns the points seen and wanted where both look at one face, and the readings there.
    """
    video = cv2.VideoCapture(film)
    kept, readings = [], []
    square = None
    for points in wanted:
        there, frame = video.read()
        if not there:
            break
        known = np.isfinite(points).all()
        if square is None and not known:
            continue
        reading = nets.read(as_picture(frame), face_square(points) if square is None else square)
        square = face_square(reading.points) if reading.face > 0.5 else None
        if known and np.linalg.norm((reading.points - points).mean(axis=0)) < SAME_FACE * topology.eye_distance(points):
            kept.append(points)
            readings.append(reading)
    return np.array([reading.points for reading in readings]), np.array(kept), readings


def judge_clips(nets: Nets, folder: Path, *, each: bool) -> None:
    rows, beliefs = [], []
    for file in sorted(folder.glob("*.npz")):
        seen, wanted, readings = follow(nets, str(np.load(file)["clip"]), reference(file))
        if len(seen) < 3:
            continue
        beliefs += [(reading.face, reading.visible) for reading in readings]
        wrong, own, true = errors(seen, wanted), topology.opening(seen), topology.opening(wanted)
        r = float(np.corrcoef(own, true)[0, 1]) if true.std() > MOVING else np.nan
        lips = wrong[:, topology.LIP_ROWS].mean()
        rows.append((wrong.mean(), lips, np.abs(own - true).mean(), r))
        if each:
            print(
                f"  {file.stem}: NME {100 * wrong.mean():.2f} lips {100 * lips:.2f} "
                f"opening off {rows[-1][2]:.4f} r {r:.3f}"
            )
    nme, lips, off, r = np.nanmean(np.array(rows), axis=0)
    print(
        f"{nets.name}: {len(rows)} clips: NME {100 * nme:.2f} %, lips {100 * lips:.2f} %, "
        f"opening off by {off:.4f}, r {r:.3f}"
    )
    low = np.quantile(np.array(beliefs), (0.01, 0.05), axis=0)
    print(
        f"{nets.name}: {len(beliefs)} frames, 1st and 5th percentile of the beliefs: "
        f"face {low[0, 0]:.3f} {low[1, 0]:.3f}, lips visible {low[0, 1]:.3f} {low[1, 1]:.3f}; "
        f"lips called covered (below .85) in {np.mean(np.array(beliefs)[:, 1] < 0.85):.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--stills", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--empty", type=Path, nargs="+", default=[])
    parser.add_argument("--each", action="store_true", help="print every clip")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for folder in arguments.weights:
        nets = Nets.load(folder)
        if arguments.stills:
            judge_stills(nets, arguments.stills)
            judge_tremble(nets, arguments.stills)
            judge_visibility(nets, arguments.stills)
        if arguments.clips:
            judge_clips(nets, arguments.clips, each=arguments.each)
        judge_drawn_things(nets)
        if arguments.empty:
            judge_empty(nets, arguments.empty)


if __name__ == "__main__":
    main()
