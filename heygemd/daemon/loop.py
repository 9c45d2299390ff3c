"""The daemon: one thread, one loop, `tick()`. It moves state and never waits for a disk or a share.

    desk of each root (child) ── arrivals ─▶ store ─▶ scheduler ─▶ workers (children)
                                               ▲          │ film ready / job failed
                                               └── handover (errands: children) ─▶ outbox/, done/, failed/

Whatever may block lies behind an arrow to a child.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import structlog

from heygemd import __version__, catalogue, places
from heygemd.assembly import default_options, open_scheduler, utc_now
from heygemd.daemon.errands import Nursery, open_nursery
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.daemon.handover import Handover
from heygemd.daemon.snapshot import take_snapshot
from heygemd.errors import ResourceError, SetupError
from heygemd.intake.roots import open_roots
from heygemd.jobs.job import EngineName, Job
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice
from heygemd.media.ffmpeg import require_tools
from heygemd.outbox.originals import sweep_parts
from heygemd.outbox.status import Snapshot
from heygemd.scheduler.scheduler import FilmReady, Outcome, Scheduler
from heygemd.settings import Settings

log = structlog.get_logger(__name__)

FAULT_PAUSE_S = 5.0


class Daemon:
    """Wires the rooms together; knows all of them but render."""

    def __init__(
        self,
        *,
        settings: Settings,
        roots: tuple[Root, ...],
        state_dir: Path,
        store: JobStore,
        scheduler: Scheduler,
        nursery: Nursery,
    ) -> None:
        self.settings, self.state_dir, self.store, self.scheduler = settings, state_dir, store, scheduler
        self.handover = Handover(
            store=store,
            roots={root.uuid: root for root in roots},
            nursery=nursery,
            settings=settings.outbox,
            clock=time.monotonic,
            wall=utc_now,
        )
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.desks = [FrontDesk(root, settings, nursery, self.wake) for root in roots]
        self._stop_signal: int | None = None
        self._outcomes: list[Outcome] = []
        self.ended_counts = {JobState.DONE: 0, JobState.FAILED: 0}

    def wake(self) -> None:
        """End the present sleep of the loop; safe from any thread and from a signal handler."""
        try:
            os.write(self._wake_in, b"x")
        except BlockingIOError:
            return  # already full of wake-ups

    def run(self, *, until_idle: bool = False, on_tick: Callable[[], None] | None = None) -> int:
        """Tick until told to stop, or until nothing is left to do; returns how many jobs failed meanwhile."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        log.info("daemon.started", version=__version__, pid=os.getpid(), roots=[str(d.root.path) for d in self.desks])
        try:
            while self._stop_signal is None and not (until_idle and self.is_idle()):
                self._guarded_tick()
                if on_tick is not None:
                    on_tick()
                self._sleep(0.25 if on_tick is not None else 5.0)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self.stop()
        return self.ended_counts[JobState.FAILED]

    def tick(self) -> None:
        """One round: intake → store → scheduler → handover."""
        now_s = time.monotonic()
        for desk in self.desks:
            self._receive(desk, desk.tick(now_s, self.snapshot))
        self._outcomes += self.scheduler.tick()
        while self._outcomes:
            self._end(self._outcomes[0])
            self._outcomes.pop(0)  # only now: the scheduler reports each once, and a failed tick must not lose one
        for job_id in self.handover.tick():
            self._put_away(job_id)

    def is_idle(self) -> bool:
        """Every inbox is quiet, and no job is queued, running or on its way out."""
        if not self.handover.is_idle() or not all(desk.is_quiet for desk in self.desks):
            return False
        return not self.store.has_work(desk.root.uuid for desk in self.desks)

    def stop(self) -> None:
        """Give the work in hand back to the queue; whatever is not finished is resumed by the next run."""
        log.info("daemon.stopping", signal=self._stop_signal)
        self.handover.stop()
        self.scheduler.stop(self.settings.render.stop_grace_s)
        for desk in self.desks:
            desk.stop()
        log.info("daemon.stopped")

    def _receive(self, desk: FrontDesk, arrivals: tuple[Job, ...]) -> None:
        for job in arrivals:
            # Nobody chose options for it, so it gets those of the settings, and keeps them when the settings change.
            if self.store.add(replace(job, options=default_options(self.settings.render))):
                log.info(
                    "intake.claimed",
                    job_id=job.id,
                    name=job.name,
                    folder=job.folder,
                    state=job.state,
                    error_code=job.error_code,
                )
                if job.state is JobState.FAILED:
                    self.handover.put_away(job)
        desk.stored += tuple(job.id for job in arrivals)

    def _end(self, outcome: Outcome) -> None:
        if isinstance(outcome, FilmReady):
            self.handover.film_ready(outcome)
        else:
            self.handover.job_failed(outcome)

    def _put_away(self, job_id: str) -> None:
        job = self.store.get(job_id)
        if job is not None and job.state in self.ended_counts:
            self.ended_counts[job.state] += 1
        self._discard_work(job_id)
        for desk in self.desks:
            desk.refresh_status()

    def _discard_work(self, job_id: str) -> None:
        try:
            self.scheduler.discard_work(job_id)
        except ResourceError as error:  # the next start sweeps it
            log.warning("daemon.work_kept", job_id=job_id, error_code=error.code, reason=error.message)

    def sweep_work(self) -> None:
        """Remove work directories that a crash left behind: of jobs that have ended, or that nobody knows."""
        for folder in (self.state_dir / "work").iterdir():
            job = self.store.get(folder.name)
            if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
                self._discard_work(folder.name)

    def _guarded_tick(self) -> None:
        try:
            self.tick()
        except Exception:
            # The border of one tick: a bug must not end a daemon that has work in hand. It is loud, and slow.
            log.exception("daemon.tick_failed")
            self._sleep(FAULT_PAUSE_S)

    def _sleep(self, most_s: float) -> None:
        """Wait for a child, a wake-up or the next look."""
        now_s = time.monotonic()
        wait_s = min([most_s, *(desk.due_s(now_s) for desk in self.desks)])
        numbers = [self._wake_out, *self.scheduler.filenos(), *self.handover.filenos()]
        for desk in self.desks:
            numbers += desk.filenos()
        ready, _, _ = select.select(numbers, [], [], wait_s)
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stop_signal = number
        self.wake()

    def snapshot(self, root: Root) -> Snapshot:
        """What people may read on the share about `root`."""
        desk = next(desk for desk in self.desks if desk.root.uuid == root.uuid)
        return take_snapshot(self, desk)


@contextmanager
def open_daemon(settings: Settings) -> Iterator[Daemon]:
    """Everything a daemon needs, in order, and all of it closed again; raises SetupError."""
    require_tools()
    # Also hashes the weights once, here, so that no tick ever waits for 436 MB.
    catalogue.choose_engine(EngineName(settings.render.engine), settings.models_dir)
    roots = open_roots(settings.roots)
    state_dir = places.state_dir(settings, roots)
    for root in roots:
        if state_dir.is_relative_to(root.path):
            raise SetupError("E401", f"the state directory {state_dir} must not lie inside the root {root.path}")
    places.make_private(state_dir)
    with ExitStack() as stack:
        stack.enter_context(places.locked(state_dir / "lock"))
        for root in roots:
            stack.enter_context(places.locked(root.private / "lock"))
        store = JobStore(state_dir / "jobs.sqlite")
        stack.callback(store.close)
        for job in store.recover(utc_now()):
            log.info("job.recovered", job_id=job.id, name=job.name)
        nursery = open_nursery(LogChoice(level=settings.log_level))
        scheduler = open_scheduler(settings, store, state_dir)
        daemon = Daemon(
            settings=settings, roots=roots, state_dir=state_dir, store=store, scheduler=scheduler, nursery=nursery
        )
        daemon.sweep_work()
        known = store.ids()
        for root in roots:
            sweep_parts(root.outbox, known)
        daemon.handover.resume()
        yield daemon
