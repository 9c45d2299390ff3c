"""Roots of the configuration that are not there yet: a share that is mounted after the daemon has started."""

from collections.abc import Callable
from pathlib import Path

import structlog

from heygemd.daemon.errands import Errand, Nursery
from heygemd.errors import HeygemdError
from heygemd.intake.roots import open_root
from heygemd.jobs.roots import Root

log = structlog.get_logger(__name__)

EVERY_S = 10.0
LIMIT_S = 60.0


class Latecomers:
    """Asks for each absent root now and then, in a child: the share may hang."""

    def __init__(self, paths: tuple[Path, ...], nursery: Nursery, clock: Callable[[], float]) -> None:
        self.paths, self._nursery, self._clock = list(paths), nursery, clock
        self._errands: dict[Path, Errand] = {}
        self._refused: set[Path] = set()
        self._due_s = clock() + EVERY_S if paths else float("inf")
        for path in paths:
            log.warning("root.went_offline", root=str(path), reason="it has no sentinel: the share is not mounted yet")

    def filenos(self) -> list[int]:
        """Readable when there is an answer."""
        return [errand.fileno() for errand in self._errands.values()]

    def due_s(self, now_s: float) -> float:
        """Seconds until the next question."""
        return max(0.0, self._due_s - now_s)

    def tick(self) -> tuple[Root, ...]:
        """Return the roots that have come, once each."""
        now_s = self._clock()
        come = []
        for path, errand in list(self._errands.items()):
            answer = errand.poll(now_s)
            if answer is None:
                continue
            del self._errands[path]
            if answer.is_good:
                self.paths.remove(path)
                come.append(answer.value)
        if not self.paths and not self._errands:
            self._due_s = float("inf")
        elif now_s >= self._due_s:
            self._due_s = now_s + EVERY_S
            for path in self.paths:
                if path not in self._errands:
                    self._errands[path] = Errand(self._nursery, open_root, path, now_s=now_s, limit_s=LIMIT_S)
        return tuple(come)

    def refuse(self, root: Root, error: HeygemdError) -> None:
        """Say once why a root that has come cannot be served; one that another daemon serves is asked for again."""
        if root.path not in self._refused:
            log.error("root.refused", root=str(root.path), error_code=error.code, reason=error.message)
        self._refused.add(root.path)
        if error.code == "E404":
            self.paths.append(root.path)
            self._due_s = self._clock() + EVERY_S

    def stop(self) -> None:
        """End what is under way."""
        for errand in self._errands.values():
            errand.end()
        self._errands.clear()
