"""Builds the scheduler from the settings: the same for the daemon and for a single film."""

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from heygemd import catalogue, places
from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice
from heygemd.scheduler.budgets import places as worker_places
from heygemd.scheduler.devices import choose_devices, find_devices
from heygemd.scheduler.gauge import Gauge
from heygemd.scheduler.scheduler import Scheduler
from heygemd.scheduler.workers import LocalWorkers
from heygemd.settings import RenderSettings, Settings


def utc_now() -> datetime:
    """The wall clock, only ever shown and stored; never used to measure."""
    return datetime.now(UTC)


def default_options(settings: RenderSettings) -> RenderOptions:
    """What a job gets that chose nothing."""
    return RenderOptions(engine=EngineName(settings.engine), crf=settings.crf, preset=settings.preset)


def open_scheduler(
    settings: Settings, store: JobStore, state_dir: Path, *, lasting_dir: Path | None = None
) -> Scheduler:
    """Devices, workers and scheduler; raises SetupError E406 when a required GPU is absent.

    `lasting_dir`: where what workers measured of this machine is kept if `state_dir` is not to last.
    """
    render = settings.render
    devices = choose_devices(render.device, render.require_gpu, find_devices())
    places.make_private(state_dir / "work")
    places.make_private(state_dir / "cache")
    cores = max((device.cores for device in devices if device.kind == "cpu"), default=0)
    workers = sum(worker_places(devices, cores, render).values())
    pool = LocalWorkers(
        logs=LogChoice(level=settings.log_level, file=settings.log_file),
        uuids={device.label: device.uuid for device in devices if device.uuid},
        threads=max(1, cores // workers) if workers > 1 else 0,
        backend=render.backend,
        cache_dir=(lasting_dir or state_dir) / "cache",
    )
    return Scheduler(
        store,
        pool,
        Gauge(devices),
        settings.render,
        settings.limits,
        state_dir,
        lambda wanted: catalogue.choose_engine(wanted, settings.models_dir),
        time.monotonic,
        utc_now,
        partial(catalogue.choose_tracker, models_dir=settings.models_dir),
    )
