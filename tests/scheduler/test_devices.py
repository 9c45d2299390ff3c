"""Devices: what NVML says, what CUDA_VISIBLE_DEVICES leaves of it, and what is chosen."""

import inspect

import pynvml
import pytest
from structlog.testing import capture_logs

from heygemd.errors import SetupError
from heygemd.scheduler import fake_nvml
from heygemd.scheduler.devices import Device, choose_devices, find_devices
from heygemd.scheduler.fake_nvml import FakeGpu, FakeNvml, FakeNvmlError

SMALL = FakeGpu(name="small", uuid="GPU-aaaa1111", total_bytes=8 << 30, free_bytes=6 << 30, utilisation_percent=25)
LARGE = FakeGpu(name="large", uuid="GPU-bbbb2222", total_bytes=80 << 30, free_bytes=79 << 30)
LOST = FakeGpu(name="lost", uuid="GPU-cccc3333", is_lost=True)
CPU = Device(index=0, name="CPU with 4 threads", kind="cpu", total_bytes=8 << 30, free_bytes=4 << 30)
GPU = Device(index=0, name="small", kind="cuda", total_bytes=8 << 30, free_bytes=6 << 30)


def names(nvml: FakeNvml, visible: str | None = None) -> list[tuple[str, str]]:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [(device.label, device.name) for device in find_devices(nvml, environ)[:-1]]


def test_a_machine_without_driver_has_one_cpu_with_its_memory() -> None:
    (cpu,) = find_devices(FakeNvml(is_installed=False), {})
    assert (cpu.kind, cpu.label, cpu.utilisation) == ("cpu", "cpu", None)
    assert cpu.total_bytes > cpu.free_bytes > 0


def test_a_gpu_is_described_as_nvml_sees_it() -> None:
    nvml = FakeNvml((SMALL,))
    gpu, cpu = find_devices(nvml, {})
    assert gpu == Device(index=0, name="small", kind="cuda", total_bytes=8 << 30, free_bytes=6 << 30, utilisation=0.25)
    assert cpu.kind == "cpu"
    assert nvml.open_count == 0


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("cuda:0", "small"), ("cuda:1", "large")]),
        ("1,0", [("cuda:0", "large"), ("cuda:1", "small")]),
        ("1", [("cuda:0", "large")]),
        ("", []),
        ("-1", []),
        ("0,7,1", [("cuda:0", "small")]),
        ("GPU-bbbb", [("cuda:0", "large")]),
        ("GPU-", []),
        ("MIG-1234", []),
        ("nonsense", []),
    ],
)
def test_devices_are_those_that_cuda_would_show(visible: str | None, expected: list[tuple[str, str]]) -> None:
    assert names(FakeNvml((SMALL, LARGE)), visible) == expected


def test_a_lost_card_hides_no_other_and_keeps_its_number() -> None:
    assert names(FakeNvml((LOST, LARGE))) == [("cuda:1", "large")]


def test_a_card_that_measures_no_utilisation_is_used_all_the_same() -> None:
    gpu, _ = find_devices(FakeNvml((FakeGpu(utilisation_percent=None),)), {})
    assert gpu.utilisation is None


@pytest.mark.parametrize(
    ("setting", "require_gpu", "found", "chosen"),
    [
        ("auto", False, (GPU, CPU), (GPU,)),
        ("auto", True, (GPU, CPU), (GPU,)),
        ("auto", False, (CPU,), (CPU,)),
        ("cpu", False, (GPU, CPU), (CPU,)),
        ("cuda", False, (GPU, CPU), (GPU,)),
    ],
)
def test_gpus_are_preferred_unless_forbidden(
    setting: str, require_gpu: bool, found: tuple[Device, ...], chosen: tuple[Device, ...]
) -> None:
    with capture_logs() as logs:
        assert choose_devices(setting, require_gpu, found) == chosen  # type: ignore[arg-type]
    assert [(line["event"], line["device"]) for line in logs] == [("device.selected", d.label) for d in chosen]


@pytest.mark.parametrize(
    ("setting", "require_gpu", "found"),
    [("auto", True, (CPU,)), ("cuda", False, (CPU,)), ("cpu", True, (GPU, CPU))],
)
def test_a_required_gpu_that_cannot_be_had_refuses_the_start(
    setting: str, require_gpu: bool, found: tuple[Device, ...]
) -> None:
    with pytest.raises(SetupError) as caught:
        choose_devices(setting, require_gpu, found)  # type: ignore[arg-type]
    assert caught.value.code == "E406"


def test_the_fake_has_the_names_and_arguments_of_pynvml() -> None:
    for name, method in inspect.getmembers(FakeNvml, inspect.isfunction):
        if name.startswith("nvml"):
            theirs = list(inspect.signature(getattr(pynvml, name)).parameters)
            ours = list(inspect.signature(method).parameters)[1:]
            assert theirs[: len(ours)] == ours, name


@pytest.mark.parametrize("value", fake_nvml.TEXTS)
def test_the_fake_errs_in_the_words_of_pynvml(value: int) -> None:
    assert str(FakeNvmlError(value)) == str(pynvml.NVMLError(value))


def test_the_fake_refuses_questions_before_init_as_nvml_does() -> None:
    with pytest.raises(FakeNvmlError) as caught:
        FakeNvml((SMALL,)).nvmlDeviceGetCount()
    assert caught.value.value == pynvml.NVML_ERROR_UNINITIALIZED
