"""One pass through the network, whoever computes it, and only through the rows that are wanted.

Of a painted face only the lower half is used. Seven eighths of the work lie in the decoder, which grows a picture from
1 to 96 rows, and a row depends on few rows above it: so every stage is cut before it grows, where the tables say that
nothing above is needed. That saves 32 % of the multiplications, and what is left is computed from the same numbers.
"""

from typing import Protocol, TypeVar

from heygemd.render.wav2lip.folding import Convolution, Folded
from heygemd.render.wav2lip.network import FACE_DECODER, LAST, LOWER_ROW, OUTPUT, Grow

T = TypeVar("T")


class Arithmetic(Protocol[T]):
    """What a back end must be able to compute. Everything is [n, channels, rows, columns]."""

    def convolve(self, x: T, convolution: Convolution) -> T:
        """Convolve as its row says, add `x` where the row is residual, cut off what is negative (ReLU)."""
        ...

    def from_row(self, x: T, row: int) -> T:
        """Leave out the first `row` rows."""
        ...

    def join(self, x: T, y: T) -> T:
        """Put the channels of y behind those of x."""
        ...

    def finish(self, x: T, last: Convolution) -> T:
        """Convolve with the last layer and squash into 0..1, both in float32."""
        ...


def forward(network: Folded, arithmetic: Arithmetic[T], mel: T, faces: T, *, first_row: int = LOWER_ROW) -> T:
    """Paint rows `first_row`… of n faces.

    `mel`: [n, 1, 80, 16]. `faces`: [n, 6, 96, 96] in 0..1, three channels BGR with the lower half black, then three
    of the whole face. Returns [n, 3, 96 - first_row, 96] BGR in 0..1. Row 0 leaves nothing out.
    """
    kept = []
    for chain in network.face_encoder:
        for convolution in chain:
            faces = arithmetic.convolve(faces, convolution)
        kept.append(faces)
    x = mel
    for convolution in network.audio_encoder:
        x = arithmetic.convolve(x, convolution)
    top = 0  # row of the whole picture that is row 0 of x
    for chain, first_needed in zip(network.face_decoder, first_rows(first_row)[1:], strict=True):
        for convolution in chain:
            x = arithmetic.convolve(x, convolution)
            top = grown_top(convolution, top)
        x = arithmetic.join(arithmetic.from_row(x, first_needed - top), arithmetic.from_row(kept.pop(), first_needed))
        top = first_needed
    x = arithmetic.convolve(x, network.output)
    return arithmetic.finish(arithmetic.from_row(x, first_row - top), network.last)


def first_rows(wanted: int) -> tuple[int, ...]:
    """For each stage of the decoder and for the output block: the first row of its input that is needed.

    `wanted` is the first row of the picture that is used. Behind a cut, a convolution of k rows that pads with zeros
    is wrong in its first k // 2 rows, because it finds nothing where there was something; so that many more are
    needed. A growing layer needs every row that reaches its first exact row: input row i reaches the output rows
    i * stride - padding + (0 … kernel - 1). At row 0 nothing is cut, and zeros are what belongs there.

    For the lower half, 48 of 96: (0, 0, 0, 1, 4, 10, 22, 47), of 1, 1, 3, 6, 12, 24, 48 and 96 rows.
    """
    needed = max(0, wanted - LAST.kernel // 2 - OUTPUT.kernel // 2)
    starts = [needed]
    for rows in reversed(FACE_DECODER):
        for row in reversed(rows):
            if isinstance(row, Grow):
                reaching = needed + row.padding - (row.kernel - 1)
                needed = max(0, -(-reaching // row.stride))
            else:
                needed = max(0, needed - row.kernel // 2)
        starts.append(needed)
    return tuple(reversed(starts))


def grown_top(convolution: Convolution, top: int) -> int:
    """Row of the whole picture that is row 0 behind a layer whose input begins at row `top`.

    Output row o of a cut input gathers what row o + top * stride of the whole one does.
    """
    return top * convolution.row.stride if isinstance(convolution.row, Grow) else top
