"""Devices: what NVML says, what CUDA_VISIBLE_DEVICES leaves of it, and what is chosen."""

import inspect
import os
import re
from typing import Any

import pynvml
import pytest
from structlog.testing import capture_logs

from heygemd.errors import SetupError
from heygemd.scheduler import devices, fake_nvml, gauge
from heygemd.scheduler.devices import Device, Holder, choose_devices, find_devices, find_handles, find_lost
from heygemd.scheduler.fake_nvml import FakeGpu, FakeNvml, FakeNvmlError

SMALL = FakeGpu(name="small", uuid="GPU-aaaa1111", total_bytes=8 << 30, free_bytes=6 << 30, utilisation_percent=25)
LARGE = FakeGpu(name="large", uuid="GPU-bbbb2222", total_bytes=80 << 30, free_bytes=79 << 30)
LOST = FakeGpu(name="lost", uuid="GPU-cccc3333", is_lost=True)
CPU = Device(index=0, name="CPU with 4 threads", kind="cpu", total_bytes=8 << 30, free_bytes=4 << 30)
GPU = Device(index=0, name="small", kind="cuda", total_bytes=8 << 30, free_bytes=6 << 30)


def names(nvml: FakeNvml, visible: str | None = None) -> list[tuple[str, str]]:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [(device.label, device.name) for device in find_devices(nvml, environ)[:-1]]


def card_of(nvml: FakeNvml) -> Device:
    card, _ = find_devices(nvml, {})
    return card


def test_a_machine_without_driver_has_one_cpu_with_its_memory_and_cores() -> None:
    for nvml in (FakeNvml(is_installed=False), FakeNvml((SMALL,), is_loaded=False)):
        (cpu,) = find_devices(nvml, {})
        assert (cpu.kind, cpu.label, cpu.utilisation, cpu.uuid) == ("cpu", "cpu", None, "")
        assert cpu.total_bytes > cpu.free_bytes > 0
        assert 1 <= cpu.cores <= len(os.sched_getaffinity(0))


def test_a_gpu_is_described_as_nvml_sees_it() -> None:
    nvml = FakeNvml((SMALL,))
    nvml.alter(0, temperature_c=71, throttle_mask=0x04 | 0x40 | 0x01 | 0x02)
    nvml.hold(0, 4711, 2 << 30)
    gpu, cpu = find_devices(nvml, {})
    assert gpu == Device(
        index=0,
        name="small",
        kind="cuda",
        total_bytes=8 << 30,
        free_bytes=4 << 30,
        utilisation=0.25,
        uuid="GPU-aaaa1111",
        holders=(Holder(4711, 2 << 30),),
        throttle=("sw_power_cap", "hw_thermal_slowdown"),
        temperature_c=71,
    )
    assert cpu.kind == "cpu"
    assert nvml.open_count == 0


def test_memory_that_the_driver_keeps_is_not_ours_to_give() -> None:
    gpu = FakeGpu(total_bytes=16 << 30, free_bytes=15 << 30, reserved_bytes=1 << 29)
    assert card_of(FakeNvml((gpu,))).total_bytes == (16 << 30) - (1 << 29)
    assert card_of(FakeNvml((gpu,), is_old=True)).total_bytes == 16 << 30
    assert card_of(FakeNvml((gpu,), is_old=True)).free_bytes == 15 << 30


@pytest.mark.parametrize("is_old", [False, True])
def test_who_computes_and_who_draws_holds_memory_once(is_old: bool) -> None:
    nvml = FakeNvml((SMALL,), is_old=is_old)
    nvml.hold(0, 30, 1 << 30)
    nvml.hold(0, 30, 1 << 30, "graphics")
    nvml.hold(0, 7, 1 << 20, "graphics")
    card = card_of(nvml)
    assert card.holders == (Holder(7, 1 << 20), Holder(30, 1 << 30))
    assert card.free_bytes == (6 << 30) - (1 << 30) - (1 << 20)
    nvml.free(0, 30)
    assert card_of(nvml).holders == (Holder(7, 1 << 20),)


def test_an_old_driver_tells_what_throttles_and_how_hot_it_is() -> None:
    card = card_of(FakeNvml((FakeGpu(throttle_mask=0x88, temperature_c=90),), is_old=True))
    assert (card.throttle, card.temperature_c) == (("hw_slowdown", "hw_power_brake_slowdown"), 90)


def test_holders_that_may_not_be_listed_are_none_and_those_without_a_number_are_named() -> None:
    nvml = FakeNvml((SMALL,), may_list=False)
    nvml.hold(0, 30, 1 << 30)
    assert card_of(nvml).holders == ()
    assert card_of(nvml).free_bytes == 5 << 30
    nvml.may_list, nvml.tells_held_bytes = True, False
    assert card_of(nvml).holders == (Holder(30, None),)


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
        ("GPU-bbbb,GPU-aaaa", [("cuda:0", "large"), ("cuda:1", "small")]),
        ("0,1,0", []),
        (" 1 , 0", [("cuda:0", "large"), ("cuda:1", "small")]),
        ("MIG-1234", []),
        ("nonsense", []),
    ],
)
def test_devices_are_those_that_cuda_would_show(visible: str | None, expected: list[tuple[str, str]]) -> None:
    assert names(FakeNvml((SMALL, LARGE)), visible) == expected


def test_a_lost_card_hides_no_other_and_keeps_its_number() -> None:
    assert names(FakeNvml((LOST, LARGE))) == [("cuda:1", "large")]
    assert names(FakeNvml((LOST, LARGE)), "0,1") == [("cuda:1", "large")]
    assert names(FakeNvml((LOST, LARGE)), "GPU-bbbb") == [("cuda:0", "large")]
    (lost,) = find_lost(FakeNvml((LOST, LARGE)), {})
    assert (lost.label, lost.name, lost.is_lost) == ("cuda:0", "GPU is lost", True)


@pytest.mark.parametrize("calls", range(12))
def test_a_card_that_falls_off_the_bus_at_any_moment_hides_no_other(calls: int) -> None:
    nvml = FakeNvml((SMALL, LARGE))
    nvml.lose(0, after_calls=calls)
    *cards, cpu = find_devices(nvml, {})
    assert cards[-1].name == "large"
    assert cpu.kind == "cpu"
    assert nvml.open_count == 0


def test_a_slice_is_found_by_its_uuid() -> None:
    nvml = FakeNvml((LARGE, FakeGpu(uuid="MIG-1234", utilisation_percent=None)))
    slice_, _ = find_devices(nvml, {"CUDA_VISIBLE_DEVICES": "MIG-1234"})
    assert (slice_.label, slice_.uuid) == ("cuda:0", "MIG-1234")
    nvml.nvmlInit()
    assert find_handles(nvml, [slice_]).keys() == {"cuda:0"}


def test_cards_are_found_again_wherever_they_are_now_and_beside_a_lost_one() -> None:
    small, large, _ = find_devices(FakeNvml((SMALL, LARGE)), {})
    nvml = FakeNvml((LOST, LARGE, SMALL))
    nvml.nvmlInit()
    handles = find_handles(nvml, [small, large])
    assert {label: nvml.nvmlDeviceGetName(handle) for label, handle in handles.items()} == {
        "cuda:0": "small",
        "cuda:1": "large",
    }
    nvml.reload()
    with pytest.raises(FakeNvmlError):
        find_handles(nvml, [small, large])


def test_a_card_that_measures_nothing_but_memory_is_used_all_the_same() -> None:
    gpu = card_of(FakeNvml((FakeGpu(utilisation_percent=None, temperature_c=None, throttle_mask=None),)))
    assert (gpu.utilisation, gpu.temperature_c, gpu.throttle) == (None, None, ())
    assert gpu.free_bytes == 15 << 30


@pytest.mark.parametrize(
    ("setting", "require_gpu", "found", "chosen"),
    [
        ("auto", False, (GPU, CPU), (GPU, CPU)),
        ("auto", True, (GPU, CPU), (GPU, CPU)),
        ("auto", False, (CPU,), (CPU,)),
        ("cpu", False, (GPU, CPU), (CPU,)),
        ("cuda", False, (GPU, CPU), (GPU, CPU)),
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


def test_the_cpu_comes_last_for_what_needs_no_card_and_as_a_refuge() -> None:
    with capture_logs() as logs:
        assert [device.label for device in choose_devices("auto", False, (CPU, GPU))] == ["cuda:0", "cpu"]
    assert [line["reason"] for line in logs] == ["GPU found", "beside the GPUs"]


def test_the_fake_has_the_names_and_arguments_of_pynvml() -> None:
    for name, method in inspect.getmembers(FakeNvml, inspect.isfunction):
        if name.startswith("nvml"):
            theirs = list(inspect.signature(getattr(pynvml, name)).parameters)
            ours = list(inspect.signature(method).parameters)[1:]
            assert theirs[: len(ours)] == ours, name


def test_every_name_that_is_asked_for_is_one_of_pynvml_and_of_the_fake() -> None:
    asked = {
        name
        for module in (devices, gauge)
        for name in re.findall(r"\b(?:nvml[A-Z]|NVML_)\w+", inspect.getsource(module))
        if not name.endswith("Reason")
    }
    assert len(asked) >= 20
    assert {name for name in asked if not (hasattr(pynvml, name) and hasattr(FakeNvml, name))} == set()


def test_the_constants_are_those_of_pynvml() -> None:
    for name in dir(FakeNvml):
        if name.startswith(("NVML_", "nvml")) and isinstance(value := getattr(FakeNvml, name), int):
            assert getattr(pynvml, name) == value, name
    names = ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    assert list(devices.THROTTLES) == [getattr(pynvml, f"nvmlClocksEventReason{name}") for name in names]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fake_nvml.FakeMemory, pynvml.c_nvmlMemory_t),
        (fake_nvml.FakeMemoryV2, pynvml.c_nvmlMemory_v2_t),
        (fake_nvml.FakeUtilisation, pynvml.c_nvmlUtilization_t),
        (fake_nvml.FakeProcess, pynvml.c_nvmlProcessInfo_v3_t),
    ],
)
def test_the_fake_answers_in_the_shapes_of_pynvml(ours: Any, theirs: Any) -> None:
    assert set(ours._fields) == {name for name, *_ in theirs._fields_}


@pytest.mark.parametrize("value", fake_nvml.TEXTS)
def test_the_fake_errs_in_the_words_of_pynvml(value: int) -> None:
    assert str(FakeNvmlError(value)) == str(pynvml.NVMLError(value))


def test_the_fake_refuses_questions_before_init_as_nvml_does() -> None:
    with pytest.raises(FakeNvmlError) as caught:
        FakeNvml((SMALL,)).nvmlDeviceGetCount()
    assert caught.value.value == pynvml.NVML_ERROR_UNINITIALIZED


def test_the_fake_forgets_its_handles_when_the_driver_is_loaded_again() -> None:
    nvml = FakeNvml((SMALL,))
    nvml.nvmlInit()
    handle = nvml.nvmlDeviceGetHandleByIndex(0)
    nvml.reload()
    with pytest.raises(FakeNvmlError) as caught:
        nvml.nvmlDeviceGetName(handle)
    assert caught.value.value == pynvml.NVML_ERROR_UNINITIALIZED
    nvml.nvmlInit()
    with pytest.raises(FakeNvmlError) as caught:
        nvml.nvmlDeviceGetName(handle)
    assert caught.value.value == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_the_fake_finds_no_card_by_uuid_beside_a_lost_one() -> None:
    nvml = FakeNvml((LOST, LARGE))
    nvml.nvmlInit()
    with pytest.raises(FakeNvmlError) as caught:
        nvml.nvmlDeviceGetHandleByUUID(b"GPU-bbbb2222")
    assert caught.value.value == pynvml.NVML_ERROR_GPU_IS_LOST


def test_the_fake_gives_away_no_memory_twice() -> None:
    with pytest.raises(ValueError, match="no room"):
        FakeNvml((SMALL,)).hold(0, 1, 7 << 30)
