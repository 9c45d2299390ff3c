"""Workers without processes, for tests and dry runs: they obey at once, or only speak when told to."""

from collections import deque
from collections.abc import Callable, Iterable

from heygemd.log import LogChoice
from heygemd.planning.plan import (
    Analysis,
    EngineChoice,
    Event,
    EventKind,
    FilmFacts,
    Order,
    Plan,
    RenderFacts,
    Task,
    TaskKind,
    from_json,
    to_json,
)
from heygemd.scheduler.workers import Ended

SIGKILL = 9


def ready(device: str) -> Event:
    """Say what a worker says first."""
    return Event(kind=EventKind.READY, device=device)


def done(task: Task, **facts: object) -> Event:
    """Say that a task is done."""
    return _about(task, EventKind.DONE, **facts)


def failed(task: Task, code: str, message: str = "because the test says so", traceback: str = "") -> Event:
    """Say that a task failed."""
    return _about(task, EventKind.FAILED, error_code=code, message=message, traceback=traceback)


def progress(task: Task, frames_done: int, frames_total: int) -> Event:
    """Say how far a task has come."""
    return _about(task, EventKind.PROGRESS, frames_done=frames_done, frames_total=frames_total)


def _about(task: Task, kind: EventKind, **facts: object) -> Event:
    segment = task.segment.index if task.segment else None
    return Event(kind=kind, job_id=task.job_id, task=task.kind, segment=segment, **facts)  # type: ignore[arg-type]


def leave_files(task: Task) -> Event:
    """Leave the files that a real worker would leave, with a few bytes of nonsense for pictures; return `done`."""
    text = task.order_path.read_bytes()
    if task.kind is TaskKind.ANALYSE:
        order = from_json(Order, text)
        ticks = max(1, order.video_info.frame_count)
        analysis = Analysis(tick_count=ticks, face_frames=ticks, source_frames=ticks)
        order.track_file.write_bytes(b"track")
        order.speech_file.write_bytes(b"speech")
        order.analysis_file.write_text(to_json(analysis))
        return done(task, analysis=analysis, seconds={"track": 1.0, "listen": 0.5})
    plan = from_json(Plan, text)
    if task.segment is not None:
        film = plan.segments_dir / task.segment.file_name
        film.parent.mkdir(exist_ok=True)
        count = task.segment.frame_count
        facts = RenderFacts(touched_frames=count, passed_frames=0, seconds={"render": 2.0, "encode": 1.0})
        film.with_suffix(".json").write_text(to_json(facts))
        film.write_bytes(f"segment {task.segment.index} of {plan.hash}".encode())
        return done(task, frames_done=count, frames_total=count, seconds=facts.seconds)
    plan.sheet_file.write_bytes(b"sheet")
    plan.facts_file.write_text(to_json(_film_facts(plan)))
    plan.film_file.write_bytes(f"film {plan.hash}".encode())
    return done(task, seconds={"stitch": 0.25, "verify": 0.25})


def _film_facts(plan: Plan) -> FilmFacts:
    timeline, info = plan.timeline, plan.order.video_info
    return FilmFacts(
        sha256="0" * 64,
        size_bytes=len(f"film {plan.hash}"),
        frame_count=timeline.frame_count,
        fps=str(timeline.fps),
        width_px=info.width_px,
        height_px=info.height_px,
        duration_s=float(timeline.frame_count / timeline.fps),
        audio_codec="aac",
        audio_copied=False,
        touched_frames=timeline.frame_count,
        passed_frames=0,
    )


class FakeWorkers:
    """A `WorkerPool` that keeps a diary; `act` says what a worker answers to a task (default: it obeys)."""

    def __init__(self, act: Callable[[Task], Iterable[Event | Ended]] = lambda task: (leave_files(task),)) -> None:
        self.act = act
        self.on_wait: Callable[[float], None] = lambda most_s: None
        """What happens instead of sleep."""
        self.first_words: Callable[[str], Event | Ended] = ready
        """What a new worker says, given its device."""
        self.started: list[tuple[int, EngineChoice, str]] = []
        self.sent: list[tuple[int, Task]] = []
        self.killed: list[int] = []
        self.stopped: list[int] = []
        self.alive: set[int] = set()
        self.known_pids: dict[int, int] = {}
        """What `pids` returns, as far as the workers live."""
        self._said: deque[tuple[int, Event | Ended]] = deque()
        self.logs = LogChoice()
        """How workers would log."""

    def log_as(self, logs: LogChoice) -> None:
        """Note it."""
        self.logs = logs

    def start(self, engine: EngineChoice, device: str) -> int:
        """Start a worker that is ready at once."""
        worker = len(self.started) + 1
        self.started.append((worker, engine, device))
        self.alive.add(worker)
        self.say(worker, self.first_words(device))
        return worker

    def send(self, worker: int, task: Task) -> None:
        """Note the task and let `act` answer it."""
        self.sent.append((worker, task))
        if worker in self.alive:
            self.say(worker, *self.act(task))

    def say(self, worker: int, *things: Event | Ended) -> None:
        """Let a worker speak, or end; the dead say nothing."""
        for thing in things:
            if worker not in self.alive:
                return
            self._said.append((worker, thing))
            if isinstance(thing, Ended):
                self.alive.discard(worker)

    def events(self) -> list[tuple[int, Event | Ended]]:
        """Return what was said since the last call."""
        said = list(self._said)
        self._said.clear()
        return said

    def kill(self, worker: int) -> None:
        """End a worker at once."""
        self.killed.append(worker)
        self.say(worker, Ended(returncode=-SIGKILL, reason="killed by the daemon"))

    def stop(self, worker: int) -> None:
        """Let a worker end in peace."""
        self.stopped.append(worker)
        self.say(worker, Ended(returncode=0, reason="stopped by the daemon"))

    def close(self) -> None:
        """End all workers."""
        for worker in sorted(self.alive):
            self.kill(worker)
        self._said.clear()

    def pids(self) -> dict[int, int]:
        """Return `known_pids` of the living; they are in no process unless a test says so."""
        return {worker: pid for worker, pid in self.known_pids.items() if worker in self.alive}

    def filenos(self) -> tuple[int, ...]:
        """Return nothing: there is nothing to wait for."""
        return ()

    def wait(self, most_s: float) -> None:
        """Sleep not at all."""
        self.on_wait(most_s)
