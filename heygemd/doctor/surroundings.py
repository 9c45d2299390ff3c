"""The machine around the examination: where its files are and whom to ask; tests put others in their place."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heygemd.intake.filesystems import is_local
from heygemd.scheduler.devices import NVML, Nvml

PACKAGE = Path(__file__).resolve().parents[1]
UNIT_NAME = "heygemd.service"
TORCH_LIMIT_S = 90.0
"""Loading torch with CUDA from a cold disk takes most of a minute on slow machines."""
TOOL_LIMIT_S = 8.0
_TIMEX_BYTES = 512
"""More than any `struct timex`; its first member is `unsigned int modes`, then (aligned) four longs, then `status`."""
_STATUS_OFFSET = 5 * ctypes.sizeof(ctypes.c_long)
_UNSYNCHRONISED = 0x40
"""STA_UNSYNC of sys/timex.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a file system has left."""

    free_bytes: int
    """For users without privileges."""
    total_bytes: int
    free_inodes: int
    total_inodes: int
    """0: it does not count them."""
    is_readonly: bool


def room_of(path: Path) -> Room:
    """Measure the file system that `path` lies on; may raise OSError."""
    facts = os.statvfs(path)
    return Room(
        free_bytes=facts.f_bavail * facts.f_frsize,
        total_bytes=facts.f_blocks * facts.f_frsize,
        free_inodes=facts.f_favail,
        total_inodes=facts.f_files,
        is_readonly=bool(facts.f_flag & os.ST_RDONLY),
    )


def is_synchronised() -> bool | None:
    """Ask the kernel whether somebody keeps its clock right (NTP, PTP, a hypervisor); None: it does not tell us."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None).adjtimex(buffer) < 0:
        return None
    status = ctypes.c_int.from_buffer(buffer, _STATUS_OFFSET).value
    return not status & _UNSYNCHRONISED


def ask_torch() -> dict[str, Any]:
    """Let a child load torch and the other native libraries; {"error": …} when it does not answer."""
    argv = [sys.executable, "-P", "-m", "heygemd.render.machine_facts"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TORCH_LIMIT_S, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TORCH_LIMIT_S:.0f} s"}
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        found: dict[str, Any] = json.loads(last)
    except ValueError:
        words = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        return {"error": f"the process ended with status {done.returncode}: {words}"}
    return found


def answer_of(*argv: str, limit_s: float = TOOL_LIMIT_S) -> str | None:
    """Return what a program says on stdout; None when it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def find_shipped_unit() -> Path | None:
    """Return the unit that belongs to this version: what install.sh put beside it, or `systemd/` of a checkout."""
    places = (Path(sys.prefix) / "share" / "heygemd" / UNIT_NAME, PACKAGE.parent / "systemd" / UNIT_NAME)
    return next((place for place in places if place.is_file()), None)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where to look and whom to ask; the defaults are this machine."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    etc: Path = Path("/etc")
    run: Path = Path("/run")
    var: Path = Path("/var")
    unit_folders: tuple[Path, ...] = tuple(
        map(Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                   "/usr/lib/systemd/system", "/lib/systemd/system"))
    )  # fmt: skip
    """Highest first."""
    shipped_unit: Path | None = field(default_factory=find_shipped_unit)
    search_path: str | None = None
    """Folders of programs; None: `$PATH`."""
    nvml: Nvml = NVML
    ask_torch: Callable[[], dict[str, Any]] = ask_torch
    is_local: Callable[[Path], bool] = is_local
    room_of: Callable[[Path], Room] = room_of
    is_synchronised: Callable[[], bool | None] = is_synchronised
    now: Callable[[], datetime] = utc_now

    def program(self, name: str) -> str | None:
        """Find a program."""
        return shutil.which(name, path=self.search_path)

    def text(self, file: Path) -> str:
        """Content of a small file of the system; "" when it is not there or not ours to read."""
        try:
            return file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def number(self, file: Path) -> int | None:
        """A file of `/proc/sys` that holds one number."""
        text = self.text(file).strip()
        return int(text) if text.isdecimal() else None

    @property
    def has_systemd(self) -> bool:
        """Tell whether systemd runs this machine (sd_booted(3))."""
        return (self.run / "systemd" / "system").is_dir()

    @property
    def is_container(self) -> bool:
        """Tell whether the kernel, its clock and its limits belong to somebody else."""
        marks = (self.run / "systemd" / "container", self.run / ".containerenv", self.proc.parent / ".dockerenv")
        return any(mark.exists() for mark in marks)
