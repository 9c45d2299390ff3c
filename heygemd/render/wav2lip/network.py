"""The published 96-pixel Wav2Lip generator: 36,298,035 parameters, state-dict names as in the public checkpoints.

Prajwal, Mukhopadhyay, Namboodiri, Jawahar: "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The
Wild", ACM Multimedia 2020. The tables below list every layer; everything else is one rule:

    conv    Conv2d → BatchNorm2d → (+ its input, if `residual`) → ReLU
    grow    ConvTranspose2d → BatchNorm2d → ReLU

The module is what the checkpoints describe, for reading and for comparison; what paints films is `folding` of it.
"""

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
LAST = Conv(32, 3, 1, 1, 0)
"""Without normalisation, and a sigmoid behind it."""


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


def _chain(rows: tuple[Row, ...]) -> nn.Sequential:
    return nn.Sequential(*(Layer(row) for row in rows))


class Wav2LipNetwork(nn.Module):
    """Repaints the lower half of a face so that it says what a piece of sound says."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(_chain(rows) for rows in FACE_ENCODER)
        self.audio_encoder = _chain(AUDIO_ENCODER)
        self.face_decoder_blocks = nn.ModuleList(_chain(rows) for rows in FACE_DECODER)
        self.output_block = nn.Sequential(Layer(OUTPUT), nn.Conv2d(*LAST[:5]), nn.Sigmoid())

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


def expected_shapes() -> dict[str, torch.Size]:
    """Name and shape of each of the 352 tensors of a checkpoint, in the order of the module."""
    blocks = [(f"face_encoder_blocks.{i}", rows) for i, rows in enumerate(FACE_ENCODER)]
    blocks += [("audio_encoder", AUDIO_ENCODER)]
    blocks += [(f"face_decoder_blocks.{i}", rows) for i, rows in enumerate(FACE_DECODER)]
    named = {f"{block}.{j}": row for block, rows in blocks for j, row in enumerate(rows)} | {"output_block.0": OUTPUT}
    shapes = {}
    for name, row in named.items():
        channels = (row.inputs, row.outputs) if isinstance(row, Grow) else (row.outputs, row.inputs)
        shapes[f"{name}.conv_block.0.weight"] = torch.Size((*channels, row.kernel, row.kernel))
        for tensor in ("0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
            shapes[f"{name}.conv_block.{tensor}"] = torch.Size((row.outputs,))
        shapes[f"{name}.conv_block.1.num_batches_tracked"] = torch.Size(())
    shapes["output_block.1.weight"] = torch.Size((LAST.outputs, LAST.inputs, LAST.kernel, LAST.kernel))
    shapes["output_block.1.bias"] = torch.Size((LAST.outputs,))
    return shapes
