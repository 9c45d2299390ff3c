"""The network on the processor: batches of one size, one after the other, in a thread of their own.

While it computes, the thread that asked cuts and pastes other frames: numpy, OpenCV, torch and OpenVINO all let go of
the interpreter while they work.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.errors import SetupError
from heygemd.render.wav2lip.folding import Folded
from heygemd.render.wav2lip.generator import Halves, Squares, Windows, padded
from heygemd.render.wav2lip.openvinonetwork import OpenVinoNetwork
from heygemd.render.wav2lip.torchnetwork import TorchNetwork

BATCH = 8
"""Faces at once. Measured on one core, bfloat16: 12.4 ms a face with 8, 12.1 with 16, 12.9 with 4, 14.9 with 2, 16 with
1; a larger batch gains nothing and pads more."""

Paint = Callable[[Windows, Squares], Halves]
"""Repaints exactly `BATCH` faces."""


class Processor:
    """One way to compute the network on the CPU, always with `BATCH` faces at once."""

    def __init__(self, paint: Paint, precision: str) -> None:
        self.precision = precision
        self._paint = paint
        self._thread = ThreadPoolExecutor(1, "wav2lip", torch.set_num_threads, (torch.get_num_threads(),))

    def faces_at_once(self, batch_frames: int) -> int:
        """Return the one size: weights are prepared for it, and a frame looks the same in every segment."""
        del batch_frames
        return BATCH

    def begin(self, windows: Windows, faces: Squares, *, size: int) -> Callable[[], Halves]:
        """Queue a batch; what is returned waits for it, and raises what went wrong."""
        future = self._thread.submit(self._paint, padded(windows, size), padded(faces, size))
        return lambda: future.result()[: len(faces)]


def by_packed_torch(network: Folded, dtype: str) -> Paint:
    """Have torch paint with packed weights; only where it `can_pack`."""
    return numpy_of(TorchNetwork(network, getattr(torch, dtype), packed_for=BATCH))


def by_torch(network: Folded, dtype: str) -> Paint:
    """Have torch paint by its public functions."""
    return numpy_of(TorchNetwork(network, getattr(torch, dtype)))


def by_openvino(network: Folded, dtype: str) -> Paint:
    """Have OpenVINO paint with as many threads as torch would; raises SetupError E401 when it cannot be loaded."""
    made = OpenVinoNetwork(network, dtype, count=BATCH, threads=torch.get_num_threads())
    if made.dtype != dtype:
        raise SetupError("E401", f"OpenVINO computes in {made.dtype} on this processor, not in {dtype}")
    return made.paint


def numpy_of(made: TorchNetwork) -> Paint:
    """Let a network on the CPU take and give arrays."""

    def paint(windows: NDArray[np.float32], faces: NDArray[np.float32]) -> NDArray[np.float32]:
        return made.paint(torch.from_numpy(windows), torch.from_numpy(faces)).contiguous().numpy()

    return paint
