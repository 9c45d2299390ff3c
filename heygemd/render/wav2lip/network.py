"""The published 96-pixel Wav2Lip generator: 36,298,035 parameters, state-dict names as in the public checkpoints.

Prajwal, Mukhopadhyay, Namboodiri, Jawahar: "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The
Wild", ACM Multimedia 2020. The tables below list every layer; everything else is one rule:

    conv    Conv2d → BatchNorm2d → (+ its input, if `residual`) → ReLU
    grow    ConvTranspose2d → BatchNorm2d → ReLU
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

FACE_PX = 96
"""Side of the square face that goes in and comes out."""
LOWER_ROW = FACE_PX // 2
"""First row that the network paints: it is shown the face without the rows from here on."""
MEL_BANDS, MEL_FRAMES = 80, 16
"""What the network hears for one picture: 16 mel frames, 0.2 s."""

Pair = int | tuple[int, int]


class Conv(NamedTuple):
    """A row of the tables: convolution, optionally added to its own input."""

    inputs: int
    outputs: int
    kernel: int
    stride: Pair
    padding: int
    residual: bool = False


class Grow(NamedTuple):
    """A row of the tables: transposed convolution."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    output_padding: int


Row = Conv | Grow


def _same(channels: int, times: int) -> tuple[Conv, ...]:
    """Residual 3×3 convolutions that keep size and channels."""
    return (Conv(channels, channels, 3, 1, 1, residual=True),) * times


FACE_ENCODER: tuple[tuple[Row, ...], ...] = (
    (Conv(6, 16, 7, 1, 3),),  # 96 px
    (Conv(16, 32, 3, 2, 1), *_same(32, 2)),  # 48
    (Conv(32, 64, 3, 2, 1), *_same(64, 3)),  # 24
    (Conv(64, 128, 3, 2, 1), *_same(128, 2)),  # 12
    (Conv(128, 256, 3, 2, 1), *_same(256, 2)),  # 6
    (Conv(256, 512, 3, 2, 1), *_same(512, 1)),  # 3
    (Conv(512, 512, 3, 1, 0), Conv(512, 512, 1, 1, 0)),  # 1
)
AUDIO_ENCODER: tuple[Row, ...] = (
    *(Conv(1, 32, 3, 1, 1), *_same(32, 2)),  # 80 bands × 16 frames
    *(Conv(32, 64, 3, (3, 1), 1), *_same(64, 2)),  # 27 × 16
    *(Conv(64, 128, 3, 3, 1), *_same(128, 2)),  # 9 × 6
    *(Conv(128, 256, 3, (3, 2), 1), *_same(256, 1)),  # 3 × 3
    *(Conv(256, 512, 3, 1, 0), Conv(512, 512, 1, 1, 0)),  # 1 × 1
)
FACE_DECODER: tuple[tuple[Row, ...], ...] = (
    (Conv(512, 512, 1, 1, 0),),  # 1 px
    (Grow(1024, 512, 3, 1, 0, 0), *_same(512, 1)),  # 3
    (Grow(1024, 512, 3, 2, 1, 1), *_same(512, 2)),  # 6
    (Grow(768, 384, 3, 2, 1, 1), *_same(384, 2)),  # 12
    (Grow(512, 256, 3, 2, 1, 1), *_same(256, 2)),  # 24
    (Grow(320, 128, 3, 2, 1, 1), *_same(128, 2)),  # 48
    (Grow(160, 64, 3, 2, 1, 1), *_same(64, 2)),  # 96
)
OUTPUT = Conv(80, 32, 3, 1, 1)


class Layer(nn.Module):
    """One row of the tables; `conv_block` is the name the checkpoints use."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        if isinstance(row, Grow):
            conv: nn.Module = nn.ConvTranspose2d(*row[:5], output_padding=row.output_padding)
        else:
            conv = nn.Conv2d(*row[:5])
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(row.outputs))
        self.residual = isinstance(row, Conv) and row.residual

    @override
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        if self.residual:
            y = y + x
        return torch.relu_(y)

    def fold(self) -> None:
        """Merge the batch normalisation, in its evaluation form, into the convolution before it."""
        conv, norm = self.conv_block[0], self.conv_block[1]
        if isinstance(norm, nn.Identity):
            return
        if not isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) or not isinstance(norm, nn.BatchNorm2d):
            raise TypeError("a layer is a convolution and its normalisation")
        if conv.bias is None or norm.running_mean is None or norm.running_var is None:
            raise TypeError("a layer has a bias and running statistics")
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        # Output channels come second in the weights of a transposed convolution.
        shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
        conv.weight = nn.Parameter(conv.weight * scale.view(shape), requires_grad=False)
        conv.bias = nn.Parameter((conv.bias - norm.running_mean) * scale + norm.bias, requires_grad=False)
        self.conv_block[1] = nn.Identity()


def _chain(rows: tuple[Row, ...]) -> nn.Sequential:
    return nn.Sequential(*(Layer(row) for row in rows))


class Wav2LipNetwork(nn.Module):
    """Repaints the lower half of a face so that it says what a piece of sound says."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(_chain(rows) for rows in FACE_ENCODER)
        self.audio_encoder = _chain(AUDIO_ENCODER)
        self.face_decoder_blocks = nn.ModuleList(_chain(rows) for rows in FACE_DECODER)
        self.output_block = nn.Sequential(Layer(OUTPUT), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    @override
    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Paint n faces.

        `mel`: float[n, 1, 80, 16]. `faces`: float[n, 6, 96, 96] in 0..1, three channels BGR with the lower half
        black, then three of the whole face. Returns float[n, 3, 96, 96] BGR in 0..1, in the type of the last layer.
        """
        kept = []
        for block in self.face_encoder_blocks:
            faces = block(faces)
            kept.append(faces)
        x = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            x = torch.cat((block(x), kept.pop()), dim=1)
        layer, last, squash = self.output_block
        x = layer(x)
        painted: Tensor = squash(last(x.to(last.weight.dtype)))
        return painted

    def layers(self) -> Iterator[Layer]:
        """Every row of the tables, in order of the state dict."""
        return (module for module in self.modules() if isinstance(module, Layer))


def folded(network: Wav2LipNetwork, dtype: torch.dtype = torch.float32) -> Wav2LipNetwork:
    """Copy for inference: normalisations merged into the convolutions, channels last, weights in `dtype`.

    The last 1×1 convolution and the sigmoid stay float32: half precision there would quantise the picture coarser
    than 8 bits.
    """
    result = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for layer in result.layers():
        layer.fold()
    result.to(dtype=dtype)
    result.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
    result.output_block[1].float()
    return result


def expected_shapes() -> dict[str, torch.Size]:
    """Name and shape of each of the 352 tensors of a checkpoint; allocates nothing."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Wav2LipNetwork().state_dict().items()}
