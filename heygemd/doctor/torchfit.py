"""Do torch, the CUDA it was built for, the driver and the cards fit each other? Decides by facts alone."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, good, warning
from heygemd.doctor.surroundings import TORCH_LIMIT_S
from heygemd.scheduler.devices import Device
from heygemd.scheduler.driver import DriverFacts

LIMIT_S = TORCH_LIMIT_S + 5.0
OLDEST_DRIVERS = {11: "450.80", 12: "525.60", 13: "580.65"}
"""First driver for Linux that serves a major version of CUDA, and with it all its minor versions
(docs.nvidia.com/deploy/cuda-compatibility, "minor version compatibility")."""
NO_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")

Facts = dict[str, Any]


def judge(case: Case, facts: Facts, found: tuple[Device, ...], driver: DriverFacts) -> Iterator[Finding]:
    """Say what torch and the libraries beside it are, and the first thing that does not fit."""
    if "error" in facts:
        yield _broken("torch", facts["error"])
        return
    for name, told in facts["libraries"].items():
        if "error" in told:
            yield _broken(name.partition(".")[0], told["error"])
    torch = facts["torch"]
    if "error" in torch:
        yield _broken("torch", torch["error"])
        return
    if torch["cpu_error"]:
        yield _broken("torch", torch["cpu_error"])
        return
    versions = ", ".join(
        f"{name.partition('.')[0]} {told.get('version', '')}" for name, told in facts["libraries"].items()
    )
    built = f"CUDA {torch['cuda']}, cuDNN {_cudnn(torch['cudnn'])}" if torch["cuda"] else "the CPU"
    yield good("torch", f"{torch['version']} for {built}; {versions}", f"{torch['version']}（{built}）；{versions}")
    cards = [device for device in found if device.kind == "cuda"]
    if cards and case.render.device != "cpu":
        misfits = [*_misfits(torch, driver)] or [*_cards_misfit(torch, cards, driver)]
        yield from misfits or [good("torch", f"computes on {', '.join(card.name for card in cards)}")]


def _misfits(torch: Facts, driver: DriverFacts) -> Iterator[Finding]:
    """What no card of the machine can mend."""
    pip = f"{Path(sys.prefix) / 'bin' / 'pip'}"
    plain = str(torch["version"]).partition("+")[0]
    built = _major(torch["cuda"])
    if torch.get("hip"):
        yield bad(
            "torch", "it was built for AMD cards, the card is of NVIDIA", "torch 为 AMD 显卡版本，而显卡为 NVIDIA",
            code="E406", fix=f"{pip} install --force-reinstall torch=={plain}",
        )  # fmt: skip
    elif built is None:
        yield bad(
            "torch", f"{torch['version']} was built for the CPU alone: it cannot use the card",
            f"{torch['version']} 为纯 CPU 版本，无法使用显卡", code="E406",
            fix=f"{pip} install --force-reinstall torch=={plain}; or, to stay on the CPU, set render.device = \"cpu\"",
            fix_zh=f"{pip} install --force-reinstall torch=={plain}；若只用 CPU，请设置 render.device = \"cpu\"",
        )  # fmt: skip
    elif driver.cuda is not None and built > driver.cuda[0]:
        needed = OLDEST_DRIVERS.get(built, "one for that CUDA")
        cuda = f"{driver.cuda[0]}.{driver.cuda[1]}"
        yield bad(
            "torch", f"built for CUDA {torch['cuda']}, but driver {driver.version} serves only CUDA {cuda}",
            f"torch 需要 CUDA {torch['cuda']}，而驱动 {driver.version} 最高支持 CUDA {cuda}", code="E406",
            fix=f"upgrade the driver to {needed} or newer: sudo apt-get install nvidia-driver && sudo reboot; "
                f"or install a torch for CUDA {driver.cuda[0]}.x",
            fix_zh=f"将驱动升级到 {needed} 或更高：sudo apt-get install nvidia-driver && sudo reboot；"
                   f"或安装适用于 CUDA {driver.cuda[0]}.x 的 torch",
        )  # fmt: skip


def _cards_misfit(torch: Facts, cards: list[Device], driver: DriverFacts) -> Iterator[Finding]:
    """What is wrong with one card, or with torch's way to it."""
    too_old = False
    for card in cards:
        capability = driver.capabilities.get(card.label)
        if capability is not None and torch["architectures"] and not may_run(capability, torch["architectures"]):
            too_old = True
            yield _not_built_for(torch, card, capability)
    if too_old:
        return
    if not torch["devices"]:
        yield bad(
            "torch", f"it finds no card: {torch['reason'] or 'no reason given'}",
            f"torch 找不到显卡：{torch['reason'] or '原因未知'}", code="E406",
            fix="nvidia-smi; sudo modprobe nvidia-uvm; then: heygemd doctor",
            fix_zh="nvidia-smi；sudo modprobe nvidia-uvm；然后：heygemd doctor",
        )  # fmt: skip
    for device in torch["devices"]:
        if device["error"]:
            yield _does_not_compute(device)


def may_run(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Tell whether a build has code for a card.

    Machine code (`sm_80`) runs on cards of the same major version from its minor version on, unless its name ends in
    a letter (`sm_90a`); intermediate code (`compute_80`) is compiled for every later card.
    """
    for name in architectures:
        kind, _, number = name.partition("_")
        if not number.isdecimal():
            continue
        major, minor = int(number[:-1]), int(number[-1])
        if kind == "sm" and major == capability[0] and minor <= capability[1]:
            return True
        if kind == "compute" and (major, minor) <= capability:
            return True
    return False


def _not_built_for(torch: Facts, card: Device, capability: tuple[int, int]) -> Finding:
    own, built = f"{capability[0]}.{capability[1]}", ", ".join(torch["architectures"])
    return bad(
        f"device {card.label}", f"torch {torch['version']} has no code for {card.name} ({own}; built for {built})",
        f"torch {torch['version']} 不支持 {card.name}（计算能力 {own}；支持 {built}）", code="E406",
        fix=f"install a torch that was built for compute capability {own} (older cards: an older CUDA), "
            "or set render.device = \"cpu\"",
        fix_zh=f"安装支持计算能力 {own} 的 torch（旧显卡需旧版 CUDA），或设置 render.device = \"cpu\"",
    )  # fmt: skip


def _does_not_compute(device: Facts) -> Finding:
    label, why = device["label"], device["error"]
    if any(words in why for words in NO_MEMORY):
        return warning(
            f"device {label}", f"its memory is full just now: {why}", f"显存目前已满：{why}", code="E301",
            fix="nvidia-smi shows who holds it; the daemon waits for it, or uses the CPU",
            fix_zh="nvidia-smi 可查看占用者；守护进程会等待或改用 CPU",
        )  # fmt: skip
    return bad(
        f"device {label}", f"a small sum on it fails: {why}", f"在显卡上的简单计算失败：{why}", code="E302",
        fix="look for Xid in: sudo dmesg | grep -i nvrm; then restart the machine: sudo reboot",
        fix_zh="查看 sudo dmesg | grep -i nvrm 中的 Xid；然后重启机器：sudo reboot",
    )  # fmt: skip


def _broken(name: str, why: str) -> Finding:
    pip = Path(sys.prefix) / "bin" / "pip"
    missing = {"libGL": "libgl1", "libgthread": "libglib2.0-0"}
    package = next((package for part, package in missing.items() if part in why), None)
    fix = f"sudo apt-get install {package}" if package else f"{pip} install --force-reinstall {_package(name)}"
    return bad(name, f"it does not work: {why}", f"无法使用：{why}", code="E401", fix=fix)


def _package(name: str) -> str:
    return {"cv2": "opencv-python"}.get(name, name)


def _major(version: str | None) -> int | None:
    first = (version or "").partition(".")[0]
    return int(first) if first.isdecimal() else None


def _cudnn(number: int | None) -> str:
    """90100 is 9.1.0; before 9 it was 8902 for 8.9.2."""
    if not number:
        return "none"
    thousands = 10_000 if number >= 90_000 else 1000  # noqa: PLR2004  # cudnn_version.h
    return f"{number // thousands}.{number % thousands // 100}.{number % 100}"


def fact_of(label: str) -> str:
    """`0` of `cuda:0`, as nvidia-smi counts."""
    return label.partition(":")[2]
