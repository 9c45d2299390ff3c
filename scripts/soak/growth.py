"""What may grow with the films that a daemon has made, and by how much: a line through the evenings of one life."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from soak.days import Story
from soak.gauges import Sizes, Slope, fit, lines_by_process

MB, KB = 1e6, 1e3
PROCESS_LIMITS = {
    "daemon": {"anonymous_bytes": 6 * MB, "descriptors": 3.0, "threads": 1.0},
    "nursery": {"anonymous_bytes": 2 * MB, "descriptors": 3.0, "threads": 1.0},
    "helper": {"anonymous_bytes": 10 * MB, "descriptors": 3.0, "threads": 1.0},
    "worker": {"anonymous_bytes": 20 * MB, "descriptors": 3.0, "threads": 3.0},
}
"""Growth for each thousand jobs. SQLite keeps pages of the store in the daemon, up to 2 MB (`cache_size`): until then
it grows with the store, by 4 kB for each job; 2 kB more are what its heap takes to settle. Measured over 900 jobs of
one life: 50.2 MB after 100, 52.3 after 500, and 52.66 after 700, 800 and 900. A helper took 29.8 MB after 100 jobs,
30.2 after 300 and 31.0 after 900, but while it is young 5 to 8 kB more for each job: 10 MB see only more.
A worker is replaced after 500 tasks
(`recycle_tasks`), three of which are a job: 20 MB are 3 MB for its life. One descriptor or thread for each job would be
a thousand."""
SIZE_LIMITS = {
    "processes": 2.0,
    "pss_bytes": 60 * MB,
    "share_bytes": 100 * KB,
    "share_files": 50.0,
    "state_bytes": 4300 * KB,
    "state_files": 20.0,
    "store_bytes": 4000 * KB,
    "beside_store_bytes": 300 * KB,
    "log_bytes": 200 * KB,
}
"""The store keeps the history, 4 kB for each job, for ever; nothing else may grow. A share keeps originals for two of
these days (`KEEP_DAYS`), the cache is full on the first, and logs are those of a day and of the one before: what
remains is that days differ, by one small file or less (4 kB on these file systems) for ten jobs. The memory of all
processes together is that of two workers, two helpers and the daemon, each with its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One thing that was measured."""

    name: str
    unit: str
    first: float
    last: float
    per_1000: float
    error: float
    points: int
    limit: float
    is_too_much: bool

    @property
    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.name}: {self.per_1000:.1f} ± {self.error:.1f} {self.unit} per 1,000 jobs; {self.limit:.1f} may be"
        )


def growths(story: Story, *, first_day: int) -> list[Growth]:
    """Lay lines through the evenings from `first_day` on; the first one, and that of each process, are warming up."""
    readings = [reading for reading in story.readings if reading.day >= first_day]
    sizes = [size for size in story.sizes if size.day > first_day]
    found = []
    for role, limits in PROCESS_LIMITS.items():
        for field, limit in limits.items():
            lines = lines_by_process(readings, role, field)
            if lines:
                found.append(growth(f"{role}, {field}", lines, limit))
    return found + [growth(field, size_line(sizes, field), limit) for field, limit in SIZE_LIMITS.items() if sizes]


def size_line(sizes: Sequence[Sizes], field: str) -> list[list[tuple[float, float]]]:
    """Return one line of (jobs ended, value)."""
    return [[(size.ended, getattr(size, field)) for size in sizes]]


def growth(name: str, lines: Sequence[Sequence[tuple[float, float]]], limit: float) -> Growth:
    """Judge one thing."""
    slope: Slope = fit(lines)
    unit, scale = ("kB", 1 / KB) if name.endswith("bytes") else ("", 1.0)
    return Growth(
        name=name, unit=unit, first=lines[0][0][1] * scale, last=lines[-1][-1][1] * scale,
        per_1000=slope.per_1000 * scale, error=slope.error * scale, points=slope.points, limit=limit * scale,
        is_too_much=slope.is_above(limit),
    )  # fmt: skip


def table(found: Sequence[dict[str, Any]]) -> str:
    """Write the lines of a table for people."""
    head = f"{'per 1,000 jobs':28} {'first':>9} {'last':>9} {'slope':>9} {'±':>8} {'may be':>8}  points"
    rows = [
        f"{one['name']:28} {one['first']:9.0f} {one['last']:9.0f} {one['per_1000']:9.1f} {one['error']:8.1f} "
        f"{one['limit']:8.0f} {one['unit']:2} {one['points']:4}{'  TOO MUCH' if one['is_too_much'] else ''}"
        for one in found
    ]
    return "\n".join([head, *rows])
