"""The two small convolutional nets of the face tracker, and how crops go in and points come out."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from typing_extensions import override

from heygemd.render.faces.topology import LIP_POINT_COUNT, POINT_COUNT
from heygemd.render.shipped import shipped_bytes

WEIGHTS_DIR = Path(__file__).parent / "weights"


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def fuse(self) -> None:
        """Fold the normalisation into the convolution; for inference only."""
        convolution, normalisation = self[0], self[1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(normalisation, nn.BatchNorm2d)
        self[0] = fuse_conv_bn_eval(convolution, normalisation)
        self[1] = nn.Identity()


class PointNet(nn.Module):
    """Convolution blocks and one linear layer: a square crop -> points and logits.

    `f` (features) and `l` (linear) are the names in the weights files.
    """

    side_px: int
    point_count: int

    def __init__(self, blocks: list[ConvBlock], feature_count: int, logit_count: int) -> None:
        super().__init__()
        self.f = nn.Sequential(*blocks)
        self.l = nn.Linear(feature_count, self.point_count * 2 + logit_count)

    @override
    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map float[n, 3, side, side] in -1..1 to points float[n, p, 2] in -1..1 and logits float[n, k]."""
        features = self.f(crops).flatten(1)
        # The last layer is in full precision on every device: half of it moves a point by a thirtieth of a pixel.
        answers = self.l(features.to(self.l.weight.dtype))
        points, logits = answers.split([self.point_count * 2, answers.shape[1] - self.point_count * 2], dim=1)
        return points.unflatten(1, (self.point_count, 2)), logits


class LandmarkNet(PointNet):
    """All 74 points of an upright face; logits: a face is present and framed, the lips are visible."""

    side_px = 128
    point_count = POINT_COUNT

    def __init__(self) -> None:
        blocks = [
            ConvBlock(3, 16, kernel=5, stride=2),
            ConvBlock(16, 32, stride=2),
            ConvBlock(32, 32),
            ConvBlock(32, 64, stride=2),
            ConvBlock(64, 64),
            ConvBlock(64, 96, stride=2),
            ConvBlock(96, 96),
            ConvBlock(96, 128, stride=2),
            ConvBlock(128, 128),
        ]
        super().__init__(blocks, feature_count=128 * 4 * 4, logit_count=2)


class LipNet(PointNet):
    """The 40 lip points, finer, of an upright mouth; logit: the lips are visible."""

    side_px = 64
    point_count = LIP_POINT_COUNT

    def __init__(self) -> None:
        blocks = [
            ConvBlock(3, 16),
            ConvBlock(16, 24, stride=2),
            ConvBlock(24, 32),
            ConvBlock(32, 48, stride=2),
            ConvBlock(48, 48),
            ConvBlock(48, 64, stride=2),
            ConvBlock(64, 64),
            ConvBlock(64, 64, stride=2),
        ]
        super().__init__(blocks, feature_count=64 * 4 * 4, logit_count=1)


def load_landmark_net(device: str = "cpu") -> LandmarkNet:
    """Read the net that ships with the package, ready for inference on a torch device."""
    net = LandmarkNet()
    _fill(net, WEIGHTS_DIR / "landmark74.safetensors", device)
    return net


def load_lip_net(device: str = "cpu") -> LipNet:
    """Read the refiner that ships with the package, ready for inference on a torch device."""
    net = LipNet()
    _fill(net, WEIGHTS_DIR / "lips40.safetensors", device)
    return net


def _fill(net: PointNet, weights: Path, device: str) -> None:
    """Load half-precision weights, key by key, and fold the normalisation; they stay half on CUDA, else float32."""
    net.load_state_dict({name: tensor.float() for name, tensor in load(shipped_bytes(weights)).items()})
    net.requires_grad_(False).eval()
    layers: list[nn.Module] = []
    for block in net.f:
        assert isinstance(block, ConvBlock)
        block.fuse()
        layers += [layer for layer in block if not isinstance(layer, nn.Identity)]
    # One flat sequence: every layer of Python between two convolutions costs time.
    net.f = nn.Sequential(*layers)
    net.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload] # missing from torch's stubs
    if net.l.weight.is_cuda:
        net.f.half()


def look(net: PointNet, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run a net over uint8[n, side, side, 3] BGR crops, which go to its device in one piece.

    Returns points float64[n, p, 2] in crop pixels and probabilities float64[n, k] of the net's logits.
    """
    with torch.inference_mode():
        precision = torch.float16 if net.l.weight.is_cuda else torch.float32
        # An n, h, w, c array seen as n, c, h, w is already in channels_last order.
        batch = torch.from_numpy(crops).to(net.l.weight.device).permute(0, 3, 1, 2).to(precision)
        points, logits = net(batch.div_(127.5).sub_(1))
        answers = torch.cat([points.flatten(1), torch.sigmoid(logits)], dim=1).cpu().numpy().astype(np.float64)
    count = net.point_count
    return (answers[:, : 2 * count].reshape(-1, count, 2) + 1) * (net.side_px / 2), answers[:, 2 * count :]
