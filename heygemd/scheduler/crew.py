"""The workers at hand: who has which task, who is still alive, and what became of the tasks."""

import signal
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from heygemd.planning.plan import EngineChoice, Event, EventKind, Task, TaskKind
from heygemd.scheduler.facts import NewWorker, Start, WorkerFacts
from heygemd.scheduler.workers import Ended, WorkerPool
from heygemd.settings import RenderSettings

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
    is_alone: bool = False
    """Its task wants no other worker beside it."""
    claim_bytes: int = 0
    """The most memory that it was granted."""
    held_bytes: int = 0
    """What it said to hold when it last said so: on a card without the context, on the CPU all of it."""
    held_before_bytes: int = 0
    """What it had held when it was given its task."""
    first_rss_bytes: int = 0
    """Main memory after its first task."""
    rss_bytes: int = 0
    tasks_taken: int = 0
    staged: str = ""
    """Job whose film it has ready."""
    precision: str = ""
    is_ready: bool = False
    is_leaving: bool = False
    """It was told to end; it gets no more tasks."""
    began_s: float = 0.0
    """When it was given its task."""
    heard_s: float = 0.0
    """When it last said something, or was given its task."""
    idle_since_s: float = 0.0
    frames_done: int = 0
    frames_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone:
    """A worker says that its task is done; only the files can prove it."""

    task: Task
    worker: int
    event: Event
    device: str
    took_s: float
    """Since it was given the task, which for a new worker includes its start."""
    was_fresh: bool
    """It was the worker's first task."""
    held_before_bytes: int
    """What the worker held before: torch keeps its pool, so a small batch after a large one peaks as that did."""


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
    was_alone: bool = False
    """No other worker was on the device."""
    took_s: float = 0.0
    event: Event | None = None
    """What the worker said, if it said anything."""
    slot: str = ""
    """The device that the worker occupied."""
    claim_bytes: int = 0
    """What it was granted there."""
    was_killed: bool = False
    """A signal that was not ours has ended it."""


News = TaskDone | TaskFailed


class Crew:
    """The pool's workers, one task each at most; one that is told to end keeps its memory until it has ended."""

    def __init__(self, pool: WorkerPool, clock: Callable[[], float], settings: RenderSettings) -> None:
        self._pool = pool
        self._clock = clock
        self.reconfigure(settings)
        self._hands: dict[int, Hand] = {}
        self._unheard: deque[tuple[int, Event | Ended]] = deque()

    def reconfigure(self, settings: RenderSettings) -> None:
        """Go by other settings from now on."""
        self._recycle_tasks = settings.recycle_tasks
        self._recycle_bytes = settings.recycle_growth_mib << 20
        self._start_silence_s = settings.silence_start_s
        self._silence_s = {
            TaskKind.ANALYSE: settings.silence_analyse_s,
            TaskKind.RENDER: settings.silence_render_s,
            TaskKind.FINISH: settings.silence_finish_s,
        }

    @property
    def hands(self) -> tuple[Hand, ...]:
        """All workers, those on their way out, too."""
        return tuple(self._hands.values())

    @property
    def busy(self) -> tuple[Hand, ...]:
        """Workers with a task."""
        return tuple(hand for hand in self._hands.values() if hand.task)

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Every worker as the policy sees it."""
        return tuple(self._facts(hand) for hand in self._hands.values())

    def _facts(self, hand: Hand) -> WorkerFacts:
        is_free = hand.task is None and hand.is_ready and not hand.is_leaving
        return WorkerFacts(
            worker=hand.worker,
            engine=hand.engine,
            device=hand.slot,
            is_free=is_free,
            held_bytes=hand.claim_bytes,
            job_id=hand.task.job_id if hand.task else "",
            task=hand.task.kind if hand.task else None,
            staged=hand.staged,
            is_alone=hand.is_alone,
            is_worn=self._is_worn(hand),
            idle_s=self._clock() - hand.idle_since_s if is_free else 0.0,
        )

    def _is_worn(self, hand: Hand) -> bool:
        has_grown = hand.first_rss_bytes and hand.rss_bytes - hand.first_rss_bytes > self._recycle_bytes
        return hand.tasks_taken >= self._recycle_tasks or bool(has_grown)

    def at_work_on(self, job_id: str) -> tuple[Hand, ...]:
        """Workers that have a task of this job."""
        return tuple(hand for hand in self.busy if hand.task and hand.task.job_id == job_id)

    def give(self, start: Start, *, alone: bool = False) -> None:
        """Send the task, to a new worker if need be; raises ResourceError E302 when none can be started."""
        hand = self._hire(start.worker) if isinstance(start.worker, NewWorker) else self._hands[start.worker]
        hand.task, hand.is_alone = start.task, alone
        hand.claim_bytes = max(hand.claim_bytes, start.claim_bytes)
        hand.tasks_taken += 1
        hand.held_before_bytes = hand.held_bytes
        hand.began_s = hand.heard_s = self._clock()
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
        if hand := self._hands.get(worker):
            hand.is_leaving = True
            self._pool.stop(worker)

    def kill(self, worker: int) -> None:
        """End a worker; its task, if it has one, is dropped without news."""
        if hand := self._hands.get(worker):
            hand.task, hand.is_alone = None, False
            hand.is_leaving = True
            self._pool.kill(worker)

    def release(self, job_id: str) -> None:
        """Take every worker off this job; there is no way to stop a task but to end its worker."""
        for hand in self.at_work_on(job_id):
            self.kill(hand.worker)

    def abandon(self, slots: Collection[str]) -> list[TaskFailed]:
        """End the busy workers of these devices, which are lost; returns what became of their tasks."""
        failures = []
        for hand in self.busy:
            if hand.slot in slots:
                failures.append(self._failure(hand, "E302", f"{hand.slot} has disappeared"))
                self.kill(hand.worker)
        return failures

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
        hand = Hand(worker, wanted.engine, slot=wanted.device, device=wanted.device, idle_since_s=self._clock())
        self._hands[worker] = hand
        return hand

    def _bury(self, hand: Hand, ended: Ended) -> News | None:
        del self._hands[hand.worker]
        was_killed = ended.returncode == -signal.SIGKILL and not ended.reason
        return self._failure(hand, None, f"the worker {ended}", was_killed=was_killed) if hand.task else None

    def _hear(self, hand: Hand, event: Event) -> News | None:
        if event.kind is EventKind.READY:
            hand.is_ready = True
            hand.device = event.device or hand.slot
            hand.precision = event.precision
            hand.heard_s = self._clock()
            log.info(
                "worker.ready",
                worker=hand.worker,
                engine=hand.engine.name,
                device=hand.device,
                wanted=hand.slot,
                precision=event.precision,
            )
            return None
        self._weigh(hand, event)
        if hand.task is None:
            return None  # it was taken off its task meanwhile
        if event.kind is EventKind.FAILED:
            news = self._failure(hand, event.error_code or "E500", event.message, event=event)
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
        hand.staged = hand.task.job_id if hand.task.kind is TaskKind.RENDER else hand.staged
        hand.first_rss_bytes = hand.first_rss_bytes or event.rss_bytes
        was_fresh, took_s = hand.tasks_taken == 1, self._clock() - hand.began_s
        return TaskDone(
            task=self._take_off(hand),
            worker=hand.worker,
            event=event,
            device=hand.device,
            took_s=took_s,
            was_fresh=was_fresh,
            held_before_bytes=hand.held_before_bytes,
        )

    def _weigh(self, hand: Hand, event: Event) -> None:
        """Note what the worker says to hold."""
        if event.rss_bytes:
            hand.rss_bytes = event.rss_bytes
        hand.held_bytes = event.held_vram_bytes or (hand.held_bytes if hand.slot != "cpu" else hand.rss_bytes)

    def _take_off(self, hand: Hand) -> Task:
        if hand.task is None:
            raise AssertionError("it has no task")
        task, hand.task, hand.is_alone = hand.task, None, False
        hand.idle_since_s = self._clock()
        return task

    def _find_silent(self) -> News | None:
        now_s = self._clock()
        for hand in self.busy:
            silence_s = now_s - hand.heard_s
            if silence_s > self._patience_s(hand):
                news = self._failure(hand, None, f"the worker said nothing for {silence_s:.0f} s")
                self.kill(hand.worker)
                return news
        return None

    def _patience_s(self, hand: Hand) -> float:
        if not hand.is_ready or hand.task is None:
            return self._start_silence_s
        return self._silence_s[hand.task.kind]

    def _failure(
        self, hand: Hand, code: str | None, message: str, *, event: Event | None = None, was_killed: bool = False
    ) -> TaskFailed:
        beside = (other for other in self._hands.values() if other is not hand and other.slot == hand.slot)
        took_s = self._clock() - hand.began_s
        hand.staged = ""  # a worker that failed has let go of everything
        return TaskFailed(
            task=self._take_off(hand),
            worker=hand.worker,
            code=code,
            message=message,
            traceback=event.traceback if event else "",
            was_ready=hand.is_ready,
            was_fresh=hand.tasks_taken == 1,
            was_alone=not any(beside),
            took_s=took_s,
            event=event,
            slot=hand.slot,
            claim_bytes=hand.claim_bytes,
            was_killed=was_killed,
        )
