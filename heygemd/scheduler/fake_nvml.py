"""A stand-in for the `pynvml` module with GPUs of one's choosing; behaves as the real one does at its edges.

What it raises where follows the header nvml.h; a test compares names, arguments, codes and constants with pynvml.
"""

import threading
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

T = TypeVar("T")

UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 1, 2, 3, 4, 6
DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED = 9, 12, 13, 15, 16
VERSIONS_DIFFER = 18
"""Codes of nvml.h (nvmlReturn_t)."""
TEXTS = {
    UNINITIALIZED: "Uninitialized",
    INVALID_ARGUMENT: "Invalid Argument",
    NOT_SUPPORTED: "Not Supported",
    NO_PERMISSION: "Insufficient Permissions",
    NOT_FOUND: "Not Found",
    DRIVER_NOT_LOADED: "Driver Not Loaded",
    LIBRARY_NOT_FOUND: "NVML Shared Library Not Found",
    FUNCTION_NOT_FOUND: "Function Not Found",
    GPU_IS_LOST: "GPU is lost",
    RESET_REQUIRED: "GPU requires restart",
    VERSIONS_DIFFER: "RM has detected an NVML/RM version mismatch.",
}
Kind = Literal["compute", "graphics"]


class FakeNvmlError(Exception):
    """What the fake raises where pynvml raises NVMLError; `value` is NVML's return code."""

    def __init__(self, value: int) -> None:
        super().__init__(TEXTS[value])
        self.value = value


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGpu:
    """One card, as it stands at the start."""

    name: str = "NVIDIA Fake 16GB"
    uuid: str = ""
    """Empty: one of its own, after its place on the bus."""
    total_bytes: int = 16 << 30
    free_bytes: int = 15 << 30
    reserved_bytes: int = 0
    """Of what is not free, the part that driver and firmware keep for themselves."""
    utilisation_percent: int | None = 0
    """None: the card does not support the question; so for the two below."""
    temperature_c: int | None = 40
    throttle_mask: int | None = 0
    """Bits of nvml.h (nvmlClocksEventReason…)."""
    capability: tuple[int, int] = (8, 9)
    """What its processors can do, as CUDA counts it."""
    ecc_errors: int | None = None
    """Errors of the memory that could not be corrected; None: its memory does not count them."""
    is_split: bool | None = None
    """Cut into slices (MIG); None: it cannot be."""
    is_lost: bool = False


class FakeHandle(NamedTuple):
    """Stands for a card in one session; worth nothing after the driver was loaded again."""

    place: int
    session: int


class FakeMemory(NamedTuple):
    """Bytes, as version 1 of the question tells them: what the driver keeps is in `used`."""

    total: int
    free: int
    used: int


class FakeMemoryV2(NamedTuple):
    """Bytes, as version 2 of the question tells them."""

    version: int
    total: int
    reserved: int
    free: int
    used: int


class FakeProcess(NamedTuple):
    """A process on a card; NVML's own field names."""

    pid: int
    usedGpuMemory: int | None
    gpuInstanceId: int = 0xFFFFFFFF
    computeInstanceId: int = 0xFFFFFFFF


class FakeUtilisation(NamedTuple):
    """Percent of time."""

    gpu: int
    memory: int


@dataclass
class _Card:
    gpu: FakeGpu
    processes: dict[tuple[Kind, int], int] = field(default_factory=dict)
    calls_left: int | None = None
    """Calls that it answers before it falls off the bus; None: it stays on it."""
    is_back: bool = False
    """It answers again, but NVML has not looked since."""

    @property
    def free_bytes(self) -> int:
        by_pid: dict[int, int] = {}
        for (_, pid), held_bytes in self.processes.items():  # in both lists NVML tells the same number
            by_pid[pid] = max(held_bytes, by_pid.get(pid, 0))
        return self.gpu.free_bytes - sum(by_pid.values())


@dataclass
class FakeNvml:
    """NVML with these cards, which change while it is open; `is_installed=False` is a machine without the driver."""

    gpus: tuple[FakeGpu, ...] = ()
    is_installed: bool = True
    is_loaded: bool = True
    """False: the library is there, the kernel module is not."""
    is_upgraded: bool = False
    """The library is newer than the module in the kernel, as after an upgrade without a restart."""
    driver_version: str = "550.54.15"
    cuda_version: int = 12040
    """Highest CUDA that the driver serves, as NVML writes it."""
    is_old: bool = False
    """A driver of 2020: neither version 2 of the memory question, nor version 3 of the process lists, nor the
    questions that got a new name later."""
    may_list: bool = True
    """False: asking for processes is not permitted, as in some containers."""
    tells_held_bytes: bool = True
    """False: processes are listed without what they hold."""
    open_count: int = field(default=0, init=False)
    """Calls of `nvmlInit` not yet answered by `nvmlShutdown`."""
    init_count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        numbered = (
            gpu if gpu.uuid else replace(gpu, uuid=f"GPU-{place:08x}-0000-0000-0000-000000000000")
            for place, gpu in enumerate(self.gpus)
        )
        self._cards = [_Card(gpu) for gpu in numbered]
        self._session = 0
        self._answers = threading.Event()
        self._answers.set()

    NVMLError = FakeNvmlError
    NVML_ERROR_GPU_IS_LOST = GPU_IS_LOST  # NVML's own names, here and below
    NVML_ERROR_RESET_REQUIRED = RESET_REQUIRED
    NVML_TEMPERATURE_GPU = 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 0x02000028

    def hold(self, index: int, pid: int, held_bytes: int, kind: Kind = "compute") -> None:
        """Let a process hold memory of a card; again: let it hold this much instead."""
        card = self._cards[index]
        card.processes[kind, pid] = held_bytes
        if card.free_bytes < 0:
            raise ValueError(f"card {index} has no room for {held_bytes} bytes of process {pid}")

    def free(self, index: int, pid: int) -> None:
        """End what a process does on a card."""
        kinds: tuple[Kind, ...] = ("compute", "graphics")
        for kind in kinds:
            self._cards[index].processes.pop((kind, pid), None)

    def alter(self, index: int, **facts: object) -> None:
        """Change any fact of a card: `alter(0, temperature_c=95, throttle_mask=0x40)`."""
        self._cards[index].gpu = replace(self._cards[index].gpu, **facts)  # type: ignore[arg-type]

    def lose(self, index: int, after_calls: int = 0) -> None:
        """Let a card fall off the bus, at once or after it has answered so many more calls."""
        self._cards[index].calls_left = after_calls

    def restore(self, index: int) -> None:
        """Let a card come back empty; NVML sees it when it is opened the next time."""
        self._cards[index].is_back = True

    def reload(self) -> None:
        """Load the driver again: every session is over and every handle invalid."""
        self.open_count, self._session = 0, self._session + 1

    def hang(self) -> None:
        """Let every call block, as a driver in trouble does, until `wake`."""
        self._answers.clear()

    def wake(self) -> None:
        """End what `hang` began."""
        self._answers.set()

    def nvmlInit(self) -> None:
        """Open the library."""
        self._answers.wait()
        if not self.is_installed:
            raise FakeNvmlError(LIBRARY_NOT_FOUND)
        if not self.is_loaded:
            raise FakeNvmlError(DRIVER_NOT_LOADED)
        if self.is_upgraded:
            raise FakeNvmlError(VERSIONS_DIFFER)
        if not self.open_count:
            self._cards = [_Card(replace(card.gpu, is_lost=False)) if card.is_back else card for card in self._cards]
        self.open_count += 1
        self.init_count += 1

    def nvmlShutdown(self) -> None:
        """Close what `nvmlInit` opened."""
        self._check_open()
        self.open_count -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        """Version of the driver."""
        self._check_open()
        return self.driver_version

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        """Highest CUDA that it serves: 12040 is 12.4."""
        self._check_open()
        return self.cuda_version

    def nvmlDeviceGetCount(self) -> int:
        """Count the cards, lost ones too."""
        self._check_open()
        return len(self._cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeHandle:
        """Handle of a card by its place on the bus."""
        self._check_open()
        if not 0 <= index < len(self._cards):
            raise FakeNvmlError(INVALID_ARGUMENT)
        handle = FakeHandle(index, self._session)
        self._reached(handle)
        return handle

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> FakeHandle:
        """Handle of a card by its whole UUID; bytes, as ctypes wants them. Any lost card spoils the search."""
        self._check_open()
        for place, card in enumerate(self._cards):
            handle = FakeHandle(place, self._session)
            self._reached(handle)
            if card.gpu.uuid.encode() == uuid:
                return handle
        raise FakeNvmlError(NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: FakeHandle) -> str:
        """UUID of a card."""
        return self._reached(handle).gpu.uuid

    def nvmlDeviceGetName(self, handle: FakeHandle) -> str:
        """Product name of a card."""
        return self._reached(handle).gpu.name

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeHandle) -> tuple[int, int]:
        """What its processors can do."""
        return self._reached(handle).gpu.capability

    def nvmlDeviceGetTotalEccErrors(self, handle: FakeHandle, errorType: int, counterType: int) -> int:
        """Errors of the memory; only those that could not be corrected since the driver was loaded."""
        if (errorType, counterType) != (self.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self.NVML_VOLATILE_ECC):
            raise FakeNvmlError(INVALID_ARGUMENT)
        return _supported(self._reached(handle).gpu.ecc_errors)

    def nvmlDeviceGetMigMode(self, device: FakeHandle) -> list[int]:
        """Is it cut into slices, and will it be after a restart?"""
        is_split = self._reached(device).gpu.is_split
        return [_supported(None if is_split is None else int(is_split))] * 2

    def nvmlDeviceGetMemoryInfo(self, handle: FakeHandle, version: int | None = None) -> FakeMemory | FakeMemoryV2:
        """Bytes; `version`: None or `nvmlMemory_v2`."""
        card = self._reached(handle)
        total, free, reserved = card.gpu.total_bytes, card.free_bytes, card.gpu.reserved_bytes
        if version is None:
            return FakeMemory(total, free, total - free)
        if self.is_old:
            raise FakeNvmlError(FUNCTION_NOT_FOUND)
        if version != self.nvmlMemory_v2:
            raise FakeNvmlError(INVALID_ARGUMENT)
        return FakeMemoryV2(version, total, reserved, free, total - free - reserved)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeHandle) -> FakeUtilisation:
        """Percent of time the card was busy."""
        return FakeUtilisation(_supported(self._reached(handle).gpu.utilisation_percent), 0)

    def nvmlDeviceGetTemperature(self, handle: FakeHandle, sensor: int) -> int:
        """Degrees Celsius of the chip."""
        if sensor != self.NVML_TEMPERATURE_GPU:
            raise FakeNvmlError(INVALID_ARGUMENT)
        return _supported(self._reached(handle).gpu.temperature_c)

    def nvmlDeviceGetTemperatureV(self, handle: FakeHandle, sensor: int) -> int:
        """The same by its new name."""
        return self._new(self.nvmlDeviceGetTemperature(handle, sensor))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: FakeHandle) -> int:
        """Bits: why the card runs slower than it could."""
        return _supported(self._reached(handle).gpu.throttle_mask)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeHandle) -> int:
        """The same by its new name."""
        return self._new(self.nvmlDeviceGetCurrentClocksThrottleReasons(handle))

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle: FakeHandle) -> list[FakeProcess]:
        """Processes that compute on a card."""
        return self._listed(handle, "compute")

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: FakeHandle) -> list[FakeProcess]:
        """The same by its new name."""
        return self._new(self._listed(handle, "compute"))

    def nvmlDeviceGetGraphicsRunningProcesses_v2(self, handle: FakeHandle) -> list[FakeProcess]:
        """Processes that draw on a card."""
        return self._listed(handle, "graphics")

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: FakeHandle) -> list[FakeProcess]:
        """The same by its new name."""
        return self._new(self._listed(handle, "graphics"))

    def _listed(self, handle: FakeHandle, wanted: Kind) -> list[FakeProcess]:
        card = self._reached(handle)
        if not self.may_list:
            raise FakeNvmlError(NO_PERMISSION)
        return [
            FakeProcess(pid, held_bytes if self.tells_held_bytes else None)
            for (kind, pid), held_bytes in card.processes.items()
            if kind == wanted
        ]

    def _new(self, answer: T) -> T:
        if self.is_old:
            raise FakeNvmlError(FUNCTION_NOT_FOUND)
        return answer

    def _check_open(self) -> None:
        self._answers.wait()
        if not self.open_count:
            raise FakeNvmlError(UNINITIALIZED)

    def _reached(self, handle: FakeHandle) -> _Card:
        """Count a call to a card, and answer for it as long as it is there."""
        self._check_open()
        if handle.session != self._session:
            raise FakeNvmlError(INVALID_ARGUMENT)
        card = self._cards[handle.place]
        if card.calls_left is not None:
            if not card.calls_left:
                card.gpu = replace(card.gpu, is_lost=True)
            card.calls_left = max(0, card.calls_left - 1)
        if card.gpu.is_lost:
            raise FakeNvmlError(GPU_IS_LOST)
        return card


def _supported(fact: int | None) -> int:
    if fact is None:
        raise FakeNvmlError(NOT_SUPPORTED)
    return fact
