"""Counts what has happened since the start, for whoever watches; nothing is decided by it."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from heygemd.planning.plan import TaskKind

CACHED_KINDS = ("track", "likeness", "speech")
"""What an analysis may find in the cache."""


@dataclass(slots=True)
class MemoryErrors:
    """How far the predicted peaks of one kind of device lie from the measured ones, as shares of the measured."""

    count: int = 0
    total: float = 0.0
    """Of the sizes of all errors, whatever their sign."""
    worst_below: float = 0.0
    """Largest share by which a prediction was too low; this is what runs into a shortage."""
    worst_above: float = 0.0
    """Largest share by which one was too high; this is memory left unused."""

    def note(self, predicted_bytes: int, measured_bytes: int) -> None:
        """Take one task into account."""
        error = predicted_bytes / measured_bytes - 1
        self.count += 1
        self.total += abs(error)
        self.worst_below = max(self.worst_below, -error)
        self.worst_above = max(self.worst_above, error)

    def as_dict(self) -> dict[str, float]:
        """Return plain JSON values."""
        return {
            "count": self.count,
            "mean": round(self.total / self.count, 4) if self.count else 0.0,
            "worst_below": round(self.worst_below, 4),
            "worst_above": round(self.worst_above, 4),
        }


@dataclass(slots=True)
class Tally:
    """Counters that only rise. Everything is bounded: keys are kinds, stages and codes, never jobs."""

    tasks_done: Counter[str] = field(default_factory=Counter)
    """By kind of task."""
    frames_rendered: int = 0
    stage_s: dict[str, float] = field(default_factory=dict)
    """Seconds of workers by stage."""
    cache_hits: Counter[str] = field(default_factory=Counter)
    """By `track` and `speech`; a miss is one that had to be made."""
    cache_misses: Counter[str] = field(default_factory=Counter)
    shortages: Counter[str] = field(default_factory=Counter)
    """Tasks that ended for want of something, by code."""
    retries: int = 0
    workers_started: int = 0
    workers_recycled: int = 0
    """Ended by us because they were worn."""
    memory: dict[str, MemoryErrors] = field(default_factory=dict)
    """By `cpu` and `cuda`."""

    def note_task(self, kind: TaskKind, seconds: Mapping[str, float], *, frames: int = 0) -> None:
        """A task has ended well; `frames` are those of a rendered segment."""
        self.tasks_done[kind.value] += 1
        if kind is TaskKind.RENDER:
            self.frames_rendered += frames
        for stage, stage_s in seconds.items():
            self.stage_s[stage] = self.stage_s.get(stage, 0.0) + stage_s

    def note_cached(self, cached: Collection[str], *, studied: bool) -> None:
        """An analysis has found this in the cache, and had to make the rest; `studied`: a likeness was wanted, too."""
        for kind in CACHED_KINDS if studied else [kind for kind in CACHED_KINDS if kind != "likeness"]:
            (self.cache_hits if kind in cached else self.cache_misses)[kind] += 1

    def note_shortage(self, code: str) -> None:
        """A task has met a shortage: E202, E301, E302, E303."""
        self.shortages[code] += 1

    def note_retry(self) -> None:
        """A task will be tried again."""
        self.retries += 1

    def note_worker_started(self) -> None:
        """A worker was started."""
        self.workers_started += 1

    def note_worker_recycled(self) -> None:
        """A worn worker was ended, to be replaced."""
        self.workers_recycled += 1

    def note_memory(self, device: str, *, predicted_bytes: int, measured_bytes: int) -> None:
        """A task on `device` (`cpu`, `cuda:1`) has peaked at so much; nothing measured is nothing learned."""
        if measured_bytes > 0:
            self.memory.setdefault(device.partition(":")[0], MemoryErrors()).note(predicted_bytes, measured_bytes)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of all counters as plain JSON values; kinds that never came are there as 0."""
        return {
            "tasks_done": {kind.value: self.tasks_done[kind.value] for kind in TaskKind},
            "frames_rendered": self.frames_rendered,
            "stage_s": {stage: round(self.stage_s[stage], 3) for stage in sorted(self.stage_s)},
            "cache_hits": {kind: self.cache_hits[kind] for kind in CACHED_KINDS},
            "cache_misses": {kind: self.cache_misses[kind] for kind in CACHED_KINDS},
            "shortages": dict(sorted(self.shortages.items())),
            "retries": self.retries,
            "workers_started": self.workers_started,
            "workers_recycled": self.workers_recycled,
            "memory": {device: errors.as_dict() for device, errors in sorted(self.memory.items())},
        }
