"""Processors: what is there, whether torch, CUDA and driver fit each other, and who may open the cards."""

from collections.abc import Iterator
from typing import Any

from heygemd.doctor import torchfit
from heygemd.doctor.account import R, W
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, from_error, good, warning
from heygemd.doctor.patience import BrokenCallError, StillWaitingError, begin, bounded
from heygemd.doctor.rights import refusals
from heygemd.doctor.torchfit import fact_of
from heygemd.errors import HeygemdError
from heygemd.scheduler.devices import Device, choose_devices, find_devices, find_lost
from heygemd.scheduler.driver import LIBRARY_ABSENT, VERSIONS_DIFFER, DriverFacts, read_driver
from heygemd.scheduler.machine import Machine

NVML_LIMIT_S = 15.0
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")
"""VGA and 3D controllers of PCI: graphics cards, without their sound chips and bridges."""

Cards = tuple[tuple[Device, ...], tuple[Device, ...], DriverFacts]
"""Those that answer (and the CPU), those that are lost, the driver."""


def look(case: Case) -> Iterator[Finding]:
    """Say what is there; torch is loaded meanwhile, in a process of its own."""
    torch = None if case.is_quick else begin(lambda: [case.around.ask_torch()], limit_s=torchfit.LIMIT_S)
    try:
        try:
            found, lost, driver = bounded(lambda: _cards(case), limit_s=NVML_LIMIT_S)
        except (StillWaitingError, BrokenCallError) as error:
            yield _driver_hangs(error)
            return
        yield from _chosen(case, found)
        yield from _described(found)
        if case.render.device != "cpu":
            yield from (_lost(card) for card in lost)
            yield from _driver(case, driver, found, lost)
        if torch is not None:
            heard = torch.hear()
            facts: dict[str, Any] = heard.values[0] if heard.values else {"error": "the child process did not answer"}
            yield from torchfit.judge(case, facts, found, driver)
    finally:
        if torch is not None:
            torch.end()


def _cards(case: Case) -> Cards:
    nvml = case.around.nvml
    found = find_devices(nvml)
    return found, find_lost(nvml), read_driver(nvml, found)


def _driver_hangs(error: Exception) -> Finding:
    why = (
        "does not answer"
        if isinstance(error, StillWaitingError)
        else f"ended the process that asked: {_last_line(error)}"
    )
    return bad(
        "driver", f"the NVIDIA driver {why}", "NVIDIA 驱动没有响应", code="E302",
        fix="look for Xid in: sudo dmesg | grep -i nvrm; then restart the machine: sudo reboot",
        fix_zh="查看 sudo dmesg | grep -i nvrm 中的 Xid；然后重启机器：sudo reboot",
    )  # fmt: skip


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]


def _chosen(case: Case, found: tuple[Device, ...]) -> Iterator[Finding]:
    render = case.render
    try:
        chosen = choose_devices(render.device, render.require_gpu, found)
    except HeygemdError as error:
        yield from_error(
            "device", error,
            fix="make nvidia-smi show the card (see driver); or set render.require_gpu = false and "
                'render.device = "auto"',
            fix_zh="使 nvidia-smi 能显示显卡（见 driver），或设置 render.require_gpu = false、render.device = \"auto\"",
        )  # fmt: skip
    else:
        yield good("device", ", ".join(device.name for device in chosen))


def _described(found: tuple[Device, ...]) -> Iterator[Finding]:
    for device in found:
        message = _cpu(device) if device.kind == "cpu" else _card(device)
        yield good(f"device {device.label}", message)


def _card(device: Device) -> str:
    """Say what a graphics card has, who is on it, and whether it is slowed down."""
    holders = ", ".join(
        f"pid {holder.pid}" + (f" {_mib(holder.held_bytes)}" if holder.held_bytes is not None else "")
        for holder in device.holders
    )
    parts = [
        device.name,
        f"{_mib(device.free_bytes)} of {_mib(device.total_bytes)} free",
        f"held by {holders}" if holders else "no process on it is known",
        f"throttled: {', '.join(device.throttle)}" if device.throttle else "not throttled",
        f"{device.temperature_c} °C" if device.temperature_c is not None else "",
    ]
    return "; ".join(part for part in parts if part)


def _cpu(device: Device) -> str:
    """Say what a worker on the CPU may use, and what keeps it from more; a service has limits of its own."""
    cores, memory = Machine().cores(), Machine().memory()
    kept = f" (the machine has {cores.present}, but {cores.limited_by} allows no more)" if cores.limited_by else ""
    less = (
        f" (the machine has {_mib(memory.physical_bytes)}, but {memory.limited_by} allows no more)"
        if memory.limited_by
        else ""
    )
    return f"{device.cores} cores{kept}; {_mib(device.free_bytes)} of {_mib(device.total_bytes)} memory available{less}"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def _lost(card: Device) -> Finding:
    return bad(
        f"device {card.label}", f"lost: the driver says {card.name!r}", f"显卡丢失：驱动报告 {card.name!r}",
        code="E302",
        fix="look for Xid in: sudo dmesg | grep -i nvrm; then restart the machine (a loose card or power plug "
            "looks the same): sudo reboot",
        fix_zh="查看 sudo dmesg | grep -i nvrm 中的 Xid；然后重启机器（显卡或供电松动也会如此）：sudo reboot",
    )  # fmt: skip


def _driver(case: Case, driver: DriverFacts, found: tuple[Device, ...], lost: tuple[Device, ...]) -> Iterator[Finding]:
    """Say which driver there is, or why a card that is in the machine cannot be used."""
    if driver.error:
        yield from _silent(case, driver)
        return
    if driver.cuda is not None:
        cuda = f"{driver.cuda[0]}.{driver.cuda[1]}"
        yield good("driver", f"{driver.version}, serves CUDA up to {cuda}", f"{driver.version}，最高支持 CUDA {cuda}")
    cards = [device for device in found if device.kind == "cuda"]
    if not cards and not lost and has_card(case):
        yield _no_nodes(case)
    elif cards:
        yield from _nodes(case, cards)
    yield from _worn(driver)


def has_card(case: Case) -> bool:
    """Tell whether the machine has a graphics card of NVIDIA, whatever any driver thinks."""
    for device in sorted((case.around.sys / "bus/pci/devices").glob("*")):
        vendor, kind = case.around.text(device / "vendor").strip(), case.around.text(device / "class").strip()
        if vendor == NVIDIA and kind.startswith(DISPLAY_CLASSES):
            return True
    return False


def _silent(case: Case, driver: DriverFacts) -> Iterator[Finding]:
    is_loaded = bool(case.around.text(case.around.proc / "driver/nvidia/version"))
    if driver.error_number == VERSIONS_DIFFER:
        yield bad(
            "driver", "the NVIDIA driver was upgraded, and the old one is still loaded",
            "NVIDIA 驱动已升级，但内核中仍是旧版本", code="E406", fix="sudo reboot",
        )  # fmt: skip
    elif is_loaded and driver.error_number == LIBRARY_ABSENT:
        yield bad(
            "driver", "the NVIDIA driver is loaded, but its library libnvidia-ml.so.1 is missing",
            "已加载 NVIDIA 驱动，但缺少库 libnvidia-ml.so.1", code="E406", fix="sudo apt-get install libnvidia-ml1",
        )  # fmt: skip
    elif is_loaded:
        yield _no_nodes(case, driver.error)
    elif has_card(case):
        yield _no_driver(case)
    else:
        yield good("driver", "no NVIDIA card: films are made on the CPU", "没有 NVIDIA 显卡：使用 CPU 制作")


def _no_driver(case: Case) -> Finding:
    """Nouveau can show pictures, but not compute."""
    modules = case.around.text(case.around.proc / "modules")
    other = " (nouveau drives it, which cannot compute)" if "\nnouveau " in f"\n{modules}" else ""
    return warning(
        "driver", f"there is an NVIDIA card, but its driver is not loaded{other}",
        "有 NVIDIA 显卡，但未加载驱动", code="E406",
        fix="sudo apt-get install nvidia-driver && sudo reboot; or, to stay on the CPU, set render.device = \"cpu\"",
        fix_zh="sudo apt-get install nvidia-driver && sudo reboot；若只用 CPU，请设置 render.device = \"cpu\"",
    )  # fmt: skip


def _no_nodes(case: Case, why: str = "") -> Finding:
    """Happens in containers that were given no card, and before anything of NVIDIA's ran as root."""
    node = case.around.dev / "nvidiactl"
    if not node.exists():
        reason, reason_zh, fix = f"{node} is missing", f"缺少 {node}", "sudo nvidia-modprobe -u -c=0"
    else:
        reason, reason_zh, fix = f"no card can be opened ({why or 'none is shown'})", "无法打开显卡", "nvidia-smi"
    return bad(
        "driver", f"the NVIDIA driver is loaded, but {reason}", f"已加载 NVIDIA 驱动，但{reason_zh}", code="E406",
        fix=f"{fix}; in a container: start it with its cards (docker run --gpus all)",
        fix_zh=f"{fix}；容器中请带显卡启动（docker run --gpus all）",
    )  # fmt: skip


def _nodes(case: Case, cards: list[Device]) -> Iterator[Finding]:
    """CUDA opens these files; NVML needs fewer of them."""
    dev = case.around.dev
    if not (dev / "nvidia-uvm").exists():
        yield bad(
            "driver", f"{dev}/nvidia-uvm is missing: CUDA cannot start", f"缺少 {dev}/nvidia-uvm：CUDA 无法启动",
            code="E406", fix="sudo modprobe nvidia-uvm && sudo nvidia-modprobe -u -c=0",
        )  # fmt: skip
        return
    nodes = [dev / "nvidiactl", dev / "nvidia-uvm", *sorted(dev.glob("nvidia[0-9]*"))[: len(cards)]]
    for refused in refusals([(node, R | W) for node in nodes], case.account).values():
        group = f"sudo usermod -aG $(stat -c %G {refused}) {case.account_name}"
        yield bad(
            "driver", f"{case.account_name} may not open {refused}", f"用户 {case.account_name} 无权打开 {refused}",
            code="E406", fix=f"add the user to the group of that file, and restart: {group}",
            fix_zh=f"将用户加入该文件所属组并重启服务：{group}",
        )  # fmt: skip
        return


def _worn(driver: DriverFacts) -> Iterator[Finding]:
    for label, count in driver.ecc_errors.items():
        yield warning(
            f"device {label}", f"its memory has had {count} errors that could not be corrected",
            f"显存出现 {count} 个无法纠正的错误", code="E302",
            fix=f"nvidia-smi -q -d ECC,ROW_REMAPPER -i {fact_of(label)}; restart the machine, and replace a card on "
                "which they come back",
            fix_zh=f"nvidia-smi -q -d ECC,ROW_REMAPPER -i {fact_of(label)}；重启机器，反复出现时请更换显卡",
        )  # fmt: skip
    for label in driver.split:
        yield good(f"device {label}", "cut into slices (MIG): CUDA uses only the one that CUDA_VISIBLE_DEVICES names",
                   "已启用 MIG：CUDA 只使用 CUDA_VISIBLE_DEVICES 指定的切片")  # fmt: skip
