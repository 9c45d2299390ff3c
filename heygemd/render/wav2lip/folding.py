"""The network as it is computed: every normalisation merged into the convolution before it.

The published file has 352 tensors; here are 51 convolutions, each with the row of the tables that it comes from. Every
back end is built from these and from nothing else.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor

from heygemd.render.wav2lip.network import AUDIO_ENCODER, FACE_DECODER, FACE_ENCODER, LAST, OUTPUT, Grow, Row

NORM_EPS = 1e-5
"""Added to the variance by torch's BatchNorm2d, with which the network was trained."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Convolution:
    """One row of the tables with its weights; compared by identity."""

    row: Row
    weight: Tensor
    """float[outputs, inputs, kernel, kernel]; of a `Grow`: [inputs, outputs, kernel, kernel]."""
    bias: Tensor
    """float[outputs]."""


Chain = tuple[Convolution, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Folded:
    """The whole network; the parts are named as in the published tables."""

    face_encoder: tuple[Chain, ...]
    audio_encoder: Chain
    face_decoder: tuple[Chain, ...]
    output: Convolution
    last: Convolution

    def changed(self, change: Callable[[Convolution], Convolution]) -> "Folded":
        """Return the same network with other weights, or with the same ones in another form."""
        return Folded(
            face_encoder=tuple(tuple(map(change, chain)) for chain in self.face_encoder),
            audio_encoder=tuple(map(change, self.audio_encoder)),
            face_decoder=tuple(tuple(map(change, chain)) for chain in self.face_decoder),
            output=change(self.output),
            last=change(self.last),
        )


def fold(tensors: MutableMapping[str, Tensor]) -> Folded:
    """Merge each normalisation, in its evaluation form, into the convolution before it; the type stays.

    `tensors` are those of the published state dict. They are taken out of the mapping one by one, so that there are
    never two copies of the whole network.
    """

    def chain(prefix: str, rows: tuple[Row, ...]) -> Chain:
        return tuple(_folded(tensors, f"{prefix}.{j}", row) for j, row in enumerate(rows))

    return Folded(
        face_encoder=tuple(chain(f"face_encoder_blocks.{i}", rows) for i, rows in enumerate(FACE_ENCODER)),
        audio_encoder=chain("audio_encoder", AUDIO_ENCODER),
        face_decoder=tuple(chain(f"face_decoder_blocks.{i}", rows) for i, rows in enumerate(FACE_DECODER)),
        output=_folded(tensors, "output_block.0", OUTPUT),
        last=Convolution(
            row=LAST, weight=tensors.pop("output_block.1.weight"), bias=tensors.pop("output_block.1.bias")
        ),
    )


def _folded(tensors: MutableMapping[str, Tensor], name: str, row: Row) -> Convolution:
    def take(part: str) -> Tensor:
        return tensors.pop(f"{name}.conv_block.{part}")

    tensors.pop(f"{name}.conv_block.1.num_batches_tracked", None)
    scale = take("1.weight") / torch.sqrt(take("1.running_var") + NORM_EPS)
    bias = (take("0.bias") - take("1.running_mean")) * scale + take("1.bias")
    # Output channels come second in the weights of a transposed convolution.
    weight = take("0.weight") * scale.view((1, -1, 1, 1) if isinstance(row, Grow) else (-1, 1, 1, 1))
    return Convolution(row=row, weight=weight, bias=bias)
