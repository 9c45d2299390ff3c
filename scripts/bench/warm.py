"""One worker as the daemon keeps it: started once, then given film after film over its pipes, and counted.

It is started as `heygemd.assembly` starts workers, with as many cores; of a long film a daemon would give a part to
another one beside it.
"""

import itertools
import resource
import shutil
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType

from bench.tree import LOOK_EVERY_S, LOOK_OFTEN_S, Cpu, Peaks, cpu_of, watched

from heygemd import catalogue
from heygemd.assembly import default_options
from heygemd.filesystem import sha256_of
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import InputFile, Job, LengthPolicy, MediaInfo
from heygemd.jobs.states import JobState
from heygemd.log import LogChoice
from heygemd.media.probe import probe_audio, probe_video
from heygemd.planning.plan import EngineChoice, Event, EventKind, Order, Task, TaskKind
from heygemd.scheduler.budgets import places
from heygemd.scheduler.devices import choose_devices, find_devices
from heygemd.scheduler.order import make_order
from heygemd.scheduler.workdir import WorkDir
from heygemd.scheduler.workers import Ended, LocalWorkers
from heygemd.settings import Settings

PROBE = "probe"
"""What the daemon's desk does before a worker hears of a film: look at the inputs and hash them."""
WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task, or all tasks of one kind: CPU seconds of the worker and of its children, and wall seconds."""

    cpu: Cpu
    wall_s: float
    stage_s: dict[str, float] = field(default_factory=dict)
    """As the worker says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What one film took."""

    frames: int
    film_s: float
    steps: dict[str, Step]
    """By task: probe, analyse, render, finish."""
    pss_bytes: int
    rss_bytes: int
    vram_bytes: int
    """Most that torch held reserved."""

    @property
    def cpu_s(self) -> float:
        """Of all tasks, worker and children."""
        return sum(step.cpu.total_s for step in self.steps.values())

    @property
    def wall_s(self) -> float:
        """From the first look at the inputs to the finished film."""
        return sum(step.wall_s for step in self.steps.values())


class WarmWorker:
    """A worker process on one device; leaving the block ends it."""

    def __init__(self, choice: EngineChoice, folder: Path, device: str = "cpu") -> None:
        self._choice = choice
        self._folder = folder
        self._device = device
        self._settings = Settings()
        self._numbers = itertools.count()
        self._pool = _pool(self._settings, folder / "machine")
        self.commands: dict[str, list[str]] = {}
        """The decoder and the encoder that the latest films ran."""

    def __enter__(self) -> "WarmWorker":
        began_s = time.perf_counter()
        self._number = self._pool.start(self._choice, self._device)
        ready = self._heard(EventKind.READY)
        self.start = Step(cpu=cpu_of(self.pid), wall_s=time.perf_counter() - began_s)
        self.precision, self.device = ready.precision, ready.device
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._pool.pids()[self._number]

    def make(self, video: Path, audio: Path, *, keep: Path | None = None) -> Film:
        """Make one film from the very beginning, with nothing known of face and voice.

        `keep`: copy it there, and look often enough to see every program that the worker runs.
        """
        work = WorkDir(self._folder / f"film-{next(self._numbers)}")
        cache = self._folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        with watched(self.pid, LOOK_EVERY_S if keep is None else LOOK_OFTEN_S) as peaks:
            order, probed = self._order(video, audio, work.path, cache)
            work.open_for(order)
            steps, vram_bytes = {PROBE: probed}, 0
            while (progress := work.look(order)).next_kind is not None:
                task = Task(
                    job_id=order.job_id,
                    kind=progress.next_kind,
                    order_path=work.order_file if progress.next_kind is TaskKind.ANALYSE else work.plan_file,
                    segment=progress.missing[0] if progress.next_kind is TaskKind.RENDER else None,
                    device=self._device,
                    batch_size=self._settings.render.batch_size,
                    limits=self._settings.limits,
                )
                step, done = self.do(task)
                steps[task.kind] = _added(steps.get(task.kind), step)
                vram_bytes = max(vram_bytes, done.peak_vram_bytes)
        self.commands |= peaks.commands
        assert progress.plan is not None
        frames, fps = progress.plan.timeline.frame_count, progress.plan.timeline.fps
        if keep is not None:
            shutil.copyfile(progress.plan.film_file, keep)
        work.discard()
        return _film(frames, float(frames / fps), steps, peaks, vram_bytes)

    def do(self, task: Task) -> tuple[Step, Event]:
        """Hand over one task and wait for its end; exits with the reason when it fails."""
        before, began_s = cpu_of(self.pid), time.perf_counter()
        self._pool.send(self._number, task)
        done = self._heard(EventKind.DONE)
        wall_s = time.perf_counter() - began_s
        return Step(cpu=cpu_of(self.pid) - before, wall_s=wall_s, stage_s=dict(done.seconds)), done

    def _heard(self, kind: EventKind) -> Event:
        while True:
            self._pool.wait(WAIT_S)
            for _, said in self._pool.events():
                if isinstance(said, Ended):
                    raise SystemExit(f"the worker {said}")
                if said.kind is EventKind.FAILED:
                    raise SystemExit(f"the worker failed: {said.error_code} {said.message}\n{said.traceback}")
                if said.kind is kind:
                    return said

    def _order(self, video: Path, audio: Path, work_dir: Path, cache_dir: Path) -> tuple[Order, Step]:
        """Look at the inputs as the desk does, and write the order; ffprobe is a child of this process."""
        before, began_s = _own_cpu(), time.perf_counter()
        limits, now = self._settings.limits, datetime.now(UTC)
        media = MediaInfo(video=probe_video(video.resolve(), limits), audio=probe_audio(audio.resolve(), limits))
        inputs = [_input(file) for file in (video, audio)]
        options = replace(default_options(self._settings.render), engine=self._choice.name, length=LengthPolicy.AUTO)
        job = Job(
            id=new_job_id(now), root="", name="bench", folder="", state=JobState.QUEUED, video=inputs[0],
            audio=inputs[1], options=options, media=media, claim_dir=None, queued_at=now, not_before=now,
        )  # fmt: skip
        order = make_order(
            job, None, work_dir=work_dir, cache_dir=cache_dir, settings=self._settings.render,
            choose=lambda _: self._choice, device=self._device,
            choose_tracker=partial(catalogue.choose_tracker, models_dir=self._settings.models_dir),
        )  # fmt: skip
        return order, Step(cpu=_own_cpu() - before, wall_s=time.perf_counter() - began_s)


def _pool(settings: Settings, cache_dir: Path) -> LocalWorkers:
    """Workers as the daemon has them; what they measure of this machine is kept in `cache_dir`."""
    render, found = settings.render, find_devices()
    devices = choose_devices(render.device, render.require_gpu, found)
    cores = max((device.cores for device in devices if device.kind == "cpu"), default=0)
    workers = sum(places(devices, cores, render).values())
    return LocalWorkers(
        logs=LogChoice(level="error"),
        uuids={device.label: device.uuid for device in devices if device.uuid},
        threads=max(1, cores // workers) if workers > 1 else 0,
        backend=render.backend,
        cache_dir=cache_dir,
    )


def _input(file: Path) -> InputFile:
    path = file.resolve()
    return InputFile(name=file.name, path=path, size_bytes=path.stat().st_size, sha256=sha256_of(path))


def _own_cpu() -> Cpu:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Cpu(own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime)


def _added(sum_so_far: Step | None, step: Step) -> Step:
    if sum_so_far is None:
        return step
    stage_s = {
        name: sum_so_far.stage_s.get(name, 0.0) + step.stage_s.get(name, 0.0)
        for name in {**sum_so_far.stage_s, **step.stage_s}
    }
    cpu = Cpu(sum_so_far.cpu.own_s + step.cpu.own_s, sum_so_far.cpu.children_s + step.cpu.children_s)
    return Step(cpu=cpu, wall_s=sum_so_far.wall_s + step.wall_s, stage_s=stage_s)


def _film(frames: int, film_s: float, steps: dict[str, Step], peaks: Peaks, vram_bytes: int) -> Film:
    return Film(
        frames=frames, film_s=film_s, steps=steps, pss_bytes=peaks.pss_bytes, rss_bytes=peaks.rss_bytes,
        vram_bytes=vram_bytes,
    )  # fmt: skip
