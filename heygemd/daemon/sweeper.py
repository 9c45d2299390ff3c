"""Keeps disks from filling up: old originals, caches, private copies that nobody needs. One root at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.daemon.errands import Answer, Errand, Nursery
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.jobs.roots import Root
from heygemd.jobs.store import JobStore
from heygemd.outbox.retention import CacheSwept, Swept, sweep_cache, sweep_root
from heygemd.settings import RetentionSettings

log = structlog.get_logger(__name__)

EVERY_S = 600.0
CACHE_PAUSE_S = 60.0
"""From one sweep of the cache to the next that is due to its growth."""
ROOMY_SHARE = 0.5
"""A cache that was filled less than this can wait for the round: it does not double within `EVERY_S`."""
LIMIT_S = 1800.0
GIB = 1 << 30


@dataclass(slots=True)
class Pruning:
    """A sweep that somebody asked for, with limits of its own."""

    settings: RetentionSettings
    todo: list[Root | None]
    """None: the cache, all of it."""
    away: tuple[str, ...] = ()
    """Roots that are left out, for they are not there."""
    done: int = 0
    failed: int = 0
    cache_entries: int = 0
    freed_bytes: int = 0
    troubles: tuple[str, ...] = ()

    def note(self, swept: object) -> None:
        """Add what one sweep has deleted."""
        if isinstance(swept, Swept):
            self.done, self.failed = self.done + swept.done, self.failed + swept.failed
            self.freed_bytes += swept.freed_bytes
        elif isinstance(swept, CacheSwept):
            self.cache_entries += swept.deleted


class Sweeper:
    """Sends one errand after the other; what fails is tried again at the next round."""

    def __init__(
        self,
        *,
        store: JobStore,
        nursery: Nursery,
        settings: RetentionSettings,
        state_dir: Path,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._store, self._nursery, self._settings, self._state_dir = store, nursery, settings, state_dir
        self._clock, self._wall = clock, wall
        self._due_s = clock() + EVERY_S / 10
        """Not at once: a start has better things to do."""
        self._todo: list[Root | None] = []
        self._errand: Errand | None = None
        self._cache_bytes = math.inf
        """What the latest sweep of the cache has left; not known before the first."""
        self._cache_swept_s = -math.inf
        self._cache_due_s = math.inf
        self._pruning: Pruning | None = None
        self._is_pruning = False
        """The errand under way belongs to it."""

    def reconfigure(self, settings: RetentionSettings) -> None:
        """Go by other settings from the next sweep on."""
        self._settings = settings

    @property
    def cache_bytes(self) -> int | None:
        """How large the cache was after the latest sweep; None before the first."""
        return None if math.isinf(self._cache_bytes) else int(self._cache_bytes)

    def prune(
        self, desks: Sequence[FrontDesk], *, done_days: int | None, failed_days: int | None, with_cache: bool
    ) -> Pruning:
        """Sweep every root that is there, now, with these ages (None: as the settings say).

        Only one at a time.
        """
        wanted = {"done_days": done_days, "failed_days": failed_days}
        settings = self._settings.model_copy(update={name: days for name, days in wanted.items() if days is not None})
        todo: list[Root | None] = [desk.root for desk in desks if desk.offline is None]
        away = tuple(str(desk.root.path) for desk in desks if desk.offline is not None)
        self._pruning = Pruning(settings, [*todo, *([None] if with_cache else [])], away)
        return self._pruning

    @property
    def is_pruning(self) -> bool:
        """Tell whether the pruning that was asked for is still under way."""
        return self._pruning is not None

    def filenos(self) -> list[int]:
        """Readable when an errand has ended."""
        return [] if self._errand is None else [self._errand.fileno()]

    def cache_grew(self) -> None:
        """An analysis has added to the cache: sweep it soon, unless there is plenty of room."""
        if self._cache_bytes >= ROOMY_SHARE * self._cache_limit_bytes:
            soon_s = max(self._clock(), self._cache_swept_s + CACHE_PAUSE_S)
            self._cache_due_s = min(self._cache_due_s, soon_s)

    @property
    def _cache_limit_bytes(self) -> int:
        return int(self._settings.cache_gib * GIB)

    def tick(self, desks: list[FrontDesk]) -> None:
        """Begin a round when it is due; go on with the one under way."""
        now_s = self._clock()
        if self._errand is not None:
            answer = self._errand.poll(now_s)
            if answer is None:
                return
            self._errand = None
            self._take(answer)
        if self._pruning is not None:
            self._go_on_pruning(now_s)
            return
        if now_s >= self._due_s:
            self._due_s = now_s + EVERY_S
            self._todo = [desk.root for desk in desks if desk.offline is None]
            self._todo.append(None)
            for desk in desks:
                in_use = self._store.input_paths(desk.root.uuid)
                desk.sweep_shared(frozenset(Path(path).name for path in in_use))
        if now_s >= self._cache_due_s and None not in self._todo:
            self._todo.insert(0, None)
        if self._todo:
            self._begin(self._todo[0], now_s)
            self._todo.pop(0)

    def _take(self, answer: Answer) -> None:
        """Note what a sweep has done."""
        pruning = self._pruning if self._is_pruning else None
        self._is_pruning = False
        if not answer.is_good:
            reason = answer.error.message if answer.error else answer.fault.strip().splitlines()[-1]
            log.warning("sweeper.failed", reason=reason)
            if pruning is not None:
                pruning.troubles += (reason,)
            return
        if isinstance(answer.value, CacheSwept):
            self._cache_bytes = answer.value.kept_bytes
        if pruning is not None:
            pruning.note(answer.value)

    def _go_on_pruning(self, now_s: float) -> None:
        pruning = self._pruning
        if pruning is None or not pruning.todo:
            self._pruning = None
            return
        self._begin(pruning.todo[0], now_s, pruning)
        pruning.todo.pop(0)  # only now: a store that cannot be read must not lose a root
        self._is_pruning = True

    def _begin(self, root: Root | None, now_s: float, pruning: Pruning | None = None) -> None:
        settings = pruning.settings if pruning else self._settings
        if root is None:
            self._cache_swept_s, self._cache_due_s = now_s, math.inf
            most_bytes = 0 if pruning else self._cache_limit_bytes
            self._errand = Errand(
                self._nursery, sweep_cache, self._state_dir / "cache", most_bytes, now_s=now_s, limit_s=LIMIT_S
            )  # fmt: skip
            return
        self._errand = Errand(
            self._nursery, sweep_originals, root, self._wall(), settings, self._store.keeps(root.uuid),
            now_s=now_s, limit_s=LIMIT_S,
        )  # fmt: skip

    def stop(self) -> None:
        """Kill what is under way; every sweep can be repeated."""
        if self._errand is not None:
            self._errand.end()
            self._errand = None


def sweep_originals(root: Root, now: datetime, settings: RetentionSettings, keeps: dict[str, int]) -> Swept:
    """Remove what is older than the settings say; runs in a child."""
    return sweep_root(
        root,
        today=now.date(),
        done_days=settings.done_days,
        failed_days=settings.failed_days,
        keeps=keeps,
        low_water_bytes=int(settings.low_water_gib * GIB),
    )
