"""The daemon without its inbox: the probes of a desk, a store, the scheduler, and one real worker with its ffmpegs.

Whatever is raised here, but for the errors that mean something, would have ended a desk or a daemon.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from heygemd import assembly
from heygemd.errors import HeygemdError, InputError, ResourceError
from heygemd.filesystem import sha256_of
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import EngineName, InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio, probe_video
from heygemd.scheduler.scheduler import FilmReady, JobFailed, Scheduler
from heygemd.settings import Settings, load
from tests.fuzz.outcome import MAX_WALL_S, Ending, Outcome

LIMITS = Limits(stall_s=20, probe_wall_s=20, max_duration_s=6, max_frames=1000)
"""Smaller than those of an installation, so that what is long is refused and not made."""
OPTIONS = RenderOptions(engine=EngineName.PASSTHROUGH, preset="ultrafast")
DEAD_WORKER = "E501"
TICK_S = 0.1
Probe = Callable[[Path, Path, Limits], MediaInfo]


def probe_both(video: Path, audio: Path, limits: Limits) -> MediaInfo:
    """As a desk does."""
    return MediaInfo(video=probe_video(video, limits), audio=probe_audio(audio, limits))


@dataclass(slots=True)
class House:
    """Makes films of one pair after the other."""

    folder: Path
    probe: Probe = probe_both
    settings: Settings = field(init=False)
    store: JobStore = field(init=False)
    scheduler: Scheduler = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        render = {"engine": "passthrough", "preset": "ultrafast", "segment_s": 1.0, "device": "cpu", "workers": 1}
        self.settings = load(
            None, state_dir=self.folder, models_dir=self.folder / "no-models", render=render, limits=LIMITS.model_dump()
        )
        self.open()

    def open(self) -> None:
        """Open store and scheduler."""
        self.store = JobStore(self.folder / "jobs.sqlite")
        self.scheduler = assembly.open_scheduler(self.settings, self.store, self.folder)

    def close(self) -> None:
        """End the worker."""
        self.scheduler.stop(0)
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self, video: Path, audio: Path) -> Outcome:
        """Try to make a film of the pair, and say what became of it."""
        began_s = time.monotonic()
        try:
            ending, code, reason = self._made(video, audio, began_s)
        except Exception as error:  # noqa: BLE001  # whatever it is: that is what is looked for
            trace = traceback.extract_tb(error.__traceback__)[-1]
            ending, code = Ending.DEATH, ""
            reason = f"{type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
            self.close()
            self.open()
        return Outcome(ending=ending, code=code, reason=reason, wall_s=time.monotonic() - began_s)

    def _made(self, video: Path, audio: Path, began_s: float) -> tuple[Ending, str, str]:
        try:
            media = self.probe(video, audio, LIMITS)
        except HeygemdError as error:
            return ending_of(error), error.code, error.message
        job = _job(video, audio, media)
        self.store.add(job)
        try:
            return self._awaited(job.id, began_s)
        finally:
            self.scheduler.cancel(job.id)
            self.scheduler.discard_work(job.id)
            if self.store.get(job.id).state in (JobState.QUEUED, JobState.RUNNING):
                self.store.move(job.id, JobState.CANCELLED, at=assembly.utc_now())

    def _awaited(self, job_id: str, began_s: float) -> tuple[Ending, str, str]:
        while time.monotonic() - began_s <= MAX_WALL_S:
            for outcome in self.scheduler.tick():
                if isinstance(outcome, FilmReady):
                    self.store.move(job_id, JobState.DONE, at=assembly.utc_now())
                    return Ending.USED, "", ""
                if isinstance(outcome, JobFailed):
                    return ending_of_code(outcome.code), outcome.code, f"{outcome.message} {outcome.traceback}"
            job = self.store.get(job_id)
            if job.state is JobState.QUEUED and job.error_code is not None:
                return Ending.PAUSE, job.error_code, job.error_message
            self.scheduler.wait(TICK_S)
        return Ending.SLOW, "", f"not done after {MAX_WALL_S:.0f} s"


def ending_of(error: HeygemdError) -> Ending:
    """What an error that was raised on purpose makes of an input."""
    if isinstance(error, InputError):
        return Ending.REFUSED
    return Ending.PAUSE if isinstance(error, ResourceError) else Ending.FAULT


def ending_of_code(code: str) -> Ending:
    """What the code of a failed job makes of its input."""
    if code == DEAD_WORKER:
        return Ending.CRASH
    return {"1": Ending.REFUSED, "2": Ending.PAUSE, "3": Ending.PAUSE}.get(code[1], Ending.FAULT)


def _job(video: Path, audio: Path, media: MediaInfo) -> Job:
    now = assembly.utc_now()
    return Job(
        id=new_job_id(now), root="", name="film", folder="", state=JobState.QUEUED, video=_input(video),
        audio=_input(audio), options=OPTIONS, media=media, claim_dir=None, queued_at=now, not_before=now,
    )  # fmt: skip


def _input(path: Path) -> InputFile:
    return InputFile(
        name=path.name, path=path, size_bytes=path.stat().st_size, sha256=sha256_of(path), evidence=("given",)
    )
