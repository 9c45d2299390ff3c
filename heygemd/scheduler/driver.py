"""What the NVIDIA driver says about itself and about what its cards can compute; asked only by the doctor.

Daemon and workers live without these facts. NVML comes through `devices`, its only door.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heygemd.scheduler.devices import NVML, Answer, Device, Handle, Nvml, find_handles

VERSIONS_DIFFER = 18
"""NVML_ERROR_LIB_RM_VERSION_MISMATCH: the library was upgraded, the module in the kernel is still the old one."""
LIBRARY_ABSENT = 12
"""NVML_ERROR_LIBRARY_NOT_FOUND."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """One look at the driver; never raises, what could not be had is empty."""

    version: str = ""
    """`550.54.15`."""
    cuda: tuple[int, int] | None = None
    """Highest CUDA that it can serve."""
    error: str = ""
    """Why NVML does not answer; empty when it does."""
    error_number: int | None = None
    """The same as NVML's return code."""
    capabilities: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Compute capability of each card that was asked for, by its label."""
    ecc_errors: Mapping[str, int] = field(default_factory=dict)
    """Memory errors since the driver was loaded that could not be corrected; only cards that have any."""
    split: tuple[str, ...] = ()
    """Labels of cards that are cut into slices (MIG)."""


def read_driver(nvml: Nvml = NVML, cards: Sequence[Device] = ()) -> DriverFacts:
    """Ask the driver about itself and about `cards`, an earlier look of `find_devices`."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return DriverFacts(error=str(error), error_number=getattr(error, "value", None))
    try:
        return _facts(nvml, cards)
    except nvml.NVMLError as error:
        return DriverFacts(error=str(error), error_number=getattr(error, "value", None))
    finally:
        _close(nvml)


def _facts(nvml: Nvml, cards: Sequence[Device]) -> DriverFacts:
    number = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
    handles = find_handles(nvml, [card for card in cards if card.kind == "cuda"])
    capabilities = {label: _capability(nvml, handle) for label, handle in handles.items()}
    ecc = {label: _uncorrected(nvml, handle) for label, handle in handles.items()}
    return DriverFacts(
        version=str(nvml.nvmlSystemGetDriverVersion()),
        cuda=(number // 1000, number % 1000 // 10),
        capabilities={label: found for label, found in capabilities.items() if found is not None},
        ecc_errors={label: count for label, count in ecc.items() if count},
        split=tuple(label for label, handle in handles.items() if _is_split(nvml, handle)),
    )


def _capability(nvml: Nvml, handle: Handle) -> tuple[int, int] | None:
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except nvml.NVMLError:
        return None
    return int(major), int(minor)


def _uncorrected(nvml: Nvml, handle: Handle) -> int:
    try:
        count: Answer = nvml.nvmlDeviceGetTotalEccErrors(
            handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        )
    except nvml.NVMLError:  # most cards have no such memory
        return 0
    return int(count)


def _is_split(nvml: Nvml, handle: Handle) -> bool:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _close(nvml: Nvml) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:  # it is closed already when the driver has gone
        return
