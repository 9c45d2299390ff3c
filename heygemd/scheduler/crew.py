"""The workers at hand: who has which task, who is still alive, and what became of the tasks."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from heygemd.planning.plan import EngineChoice, Event, EventKind, Task
from heygemd.scheduler.policy import NewWorker, Start, WorkerFacts
from heygemd.scheduler.workers import Ended, WorkerPool

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Hand:
    """One worker."""

    worker: int
    engine: EngineChoice
    slot: str
    """The device it was started for; it occupies that until it has ended."""
    device: str
    """The device it says it runs on."""
    task: Task | None = None
    tasks_taken: int = 0
    is_ready: bool = False
    is_leaving: bool = False
    """It was told to end; it gets no more tasks."""
    heard_s: float = 0.0
    """When it last said something, or was given its task."""
    frames_done: int = 0
    frames_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone:
    """A worker says that its task is done; only the files can prove it."""

    task: Task
    worker: int
    event: Event
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """A task did not end well."""

    task: Task
    worker: int
    code: str | None
    """None: the worker ended without a word, or fell silent."""
    message: str
    traceback: str = ""
    was_ready: bool
    was_fresh: bool


News = TaskDone | TaskFailed


class Crew:
    """The pool's workers, one task each at most; one that is told to end keeps its device until it has ended."""

    def __init__(self, pool: WorkerPool, clock: Callable[[], float], silence_limit_s: float) -> None:
        self._pool = pool
        self._clock = clock
        self._silence_limit_s = silence_limit_s
        self._hands: dict[int, Hand] = {}
        self._unheard: deque[tuple[int, Event | Ended]] = deque()

    @property
    def busy(self) -> tuple[Hand, ...]:
        """Workers with a task."""
        return tuple(hand for hand in self._hands.values() if hand.task)

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Every worker as the policy sees it."""
        return tuple(
            WorkerFacts(
                worker=hand.worker,
                engine=hand.engine,
                device=hand.slot,
                is_free=hand.task is None and hand.is_ready and not hand.is_leaving,
            )
            for hand in self._hands.values()
        )

    def at_work_on(self, job_id: str) -> tuple[Hand, ...]:
        """Workers that have a task of this job."""
        return tuple(hand for hand in self.busy if hand.task and hand.task.job_id == job_id)

    def give(self, start: Start) -> None:
        """Send the task, to a new worker if need be; raises ResourceError E302 when none can be started."""
        hand = self._hire(start.worker) if isinstance(start.worker, NewWorker) else self._hands[start.worker]
        hand.task = start.task
        hand.tasks_taken += 1
        hand.heard_s = self._clock()
        hand.frames_done = hand.frames_total = 0
        self._pool.send(hand.worker, start.task)

    def next_news(self) -> News | None:
        """Return what became of a task; None when nothing is new. One at a time, so a fault in between loses none."""
        if not self._unheard:
            self._unheard.extend(self._pool.events())
        while self._unheard:
            worker, said = self._unheard.popleft()
            hand = self._hands.get(worker)
            if hand is None:
                continue
            hand.heard_s = self._clock()
            if news := self._bury(hand, said) if isinstance(said, Ended) else self._hear(hand, said):
                return news
        return self._find_silent()

    def dismiss(self, worker: int) -> None:
        """Let an idle worker end in peace."""
        self._hands[worker].is_leaving = True
        self._pool.stop(worker)

    def kill(self, worker: int) -> None:
        """End a worker; its task, if it has one, is dropped without news."""
        if hand := self._hands.get(worker):
            hand.task = None
            hand.is_leaving = True
            self._pool.kill(worker)

    def release(self, job_id: str) -> None:
        """Take every worker off this job; there is no way to stop a task but to end its worker."""
        for hand in self.at_work_on(job_id):
            self.kill(hand.worker)

    def wind_down(self, *, at_once: bool) -> None:
        """Send workers away: the idle ones and those that only start, or all."""
        for hand in list(self._hands.values()):
            if hand.is_leaving:
                continue
            if hand.task is None:
                self.dismiss(hand.worker)
            elif at_once or not hand.is_ready:
                self.kill(hand.worker)

    def _hire(self, wanted: NewWorker) -> Hand:
        worker = self._pool.start(wanted.engine, wanted.device)
        hand = Hand(worker, wanted.engine, slot=wanted.device, device=wanted.device)
        self._hands[worker] = hand
        return hand

    def _bury(self, hand: Hand, ended: Ended) -> News | None:
        del self._hands[hand.worker]
        return self._failure(hand, None, f"the worker {ended}") if hand.task else None

    def _hear(self, hand: Hand, event: Event) -> News | None:
        if event.kind is EventKind.READY:
            hand.is_ready = True
            hand.device = event.device or hand.slot
            log.info("worker.ready", worker=hand.worker, engine=hand.engine.name, device=hand.device, wanted=hand.slot)
            return None
        if hand.task is None:
            return None  # it was taken off its task meanwhile
        if event.kind is EventKind.FAILED:
            news = self._failure(hand, event.error_code or "E500", event.message, event.traceback)
            if not hand.is_ready:
                self.kill(hand.worker)  # it has no engine, and nothing more to give
            return news
        segment = hand.task.segment.index if hand.task.segment else None
        if not hand.is_ready or (event.job_id, event.task, event.segment) != (
            hand.task.job_id,
            hand.task.kind,
            segment,
        ):
            news = self._failure(hand, None, f"the worker spoke of another task ({event.task} {event.segment})")
            self.kill(hand.worker)
            return news
        hand.frames_done, hand.frames_total = event.frames_done, event.frames_total
        if event.kind is EventKind.PROGRESS:
            return None
        task, hand.task = hand.task, None
        return TaskDone(task=task, worker=hand.worker, event=event, device=hand.device)

    def _find_silent(self) -> News | None:
        now_s = self._clock()
        for hand in self.busy:
            silence_s = now_s - hand.heard_s
            if silence_s > self._silence_limit_s:
                news = self._failure(hand, None, f"the worker said nothing for {silence_s:.0f} s")
                self.kill(hand.worker)
                return news
        return None

    def _failure(self, hand: Hand, code: str | None, message: str, traceback: str = "") -> TaskFailed:
        if hand.task is None:
            raise AssertionError("only a task can fail")
        task, hand.task = hand.task, None
        return TaskFailed(
            task=task,
            worker=hand.worker,
            code=code,
            message=message,
            traceback=traceback,
            was_ready=hand.is_ready,
            was_fresh=hand.tasks_taken == 1,
        )
