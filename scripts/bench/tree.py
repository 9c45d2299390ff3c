"""A process and all its descendants: processor time and memory, from /proc.

Processor time of descendants that are over counts once their parent has waited for them, as the kernel adds it up.
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from bench_memory import pss_bytes

LOOK_EVERY_S = 0.5
"""Reading the proportional size of a gigabyte takes about 15 ms of the kernel's time: 3 % of one core."""
LOOK_OFTEN_S = 0.02
"""A short run is over before the first half second is."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of a processor, user and system together."""

    own_s: float
    """The process itself, all its threads."""
    children_s: float
    """Everything that it has started, living or over."""

    @property
    def total_s(self) -> float:
        """Of the whole tree."""
        return self.own_s + self.children_s

    def __sub__(self, before: "Cpu") -> "Cpu":
        return Cpu(self.own_s - before.own_s, self.children_s - before.children_s)


def parse_stat(text: str) -> Cpu:
    """Read a line of /proc/PID/stat; the name in it may hold blanks and brackets (proc(5): fields 14 to 17)."""
    fields = text.rpartition(")")[2].split()
    own, own_system, waited, waited_system = (int(word) * TICK_S for word in fields[11:15])
    return Cpu(own + own_system, waited + waited_system)


def cpu_of(pid: int) -> Cpu:
    """Processor time of a living process and its descendants; nothing for one that is over."""
    try:
        cpu = parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
        living = psutil.Process(pid).children(recursive=True)
    except (OSError, psutil.NoSuchProcess):
        return Cpu(0.0, 0.0)
    more_s = 0.0
    for child in living:
        try:
            more_s += parse_stat(Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8", errors="replace")).total_s
        except OSError:
            continue
    return Cpu(cpu.own_s, cpu.children_s + more_s)


@dataclass(slots=True)
class Peaks:
    """Most that was seen at one look; a peak between two looks is missed."""

    pss_bytes: int = 0
    """Pages that several processes share count once."""
    rss_bytes: int = 0
    """Resident sizes added up: shared pages count in each."""
    commands: dict[str, list[str]] = field(default_factory=dict)
    """First command line seen of each kind of child: `encoder` is fed with raw frames, `decoder` gives them."""

    def look(self, pid: int) -> None:
        """Look once."""
        pss = rss = 0
        try:
            root = psutil.Process(pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for member in family:
            try:
                pss, rss = pss + pss_bytes(member.pid), rss + member.memory_info().rss
                self._remember(member.cmdline())
            except psutil.Error:
                continue
        self.pss_bytes, self.rss_bytes = max(self.pss_bytes, pss), max(self.rss_bytes, rss)

    def _remember(self, words: list[str]) -> None:
        if "rawvideo" in words or "yuv4mpegpipe" in words:
            self.commands.setdefault("encoder" if "pipe:0" in words else "decoder", words)


@contextmanager
def watched(pid: int, every_s: float = LOOK_EVERY_S) -> Iterator[Peaks]:
    """Look at a tree again and again, in a thread, while the block runs."""
    peaks, is_over = Peaks(), threading.Event()

    def look() -> None:
        pause_s = min(every_s, LOOK_OFTEN_S)
        while not is_over.is_set():
            peaks.look(pid)
            is_over.wait(pause_s)
            pause_s = min(every_s, 1.5 * pause_s)

    watcher = threading.Thread(target=look, name="watch", daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One command from its start to its end."""

    cpu_s: float
    wall_s: float
    pss_bytes: int
    rss_bytes: int
    exit_status: int


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Run:
    """Run a command and count its whole tree; what it prints goes to `log`, or nowhere."""
    said = Path(os.devnull) if log is None else log
    with said.open("wb") as out:
        began_s = time.perf_counter()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, env=env)
        with watched(child.pid) as peaks:
            _, status, used = os.wait4(child.pid, 0)
            wall_s = time.perf_counter() - began_s
        child.returncode = os.waitstatus_to_exitcode(status)  # collected here, for the sake of what it used
        return Run(
            cpu_s=used.ru_utime + used.ru_stime,
            wall_s=wall_s,
            pss_bytes=peaks.pss_bytes,
            rss_bytes=peaks.rss_bytes,
            exit_status=child.returncode,
        )
