"""What gives faces another mouth, seen from outside: any number of faces in, their lower halves out, later."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heygemd.render.wav2lip.network import LOWER_ROW

Windows = NDArray[np.float32]
"""float32[n, 16, 80]: mel frames that each picture hears."""
Squares = NDArray[np.float32]
"""float32[n, 96, 96, 3]: faces, BGR, 0..255."""
Halves = NDArray[np.float32]
"""float32[n, 48, 96, 3]: lower halves of such faces. The upper half is nobody's to change."""


class Painter(Protocol):
    """Something that gives faces another mouth."""

    def submit(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Callable[[], Halves]:
        """Begin to repaint n faces, `batch_frames` or fewer at once; what is returned waits for the pictures.

        Both arrays are the painter's until then.
        """
        ...


class EchoPainter:
    """Gives every face back as it came: for tests of everything around the network."""

    def submit(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Callable[[], Halves]:
        """Do what `paint` does when it is waited for."""
        return lambda: self.paint(windows, faces, batch_frames=batch_frames)

    def paint(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Halves:
        """Change nothing."""
        del windows, batch_frames
        return faces[:, LOWER_ROW:]


class Device(Protocol):
    """The network somewhere, in batches of a size that it chooses."""

    @property
    def precision(self) -> str:
        """What computes, and in which number format: `float16`, `bfloat16`, `openvino bfloat16`."""
        ...

    def faces_at_once(self, batch_frames: int) -> int:
        """Size of a batch when `batch_frames` are asked for at once."""
        ...

    def begin(self, windows: Windows, faces: Squares, *, size: int) -> Callable[[], Halves]:
        """Begin to repaint up to `size` faces, computed as `size` of them, without waiting for anything."""
        ...


class Generator:
    """The network on one device, for any number of faces."""

    def __init__(self, device: Device) -> None:
        self._device = device

    @property
    def precision(self) -> str:
        """What computes, and in which number format."""
        return self._device.precision

    def paint(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Halves:
        """Repaint n faces and wait for them."""
        return self.submit(windows, faces, batch_frames=batch_frames)()

    def submit(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Callable[[], Halves]:
        """Begin to repaint n faces, in batches whose shape depends on nothing but `batch_frames`.

        What is missing in a batch is padded: the same shape leads to the same kernels, and to the same picture,
        however many of the frames have a face.
        """
        if not len(faces):
            return lambda: faces[:, LOWER_ROW:]
        size = self._device.faces_at_once(batch_frames)
        begun = [
            self._device.begin(windows[a : a + size], faces[a : a + size], size=size)
            for a in range(0, len(faces), size)
        ]
        return lambda: np.concatenate([wait() for wait in begun])


def padded(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return `size` rows: the values, and zeros behind them."""
    if len(values) == size:
        return values
    whole = np.zeros((size, *values.shape[1:]), np.float32)
    whole[: len(values)] = values
    return whole
