"""Where in a picture there may be faces: a small fully convolutional net over the whole picture, shrunk.

It is made to miss nothing: what it names is a candidate, which the landmark net must confirm.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn
from typing_extensions import override

from heygemd.render.faces.networks import WEIGHTS_DIR, ConvBlock
from heygemd.render.faces.picture import Picture, invert, mapped
from heygemd.render.shipped import shipped_bytes

LONGEST_SIDE_PX = 512
"""A picture is shrunk to this length of its longer side; a smaller one is looked at as it is."""
CELL_PX = 8
"""One cell of the answer covers so many pixels of the shrunken picture."""
COARSEST_PX = 64
"""The deepest features' step: the net's input is padded to a multiple of it."""
UNIT_SIDE_PX = 32.0
"""Side of the face that the net calls 1: it answers with logarithms of sides in this unit."""
LEAST_BELIEF = 0.15
"""Peaks of less belief are not worth the landmark net's time; set on drawn scenes."""
MOST_CANDIDATES = 24
SAME_FACE_SHARE = 0.4
"""Peaks closer than this share of the larger one's side are one face."""
LOG_SIDE_BOUNDS = (-2.0, 3.5)
"""4 px .. 1060 px in the shrunken picture: keeps a wild answer finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place that may hold a face, in pixels of the picture."""

    centre: NDArray[np.float64]
    """float64[2]: x, y of the middle of the 74 points' box."""
    side_px: float
    """Longer side of that box."""
    belief: float
    """0..1."""


class DetectorNet(nn.Module):
    """Five scales down, three back up: uint8-like crops in -1..1 -> four maps at an eighth of the size.

    The maps are: logit that a cell is the middle of a face; log of the face's side in units of 32 px; the way from the
    cell's middle to the face's, right and down, in sides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_4 = nn.Sequential(ConvBlock(3, 12, stride=2), ConvBlock(12, 20, stride=2))
        self.to_8 = nn.Sequential(ConvBlock(20, 28, stride=2), ConvBlock(28, 28))
        self.to_16 = nn.Sequential(ConvBlock(28, 36, stride=2), ConvBlock(36, 36))
        self.to_32 = ConvBlock(36, 40, stride=2)
        self.to_64 = ConvBlock(40, 40, stride=2)
        self.from_64 = nn.Conv2d(40, 40, 1)
        self.from_32 = nn.Conv2d(40, 36, 1)
        self.from_16 = nn.Conv2d(36, 28, 1)
        self.merge = ConvBlock(28, 28)
        self.head = nn.Conv2d(28, 4, 1)

    @override
    def forward(self, pictures: Tensor) -> Tensor:
        """Map float[n, 3, h, w], h and w multiples of 64, to float[n, 4, h / 8, w / 8]."""
        at_8 = self.to_8(self.to_4(pictures))
        at_16 = self.to_16(at_8)
        at_32 = self.to_32(at_16)
        at_32 = torch.relu(at_32 + _doubled(self.from_64(self.to_64(at_32))))
        at_16 = torch.relu(at_16 + _doubled(self.from_32(at_32)))
        at_8 = torch.relu(at_8 + _doubled(self.from_16(at_16)))
        answer: Tensor = self.head(self.merge(at_8))
        return answer

    def fuse(self) -> None:
        """Fold every normalisation into its convolution; for inference only."""
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.fuse()


def _doubled(maps: Tensor) -> Tensor:
    return nn.functional.interpolate(maps, scale_factor=2.0, mode="nearest")


class FaceDetector:
    """Names the places of a picture that may hold faces. Keeps nothing between calls."""

    def __init__(self) -> None:
        self._net = DetectorNet()
        weights = load(shipped_bytes(WEIGHTS_DIR / "faces8.safetensors"))
        self._net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self._net.requires_grad_(False).eval()
        self._net.fuse()
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing from torch's stubs

    def detect(self, picture: Picture) -> list[Candidate]:
        """Name the candidates of a picture, most believed first."""
        patch = picture.whole(min(LONGEST_SIDE_PX / max(picture.width_px, picture.height_px), 1.0))
        with torch.inference_mode():
            maps = self._net(as_input(patch.bgr[None]))[0].numpy()
        to_picture = invert(patch.to_patch)
        scale = float(np.sqrt(np.linalg.det(to_picture[:, :2])))
        return [
            Candidate(centre=mapped(to_picture, peak[:2]), side_px=float(peak[2]) * scale, belief=float(peak[3]))
            for peak in decoded(maps)
        ]


def as_input(pictures: NDArray[np.uint8]) -> Tensor:
    """Bring uint8[n, h, w, 3] BGR to the net's range, padded at the right and below to whole steps with grey."""
    height, width = pictures.shape[1:3]
    rows, columns = (-length % COARSEST_PX for length in (height, width))
    batch = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return nn.functional.pad(batch, (0, columns, 0, rows)).contiguous(memory_format=torch.channels_last)


def decoded(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Read the answer float32[4, rows, columns]: peaks float64[k, 4] of x, y, side (pixels) and belief, best first."""
    belief = 1 / (1 + np.exp(-maps[0].astype(np.float64)))
    highest = cv2.dilate(belief, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((belief >= highest) & (belief >= LEAST_BELIEF))
    order = np.argsort(-belief[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    side = UNIT_SIDE_PX * np.exp(np.clip(maps[1, rows, columns].astype(np.float64), *LOG_SIDE_BOUNDS))
    # The middle of a cell lies between its two middle pixels.
    x = (columns + 0.5) * CELL_PX - 0.5 + maps[2, rows, columns] * side
    y = (rows + 0.5) * CELL_PX - 0.5 + maps[3, rows, columns] * side
    return _each_once(np.stack([x, y, side, belief[rows, columns]], axis=1))


def _each_once(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop peaks that a better one, which comes earlier, already stands for."""
    kept: list[NDArray[np.float64]] = []
    for peak in peaks:
        if all(np.hypot(*(peak[:2] - one[:2])) > SAME_FACE_SHARE * max(peak[2], one[2]) for one in kept):
            kept.append(peak)
        if len(kept) == MOST_CANDIDATES:
            break
    return np.array(kept).reshape(-1, 4)
