"""The daemon: one thread, one loop, `tick()`. It moves state and never waits for a disk or a share.

    desk of each root (child) ── arrivals ─▶ store ─▶ scheduler ─▶ workers (children)
                                               ▲          │ film ready / job failed
    clerk of each root (child) ── cancelled ───┤          ▼
                 ▲                             └── handover (errands: children) ─▶ outbox/, done/, failed/
                 └─ status, notes, reports

Whatever may block lies behind an arrow to a child.
"""

import os
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from heygemd import __version__, catalogue, places
from heygemd.assembly import utc_now
from heygemd.daemon.backdesk import BackDesk
from heygemd.daemon.batchbook import BatchBook
from heygemd.daemon.bell import Bell
from heygemd.daemon.bulletin import Bulletin
from heygemd.daemon.errands import Nursery
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.daemon.handover import Handover
from heygemd.daemon.latecomers import Latecomers, refuse_state_within
from heygemd.daemon.measuring import Ledger
from heygemd.daemon.notify import Heart, ServiceManager
from heygemd.daemon.reception import Reception
from heygemd.daemon.reload import Reloader
from heygemd.daemon.requests import RequestClerk
from heygemd.daemon.snapshot import take_snapshot
from heygemd.daemon.sweeper import Sweeper
from heygemd.daemon.twins import Twins
from heygemd.errors import ResourceError, SetupError
from heygemd.intake.roots import refuse_nested
from heygemd.jobs.export import EventLog
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.log import configure
from heygemd.outbox.status import Snapshot
from heygemd.scheduler.scheduler import FilmReady, Outcome, Scheduler
from heygemd.settings import Settings

log = structlog.get_logger(__name__)

FAULT_PAUSE_S = 5.0
FAULTS_BETWEEN = 100
"""A fault that comes again and again is told each time after so many."""
LOOP = "loop"
TICK_WITHIN_S = 30.0
"""A tick waits for nothing: the longest sleep is 5 s, the pause after a fault another 5."""
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
        manager: ServiceManager,
        reloader: Reloader,
    ) -> None:
        self.settings, self.state_dir, self.store, self.scheduler = settings, state_dir, store, scheduler
        self._nursery, self._locks, self._manager, self.reloader = nursery, locks, manager, reloader
        self.heart, self.ledger, self.bulletin = Heart(), Ledger(), Bulletin(manager)
        self.requests = RequestClerk(nursery, utc_now)
        self.started_at = utc_now()
        self.paused = ""
        """Why nothing goes on at all, if so."""
        self.queue_ends_at: datetime | None = None
        """As the latest snapshot has estimated."""
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
        self._late: tuple[str, ...] = ()
        self._fault, self._fault_count = "", 0
        self._cached_before = 0
        """Entries of the cache made since the start, when it was last swept for that."""
        self._kept_work: set[str] = set()
        """Ended jobs whose work directory could not be removed yet."""
        self._bell = Bell()
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
        self._outcomes: list[Outcome] = []

    def serve(self, root: Root) -> None:
        """Begin to look at a root."""
        self._roots[root.uuid] = root
        self.desks.append(FrontDesk(root, self.settings, self.state_dir, self._nursery, self.wake))
        self.clerks[root.uuid] = BackDesk(root, self._nursery)

    def wake(self) -> None:
        """End the present sleep of the loop; safe from any thread."""
        self._bell.ring()

    def run(self, *, until_idle: bool = False, on_tick: Callable[[], None] | None = None) -> int:
        """Tick until told to stop, or until nothing is left to do; returns how many jobs failed meanwhile."""
        log.info("daemon.started", version=__version__, pid=os.getpid(), roots=[str(d.root.path) for d in self.desks])
        with self._bell.answering_signals(), ExitStack() as stack:
            stack.callback(self.stop)
            self._manager.ready("started")  # not before: a reload that waits for it sends its signal at once
            while self._bell.end_signal is None and not (until_idle and self.is_idle()):
                self._guarded_tick()
                self._feed_watchdog()
                if on_tick is not None:
                    on_tick()
                self._sleep(0.25 if on_tick is not None else 5.0)
        return self.ledger.ended[JobState.FAILED]

    def tick(self) -> None:
        """One round: requests → intake → store → scheduler → handover → what people read."""
        now_s = time.monotonic()
        self.requests.tick(self)
        for root in self.latecomers.tick():
            self._welcome(root)
        for desk in self.desks:
            found = desk.tick(now_s)
            if found is not None:
                self.reception.receive(desk, found)
            self.heart.beat(f"inbox {desk.root.path}", desk.patience_s(now_s))
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
        if self._kept_work:
            self.sweep_work(self._kept_work)
        self.sweeper.tick(self.desks)
        self._export_events()
        self.paused = ""
        self.bulletin.tick(self)

    def is_idle(self) -> bool:
        """Every inbox is quiet, and no job is queued, running or on its way out."""
        if not self.handover.is_idle() or not all(desk.is_quiet for desk in self.desks):
            return False
        if not all(clerk.is_idle for clerk in self.clerks.values()) or not (
            self.requests.is_idle and self.batches.is_idle and self.latecomers.is_idle
        ):
            return False
        return not self.store.has_work(desk.root.uuid for desk in self.desks)

    def stop(self) -> None:
        """Give the work in hand back to the queue; whatever is not finished is resumed by the next run."""
        grace_s = 0.0 if self._bell.is_hurried else self.settings.render.stop_grace_s
        log.info("daemon.stopping", signal=self._bell.end_signal)
        self._manager.stopping(grace_s)
        self.requests.stop()
        self.handover.stop()
        self.scheduler.stop(grace_s)
        self.sweeper.stop()
        self.latecomers.stop()
        for desk in self.desks:
            desk.stop()
        for clerk in self.clerks.values():
            clerk.stop()
        self._export_events()
        log.info("daemon.figures", **self.scheduler.tally.as_dict())
        log.info("daemon.stopped")
        self._manager.close()

    def apply(self, settings: Settings) -> None:
        """Go by other settings from now on; what is in work goes on."""
        before, self.settings = self.settings, settings
        if settings.log_level != before.log_level:
            self._nursery.logs = replace(self._nursery.logs, level=settings.log_level)
            configure(self._nursery.logs)
            self.scheduler.log_as(self._nursery.logs)
        if settings.render != before.render or settings.limits != before.limits:
            self.scheduler.reconfigure(settings.render, settings.limits)
            self.reception.reconfigure(settings.render.aging_s)
        for desk in self.desks:
            desk.reconfigure(settings)
        self.handover.reconfigure(settings.outbox)
        self.sweeper.reconfigure(settings.retention)
        for path in settings.roots:
            if path not in before.roots:
                self.latecomers.add(path)
        self.bulletin.tell_now()

    def _reload(self) -> None:
        self._bell.is_reload_wanted = False
        self._manager.reloading()
        try:
            self.reloader.reload(self)
        finally:  # whatever came of it: systemd waits for this
            self.bulletin.tell_now()
            self._manager.ready(self.reloader.sentence)

    def _feed_watchdog(self) -> None:
        late = self.heart.late()
        if late and late != self._late:
            log.error("daemon.loop_late", loops=list(late))
        self._late = late
        if not late:
            self._manager.feed()

    def _welcome(self, root: Root) -> None:
        """Serve a root that was mounted after the start."""
        try:
            refuse_nested([*self._roots.values(), root])
            refuse_state_within(root, self.state_dir)
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
            lambda: self.store.claimed_names(root.uuid),
        )
        if noticed is not None:
            self.reception.obey(noticed, desk)
        self.heart.beat(f"clerk {root.path}", self.clerks[root.uuid].patience_s(now_s))

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
        if job is not None:
            self.ledger.note(job)
        self.reception.forget(job_id)
        self._discard_work(job_id)
        for clerk in self.clerks.values():
            clerk.tell_now()

    def _discard_work(self, job_id: str) -> None:
        try:
            self.scheduler.discard_work(job_id)
        except ResourceError as error:  # tried again in each tick, and at the next start
            if job_id not in self._kept_work:
                log.warning("daemon.work_kept", job_id=job_id, error_code=error.code, reason=error.message)
            self._kept_work.add(job_id)
        else:
            self._kept_work.discard(job_id)

    def sweep_work(self, job_ids: Collection[str] = ()) -> None:
        """Remove work directories of jobs that have ended, or that nobody knows: all that a crash has left, or these.

        A person may have put an ended job back since: what is queued again needs its directory.
        """
        for job_id in tuple(job_ids) or [folder.name for folder in (self.state_dir / "work").iterdir()]:
            job = self.store.get(job_id)
            if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
                self._discard_work(job_id)
            else:
                self._kept_work.discard(job_id)

    def _guarded_tick(self) -> None:
        try:
            self._patient_tick()
        except Exception:
            # The border of one tick: a bug must not end a daemon that has work in hand. It is loud, and slow; when
            # every tick fails, nobody feeds the watchdog, and a new start may help.
            if self._is_news(traceback.format_exc()):
                log.exception("daemon.tick_failed", repeated=self._fault_count)
            self._bell.rest(FAULT_PAUSE_S)

    def _patient_tick(self) -> None:
        if self._bell.is_reload_wanted:
            self._reload()
        try:
            self.tick()
        except ResourceError as error:
            # The store itself cannot be written: a full disk is no bug. Nothing is lost; what failed is done again.
            # Nothing hangs either, whoever had no turn in this tick, and a new start would change nothing.
            self.heart.excuse(TICK_WITHIN_S)
            self._pause(error)
            self.heart.beat(LOOP, TICK_WITHIN_S)
            self._bell.rest(FAULT_PAUSE_S)
        else:
            self.heart.beat(LOOP, TICK_WITHIN_S)

    def _is_news(self, trace: str) -> bool:
        """Tell whether a fault is worth its traceback: the same one is not, every few seconds for months."""
        self._fault_count = self._fault_count + 1 if trace == self._fault else 0
        self._fault = trace
        return self._fault_count % FAULTS_BETWEEN == 0

    def _pause(self, error: ResourceError) -> None:
        """Say once why nothing goes on."""
        reason = f"{error.code} {error.message}"
        if reason != self.paused:
            log.warning("daemon.paused", error_code=error.code, reason=error.message)
        self.paused = reason
        self._manager.status(f"paused: {reason}")
        with suppress(ResourceError):  # a store that cannot be written may still be read
            self.bulletin.tick(self)

    def unwritten(self) -> tuple[str, ...]:
        """What operators read and cannot be written just now."""
        return (*(("events",) if self._has_event_trouble else ()), *self.bulletin.unwritten)

    def _sleep(self, most_s: float) -> None:
        """Wait for a child, a wake-up or the next look."""
        now_s = time.monotonic()
        clerks = self.clerks.values()
        wait_s = min(
            most_s,
            self.latecomers.due_s(now_s),
            self.requests.due_s(now_s, is_busy=self.scheduler.is_busy),
            self.bulletin.due_s(now_s),
            *(desk.due_s(now_s) for desk in self.desks),
            *(clerk.due_s(now_s) for clerk in clerks),
        )
        numbers = [*self.scheduler.filenos(), *self.handover.filenos(), *self.batches.filenos()]
        numbers += [*self.latecomers.filenos(), *self.sweeper.filenos(), *self.requests.filenos()]
        numbers += [number for desk in self.desks for number in desk.filenos()]
        numbers += [number for clerk in clerks for number in clerk.filenos()]
        self._bell.sleep(numbers, wait_s)

    def snapshot(self, root: Root) -> Snapshot:
        """What people may read on the share about `root`."""
        desk = next(desk for desk in self.desks if desk.root.uuid == root.uuid)
        return take_snapshot(self, desk)
