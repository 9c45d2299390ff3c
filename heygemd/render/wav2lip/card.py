"""The network on a graphics card: copies up, arithmetic and copies down in lanes of their own, side by side.

    upload     ▕ batch 2 ▏▕ batch 3 ▏
    compute    ▕ batch 1      ▏▕ batch 2      ▏
    download              ▕ 0 ▏          ▕ 1 ▏

`begin` fills pinned memory and queues the rest, so it waits for nothing; who asks for a batch waits for its own end
only. Faces travel as float32: 7 MB for 64 of them, less than 1 ms where the network takes 10, and beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heygemd.render.wav2lip.generator import Halves, Squares, Windows
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW, MEL_BANDS, MEL_FRAMES
from heygemd.render.wav2lip.torchnetwork import TorchNetwork

LARGEST_BATCH = 64


@dataclass(slots=True, kw_only=True)
class _Berth:
    """Memory of one batch on its way, here (pinned) and on the card; used again when the batch has come back."""

    size: int
    windows: Tensor
    faces: Tensor
    halves: Tensor
    card_windows: Tensor
    card_faces: Tensor
    card_halves: Tensor
    uploaded: Any
    painted: Any
    downloaded: Any


class Card:
    """The network on one CUDA device."""

    def __init__(self, network: TorchNetwork, device: torch.device, *, cuda: Any = torch.cuda) -> None:  # noqa: ANN401
        """`cuda` makes streams and events; another one than torch's is for tests without a card."""
        self.precision = str(network.dtype).removeprefix("torch.")
        self._network = network
        self._device = device
        self._cuda = cuda
        self._upload, self._compute, self._download = (cuda.Stream(device) for _ in range(3))
        self._free: list[_Berth] = []
        self._compute.wait_stream(cuda.current_stream(device))  # the weights are still on their way

    def faces_at_once(self, batch_frames: int) -> int:
        """Return the power of two that holds `batch_frames`, 64 at most."""
        return min(1 << max(0, batch_frames - 1).bit_length(), LARGEST_BATCH)

    def begin(self, windows: Windows, faces: Squares, *, size: int) -> Callable[[], Halves]:
        """Queue a batch; what is returned waits for it alone."""
        count = len(faces)
        berth = self._berth(size)
        for here, values in ((berth.windows, windows), (berth.faces, faces)):
            here[:count] = torch.from_numpy(values)
            here[count:] = 0
        with self._cuda.stream(self._upload):
            berth.card_windows.copy_(berth.windows, non_blocking=True)
            berth.card_faces.copy_(berth.faces, non_blocking=True)
            berth.uploaded.record(self._upload)
        with self._cuda.stream(self._compute):
            self._compute.wait_event(berth.uploaded)
            berth.card_halves.copy_(self._network.paint(berth.card_windows, berth.card_faces))
            berth.painted.record(self._compute)
        with self._cuda.stream(self._download):
            self._download.wait_event(berth.painted)
            berth.halves.copy_(berth.card_halves, non_blocking=True)
            berth.downloaded.record(self._download)
        return lambda: self._landed(berth, count)

    def _landed(self, berth: _Berth, count: int) -> Halves:
        berth.downloaded.synchronize()
        halves = np.array(berth.halves[:count].numpy())
        self._free.append(berth)
        return halves

    def _berth(self, size: int) -> _Berth:
        """Take memory that is free, or more of it; what is left of another batch size is given back."""
        self._free = [berth for berth in self._free if berth.size == size]
        return self._free.pop() if self._free else self._new_berth(size)

    def _new_berth(self, size: int) -> _Berth:
        shapes = ((MEL_FRAMES, MEL_BANDS), (FACE_PX, FACE_PX, 3), (FACE_PX - LOWER_ROW, FACE_PX, 3))
        is_cuda = self._device.type == "cuda"
        here = [torch.empty((size, *shape), pin_memory=is_cuda) for shape in shapes]
        there = [torch.empty((size, *shape), device=self._device) for shape in shapes]
        for lane in (self._upload, self._compute, self._download):
            # A batch that nobody waits for, after a fault, may still be on its way when its memory is let go.
            for tensor in there if is_cuda else ():
                tensor.record_stream(lane)
            lane.wait_stream(self._cuda.current_stream(self._device))  # its memory may be in use there until now
        return _Berth(
            size=size,
            windows=here[0], faces=here[1], halves=here[2],
            card_windows=there[0], card_faces=there[1], card_halves=there[2],
            uploaded=self._cuda.Event(), painted=self._cuda.Event(), downloaded=self._cuda.Event(),
        )  # fmt: skip
