"""Cores and main memory as this process may really use them: the machine's, less what control groups forbid.

systemd's CPUQuota=, AllowedCPUs=, MemoryHigh= and MemoryMax= and the limits of containers are all control groups.
Both hierarchies are read, version 2 and version 1, because some machines mount both. Formats: the kernel's
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

NO_LIMIT_BYTES = 1 << 60
"""Version 1 says "no limit" with a number near 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Processors, threads of a core counted one by one."""

    present: int
    usable: int
    limited_by: str = ""
    """What leaves us fewer than there are; empty when nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Main memory."""

    physical_bytes: int
    total_bytes: int
    """What we could have if nobody else wanted any."""
    available_bytes: int
    """What could be had now without swapping; caches that the kernel can drop count as available."""
    limited_by: str = ""
    """What leaves us less than there is; empty when nothing does."""


class _Group(NamedTuple):
    """A control group that this process is in."""

    folder: Path
    name: str


def _affinity() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where to look; every question reads anew, takes about a millisecond, and never raises."""

    proc: Path = Path("/proc")
    """Mount point of procfs; everything else is found from there."""
    affinity: Callable[[], int] = _affinity
    """How many processors the kernel lets us run on; cpusets are in it."""

    def cores(self) -> Cores:
        """Count processors; a part of one counts whole, since a worker cannot be started in parts."""
        listed = sum(line[:3] == "cpu" and line[3:4].isdigit() for line in _lines(self.proc / "stat"))
        present = max(listed, self.affinity())
        usable, why = self.affinity(), "the processor affinity"
        for group in self._groups("cpu"):
            quota = _quota(group.folder)
            if quota is not None and math.ceil(quota) < usable:
                usable, why = max(1, math.ceil(quota)), f"the quota of control group {group.name}"
        return Cores(present=present, usable=usable, limited_by=why if usable < present else "")

    def memory(self) -> Memory:
        """Measure main memory."""
        facts = _numbers(_lines(self.proc / "meminfo"))
        physical_bytes = facts.get("MemTotal:", 0) << 10
        available_bytes = facts.get("MemAvailable:", 0) << 10
        total_bytes, why = physical_bytes, ""
        for group in self._groups("memory"):
            limit_bytes = _memory_limit(group.folder)
            if limit_bytes is None:
                continue
            available_bytes = min(available_bytes, max(0, limit_bytes - _unreclaimable(group.folder)))
            if limit_bytes < total_bytes:
                total_bytes, why = limit_bytes, f"the limit of control group {group.name}"
        return Memory(
            physical_bytes=physical_bytes, total_bytes=total_bytes, available_bytes=available_bytes, limited_by=why
        )

    def oom_kills(self) -> int | None:
        """How many processes the kernel has ended for memory: of our control group, else of the whole machine.

        The kernel counts before it kills. None: it keeps no count that we may read.
        """
        for own, *_ in self._chains("memory"):
            for name in ("memory.events", "memory.oom_control"):
                if (count := _numbers(_lines(own.folder / name)).get("oom_kill")) is not None:
                    return count
        return _numbers(_lines(self.proc / "vmstat")).get("oom_kill")

    def _groups(self, controller: str) -> Iterator[_Group]:
        """Every group whose limits bind us."""
        for chain in self._chains(controller):
            yield from chain

    def _chains(self, controller: str) -> Iterator[list[_Group]]:
        """For each hierarchy, version 2 first, our own group and then those around it."""
        own = _own_paths(self.proc)
        for mount in _mounts(self.proc):
            key = controller if controller in mount.controllers else ""
            if mount.controllers and not key:
                continue
            if key in own:
                yield _chain(mount, own[key])


class OomCounter:
    """Tells whether the kernel has ended a process of ours for memory, so that a SIGKILL explains itself.

    To be asked at every look, or an old rise explains a new death.
    """

    def __init__(self, read: Callable[[], int | None] | None = None) -> None:
        self._read = Machine().oom_kills if read is None else read
        self._seen = self._read()

    def has_risen(self) -> bool:
        """Say whether the count has grown since the last question; a count that is absent never grows."""
        count, before = self._read(), self._seen
        if count is not None:
            self._seen = count
        return count is not None and before is not None and count > before


class _Mount(NamedTuple):
    """Where a hierarchy of control groups can be seen, and from which of its groups on."""

    point: Path
    root: str
    controllers: frozenset[str]
    """Of version 1, among its other mount options; empty for version 2."""


def _mounts(proc: Path) -> list[_Mount]:
    """Find the hierarchies, version 2 first."""
    found: list[_Mount] = []
    for line in _lines(proc / "self" / "mountinfo"):
        before, _, after = line.partition(" - ")
        match before.split(), after.split():
            case [_, _, _, root, point, *_], ["cgroup2", *_]:
                found.append(_Mount(Path(_unescaped(point)), _unescaped(root), frozenset()))
            case [_, _, _, root, point, *_], ["cgroup", _, options, *_]:
                found.append(_Mount(Path(_unescaped(point)), _unescaped(root), frozenset(options.split(","))))
    return sorted(found, key=lambda mount: bool(mount.controllers))


def _own_paths(proc: Path) -> dict[str, str]:
    """Controller → path of our group in its hierarchy; "" stands for version 2."""
    own = {}
    for line in _lines(proc / "self" / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own.update(dict.fromkeys(controllers.split(","), path))
    return own


def _chain(mount: _Mount, path: str) -> list[_Group]:
    """Follow a group up to the mount point; of a group outside of it only the mount point can be seen."""
    root = mount.root.rstrip("/")
    is_inside = path == root or path.startswith(f"{root}/")
    parts = [part for part in path[len(root) :].split("/") if part] if is_inside and ".." not in path else []
    return [
        _Group(mount.point.joinpath(*parts[:depth]), "/".join((root, *parts[:depth])) or "/")
        for depth in range(len(parts), -1, -1)
    ]


def _quota(folder: Path) -> float | None:
    """Processors' worth of time that the group gets; None: as much as it likes."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):  # "max", "-1"
        return None
    return int(quota) / int(period)


def _memory_limit(folder: Path) -> int | None:
    """Bytes that the group may hold before it is slowed down or somebody in it is killed."""
    texts = [_text(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text.isdecimal()]
    return min((limit for limit in limits if limit < NO_LIMIT_BYTES), default=None)


def _unreclaimable(folder: Path) -> int:
    """Bytes that the group holds and the kernel cannot simply drop.

    Files read once are on the inactive list; of the active list, where the code of running programs is too, half
    is counted as needed. A group whose cache were all counted as used would look full for ever.
    """
    used = next((text for name in ("memory.current", "memory.usage_in_bytes") if (text := _text(folder / name))), "0")
    facts = _numbers(_lines(folder / "memory.stat"))
    prefix = "total_" if "total_inactive_file" in facts else ""  # version 1 has the groups within under that name
    cache = facts.get(f"{prefix}inactive_file", 0) + facts.get(f"{prefix}active_file", 0) // 2
    return max(0, int(used) - cache) if used.isdecimal() else 0


def _text(file: Path) -> str:
    return "\n".join(_lines(file)).strip()


def _lines(file: Path) -> list[str]:
    """Lines of a file; none when it is not there or not ours to read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _numbers(lines: Iterable[str]) -> dict[str, int]:
    """`name number …` → name: number."""
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdecimal()}


def _unescaped(path: str) -> str:
    """Undo the octal escapes of mountinfo."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, sign)
    return path
