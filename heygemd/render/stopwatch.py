"""How long each stage of a task took, and how its progress is told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Report = Callable[[int, int], None]
"""Told frames done and frames in all."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage of one thread; `decode` and `encode` are what it waited for others that work beside it."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)
    _cpu_since: float = field(default_factory=time.thread_time)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._since, 4)
        self._since = now

    @property
    def cpu_s(self) -> float:
        """Processor time of the thread since the watch was made."""
        return time.thread_time() - self._cpu_since
