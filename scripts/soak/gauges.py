"""What a daemon holds while it does nothing, day after day, and whether that grows with the films it has made."""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

OWN_FIELDS, SHARE_FIELDS = ("Anonymous:",), ("Pss:",)
CERTAIN = 2.0
"""Standard errors: a growth beyond its limit by less may be chance."""
LEAST_POINTS = 4
"""Fewer show no line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One process at rest."""

    day: int
    ended: int
    """Jobs that had ended by then: what everything is measured against."""
    role: str
    pid: int
    anonymous_bytes: int
    pss_bytes: int
    """With its part of the pages that it shares: these may be added up."""
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Everything else at rest."""

    day: int
    ended: int
    processes: int
    pss_bytes: int
    """Of all processes together."""
    share_bytes: int
    share_files: int
    state_bytes: int
    state_files: int
    store_bytes: int
    store_rows: int
    log_bytes: int
    """Of the debug log, this day's."""

    @property
    def beside_store_bytes(self) -> int:
        """What the state directory holds beside the history of the jobs: logs, caches, work, the store's journal."""
        return self.state_bytes - self.store_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A straight line through readings: growth for each thousand jobs, and its standard error."""

    per_1000: float
    error: float
    points: int

    def is_above(self, limit: float) -> bool:
        """Tell whether it certainly grows by more than `limit` for each thousand jobs."""
        return self.points >= LEAST_POINTS and self.per_1000 - CERTAIN * self.error > limit


def fit(lines: Sequence[Sequence[tuple[float, float]]]) -> Slope:
    """Fit one slope by least squares to several lines that have levels of their own, such as processes.

    A line of one point tells nothing and is left out; no points at all are a slope of 0.
    """
    spread = rise = 0.0
    centred: list[tuple[float, float]] = []
    told = [line for line in lines if len(line) > 1]
    for line in told:
        middle_x = sum(x for x, _ in line) / len(line)
        middle_y = sum(y for _, y in line) / len(line)
        centred += [(x - middle_x, y - middle_y) for x, y in line]
    spread = sum(x * x for x, _ in centred)
    rise = sum(x * y for x, y in centred)
    if not spread:
        return Slope(per_1000=0.0, error=math.inf, points=0)
    slope = rise / spread
    free = len(centred) - len(told) - 1
    left = sum((y - slope * x) ** 2 for x, y in centred)
    error = math.sqrt(left / free / spread) if free > 0 else math.inf
    return Slope(per_1000=1000 * slope, error=1000 * error, points=len(centred))


def role_of(process: psutil.Process, daemon: psutil.Process) -> str:
    """Tell what a process of the daemon's tree is for."""
    words = " ".join(process.cmdline())
    if process.pid == daemon.pid:
        return "daemon"
    if "heygemd.render" in words:
        return "worker"
    if "resource_tracker" in words:
        return "tracker"
    if "forkserver" in words:
        return "nursery" if process.ppid() == daemon.pid else "helper"
    return "tool"


def read_processes(daemon: psutil.Process, *, day: int, ended: int) -> list[Reading]:
    """Look at the daemon and everything below it; who ends meanwhile is left out."""
    readings = []
    for process in [daemon, *daemon.children(recursive=True)]:
        try:
            readings.append(
                Reading(
                    day=day,
                    ended=ended,
                    role=role_of(process, daemon),
                    pid=process.pid,
                    anonymous_bytes=pages_bytes(process.pid, OWN_FIELDS),
                    pss_bytes=pages_bytes(process.pid, SHARE_FIELDS),
                    descriptors=process.num_fds(),
                    threads=process.num_threads(),
                )
            )
        except (psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            continue
    return readings


def pages_bytes(pid: int, fields: tuple[str, ...]) -> int:
    """Add up fields of a process: those of `OWN_FIELDS` are what it has filled itself, or a parent before it.

    Not the private ones: a page of a library, or of a fork server, becomes private when the last other process that has
    it ends, though nobody has asked for more memory.
    """
    with Path(f"/proc/{pid}/smaps_rollup").open(encoding="ascii") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith(fields))


def size_of(path: Path) -> int:
    """Return the size of a file; 0 when it is not there."""
    return path.stat().st_size if path.exists() else 0


def count_rows(store: Path) -> int:
    """Count the rows of all tables of a store."""
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return sum(db.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables)
    finally:
        db.close()


def lines_by_process(readings: Sequence[Reading], role: str, field: str) -> list[list[tuple[float, float]]]:
    """Return (jobs ended, value) of each process of a role, without its first evening: then it is warming up."""
    lines: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for reading in readings:
        if reading.role == role:
            lines[reading.pid].append((reading.ended, getattr(reading, field)))
    return [line[1:] for line in lines.values() if len(line) > 1]
