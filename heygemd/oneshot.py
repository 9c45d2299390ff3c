"""One film without a daemon: the same rooms, the same worker, a private state directory that is removed at the end."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from heygemd import catalogue, places
from heygemd.assembly import open_scheduler, utc_now
from heygemd.errors import InputError, error_for
from heygemd.filesystem import sha256_of
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.live import FilmBar
from heygemd.media.ffmpeg import require_tools
from heygemd.media.probe import probe_audio, probe_video
from heygemd.outbox.publish import deliver_single
from heygemd.outbox.report import Report
from heygemd.outbox.runs import worked_on
from heygemd.scheduler.scheduler import FilmReady, JobFailed, Scheduler
from heygemd.settings import Settings

TICK_S = 0.25
"""Longest sleep: a worker that says something ends it, an interrupt does not. A look around takes 2 ms."""
STATE_PREFIX = "render-"
JUST_MADE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmRequest:
    """What `heygemd render` was asked for; paths exist and `output` is absolute."""

    video: Path
    audio: Path
    output: Path
    options: RenderOptions
    segment_s: float | None
    overwrite: bool


def make_film(request: FilmRequest, settings: Settings, console: Console | None) -> Report:
    """Make the film and put it where it was asked for, report and contact sheet beside it.

    Raises SetupError, or the InputError, ResourceError or FaultError that ended the job, or KeyboardInterrupt; then
    nothing lies at `output`.
    """
    require_tools()
    catalogue.require_weights(request.options.engine, settings.render, settings.models_dir)
    if request.segment_s is not None:
        render = settings.render.model_copy(update={"segment_s": request.segment_s})
        settings = settings.model_copy(update={"render": render})
    with _private_state(settings) as state_dir, FilmBar(console, request.output.name) as bar:
        store = JobStore(state_dir / "jobs.sqlite")
        try:
            job = _job(request, settings)
            store.add(job)
            scheduler = open_scheduler(settings, store, state_dir, lasting_dir=state_dir.parent)
            try:
                film = _wait_for_film(scheduler, bar)
                stored = _stored(store, job.id)
                now = utc_now()
                worked = worked_on(store, job.id, now)
                report = Report.of_film(
                    stored, film, finished_at=now, started_at=worked.started_at, wall_s=worked.wall_s
                ).published_as(request.output.name)
                deliver_single(
                    film.plan.film_file, film.plan.sheet_file, report.to_json(), request.output,
                    overwrite=request.overwrite, sha256=film.facts.sha256,
                )  # fmt: skip
                store.move(job.id, JobState.DONE, at=utc_now())
            finally:
                scheduler.stop(0)
        finally:
            store.close()
    return report


def _wait_for_film(scheduler: Scheduler, bar: FilmBar) -> FilmReady:
    with _interruptible() as interrupted:
        while not interrupted:
            for outcome in scheduler.tick():
                if isinstance(outcome, FilmReady):
                    return outcome
                if isinstance(outcome, JobFailed):
                    raise error_for(outcome.code, outcome.message)
            bar.show(scheduler.progress())
            scheduler.wait(TICK_S)
    raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Signals end the wait instead of the process, so that workers and temporary files are cleared away."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        caught.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _private_state(settings: Settings) -> Iterator[Path]:
    home = settings.state_dir or places.state_home()
    places.make_private(home)
    _sweep(home)
    folder = Path(tempfile.mkdtemp(prefix=STATE_PREFIX, dir=home))
    try:
        with places.locked(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what killed runs left: folders that nobody holds, and that are not just being made."""
    for folder in home.glob(f"{STATE_PREFIX}*"):
        age_s = time.time() - folder.stat().st_mtime
        if age_s > JUST_MADE_S and places.holder_of(folder / "lock") is None:
            shutil.rmtree(folder, ignore_errors=True)


def _job(request: FilmRequest, settings: Settings) -> Job:
    # The door to ffmpeg follows no links, but a person may well name one.
    video, audio = request.video.resolve(), request.audio.resolve()
    media = MediaInfo(video=probe_video(video, settings.limits), audio=probe_audio(audio, settings.limits))
    now = utc_now()
    return Job(
        id=new_job_id(now),
        root="",
        name=request.output.stem,
        folder="",
        state=JobState.QUEUED,
        video=_input(request.video.name, video),
        audio=_input(request.audio.name, audio),
        options=request.options,
        media=media,
        claim_dir=None,
        queued_at=now,
        not_before=now,
    )


def _input(name: str, path: Path) -> InputFile:
    before = path.stat()
    digest = sha256_of(path)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise InputError("E111", f"{name} changed while it was read")
    return InputFile(name=name, path=path, size_bytes=after.st_size, sha256=digest, evidence=("given",))


def _stored(store: JobStore, job_id: str) -> Job:
    job = store.get(job_id)
    if job is None:
        raise LookupError(job_id)
    return job
