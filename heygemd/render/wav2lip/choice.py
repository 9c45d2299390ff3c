"""What was measured to compute the network best on this machine, kept for the next worker.

    cache/backends/<digest>.json

The digest covers all that the measurement depends on: weights, processor, cores, threads, versions. Workers that start
together measure one after the other, and the second takes what the first has found: a film in two colours of rounding
is nobody's wish.
"""

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from heygemd import __version__
from heygemd.filesystem import write_text
from heygemd.render.wav2lip.openvinonetwork import installed_version

log = structlog.get_logger(__name__)

FOLDER = "backends"
CPU_INFO = Path("/proc/cpuinfo")
TELLING = ("model name", "flags", "CPU part", "Features")
"""Lines of /proc/cpuinfo, on x86 and ARM, on which the speed of arithmetic depends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFile:
    """One remembered choice; a folder that cannot be used is done without."""

    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process measure meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            yield
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def read(self) -> str:
        """Name of the candidate that was chosen; empty when nothing is known."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return ""
        chosen = found.get("chosen") if isinstance(found, dict) else None
        return chosen if isinstance(chosen, str) else ""

    def write(self, chosen: str, batch_cpu_ms: float) -> None:
        """Keep a choice, and for whoever looks what a batch took."""
        try:
            write_text(self.path, json.dumps({"chosen": chosen, "batch_cpu_ms": batch_cpu_ms}) + "\n")
        except OSError as error:
            log.warning("wav2lip.choice_not_kept", path=str(self.path), reason=error.strerror or str(error))


def choice_file(cache_dir: Path, sha256: str, backend: str) -> ChoiceFile:
    """Name the file for these weights and this setting on this machine as it is now."""
    facts = {
        "weights": sha256,
        "backend": backend,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "versions": [__version__, torch.__version__, installed_version()],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return ChoiceFile(path=cache_dir / FOLDER / f"{digest}.json")


def processor(cpu_info: Path = CPU_INFO) -> list[str]:
    """Return what the kernel says of the first core: its model and its instructions."""
    try:
        first_core = cpu_info.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        first_core = ""
    told = (line.partition(":") for line in first_core.splitlines())
    return [platform.machine(), *(value.strip() for name, _, value in told if name.strip() in TELLING)]
