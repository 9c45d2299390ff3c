"""Processors: how they are described, and what does not fit."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace

import pynvml
import pytest

from heygemd.doctor import devices
from heygemd.doctor.finding import Level
from heygemd.doctor.torchfit import may_run
from heygemd.scheduler import driver
from heygemd.scheduler.devices import Device, Holder, find_devices
from heygemd.scheduler.driver import DriverFacts, read_driver
from heygemd.scheduler.fake_nvml import FakeGpu, FakeNvml
from heygemd.scheduler.machine import Machine

GPU = Device(index=0, name="Test GPU", kind="cuda", total_bytes=8 << 30, free_bytes=4 << 30)


def of_devices(studio):
    return studio.examine("devices")


def wrong(studio):
    return [(finding.code, finding.level.value) for finding in of_devices(studio) if finding.level is not Level.OK]


def test_a_card_is_described_with_those_who_hold_its_memory():
    assert "no process on it is known; not throttled" in devices._card(GPU)
    busy = replace(
        GPU,
        holders=(Holder(4711, 3 << 30), Holder(4712, None)),
        throttle=("hw_thermal_slowdown",),
        temperature_c=93,
    )
    assert devices._card(busy) == (
        "Test GPU; 4096 MiB of 8192 MiB free; held by pid 4711 3072 MiB, pid 4712; "
        "throttled: hw_thermal_slowdown; 93 °C"
    )


def test_the_cores_and_the_memory_of_the_cpu_are_told_with_what_limits_them(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text("cpu0 1\ncpu1 1\n")
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {4 << 20} kB\n")
    monkeypatch.setattr(devices, "Machine", lambda: Machine(proc=tmp_path, affinity=lambda: 1))
    cpu = Device(index=0, name="a CPU", kind="cpu", total_bytes=8 << 30, free_bytes=4 << 30)
    message = devices._cpu(cpu)
    assert message.startswith("1 cores (the machine has 2, but ")
    assert "4096 MiB of 8192 MiB memory available" in message


def test_a_required_card_that_is_absent_is_told(studio):
    studio.extra_toml = "[render]\nrequire_gpu = true\n"
    assert wrong(studio) == [("E406", "bad")]


def test_nothing_of_cards_matters_to_who_wants_none(studio):
    studio.with_card(cuda_version=11040)
    studio.with_around(nvml=FakeNvml((FakeGpu(is_lost=True),)))
    studio.extra_toml = '[render]\ndevice = "cpu"\n'
    assert wrong(studio) == []


def test_a_card_without_driver_is_a_warning(studio):
    studio.with_card(is_installed=False)
    (studio.folder / "proc/driver/nvidia/version").unlink()
    (studio.folder / "proc/modules").write_text("snd 1 0 - Live 0x0\nnouveau 1 0 - Live 0x0\n")
    (finding,) = [found for found in of_devices(studio) if found.level is not Level.OK]
    assert (finding.code, finding.level) == ("E406", Level.WARNING)
    assert "nouveau drives it" in finding.message
    assert "apt-get install nvidia-driver" in finding.fix


def test_a_driver_without_its_library_or_without_device_files_is_told(studio):
    studio.with_card(is_installed=False)
    (finding,) = [found for found in of_devices(studio) if found.level is not Level.OK]
    assert "libnvidia-ml.so.1 is missing" in finding.message
    studio.with_card(is_loaded=False)
    (studio.folder / "dev/nvidiactl").unlink()
    (finding,) = [found for found in of_devices(studio) if found.level is not Level.OK]
    assert f"{studio.folder}/dev/nvidiactl is missing" in finding.message
    assert "nvidia-modprobe" in finding.fix


def test_memory_errors_and_slices_of_a_card_are_told(studio):
    studio.with_card()
    studio.with_around(nvml=FakeNvml((FakeGpu(ecc_errors=3, is_split=True),)))
    told = {(finding.level.value, finding.message) for finding in of_devices(studio)}
    assert ("warning", "its memory has had 3 errors that could not be corrected") in told
    assert any("MIG" in message for _, message in told)


def test_a_card_that_is_full_just_now_is_no_fault(studio):
    torch = json.loads(json.dumps(studio.torch))
    studio.with_card()
    torch = json.loads(json.dumps(studio.torch))
    torch["torch"]["devices"][0]["error"] = "CUDA out of memory. Tried to allocate 2.00 MiB."
    studio.torch = torch
    assert wrong(studio) == [("E301", "warning")]


def test_a_torch_that_finds_no_card_says_why(studio):
    studio.with_card()
    torch = json.loads(json.dumps(studio.torch))
    torch["torch"] |= {"devices": [], "reason": "CUDA unknown error"}
    studio.torch = torch
    (finding,) = [found for found in of_devices(studio) if found.level is not Level.OK]
    assert finding.message == "it finds no card: CUDA unknown error"


def test_a_torch_that_does_not_answer_is_told(studio):
    studio.torch = {"error": "the process ended with status -11: Segmentation fault"}
    (finding,) = [found for found in of_devices(studio) if found.level is not Level.OK]
    assert (finding.code, finding.subject) == ("E401", "torch")
    assert "pip install --force-reinstall torch" in finding.fix


@pytest.mark.parametrize(
    ("capability", "architectures", "fits"),
    [
        ((8, 6), ["sm_80", "sm_90"], True),
        ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80", "compute_90"], False),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_80", "compute_90"], True),
        ((12, 0), ["sm_90a", "sm_120"], True),
        ((10, 0), ["sm_90a"], False),
    ],
)
def test_a_build_runs_on_its_generation_and_intermediate_code_on_later_ones(capability, architectures, fits):
    assert may_run(capability, architectures) is fits


def test_the_driver_tells_its_version_and_what_its_cards_can_do():
    nvml = FakeNvml((FakeGpu(capability=(9, 0), ecc_errors=0), FakeGpu(is_lost=True), FakeGpu(is_split=False)))
    facts = read_driver(nvml, find_devices(nvml, {}))
    assert (facts.version, facts.cuda, facts.error) == ("550.54.15", (12, 4), "")
    assert facts.capabilities["cuda:0"] == (9, 0)
    assert (facts.ecc_errors, facts.split) == ({}, ())
    assert nvml.open_count == 0


@pytest.mark.parametrize(
    ("nvml", "number"),
    [(FakeNvml(is_installed=False), 12), (FakeNvml(is_loaded=False), 9), (FakeNvml(is_upgraded=True), 18)],
)
def test_a_driver_that_does_not_answer_says_why(nvml, number):
    facts = read_driver(nvml)
    assert (facts.error_number, bool(facts.error), facts.cuda) == (number, True, None)
    assert facts == replace(DriverFacts(), error=facts.error, error_number=number)


def test_the_child_tells_what_torch_is():
    argv = [sys.executable, "-m", "heygemd.render.machine_facts"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    facts = json.loads(done.stdout)
    assert facts["torch"]["version"]
    assert facts["torch"]["cpu_error"] == ""
    assert all("version" in told for told in facts["libraries"].values())


def test_every_name_that_is_asked_for_is_one_of_pynvml_and_of_the_fake():
    asked = set(re.findall(r"\b(?:nvml[A-Z]|NVML_(?!ERROR))\w+", inspect.getsource(driver)))
    assert len(asked) >= 9
    assert {name for name in asked if not (hasattr(pynvml, name) and hasattr(FakeNvml, name))} == set()
    assert pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH == driver.VERSIONS_DIFFER
    assert pynvml.NVML_ERROR_LIBRARY_NOT_FOUND == driver.LIBRARY_ABSENT
