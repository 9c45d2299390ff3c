"""Runs the network on a device, in batches whose shape depends on nothing but how many frames are asked for at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW, MEL_BANDS, MEL_FRAMES, Wav2LipNetwork, folded

log = structlog.get_logger(__name__)

LARGEST_BATCH = 64
LARGEST_CPU_BATCH = 8
"""Larger batches gain nothing on a CPU (measured: 41 ms a frame with 4, 8 and 16) and pad more."""
CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Processor flags of native bfloat16 arithmetic (x86, x86, ARM); where they lack, torch emulates it, slowly."""

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


class Generator:
    """The folded network on one device; half precision where the device computes in it natively."""

    def __init__(self, network: Wav2LipNetwork, device: str) -> None:
        self.device = torch.device(device)
        self.dtype = fastest_dtype(self.device)
        self._network = folded(network, self.dtype).to(self.device)
        log.info("wav2lip.generator_loaded", device=device, dtype=self.precision)

    @property
    def precision(self) -> str:
        """Number format that it computes in, as torch names it."""
        return str(self.dtype).removeprefix("torch.")

    def paint(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Halves:
        """Repaint n faces and wait for them."""
        return self.submit(windows, faces, batch_frames=batch_frames)()

    @torch.inference_mode()
    def submit(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Callable[[], Halves]:
        """Begin to repaint n faces, in batches padded to the power of two that holds `batch_frames`.

        The padding keeps the shape, and so the choice of kernels, the same whatever number of frames has a face.
        """
        if not len(faces):
            return lambda: faces[:, LOWER_ROW:]
        size = min(_power_of_two(batch_frames), LARGEST_CPU_BATCH if self.device.type == "cpu" else LARGEST_BATCH)
        # All batches are queued before the first result is waited for, so a GPU copies and computes at once.
        starts = range(0, len(faces), size)
        painted = [self._run(windows[a : a + size], faces[a : a + size], size) for a in starts]
        pictures = torch.cat(painted)[: len(faces), :, LOWER_ROW:].permute(0, 2, 3, 1).mul(255)
        return lambda: np.ascontiguousarray(pictures.cpu().numpy(), np.float32)

    def _run(self, windows: Windows, faces: Squares, size: int) -> Tensor:
        mel = self._padded(windows, (size, MEL_FRAMES, MEL_BANDS)).transpose(1, 2).unsqueeze(1)
        whole = self._padded(faces, (size, FACE_PX, FACE_PX, 3)).permute(0, 3, 1, 2) / 255
        masked = whole.clone()
        masked[:, :, FACE_PX // 2 :] = 0
        pair = torch.cat((masked, whole), dim=1).to(self.dtype, memory_format=torch.channels_last)
        painted: Tensor = self._network(mel.to(self.dtype), pair)
        return painted

    def _padded(self, values: NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
        """Copy to the device, with zeros after the last row."""
        on_gpu = self.device.type == "cuda"
        tensor = torch.zeros(shape, dtype=torch.float32, pin_memory=on_gpu)
        tensor[: len(values)] = torch.from_numpy(values)
        return tensor.to(self.device, non_blocking=on_gpu)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """float16 on CUDA, bfloat16 on a CPU with instructions for it, else float32."""
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if _computes_bfloat16(CPU_INFO) else torch.float32


def _computes_bfloat16(cpu_info: Path) -> bool:
    try:
        text = cpu_info.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    lines = (line.split(":", 1) for line in text.splitlines() if line.startswith(("flags", "Features")))
    return any(BFLOAT16_FLAGS & set(parts[-1].split()) for parts in lines)


def _power_of_two(count: int) -> int:
    """Round up to 1, 2, 4, 8, …."""
    return 1 << max(0, count - 1).bit_length()
