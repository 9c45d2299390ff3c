"""The network walked through with shapes instead of numbers: what each convolution is given, and what it costs."""

from math import prod

from heygemd.render.wav2lip.folding import Convolution, Folded
from heygemd.render.wav2lip.forward import forward
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW, MEL_BANDS, MEL_FRAMES, Grow

Shape = tuple[int, int, int, int]
"""n, channels, rows, columns."""


class _Walk:
    """Notes what each convolution was given and has made."""

    def __init__(self) -> None:
        self.given: dict[Convolution, Shape] = {}
        self.made: dict[Convolution, Shape] = {}

    def convolve(self, x: Shape, convolution: Convolution) -> Shape:
        row = convolution.row
        strides = (row.stride, row.stride) if isinstance(row.stride, int) else row.stride
        if x[1] != row.inputs:
            raise ValueError(f"a layer of {row.inputs} channels was given {x[1]}")
        if isinstance(row, Grow):
            rows, columns = (
                (length - 1) * row.stride - 2 * row.padding + row.kernel + row.output_padding for length in x[2:]
            )
        else:
            rows, columns = (
                (length + 2 * row.padding - row.kernel) // stride + 1
                for length, stride in zip(x[2:], strides, strict=True)
            )
        self.given[convolution], self.made[convolution] = x, (x[0], row.outputs, rows, columns)
        return self.made[convolution]

    def from_row(self, x: Shape, row: int) -> Shape:
        return (x[0], x[1], x[2] - row, x[3])

    def join(self, x: Shape, y: Shape) -> Shape:
        if (x[0], *x[2:]) != (y[0], *y[2:]):
            raise ValueError(f"{x} and {y} do not lie beside each other")
        return (x[0], x[1] + y[1], x[2], x[3])

    def finish(self, x: Shape, last: Convolution) -> Shape:
        return self.convolve(x, last)


def given_shapes(network: Folded, count: int, *, first_row: int = LOWER_ROW) -> dict[Convolution, Shape]:
    """For each convolution: the shape of what it is given when `count` faces are painted from `first_row` on."""
    return _walked(network, count, first_row).given


def multiplications(network: Folded, *, first_row: int = LOWER_ROW) -> int:
    """Multiply-accumulates for one face."""
    walk = _walked(network, 1, first_row)
    total = 0
    for convolution, made in walk.made.items():
        row, given = convolution.row, walk.given[convolution]
        # A transposed convolution multiplies every number it is given, the other kind sums for every number it makes.
        total += row.inputs * row.outputs * row.kernel**2 * prod((given if isinstance(row, Grow) else made)[2:])
    return total


def _walked(network: Folded, count: int, first_row: int) -> _Walk:
    walk = _Walk()
    forward(network, walk, (count, 1, MEL_BANDS, MEL_FRAMES), (count, 6, FACE_PX, FACE_PX), first_row=first_row)
    return walk
