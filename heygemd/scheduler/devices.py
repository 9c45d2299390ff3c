"""Which processors there are: the only module that talks to NVML, and it asks for nothing but facts."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import pynvml
import structlog

from heygemd.errors import SetupError

log = structlog.get_logger(__name__)

Nvml = Any
"""The `pynvml` module, which carries no types, or a `FakeNvml` in its place."""
Handle = Any
"""NVML's handles are opaque."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One processor that can carry a worker, and how it stood when it was looked at."""

    index: int
    """Number that CUDA gives it in our processes (after CUDA_VISIBLE_DEVICES); 0 for the CPU."""
    name: str
    kind: Literal["cpu", "cuda"]
    total_bytes: int
    free_bytes: int
    utilisation: float | None = None
    """0..1; None where nothing measures it."""

    @property
    def label(self) -> str:
        """What a worker is told: `cpu` or `cuda:N`."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def find_devices(nvml: Nvml = pynvml, environ: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """Look at every GPU that CUDA would show us, in CUDA's order, and last at the CPU; never raises.

    A GPU that is lost or not ours to read is left out and logged; without NVML only the CPU is found.
    `environ` is the process environment unless a test brings its own.
    """
    visible = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    return (*_gpus(nvml, visible), _cpu())


def choose_devices(
    setting: Literal["auto", "cpu", "cuda"], require_gpu: bool, found: Sequence[Device]
) -> tuple[Device, ...]:
    """Pick the devices that get a worker: every GPU, else the CPU.

    Raises SetupError E406 when a GPU is required (by `require_gpu`, or by `setting == "cuda"`) and none is there.
    """
    gpus = tuple(device for device in found if device.kind == "cuda")
    if require_gpu and setting == "cpu":
        raise SetupError("E406", "require_gpu = true contradicts device = cpu")
    if not gpus and (require_gpu or setting == "cuda"):
        raise SetupError("E406", "NVML shows no usable GPU")
    wants_gpu = gpus and setting != "cpu"
    chosen = gpus if wants_gpu else tuple(device for device in found if device.kind == "cpu")
    for device in chosen:
        log.info(
            "device.selected",
            device=device.label,
            name=device.name,
            total_bytes=device.total_bytes,
            free_bytes=device.free_bytes,
            reason="GPU found" if wants_gpu else "set to cpu" if setting == "cpu" else "no GPU found",
        )
    return chosen


def _gpus(nvml: Nvml, visible: str | None) -> list[Device]:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.info("device.nvml_absent", reason=str(error))
        return []
    try:
        handles = _visible_handles(nvml, visible)
        devices = [_gpu(nvml, index, handle) for index, handle in enumerate(handles)]
    except nvml.NVMLError as error:
        log.warning("device.nvml_failed", reason=str(error))
        devices = []
    finally:
        with _tolerant(nvml):
            nvml.nvmlShutdown()
    return [device for device in devices if device is not None]


def _visible_handles(nvml: Nvml, visible: str | None) -> list[Handle | None]:
    """Look the devices up in CUDA's order. As in CUDA, the list ends at the first entry that names no device."""
    everything = [_handle(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    if visible is None:
        return everything
    chosen: list[Handle | None] = []
    for entry in (part.strip() for part in visible.split(",")):
        handle = _named(nvml, entry, everything)
        if handle is None:
            break
        chosen.append(handle)
    return chosen


def _handle(nvml: Nvml, index: int) -> Handle | None:
    try:
        return nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:  # a card that fell off the bus must not hide the others
        log.warning("device.unreadable", index=index, reason=str(error))
        return None


def _named(nvml: Nvml, entry: str, handles: list[Handle | None]) -> Handle | None:
    """Find the device that an entry of CUDA_VISIBLE_DEVICES names: a number, or a (cut) UUID."""
    if entry.isdecimal():
        return handles[int(entry)] if int(entry) < len(handles) else None
    if entry.startswith("MIG-"):
        with _tolerant(nvml):
            return nvml.nvmlDeviceGetHandleByUUID(entry.encode())
        return None
    if not entry.startswith("GPU-"):
        return None
    matches = [h for h in handles if h is not None and nvml.nvmlDeviceGetUUID(h).startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _gpu(nvml: Nvml, index: int, handle: Handle | None) -> Device | None:
    if handle is None:
        return None
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        name = nvml.nvmlDeviceGetName(handle)
    except nvml.NVMLError as error:
        log.warning("device.unreadable", index=index, reason=str(error))
        return None
    utilisation = None
    with _tolerant(nvml):  # not supported on MIG slices and some virtual GPUs
        utilisation = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return Device(
        index=index,
        name=name,
        kind="cuda",
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        utilisation=utilisation,
    )


@contextmanager
def _tolerant(nvml: Nvml) -> Iterator[None]:
    try:
        yield
    except nvml.NVMLError as error:
        log.debug("device.fact_missing", reason=str(error))


def _cpu() -> Device:
    memory = psutil.virtual_memory()
    return Device(
        index=0,
        name=f"CPU with {psutil.cpu_count() or 1} threads",
        kind="cpu",
        total_bytes=memory.total,
        free_bytes=memory.available,
    )
