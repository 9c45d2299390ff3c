"""The daemon: one thread, one loop, `tick()`. It moves state and never waits for a disk or a share.

    desk of each root (child) ── arrivals ─▶ store ─▶ scheduler ─▶ workers (children)
                                               ▲          │ film ready / job failed
    clerk of each root (child) ── cancelled ───┤          ▼
                 ▲                             └── handover (errands: children) ─▶ outbox/, done/, failed/
                 └─ status, notes, reports

Whatever may block lies behind an arrow to a child.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import structlog

from heygemd import __version__, catalogue, places
from heygemd.assembly import open_scheduler, utc_now
from heygemd.daemon.backdesk import BackDesk
from heygemd.daemon.batchbook import BatchBook
from heygemd.daemon.errands import Nursery, open_nursery
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.daemon.handover import Handover
from heygemd.daemon.latecomers import Latecomers, find_roots, sweep_outboxes
from heygemd.daemon.reception import Reception
from heygemd.daemon.snapshot import take_snapshot
from heygemd.daemon.sweeper import Sweeper
from heygemd.daemon.twins import Twins
from heygemd.errors import ResourceError, SetupError
from heygemd.intake.filesystems import is_local
from heygemd.intake.roots import open_roots, refuse_nested
from heygemd.jobs.export import EventLog
from heygemd.jobs.job import EngineName
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice
from heygemd.media.ffmpeg import require_tools
from heygemd.outbox.status import Snapshot
from heygemd.scheduler.scheduler import FilmReady, Outcome, Scheduler
from heygemd.settings import Settings

log = structlog.get_logger(__name__)

FAULT_PAUSE_S = 5.0
EVENTS_NAME = "events.jsonl"
"""In the state directory: one line per transition of a job."""


class Daemon:
    """Wires the rooms together; knows all of them but render."""

    def __init__(
        self,
        *,
        settings: Settings,
        roots: tuple[Root, ...],
        absent: tuple[Path, ...],
        state_dir: Path,
        store: JobStore,
        scheduler: Scheduler,
        nursery: Nursery,
        locks: ExitStack,
    ) -> None:
        self.settings, self.state_dir, self.store, self.scheduler = settings, state_dir, store, scheduler
        self._nursery, self._locks = nursery, locks
        self._roots: dict[str, Root] = {}
        self.handover = Handover(
            store=store,
            roots=self._roots,
            nursery=nursery,
            settings=settings.outbox,
            clock=time.monotonic,
            wall=utc_now,
        )
        self.twins = Twins(store, self.handover, lambda wanted: catalogue.choose_engine(wanted, settings.models_dir))
        self.batches = BatchBook(store, nursery, time.monotonic, utc_now)
        self.sweeper = Sweeper(
            store=store,
            nursery=nursery,
            settings=settings.retention,
            state_dir=state_dir,
            clock=time.monotonic,
            wall=utc_now,
        )
        self.latecomers = Latecomers(absent, nursery, time.monotonic)
        self.event_log = EventLog(state_dir / EVENTS_NAME, store)
        self._has_event_trouble = False
        self._cached_before = 0
        """Entries of the cache made since the start, when it was last swept for that."""
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.desks: list[FrontDesk] = []
        self.clerks: dict[str, BackDesk] = {}
        self.reception = Reception(
            store=store,
            scheduler=scheduler,
            handover=self.handover,
            twins=self.twins,
            batches=self.batches,
            clerks=self.clerks,
            aging_s=settings.render.aging_s,
        )
        for root in roots:
            self.serve(root)
        self._stop_signal: int | None = None
        self._outcomes: list[Outcome] = []
        self.ended_counts = {JobState.DONE: 0, JobState.FAILED: 0, JobState.CANCELLED: 0}

    def serve(self, root: Root) -> None:
        """Begin to look at a root."""
        self._roots[root.uuid] = root
        self.desks.append(FrontDesk(root, self.settings, self.state_dir, self._nursery, self.wake))
        self.clerks[root.uuid] = BackDesk(root, self._nursery)

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
        """One round: intake → store → scheduler → handover → what people read."""
        now_s = time.monotonic()
        for root in self.latecomers.tick():
            self._welcome(root)
        for desk in self.desks:
            found = desk.tick(now_s)
            if found is not None:
                self.reception.receive(desk, found)
        self._outcomes += self.scheduler.tick()
        while self._outcomes:
            self._end(self._outcomes[0])
            self._outcomes.pop(0)  # only now: the scheduler reports each once, and a failed tick must not lose one
        self.twins.tick()
        for job_id in self.handover.tick():
            self._put_away(job_id)
        self.batches.tick({desk.root.uuid: desk for desk in self.desks}, self.clerks)
        self.reception.note_stages()
        for desk in self.desks:
            self._send_clerk(desk, now_s)
        self._watch_cache()
        self.sweeper.tick(self.desks)
        self._export_events()

    def is_idle(self) -> bool:
        """Every inbox is quiet, and no job is queued, running or on its way out."""
        if not self.handover.is_idle() or not all(desk.is_quiet for desk in self.desks):
            return False
        if not self.batches.is_idle or not all(clerk.is_idle for clerk in self.clerks.values()):
            return False
        return not self.store.has_work(desk.root.uuid for desk in self.desks)

    def stop(self) -> None:
        """Give the work in hand back to the queue; whatever is not finished is resumed by the next run."""
        log.info("daemon.stopping", signal=self._stop_signal)
        self.handover.stop()
        self.scheduler.stop(self.settings.render.stop_grace_s)
        self.sweeper.stop()
        self.latecomers.stop()
        for desk in self.desks:
            desk.stop()
        for clerk in self.clerks.values():
            clerk.stop()
        self._export_events()
        log.info("daemon.figures", **self.scheduler.tally.as_dict())
        log.info("daemon.stopped")

    def _welcome(self, root: Root) -> None:
        """Serve a root that was mounted after the start."""
        try:
            refuse_nested([*self._roots.values(), root])
            self._locks.enter_context(places.locked(root.private / "lock"))
        except SetupError as error:
            self.latecomers.refuse(root, error)
            return
        except OSError as error:  # a full or read-only share: asked for again
            self.latecomers.postpone(root.path, f"{error.filename}: {error.strerror}")
            return
        log.info("root.came_online", root=str(root.path))
        self.serve(root)

    def _send_clerk(self, desk: FrontDesk, now_s: float) -> None:
        root = desk.root
        noticed = self.clerks[root.uuid].tick(
            now_s,
            lambda: self.store.claim_dirs(root.uuid) | self.batches.folders(root),
            lambda: self.snapshot(root),
        )
        if noticed is not None:
            self.reception.obey(noticed, desk)

    def _watch_cache(self) -> None:
        made = self.scheduler.tally.cache_misses.total()
        if made != self._cached_before:
            self._cached_before = made
            self.sweeper.cache_grew()

    def _export_events(self) -> None:
        try:
            self.event_log.write_new()
            self._has_event_trouble = False
        except ResourceError as error:
            if not self._has_event_trouble:
                log.warning("events.not_written", error_code=error.code, reason=error.message)
            self._has_event_trouble = True

    def _end(self, outcome: Outcome) -> None:
        if isinstance(outcome, FilmReady):
            self.handover.film_ready(outcome)
        else:
            self.handover.job_failed(outcome)

    def _put_away(self, job_id: str) -> None:
        job = self.store.get(job_id)
        if job is not None and job.state in self.ended_counts:
            self.ended_counts[job.state] += 1
        self.reception.forget(job_id)
        self._discard_work(job_id)
        for clerk in self.clerks.values():
            clerk.tell_now()

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
        except ResourceError as error:
            # The store itself cannot be written: a full disk is no bug. Nothing is lost; what failed is done again.
            log.warning("daemon.paused", error_code=error.code, reason=error.message)
            self._rest(FAULT_PAUSE_S)
        except Exception:
            # The border of one tick: a bug must not end a daemon that has work in hand. It is loud, and slow.
            log.exception("daemon.tick_failed")
            self._rest(FAULT_PAUSE_S)

    def _sleep(self, most_s: float) -> None:
        """Wait for a child, a wake-up or the next look."""
        now_s = time.monotonic()
        clerks = self.clerks.values()
        wait_s = min(
            most_s,
            self.latecomers.due_s(now_s),
            *(desk.due_s(now_s) for desk in self.desks),
            *(clerk.due_s(now_s) for clerk in clerks),
        )
        numbers = [self._wake_out, *self.scheduler.filenos(), *self.handover.filenos(), *self.batches.filenos()]
        numbers += [*self.latecomers.filenos(), *self.sweeper.filenos()]
        numbers += [number for desk in self.desks for number in desk.filenos()]
        numbers += [number for clerk in clerks for number in clerk.filenos()]
        ready, _, _ = select.select(numbers, [], [], wait_s)
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)

    def _rest(self, pause_s: float) -> None:
        """Do nothing, whatever calls, but a signal."""
        end_s = time.monotonic() + pause_s
        while self._stop_signal is None and (left_s := end_s - time.monotonic()) > 0:
            if select.select([self._wake_out], [], [], left_s)[0]:
                os.read(self._wake_out, 4096)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stop_signal = number
        self.wake()

    def snapshot(self, root: Root) -> Snapshot:
        """What people may read on the share about `root`."""
        desk = next(desk for desk in self.desks if desk.root.uuid == root.uuid)
        return take_snapshot(self, desk)


def _find_roots(settings: Settings, nursery: Nursery) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Open the roots. Only a daemon that knows where its state lies can wait for one that is not mounted yet."""
    if settings.state_dir is None and "STATE_DIRECTORY" not in os.environ:
        return open_roots(settings.roots), ()
    return find_roots(settings.roots, nursery, time.monotonic)


def _lock_roots(roots: tuple[Root, ...], stack: ExitStack) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Keep other daemons away; a share that cannot be written just now is left for later."""
    held: list[Root] = []
    refused: list[Path] = []
    for root in roots:
        try:
            stack.enter_context(places.locked(root.private / "lock"))
            held.append(root)
        except OSError as error:
            log.warning("root.went_offline", root=str(root.path), reason=f"{error.filename}: {error.strerror}")
            refused.append(root.path)
    return tuple(held), tuple(refused)


@contextmanager
def open_daemon(settings: Settings) -> Iterator[Daemon]:
    """Everything a daemon needs, in order, and all of it closed again; raises SetupError."""
    require_tools()
    # Also hashes the weights once, here, so that no tick ever waits for 436 MB.
    catalogue.choose_engine(EngineName(settings.render.engine), settings.models_dir)
    nursery = open_nursery(LogChoice(level=settings.log_level))
    roots, absent = _find_roots(settings, nursery)
    state_dir = places.state_dir(settings, roots)
    for root in roots:
        if state_dir.is_relative_to(root.path):
            raise SetupError("E401", f"the state directory {state_dir} must not lie inside the root {root.path}")
    places.make_private(state_dir)
    if not is_local(state_dir):
        raise SetupError("E401", f"the state directory {state_dir} must lie on a local disk, not on a network mount")
    with ExitStack() as stack:
        stack.enter_context(places.locked(state_dir / "lock"))
        roots, refused = _lock_roots(roots, stack)
        absent += refused
        store = JobStore(state_dir / "jobs.sqlite")
        stack.callback(store.close)
        for job in store.recover(utc_now()):
            log.info("job.recovered", job_id=job.id, name=job.name)
        scheduler = open_scheduler(settings, store, state_dir)
        daemon = Daemon(
            settings=settings,
            roots=roots,
            absent=absent,
            state_dir=state_dir,
            store=store,
            scheduler=scheduler,
            nursery=nursery,
            locks=stack,
        )
        daemon.sweep_work()
        known = store.ids()
        sweep_outboxes(roots, known, nursery, time.monotonic)
        daemon.latecomers.known = known
        daemon.handover.resume()
        yield daemon
