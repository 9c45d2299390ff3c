"""The memory of all devices in one hand: what is there, what it is granted for, and what was learnt from how it went.

gauge ─ what is used ─┐
crew ─ who holds what ┴▶ budgets ─▶ policy ◀─ fits ─ memory book ◀─ peaks and shortages of tasks
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from heygemd.jobs.evidence import MemoryEvidence
from heygemd.jobs.job import Job
from heygemd.planning.plan import EngineChoice, Order, Task, TaskKind
from heygemd.planning.vram import CONTEXT_MIB, MIB, Load
from heygemd.scheduler.budgets import Budget, budgets_of, places
from heygemd.scheduler.crew import Crew, Hand, TaskDone, TaskFailed
from heygemd.scheduler.devices import Device
from heygemd.scheduler.facts import NO_SHARE, DeviceFacts, Failure, FitOf, JobFacts
from heygemd.scheduler.gauge import Gauge
from heygemd.scheduler.machine import OomCounter
from heygemd.scheduler.memory import CPU, MemoryBook, memory_device
from heygemd.scheduler.sight import devices_seen
from heygemd.scheduler.workers import WorkerPool
from heygemd.settings import RenderSettings
from heygemd.vitals import DeviceVitals

OOM_KILL_FRESH_S = 10.0
"""A task that fails so soon after the kernel has ended a process for memory has failed for that."""


class Treasury:
    """One per scheduler; `look` once a tick, everything else answers from that."""

    def __init__(  # noqa: PLR0917  # wired in one place
        self,
        store: MemoryEvidence,
        pool: WorkerPool,
        gauge: Gauge,
        crew: Crew,
        settings: RenderSettings,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._store, self._pool, self._gauge, self._crew = store, pool, gauge, crew
        self._settings, self._clock, self._wall = settings, clock, wall
        devices = gauge.look()
        self._most_workers = _places(devices, settings)
        self._book = MemoryBook(store, settings, devices)
        self._oom = OomCounter()
        self._oom_at_s = float("-inf")
        self._unusable: set[str] = set()
        """Cards that a worker was started for and that torch cannot use."""
        self._budgets: tuple[Budget, ...] = ()
        self.look()

    # What is there ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in how the devices stand now; never waits."""
        devices = self._gauge.look()
        self._book.know_devices(devices)
        self._book.raise_due(self._wall())
        self._watch_oom_kills()
        pids, by_label = self._pool.pids(), {device.label: device for device in devices}
        for hand in self._crew.hands:
            self._note_hand(hand, pids.get(hand.worker), by_label)
        self._budgets = budgets_of(
            devices, self._crew.hands, pids, self._most_workers, self._context_bytes, self._settings
        )

    def _note_hand(self, hand: Hand, pid: int | None, devices: dict[str, Device]) -> None:
        device = devices.get(hand.slot)
        if device is None or not hand.is_ready:
            return
        if device.label != CPU and hand.device == CPU and memory_device(hand.engine.name, device.label) != CPU:
            self._unusable.add(device.label)
        self._book.note_precision(hand.engine.name, device, hand.precision)
        held = next((holder.held_bytes for holder in device.holders if holder.pid == pid), None)
        if held is not None and hand.held_bytes and hand.task is None:
            self._book.note_context(device, held - hand.held_bytes)

    def seen(self) -> tuple[DeviceVitals, ...]:
        """Describe the devices for others; a card that torch cannot use counts as lost."""
        seen = devices_seen(self._budgets, self._crew.hands)
        return tuple(replace(device, is_lost=True) if device.label in self._unusable else device for device in seen)

    def reconfigure(self, settings: RenderSettings) -> None:
        """Go by other settings from now on."""
        devices = self._gauge.look()
        self._settings, self._most_workers = settings, _places(devices, settings)
        self._book.reconfigure(settings)

    def close(self) -> None:
        """Let go of the drivers."""
        self._gauge.close()

    # What the policy is told --------------------------------------------------------------------------------------

    @property
    def places(self) -> int:
        """Workers there could be at once."""
        return max(1, sum(self._most_workers.values()))

    @property
    def fit_of(self) -> FitOf:
        """What a job gets on a device."""
        return self._book.fit_of

    @property
    def has_refuge(self) -> bool:
        """Tell whether a job that finds no graphics memory may go to the CPU."""
        return any(facts.is_refuge for facts in self.devices())

    def devices(self) -> tuple[DeviceFacts, ...]:
        """Every device as the policy sees it; a card that torch cannot use counts as lost."""
        facts = tuple(budget.facts for budget in self._budgets)
        return tuple(replace(f, is_lost=True) if f.label in self._unusable else f for f in facts)

    def lost(self) -> frozenset[str]:
        """Return the labels of cards that have disappeared."""
        return frozenset(budget.device.label for budget in self._budgets if budget.device.is_lost)

    def spots(self) -> int:
        """Workers that are idle, and places for new ones."""
        idle = sum(facts.is_free for facts in self._crew.facts())
        taken = {facts.label: sum(hand.slot == facts.label for hand in self._crew.hands) for facts in self.devices()}
        return idle + sum(max(0, f.most_workers - taken[f.label]) for f in self.devices() if not f.is_lost)

    def is_for_cpu(self, engine: EngineChoice) -> bool:
        """Tell whether the engine can only run on the CPU: it touches no card, or there is none that torch can use."""
        cards = [facts for facts in self.devices() if facts.label != CPU]
        usable = [facts for facts in cards if memory_device(engine.name, facts.label) != CPU]
        return not any(facts.label not in self._unusable for facts in usable)

    def likely_device(self, engine: EngineChoice) -> str:
        """Return the label of the device on which the engine will probably run."""
        return CPU if self.is_for_cpu(engine) else next(f.label for f in self.devices() if f.label != CPU)

    def spread(self, engine: EngineChoice, job: Job) -> int:
        """Return how many workers could render the job's film at once, as far as places and memory go."""
        info = job.media.video if job.media else None
        facts = JobFacts(
            job_id=job.id, is_begun=False, turn=0.0, attempts=0, rest_until_s=0.0, engine=engine, todo=(),
            share=NO_SHARE, pixels=info.width_px * info.height_px if info else 1,
            batch_most=self._settings.batch_size,
        )  # fmt: skip
        on_cpu, total = self.is_for_cpu(engine), 0
        for device in self.devices():
            if device.is_lost or (device.label == CPU) is not on_cpu:
                continue
            fit = self._book.fit_of(facts, device.label, device.budget_bytes)
            total += min(device.most_workers, device.budget_bytes // max(1, fit.claim_bytes)) if fit else 0
        return max(1, total)

    # What was learnt ----------------------------------------------------------------------------------------------

    def note_done(self, done: TaskDone, order: Order) -> tuple[int, int]:
        """Learn from what a task has taken; returns bytes (predicted, measured), 0 for what is not known.

        Only for rendering anything is predicted: what the other tasks take is a lower bound for the worker's peak.
        """
        budget = self._budget(done.device)
        if budget is None:
            return 0, 0
        device = budget.device
        engine, load = order.engine.name, _load(done.task, order)
        is_card = memory_device(engine, device.label) != CPU
        measured = done.event.peak_vram_bytes if is_card else done.event.peak_rss_bytes
        predicted = 0
        if done.task.kind is TaskKind.RENDER:
            predicted = self._book.predicted(engine, device, load).expected_bytes
            predicted -= self._context_bytes(device) if is_card else 0
        if measured:
            self._book.note_task(
                engine,
                device,
                precision="",
                load=load,
                peak_bytes=measured,
                now=self._wall(),
                held_bytes=done.held_before_bytes if is_card else 0,
            )
        if done.task.kind is TaskKind.RENDER:
            self._book.note_good(engine, device, precision="", load=load, now=self._wall())
        return predicted, measured

    def note_shortage(self, failed: TaskFailed, order: Order) -> None:
        """Remember that this batch was too much."""
        budget = self._budget(failed.slot)
        if budget is not None and failed.was_ready and failed.task.kind is TaskKind.RENDER:
            # Alone on a card it could have had everything that is ours.
            granted = max(failed.claim_bytes, budget.facts.budget_bytes if failed.was_alone else 0)
            self._book.note_shortage(
                order.engine.name,
                budget.device,
                precision="",
                load=_load(failed.task, order),
                granted_bytes=granted,
                now=self._wall(),
                peak_bytes=_peak_bytes(failed),
            )

    def judge_memory(self, failure: Failure, failed: TaskFailed) -> Failure:
        """Add what is known of the memory to a failure."""
        self._watch_oom_kills()
        budget = self._budget(failed.slot)
        return replace(
            failure,
            was_oom_killed=self._clock() - self._oom_at_s < OOM_KILL_FRESH_S,
            others_bytes=budget.others_bytes if budget and budget.is_shared else 0,
            is_refuge_there=self.has_refuge,
            is_larger_there=budget is not None
            and any(other.device.total_bytes > budget.device.total_bytes for other in self._like(budget)),
        )

    def _context_bytes(self, device: Device) -> int:
        known = self._store.context_bytes(device.name)
        return round(CONTEXT_MIB * MIB) if known is None else known

    def _like(self, budget: Budget) -> list[Budget]:
        """Return the devices that could do the same: the cards that can be used, or the CPU."""
        usable = {facts.label for facts in self.devices() if not facts.is_lost}
        return [b for b in self._budgets if b.device.kind == budget.device.kind and b.device.label in usable]

    def _watch_oom_kills(self) -> None:
        if self._oom.has_risen():
            self._oom_at_s = self._clock()

    def _budget(self, label: str) -> Budget | None:
        return next((budget for budget in self._budgets if budget.device.label == label), None)


def _places(devices: Sequence[Device], settings: RenderSettings) -> dict[str, int]:
    cores = next((device.cores for device in devices if device.kind == CPU), 1)
    return places(devices, cores, settings)


def _load(task: Task, order: Order) -> Load:
    """Only rendering has a batch; 0: nothing is rendered."""
    batch = task.batch_size if task.kind is TaskKind.RENDER else 0
    return Load(batch=batch, width_px=order.video_info.width_px, height_px=order.video_info.height_px)


def _peak_bytes(failed: TaskFailed) -> int:
    """Return what the worker held at most before it failed, if it could still say so."""
    if failed.event is None:
        return 0
    return failed.event.peak_rss_bytes if failed.slot == CPU else failed.event.peak_vram_bytes
