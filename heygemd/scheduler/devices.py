"""Which processors there are: the only module that talks to NVML, and it asks for nothing but facts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pynvml
import structlog

from heygemd.errors import SetupError
from heygemd.scheduler.machine import Machine

log = structlog.get_logger(__name__)

Nvml = Any
"""The `pynvml` module, which carries no types, or a `FakeNvml` in its place."""
Handle = Any
"""NVML's handles are opaque."""
Answer = Any
"""What a function of NVML returns; None where a card does not tell."""
NVML: Nvml = pynvml
"""The real one, for those who must not import it themselves."""
THROTTLES = {
    0x04: "sw_power_cap",
    0x08: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
}
"""Bits of nvml.h (nvmlClocksEventReason…) for a card that is slower than it should be, by nvidia-smi's names;
without those that are somebody's will: idle, chosen clocks, a display."""
PROCESS_LISTS = (
    ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
)
"""Newest first; the names without version raise an error of their own kind when library and driver differ."""


class Holder(NamedTuple):
    """A process that holds memory of a card."""

    pid: int
    held_bytes: int | None
    """None where the driver does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One processor that can carry a worker, and how it stood when it was looked at."""

    index: int
    """Number that CUDA gives it in our processes (after CUDA_VISIBLE_DEVICES); 0 for the CPU."""
    name: str
    kind: Literal["cpu", "cuda"]
    total_bytes: int
    """Without what the driver keeps for itself, or, of the CPU, without what control groups forbid."""
    free_bytes: int
    utilisation: float | None = None
    """0..1; None where nothing measures it."""
    uuid: str = ""
    """What the card is called, whatever its number; empty for the CPU."""
    holders: tuple[Holder, ...] = ()
    """Processes on the card, ours too, by pid; empty where listing them is not supported or not permitted."""
    throttle: tuple[str, ...] = ()
    """Why the card is slower than it could be: names out of `THROTTLES`."""
    temperature_c: int | None = None
    cores: int = 1
    """Of the CPU: how many cores we may use."""
    is_lost: bool = False
    """It fell off the bus, or its driver does not answer; the other facts are then old."""

    @property
    def label(self) -> str:
        """What a worker is told: `cpu` or `cuda:N`."""
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


def find_devices(nvml: Nvml = NVML, environ: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """Look at every GPU that CUDA would show us, in CUDA's order, and last at the CPU; never raises.

    A GPU that is lost or not ours to read is left out and logged; without NVML only the CPU is found.
    `environ` is the process environment unless a test brings its own.
    """
    return (*(card for card in _cards(nvml, environ) if not card.is_lost), read_cpu(Machine()))


def find_lost(nvml: Nvml = NVML, environ: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """Find the GPUs that `find_devices` leaves out: each has a number, and the reason as its name."""
    return tuple(card for card in _cards(nvml, environ) if card.is_lost)


def choose_devices(
    setting: Literal["auto", "cpu", "cuda"], require_gpu: bool, found: Sequence[Device]
) -> tuple[Device, ...]:
    """Pick the devices that get workers: every GPU, and last the CPU, for engines without a network and as a refuge.

    Raises SetupError E406 when a GPU is required (by `require_gpu`, or by `setting == "cuda"`) and none is there.
    """
    gpus = tuple(device for device in found if device.kind == "cuda")
    cpus = tuple(device for device in found if device.kind == "cpu")
    if require_gpu and setting == "cpu":
        raise SetupError("E406", "require_gpu = true contradicts device = cpu")
    if not gpus and (require_gpu or setting == "cuda"):
        raise SetupError("E406", "NVML shows no usable GPU")
    wants_gpu = gpus and setting != "cpu"
    chosen = (*gpus, *cpus) if wants_gpu else cpus
    why_cpu = "beside the GPUs" if wants_gpu else "set to cpu" if setting == "cpu" else "no GPU found"
    for device in chosen:
        log.info(
            "device.selected",
            device=device.label,
            name=device.name,
            total_bytes=device.total_bytes,
            free_bytes=device.free_bytes,
            reason="GPU found" if device.kind == "cuda" else why_cpu,
        )
    return chosen


def read_cpu(machine: Machine) -> Device:
    """Look at the CPU and its memory."""
    memory, cores = machine.memory(), machine.cores()
    return Device(
        index=0,
        name=f"CPU with {cores.present} threads",
        kind="cpu",
        total_bytes=memory.total_bytes,
        free_bytes=memory.available_bytes,
        cores=cores.usable,
    )


def read_card(nvml: Nvml, handle: Handle, index: int) -> Device:
    """Ask a card for everything; raises NVML's error when it does not tell its name and its memory."""
    total_bytes, free_bytes = _memory(nvml, handle)
    name = nvml.nvmlDeviceGetName(handle)
    rates = _ask(nvml, handle, ("nvmlDeviceGetUtilizationRates",))
    throttle_mask = _ask(
        nvml, handle, ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    )
    temperature_questions = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
    return Device(
        index=index,
        name=name,
        kind="cuda",
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        utilisation=None if rates is None else rates.gpu / 100,
        uuid=_ask(nvml, handle, ("nvmlDeviceGetUUID",)) or "",
        holders=_holders(nvml, handle),
        throttle=tuple(name for bit, name in THROTTLES.items() if (throttle_mask or 0) & bit),
        temperature_c=_ask(nvml, handle, temperature_questions, nvml.NVML_TEMPERATURE_GPU),
    )


def find_handles(nvml: Nvml, wanted: Sequence[Device]) -> dict[str, Handle]:
    """Find the cards of an earlier look again, by UUID: label → handle, without those that do not answer.

    Places on the bus may have changed since. Raises NVML's error when NVML as a whole does not answer. The search
    goes through the places because NVML's own search by UUID fails when any other card is lost (nvml.h).
    """
    handles: dict[str, Handle] = {}
    for place in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(place)
            uuid = nvml.nvmlDeviceGetUUID(handle)
        except nvml.NVMLError:
            continue
        for device in wanted:
            if device.uuid == uuid or (not device.uuid and device.index == place):
                handles[device.label] = handle
    for device in wanted:
        if device.uuid.startswith("MIG-") and (slice_ := _slice(nvml, device.uuid)) is not None:
            handles[device.label] = slice_
    return handles


def is_card_gone(nvml: Nvml, error: Exception) -> bool:
    """Tell a card that fell off the bus, or works no more before a reset, from one that only did not answer now."""
    return getattr(error, "value", None) in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED)


def _cards(nvml: Nvml, environ: Mapping[str, str] | None) -> list[Device]:
    visible = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.info("device.nvml_absent", reason=str(error))
        return []
    try:
        return [_card(nvml, index, handle) for index, handle in enumerate(_visible_handles(nvml, visible))]
    except nvml.NVMLError as error:
        log.warning("device.nvml_failed", reason=str(error))
        return []
    finally:
        _close(nvml)


def _close(nvml: Nvml) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:  # it is closed already when the driver has gone
        log.debug("device.nvml_failed", reason=str(error))


def _card(nvml: Nvml, index: int, handle: Handle | Exception) -> Device:
    """Describe one card; one that does not answer is described as lost."""
    try:
        if isinstance(handle, nvml.NVMLError):
            raise handle
        device = read_card(nvml, handle, index)
    except nvml.NVMLError as error:
        log.warning("device.unreadable", index=index, reason=str(error))
        return Device(index=index, name=str(error), kind="cuda", total_bytes=0, free_bytes=0, is_lost=True)
    untold = [fact for fact in ("utilisation", "temperature_c", "uuid") if getattr(device, fact) in (None, "")]
    if untold:
        log.debug("device.fact_missing", device=device.label, facts=untold)
    return device


def _visible_handles(nvml: Nvml, visible: str | None) -> list[Handle | Exception]:
    """Look the devices up in CUDA's order; in place of a card that cannot be reached stands the error.

    As in CUDA, the list ends at the first entry that names no device, and an entry that comes twice leaves nothing.
    """
    everything = [_handle(nvml, place) for place in range(nvml.nvmlDeviceGetCount())]
    if visible is None:
        return everything
    entries = [part.strip() for part in visible.split(",")]
    chosen: list[Handle | Exception] = []
    for number, entry in enumerate(entries):
        handle = _named(nvml, entry, everything)
        if handle is None:
            break
        if entry in entries[:number]:
            return []
        chosen.append(handle)
    return chosen


def _handle(nvml: Nvml, place: int) -> Handle | Exception:
    try:
        return nvml.nvmlDeviceGetHandleByIndex(place)
    except nvml.NVMLError as error:  # a card that fell off the bus must not hide the others
        return error


def _named(nvml: Nvml, entry: str, handles: list[Handle | Exception]) -> Handle | Exception | None:
    """Find the device that an entry of CUDA_VISIBLE_DEVICES names: a number, or a (cut) UUID."""
    if entry.isdecimal():
        return handles[int(entry)] if int(entry) < len(handles) else None
    if entry.startswith("MIG-"):
        return _slice(nvml, entry)
    if not entry.startswith("GPU-"):
        return None
    there = [handle for handle in handles if not isinstance(handle, nvml.NVMLError)]
    matches = [handle for handle in there if (_ask(nvml, handle, ("nvmlDeviceGetUUID",)) or "").startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _slice(nvml: Nvml, uuid: str) -> Handle | None:
    """Find a slice of a card (MIG); places on the bus do not lead to it."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
    except nvml.NVMLError:
        return None


def _memory(nvml: Nvml, handle: Handle) -> tuple[int, int]:
    """Total and free bytes; a driver before 510 does not tell what it keeps for itself."""
    memory = _ask(nvml, handle, ("nvmlDeviceGetMemoryInfo",), nvml.nvmlMemory_v2)
    if memory is not None:
        return int(memory.total - memory.reserved), int(memory.free)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return int(memory.total), int(memory.free)


def _holders(nvml: Nvml, handle: Handle) -> tuple[Holder, ...]:
    """List who is on the card; who computes and draws is in both lists, with the same number."""
    held: dict[int, int | None] = {}
    for questions in PROCESS_LISTS:
        for process in _ask(nvml, handle, questions) or ():
            told = [count for count in (held.get(process.pid), process.usedGpuMemory) if count is not None]
            held[process.pid] = max(told, default=None)
    return tuple(Holder(pid, held_bytes) for pid, held_bytes in sorted(held.items()))


def _ask(nvml: Nvml, handle: Handle, questions: Sequence[str], *arguments: int) -> Answer:
    """Answer of the first of these functions that library and driver know; None where the card does not tell."""
    for question in questions:
        function = getattr(nvml, question, None)
        try:
            if function is not None:
                return function(handle, *arguments)
        except nvml.NVMLError:  # not supported on slices and some virtual cards, or not permitted
            continue
    return None
