"""The memory book: what a worker will take, how large a batch fits, and what was learnt when it was wrong.

It joins the arithmetic (`planning/vram.py`) with the durable evidence (`jobs/evidence.py`) for the policy, which asks
`fit_of`. Answers change only when something is noted. After a shortage a smaller batch is remembered for pictures of
that size and larger ones; good tasks, or time, raise it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from heygemd.jobs.evidence import Ceiling, MemoryEvidence, WorkerKind
from heygemd.jobs.job import EngineName
from heygemd.planning.vram import Estimate, Kind, Load, MemoryModel, Peak, largest_batch
from heygemd.scheduler.devices import Device
from heygemd.scheduler.facts import Fit, JobFacts
from heygemd.settings import RenderSettings

log = structlog.get_logger(__name__)

CPU = "cpu"
CARD_ENGINES = frozenset({EngineName.WAV2LIP})
"""Engines that use a card when they are given one; see `usable_device` in render/worker.py."""
RAISE_AFTER = 8
"""Good tasks with a remembered batch before twice as much is tried."""
RAISE_AFTER_TIME = timedelta(minutes=30)
"""Or so much time: it may have been others who took the memory."""
SAME_CONTEXT_BYTES = 16 << 20
"""Contexts that differ by less are the same: drivers round, and what torch holds changes while they are asked."""
FITTED_PEAKS = 256
"""The most recently seen measurements are enough for four numbers."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well peaks of rendering were foretold, each before it was learnt from; context left out."""

    count: int = 0
    last: float = 0.0
    """Of the latest segment: |expected - measured| / measured."""
    mean: float = 0.0
    exceeded: int = 0
    """Segments that took more than expectation and margin together."""

    def with_one(self, error: float, *, is_over: bool) -> "Accuracy":
        """Take in one more task."""
        count = self.count + 1
        mean = self.mean + (error - self.mean) / count
        return Accuracy(count=count, last=error, mean=mean, exceeded=self.exceeded + is_over)


def memory_device(engine: EngineName, label: str) -> str:
    """Return the label of the device whose memory the engine takes: an engine without a network runs on the CPU."""
    return label if engine in CARD_ENGINES else CPU


class MemoryBook:
    """Predictions for the devices of this machine; one thread uses it."""

    def __init__(self, store: MemoryEvidence, settings: RenderSettings, devices: Sequence[Device] = ()) -> None:
        self._store = store
        self._settings = settings
        self._devices = {device.label: device for device in devices}
        self._precisions: dict[tuple[EngineName, str], str] = {}
        self._models: dict[Kind, MemoryModel] = {}
        self._ceilings = {(c.kind, c.width_px, c.height_px): c for c in store.ceilings()}
        self._accuracy: dict[Kind, Accuracy] = {}

    # What is asked --------------------------------------------------------------------------------------------------

    def fit_of(self, job: JobFacts, label: str, free_bytes: int) -> Fit | None:
        """Return the largest batch of the job that fits into `free_bytes` of the device; see `FitOf`.

        None also for a device that is not known, and on a card for engines that never touch it (`memory_device`):
        they take main memory wherever they are sent, so only the CPU may be offered to them.
        """
        device = self._devices.get(label)
        if device is None or memory_device(job.engine.name, label) != label:
            return None
        kind, pixels = self._kind(job.engine.name, device), max(1, job.pixels)
        most = min((c.batch for c in self._binding(kind, pixels)), default=job.batch_most)
        found = largest_batch(self._model(kind), pixels, 1, free_bytes, max(1, min(most, job.batch_most)))
        return None if found is None else Fit(*found)

    def predicted(self, engine: EngineName, device: Device, load: Load, precision: str = "") -> Estimate:
        """Return what a worker that renders with this load is expected to hold at most, context included."""
        return self._model(self._kind(engine, device, precision)).estimate(load)

    def errors(self) -> dict[Kind, Accuracy]:
        """Return how prediction and measurement compared since the start, for each kind of worker."""
        return dict(self._accuracy)

    # What is noted --------------------------------------------------------------------------------------------------

    def reconfigure(self, settings: RenderSettings) -> None:
        """Go by other settings from now on."""
        self._settings = settings

    def know_devices(self, devices: Sequence[Device]) -> None:
        """Look devices up here from now on; free memory is not taken from them."""
        self._devices = {device.label: device for device in devices}

    def note_precision(self, engine: EngineName, device: Device, precision: str) -> None:
        """Remember what the engine computes in on the device, as its worker said when it was ready."""
        self._precisions[engine, device.label] = precision

    def note_context(self, device: Device, context_bytes: int) -> None:
        """Record what the context takes in one worker of the card: what it holds beyond what torch reserved."""
        if device.kind != "cuda" or not 0 < context_bytes < device.total_bytes:
            return
        known = self._store.context_bytes(device.name)
        if known is not None and abs(known - context_bytes) < SAME_CONTEXT_BYTES:
            return
        if self._store.note_context(device.name, context_bytes):
            for kind in [kind for kind in self._models if kind.device_name == device.name]:
                del self._models[kind]

    def note_task(
        self,
        engine: EngineName,
        device: Device,
        *,
        precision: str,
        load: Load,
        peak_bytes: int,
        now: datetime,
        held_bytes: int = 0,
    ) -> None:
        """Learn from a task that ended well; `peak_bytes`: `peak_vram_bytes` on a card, else `peak_rss_bytes`.

        A task that renders nothing, an analysis or a last step, has a load of batch 0. `held_bytes`: what torch held
        before the task; it keeps what it had, so a peak no higher is that of an earlier task and teaches nothing.
        Nor does a peak of nothing, or of more than the device has.
        """
        kind = self._kind(engine, device, precision)
        if not held_bytes < peak_bytes <= device.total_bytes:
            return
        model = self._model(kind)
        estimate, context_bytes = model.estimate(load), model.context_bytes
        if load.batch:
            error = abs(estimate.expected_bytes - context_bytes - peak_bytes) / peak_bytes
            is_over = peak_bytes > estimate.bytes - context_bytes
            self._accuracy[kind] = self._accuracy.get(kind, Accuracy()).with_one(error, is_over=is_over)
        if self._learn(kind, load, peak_bytes, now):
            log.debug(
                "memory.peak_learnt", engine=engine, device=device.label, batch=load.batch, pixels=load.pixels,
                peak_bytes=peak_bytes, expected_bytes=estimate.expected_bytes - context_bytes,
                granted_bytes=estimate.bytes - context_bytes,
            )  # fmt: skip

    def note_shortage(
        self,
        engine: EngineName,
        device: Device,
        *,
        precision: str,
        load: Load,
        granted_bytes: int,
        now: datetime,
        peak_bytes: int = 0,
    ) -> None:
        """Remember half the batch, and that the need was above what was granted (the claim, context included).

        The latter holds until the batch that failed is tried again: it may have been others who took the memory.
        `peak_bytes`, what the worker held before it failed, where that is known, was surely needed.
        """
        kind = self._kind(engine, device, precision)
        if 0 < peak_bytes <= device.total_bytes:
            self._learn(kind, load, peak_bytes, now)
        needed_bytes = min(granted_bytes, device.total_bytes) - self._model(kind).context_bytes
        ceiling = Ceiling(
            kind=_stored(kind), width_px=load.width_px, height_px=load.height_px, batch=max(1, load.batch // 2),
            since=now, failed_batch=load.batch, needed_bytes=max(0, needed_bytes),
        )  # fmt: skip
        self._put(ceiling)
        log.info(
            "memory.ceiling_set", engine=engine, device=device.label, batch=ceiling.batch, failed_batch=load.batch,
            width_px=load.width_px, height_px=load.height_px, granted_bytes=granted_bytes, peak_bytes=peak_bytes,
        )  # fmt: skip

    def note_good(self, engine: EngineName, device: Device, *, precision: str, load: Load, now: datetime) -> None:
        """Count a segment that was rendered with this load; a remembered batch that has proved itself is doubled."""
        for ceiling in self._binding(self._kind(engine, device, precision), load.pixels):
            if load.batch >= ceiling.failed_batch and ceiling.needed_bytes:
                self._put(replace(ceiling, needed_bytes=0))  # what had failed went well
            if load.batch >= ceiling.batch:
                self._count(self._ceilings[_key(ceiling)], now)

    def raise_due(self, now: datetime) -> None:
        """Double the batches that were remembered long enough; to be called every now and then."""
        for ceiling in list(self._ceilings.values()):
            if now - ceiling.since >= RAISE_AFTER_TIME:
                self._raise(ceiling, now)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _kind(self, engine: EngineName, device: Device, precision: str = "") -> Kind:
        """Without a word from a worker yet, a network on a card is taken to compute in halves."""
        is_cuda = memory_device(engine, device.label) != CPU
        assumed = "float16" if is_cuda else ""
        known = precision or self._precisions.get((engine, device.label), assumed)
        return Kind(engine=engine, precision=known, device_name=device.name, is_cuda=is_cuda)

    def _model(self, kind: Kind) -> MemoryModel:
        if kind not in self._models:
            stored = _stored(kind)
            peaks = [
                Peak(load=Load(batch=p.batch, width_px=p.width_px, height_px=p.height_px), peak_bytes=p.peak_bytes,
                     count=p.samples)
                for p in self._store.peaks(stored, limit=FITTED_PEAKS)
            ]  # fmt: skip
            peaks += [
                Peak(load=_load_of(ceiling), peak_bytes=ceiling.needed_bytes)
                for ceiling in self._ceilings.values()
                if ceiling.kind == stored and ceiling.needed_bytes
            ]
            context_bytes = self._store.context_bytes(kind.device_name)
            self._models[kind] = MemoryModel.fit(kind, peaks, context_bytes=context_bytes)
        return self._models[kind]

    def _learn(self, kind: Kind, load: Load, peak_bytes: int, now: datetime) -> bool:
        is_news = self._store.note_peak(
            _stored(kind), width_px=load.width_px, height_px=load.height_px, batch=load.batch, peak_bytes=peak_bytes,
            at=now,
        )  # fmt: skip
        if is_news:
            self._models.pop(kind, None)
        return is_news

    def _binding(self, kind: Kind, pixels: int) -> list[Ceiling]:
        """Return what is remembered for pictures of this size or smaller ones."""
        stored = _stored(kind)
        return [c for c in self._ceilings.values() if c.kind == stored and c.width_px * c.height_px <= pixels]

    def _count(self, ceiling: Ceiling, now: datetime) -> None:
        counted = replace(ceiling, good_count=ceiling.good_count + 1)
        if counted.good_count >= RAISE_AFTER:
            self._raise(counted, now)
            return
        self._store.note_good_at_ceiling(ceiling)
        self._ceilings[_key(counted)] = counted

    def _raise(self, ceiling: Ceiling, now: datetime) -> None:
        batch = ceiling.batch * 2
        if batch >= self._settings.batch_size:
            self._lift(ceiling)
            return
        needed_bytes = ceiling.needed_bytes if batch < ceiling.failed_batch else 0  # what had failed is tried again
        self._put(replace(ceiling, batch=batch, since=now, good_count=0, needed_bytes=needed_bytes))
        log.info("memory.ceiling_raised", **_names(ceiling), batch=batch)

    def _lift(self, ceiling: Ceiling) -> None:
        self._store.forget_ceiling(ceiling)
        del self._ceilings[_key(ceiling)]
        self._drop_models(ceiling.kind)
        log.info("memory.ceiling_lifted", **_names(ceiling), batch=ceiling.batch)

    def _put(self, ceiling: Ceiling) -> None:
        self._store.set_ceiling(ceiling)
        self._ceilings[_key(ceiling)] = ceiling
        self._drop_models(ceiling.kind)

    def _drop_models(self, stored: WorkerKind) -> None:
        for kind in [kind for kind in self._models if _stored(kind) == stored]:
            del self._models[kind]


def _stored(kind: Kind) -> WorkerKind:
    return WorkerKind(engine=kind.engine, precision=kind.precision, device_name=kind.device_name)


def _load_of(ceiling: Ceiling) -> Load:
    return Load(batch=ceiling.failed_batch, width_px=ceiling.width_px, height_px=ceiling.height_px)


def _key(ceiling: Ceiling) -> tuple[WorkerKind, int, int]:
    return ceiling.kind, ceiling.width_px, ceiling.height_px


def _names(ceiling: Ceiling) -> dict[str, str | int]:
    return {
        "engine": ceiling.kind.engine, "device_name": ceiling.kind.device_name,
        "width_px": ceiling.width_px, "height_px": ceiling.height_px,
    }  # fmt: skip
