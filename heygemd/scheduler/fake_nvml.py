"""A stand-in for the `pynvml` module with GPUs of one's choosing; behaves as the real one does at its edges."""

from dataclasses import dataclass, field
from types import SimpleNamespace

UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 1, 2, 3, 6
LIBRARY_NOT_FOUND, GPU_IS_LOST = 12, 15
"""Codes of nvml.h (nvmlReturn_t)."""
TEXTS = {
    UNINITIALIZED: "Uninitialized",
    INVALID_ARGUMENT: "Invalid Argument",
    NOT_SUPPORTED: "Not Supported",
    NOT_FOUND: "Not Found",
    LIBRARY_NOT_FOUND: "NVML Shared Library Not Found",
    GPU_IS_LOST: "GPU is lost",
}


class FakeNvmlError(Exception):
    """What the fake raises where pynvml raises NVMLError; `value` is NVML's return code."""

    def __init__(self, value: int) -> None:
        super().__init__(TEXTS[value])
        self.value = value


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGpu:
    """One card."""

    name: str = "NVIDIA Fake 16GB"
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    total_bytes: int = 16 << 30
    free_bytes: int = 15 << 30
    utilisation_percent: int | None = 0
    """None: the card does not support the question."""
    is_lost: bool = False


@dataclass
class FakeNvml:
    """NVML with these cards; `is_installed=False` is a machine without the driver."""

    gpus: tuple[FakeGpu, ...] = ()
    is_installed: bool = True
    open_count: int = field(default=0, init=False)
    """Calls of `nvmlInit` not yet answered by `nvmlShutdown`."""

    NVMLError = FakeNvmlError

    def nvmlInit(self) -> None:  # NVML's own names, here and below
        """Open the library."""
        if not self.is_installed:
            raise FakeNvmlError(LIBRARY_NOT_FOUND)
        self.open_count += 1

    def nvmlShutdown(self) -> None:
        """Close what `nvmlInit` opened."""
        self._check_open()
        self.open_count -= 1

    def nvmlDeviceGetCount(self) -> int:
        """Count the cards, lost ones too."""
        self._check_open()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        """Handle of a card by its place on the bus."""
        self._check_open()
        if not 0 <= index < len(self.gpus):
            raise FakeNvmlError(INVALID_ARGUMENT)
        self._check_reachable(self.gpus[index])
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> FakeGpu:
        """Handle of a card by its whole UUID; bytes, as ctypes wants them."""
        self._check_open()
        for gpu in self.gpus:
            if gpu.uuid.encode() == uuid:
                return gpu
        raise FakeNvmlError(NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        """UUID of a card."""
        self._check_open()
        return handle.uuid

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        """Product name of a card."""
        self._check_reachable(handle)
        return handle.name

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu) -> SimpleNamespace:
        """Bytes: total, free, used."""
        self._check_reachable(handle)
        used = handle.total_bytes - handle.free_bytes
        return SimpleNamespace(total=handle.total_bytes, free=handle.free_bytes, used=used)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> SimpleNamespace:
        """Percent of time the card was busy."""
        self._check_reachable(handle)
        if handle.utilisation_percent is None:
            raise FakeNvmlError(NOT_SUPPORTED)
        return SimpleNamespace(gpu=handle.utilisation_percent, memory=0)

    def _check_open(self) -> None:
        if not self.open_count:
            raise FakeNvmlError(UNINITIALIZED)

    def _check_reachable(self, handle: FakeGpu) -> None:
        self._check_open()
        if handle.is_lost:
            raise FakeNvmlError(GPU_IS_LOST)
