"""A small house: a real store, real work directories, fake workers, and clocks that stand until they are moved."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import SetupError
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.jobs.turns import turn_of
from heygemd.planning.plan import EngineChoice, Event, Task, TaskKind
from heygemd.scheduler.devices import Device
from heygemd.scheduler.fake_workers import FakeWorkers
from heygemd.scheduler.scheduler import FilmReady, JobFailed, Scheduler
from heygemd.scheduler.workers import Ended
from heygemd.settings import Limits, RenderSettings

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
CPU = Device(index=0, name="CPU", kind="cpu", total_bytes=8 << 30, free_bytes=8 << 30)
GPUS = tuple(Device(index=n, name="GPU", kind="cuda", total_bytes=8 << 30, free_bytes=8 << 30) for n in range(2))
TWO = (replace(CPU, cores=2),)
FOUR = (replace(CPU, cores=5),)
"""They carry two and four workers."""
AGING_S = 600.0
ANALYSE, RENDER, FINISH = TaskKind.ANALYSE, TaskKind.RENDER, TaskKind.FINISH
KILLED = Ended(returncode=-9)


@dataclass
class Clocks:
    """Monotonic seconds and the time of day; both stand until they are moved."""

    now_s: float = 1000.0
    wall: datetime = MIDNIGHT

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall += timedelta(seconds=seconds)


def a_job(number: int = 1, *, film_s: int = 3, **changes: object) -> Job:
    """A pair whose film is `film_s` seconds at 10 fps; job 1 was queued before job 2."""
    media = MediaInfo(
        video=VideoInfo(
            demuxer="mov", codec="h264", stream=0, fps=Fraction(10), frame_count=20, width_px=64, height_px=48
        ),
        audio=AudioInfo(
            demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=16000 * film_s
        ),
    )
    queued_at = MIDNIGHT - timedelta(hours=1) + timedelta(seconds=number)
    job = Job(
        id=f"20260101T000000{number:03d}-abcdefghij",
        root="r",
        name=f"film{number}",
        folder="",
        state=JobState.QUEUED,
        video=InputFile(name="v.mp4", path=Path(f"/in/{number}/v.mp4"), size_bytes=1, sha256=f"{number:064x}"),
        audio=InputFile(name="a.wav", path=Path(f"/in/{number}/a.wav"), size_bytes=1, sha256="b" * 64),
        options=RenderOptions(engine=EngineName.PASSTHROUGH),
        media=media,
        claim_dir=None,
        queued_at=queued_at,
        not_before=queued_at,
    )
    job = replace(job, **changes)  # type: ignore[arg-type]
    return (
        job
        if "turn" in changes
        else replace(job, turn=turn_of(job.queued_at, job.priority, AGING_S, job.film_s or 0.0))
    )


JOB, NEXT_JOB = a_job(1), a_job(2)


def choose_engine(name: EngineName) -> EngineChoice:
    """An installation without weights for wav2lip."""
    if name is EngineName.WAV2LIP:
        raise SetupError("E402", "no weights")
    return EngineChoice(name=EngineName.ATLAS if name is EngineName.AUTO else name)


@dataclass
class House:
    """A scheduler with everything around it; films are cut into segments of one second (10 frames)."""

    state_dir: Path
    store: JobStore
    pool: FakeWorkers = field(default_factory=FakeWorkers)
    devices: tuple[Device, ...] = (CPU,)
    clocks: Clocks = field(default_factory=Clocks)
    settings: RenderSettings = field(
        default_factory=lambda: RenderSettings(
            segment_s=1.0, silence_start_s=60.0, silence_analyse_s=60.0, silence_render_s=60.0, silence_finish_s=60.0
        )
    )
    choose: Callable[[EngineName], EngineChoice] = choose_engine

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Lose all memory, as after a crash of the daemon; the workers die with it."""
        self.pool.close()
        self.store.recover(self.clocks.wall)
        self.scheduler = self.open()

    def open(self) -> Scheduler:
        return Scheduler(
            self.store, self.pool, StillGauge(self), self.settings, Limits(), self.state_dir,  # type: ignore[arg-type]
            self.choose, lambda: self.clocks.now_s, lambda: self.clocks.wall,
        )  # fmt: skip

    def add(self, *jobs: Job) -> None:
        for job in jobs:
            assert self.store.add(job)

    def tick(self, times: int = 1, pause_s: float = 0.0) -> list[FilmReady | JobFailed]:
        outcomes = []
        for _ in range(times):
            outcomes += self.scheduler.tick()
            self.clocks.pass_time(pause_s)
        return outcomes

    def close(self, outcome: FilmReady | JobFailed) -> None:
        """Do what the daemon does with an outcome."""
        to = JobState.DONE if isinstance(outcome, FilmReady) else JobState.FAILED
        code = None if isinstance(outcome, FilmReady) else outcome.code
        self.store.move(outcome.job_id, to, at=self.clocks.wall, error_code=code)

    def state(self, job: Job) -> JobState:
        return self.job(job).state

    def job(self, job: Job) -> Job:
        found = self.store.get(job.id)
        assert found is not None
        return found

    @property
    def sent(self) -> list[Task]:
        return [task for _, task in self.pool.sent]

    def segments_sent(self) -> list[int]:
        return [task.segment.index for task in self.sent if task.segment]


@dataclass
class StillGauge:
    """Shows the devices of the house as they are set."""

    house: House

    def look(self) -> tuple[Device, ...]:
        return self.house.devices

    def close(self) -> None:
        pass


def kinds(house: House) -> list[TaskKind]:
    return [task.kind for task in house.sent]


def silent(task: Task) -> Iterable[Event]:
    """A worker that takes its task and says nothing."""
    del task
    return ()


def hold(house: House, kind: TaskKind, index: int = 0) -> Task:
    """Tick until a worker has that task, and let it be silent then."""
    obey = house.pool.act

    def act(task: Task) -> Iterable[Event | Ended]:
        is_it = task.kind is kind and (task.segment is None or task.segment.index == index)
        return () if is_it else obey(task)

    house.pool.act = act
    house.tick(10)
    house.pool.act = obey
    task = house.sent[-1]
    assert task.kind is kind
    return task


def the_failure(outcomes: list[FilmReady | JobFailed]) -> JobFailed:
    (outcome,) = outcomes
    assert isinstance(outcome, JobFailed)
    return outcome


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(os, "fsync", lambda number: None)  # no power is cut here, and disks are slow
    with JobStore(tmp_path / "jobs.sqlite") as store:
        store._db.execute("PRAGMA synchronous = OFF")
        yield House(tmp_path / "state", store)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStore]:
    """A store that the tests of a module share; each leaves its jobs behind."""
    with JobStore(tmp_path_factory.mktemp("shared") / "jobs.sqlite") as store:
        store._db.execute("PRAGMA synchronous = OFF")
        yield store
