"""What a figure was measured on."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from heygemd.scheduler.devices import find_devices

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("heygemd", "torch", "openvino", "numpy", "opencv-python", "opencv-python-headless")


def facts() -> dict[str, Any]:
    """Describe processor, memory, graphics cards, versions, and how busy the machine is already."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [
            {"name": card.name, "total_gib": round(card.total_bytes / 2**30, 1)}
            for card in find_devices()
            if card.kind == "cuda"
        ],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ffmpeg": _first_line("ffmpeg", "-version").removeprefix("ffmpeg version ").split(" ")[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _first_line("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Return the number of processors that we may use."""
    return len(os.sched_getaffinity(0))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(*argv: str) -> str:
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.partition("\n")[0].strip()
