"""The network computed by torch, on the processor or on a card, in any number format."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from heygemd.render.wav2lip.folding import Convolution, Folded
from heygemd.render.wav2lip.forward import Arithmetic, forward
from heygemd.render.wav2lip.network import LOWER_ROW, Grow, Pair
from heygemd.render.wav2lip.shapes import Shape, given_shapes

PACKED_OPERATIONS = (
    "_reorder_convolution_weight", "_reorder_convolution_transpose_weight", "_convolution_pointwise",
    "_convolution_transpose_pointwise",
)  # fmt: skip
"""What torch's own compiler calls for a frozen network on an x86 CPU (`torch.ops.mkldnn`): not announced, so used only
where they are found, and only after calibration has compared what they compute."""


class TorchNetwork:
    """Paints the lower halves of faces in one number format on one device.

    The last 1×1 convolution and the sigmoid stay in float32: half precision there would quantise the picture coarser
    than 8 bits.
    """

    def __init__(
        self,
        network: Folded,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        *,
        packed_for: int | None = None,
        first_row: int = LOWER_ROW,
    ) -> None:
        """Take the weights over, converted. `packed_for`: bring them into the form that the CPU's kernels want.

        Packing is for batches of so many faces; others are painted, too, but slower.
        """
        self.dtype = dtype
        self._first_row = first_row
        self._arithmetic: Arithmetic[Tensor] = Plain() if packed_for is None else Packed()
        with torch.inference_mode():
            if packed_for is None:
                self._network = network.changed(lambda one: _converted(one, _format(one, network, dtype), device))
            else:
                shapes = given_shapes(network, packed_for, first_row=first_row)
                self._network = network.changed(
                    lambda one: one if one is network.last else _packed(_converted(one, dtype, device), shapes[one])
                )

    @torch.inference_mode()
    def paint(self, windows: Tensor, faces: Tensor) -> Tensor:
        """Paint n faces. `windows`: float32[n, 16, 80]; `faces`: float32[n, 96, 96, 3] BGR 0..255, on the device.

        Returns float32[n, 48, 96, 3] BGR 0..255, on the device.
        """
        mel, pair = network_input(windows, faces)
        painted = forward(
            self._network, self._arithmetic, mel.to(self.dtype), pair.to(self.dtype), first_row=self._first_row
        )
        return painted.permute(0, 2, 3, 1).mul(255)


def network_input(windows: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Lay mel windows [n, 16, 80] and faces [n, 96, 96, 3] BGR 0..255 out as the network takes them, in their type.

    Returns [n, 1, 80, 16], and [n, 6, 96, 96] in 0..1, channels last: the face with a black lower half, the face.
    """
    whole = faces.permute(0, 3, 1, 2) / 255
    masked = whole.clone()
    masked[:, :, LOWER_ROW:] = 0
    return windows.transpose(1, 2).unsqueeze(1), torch.cat((masked, whole), dim=1)


def can_pack(dtype: torch.dtype) -> bool:
    """Tell whether torch packs weights of this type: its build must have the operations, bfloat16 also the processor.

    Without AVX-512 (or AVX-NE-CONVERT) torch refuses to pack bfloat16; plain layers it then emulates, slowly.
    """
    operations: Any = torch.ops.mkldnn
    has_mkldnn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_mkldnn or not all(hasattr(operations, name) for name in PACKED_OPERATIONS):
        return False
    return dtype != torch.bfloat16 or bool(operations._is_mkldnn_bf16_supported())


def _format(one: Convolution, network: Folded, dtype: torch.dtype) -> torch.dtype:
    """Number format of one layer: the last is never short."""
    return torch.promote_types(dtype, torch.float32) if one is network.last else dtype


def _converted(one: Convolution, dtype: torch.dtype, device: torch.device | str) -> Convolution:
    weight = one.weight.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    return Convolution(row=one.row, weight=weight, bias=one.bias.to(device=device, dtype=dtype))


class Plain:
    """Layers by torch's public functions."""

    def convolve(self, x: Tensor, convolution: Convolution) -> Tensor:
        """Convolve, add, cut off what is negative."""
        row, weight, bias = convolution.row, convolution.weight, convolution.bias
        if isinstance(row, Grow):
            y = functional.conv_transpose2d(x, weight, bias, row.stride, row.padding, row.output_padding)
        else:
            y = functional.conv2d(x, weight, bias, row.stride, row.padding)
            if row.residual:
                y = y.add_(x)
        return torch.relu_(y)

    def from_row(self, x: Tensor, row: int) -> Tensor:
        """Leave out the first rows, without a copy."""
        return x[:, :, row:]

    def join(self, x: Tensor, y: Tensor) -> Tensor:
        """Put the channels of y behind those of x."""
        return torch.cat((x, y), dim=1)

    def finish(self, x: Tensor, last: Convolution) -> Tensor:
        """Convolve with the last layer and squash, in the type of its weights."""
        return torch.sigmoid_(functional.conv2d(x.to(last.weight.dtype), last.weight, last.bias))


# Packed weights -------------------------------------------------------------------------------------------------------


class Packed(Plain):
    """Layers by one operation each, whose weights lie in memory as the kernel reads them.

    Measured on one core (bfloat16, 8 faces): 12.4 ms a face instead of 14.0; with 4 faces 12.9 instead of 16.0, for
    torch reorders 72 MB of weights at every call otherwise.
    """

    @override
    def convolve(self, x: Tensor, convolution: Convolution) -> Tensor:
        row, weight, bias = convolution.row, convolution.weight, convolution.bias
        stride, padding, once = _pair(row.stride), _pair(row.padding), [1, 1]
        operations: Any = torch.ops.mkldnn
        y: Tensor
        if isinstance(row, Grow):
            y = operations._convolution_transpose_pointwise(
                x, weight, bias, padding, _pair(row.output_padding), stride, once, 1, "relu", [], ""
            )
        elif row.residual:
            y = operations._convolution_pointwise.binary(
                x, x, weight, bias, padding, stride, once, 1, "add", 1.0, "relu", [], ""
            )
        else:
            y = operations._convolution_pointwise(x, weight, bias, padding, stride, once, 1, "relu", [], "")
        return y


def _packed(one: Convolution, shape: Shape) -> Convolution:
    row, operations = one.row, torch.ops.mkldnn
    stride, padding, once = _pair(row.stride), _pair(row.padding), [1, 1]
    if isinstance(row, Grow):
        weight = operations._reorder_convolution_transpose_weight(
            one.weight, padding, _pair(row.output_padding), stride, once, 1, list(shape)
        )
    else:
        weight = operations._reorder_convolution_weight(one.weight, padding, stride, once, 1, list(shape))
    return Convolution(row=row, weight=weight, bias=one.bias)


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
