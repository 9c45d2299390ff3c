"""Roots of the configuration that are not there yet: a share that is mounted after the daemon has started."""

import select
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from heygemd.daemon.errands import Answer, Errand, Nursery
from heygemd.errors import HeygemdError, ResourceError, SetupError
from heygemd.intake.roots import open_present, open_root, refuse_nested
from heygemd.jobs.roots import Root
from heygemd.outbox.originals import sweep_parts

log = structlog.get_logger(__name__)

START_LIMIT_S = 5.0
"""At the start a root that does not answer for so long is one that comes later."""
SWEEP_LIMIT_S = 60.0
EVERY_S = 10.0
LIMIT_S = 60.0


def find_roots(
    paths: tuple[Path, ...], nursery: Nursery, clock: Callable[[], float]
) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Return the roots that are there, and the paths of those that are not or do not answer.

    Each is asked in a child, for a share may hang. Raises SetupError E401 for one that is there but wrong.
    """
    errands = [(path, Errand(nursery, open_present, (path,), now_s=clock(), limit_s=START_LIMIT_S)) for path in paths]
    found: list[Root] = []
    absent: list[Path] = []
    for path, errand in errands:
        answer = _wait_for(errand, clock)
        if isinstance(answer.error, SetupError):
            raise answer.error
        present, missing = answer.value if answer.is_good else ((), (path.absolute(),))
        found += present
        absent += missing
        if missing:
            reason = answer.error.message if answer.error else "it has no sentinel: the share is not mounted yet"
            log.warning("root.went_offline", root=str(path), reason=reason)
    refuse_nested(found)
    return tuple(found), tuple(absent)


def sweep_outboxes(
    roots: tuple[Root, ...], known: frozenset[str], nursery: Nursery, clock: Callable[[], float]
) -> None:
    """Remove what a crash has left half copied, before anything is delivered; a share that refuses keeps it."""
    errands = [
        (root, Errand(nursery, sweep_parts, root.outbox, known, now_s=clock(), limit_s=SWEEP_LIMIT_S)) for root in roots
    ]
    for root, errand in errands:
        answer = _wait_for(errand, clock)
        if not answer.is_good:
            reason = answer.error.message if answer.error else answer.fault.strip().splitlines()[-1]
            log.warning("sweeper.failed", root=str(root.path), reason=reason)


def come(path: Path, known: frozenset[str]) -> Root:
    """Open a root that was not there at the start, and sweep it; runs in a child."""
    root = open_root(path)
    with suppress(ResourceError):
        sweep_parts(root.outbox, known)
    return root


def refuse_state_within(root: Root, state_dir: Path) -> None:
    """Raise SetupError E401 when people who share a root could reach the store."""
    if state_dir.is_relative_to(root.path):
        raise SetupError("E401", f"the state directory {state_dir} must not lie inside the root {root.path}")


def _wait_for(errand: Errand, clock: Callable[[], float]) -> Answer:
    """Wait: the daemon does nothing else before it has begun."""
    while (answer := errand.poll(clock())) is None:
        select.select([errand.fileno()], [], [], 0.1)
    return answer


class Latecomers:
    """Asks for each absent root now and then, in a child: the share may hang."""

    def __init__(self, paths: tuple[Path, ...], nursery: Nursery, clock: Callable[[], float]) -> None:
        self.paths, self._nursery, self._clock = list(paths), nursery, clock
        self._errands: dict[Path, Errand] = {}
        self._refused: set[Path] = set()
        self.reasons: dict[Path, str] = {}
        """Why a root is not served, as far as that was told; also of those that are not asked for any more."""
        self.known: frozenset[str] = frozenset()
        """Ids of the jobs whose leavings may be swept."""
        self._unheard = set(paths)
        """Those that nobody has been told about since they were put off: they may be there, and full of work."""
        self._due_s = clock() + EVERY_S if paths else float("inf")

    @property
    def is_idle(self) -> bool:
        """Whether each absent root has been asked for at least once more, and has answered."""
        return not self._unheard

    def filenos(self) -> list[int]:
        """Readable when there is an answer."""
        return [errand.fileno() for errand in self._errands.values()]

    def due_s(self, now_s: float) -> float:
        """Seconds until the next question."""
        return max(0.0, self._due_s - now_s)

    def tick(self) -> tuple[Root, ...]:
        """Return the roots that have come, once each."""
        now_s = self._clock()
        arrived = []
        for path, errand in list(self._errands.items()):
            answer = errand.poll(now_s)
            if answer is None:
                continue
            del self._errands[path]
            self._unheard.discard(path)
            if answer.is_good:
                self.paths.remove(path)
                self.reasons.pop(path, None)
                arrived.append(answer.value)
            elif answer.error is not None:
                self.reasons[path] = answer.error.message
        if not self.paths and not self._errands:
            self._due_s = float("inf")
        elif now_s >= self._due_s:
            self._due_s = now_s + EVERY_S
            for path in self.paths:
                if path not in self._errands:
                    self._errands[path] = Errand(
                        self._nursery, come, path, self.known, now_s=now_s, limit_s=LIMIT_S
                    )  # fmt: skip
        return tuple(arrived)

    def add(self, path: Path) -> None:
        """Ask for one more root from now on; it may be there already."""
        self.paths.append(path)
        self._unheard.add(path)
        self._due_s = self._clock()

    def refuse(self, root: Root, error: HeygemdError) -> None:
        """Say once why a root that has come cannot be served; one that another daemon serves is asked for again."""
        if root.path not in self._refused:
            log.error("root.refused", root=str(root.path), error_code=error.code, reason=error.message)
        self._refused.add(root.path)
        self.reasons[root.path] = error.message
        if error.code == "E404":
            self.paths.append(root.path)
            self._due_s = self._clock() + EVERY_S

    def postpone(self, path: Path, reason: str) -> None:
        """Ask again later for a root that has come but cannot be used yet."""
        if path not in self._refused:
            log.warning("root.went_offline", root=str(path), reason=reason)
        self._refused.add(path)
        self.reasons[path] = reason
        self.paths.append(path)
        self._unheard.add(path)
        self._due_s = self._clock() + EVERY_S

    def stop(self) -> None:
        """End what is under way."""
        for errand in self._errands.values():
            errand.end()
        self._errands.clear()
