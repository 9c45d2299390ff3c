"""From a job of the store to the order that its workers get. Looks at no file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from heygemd.errors import InputError, SetupError
from heygemd.jobs.job import EngineName, Job
from heygemd.planning.plan import EngineChoice, Order, TrackerChoice
from heygemd.settings import RenderSettings

ChooseEngine = Callable[[EngineName], EngineChoice]
"""Settles `auto` and finds the weights; raises SetupError E402 when there are none."""
ChooseTracker = Callable[[EngineName, str, RenderSettings], TrackerChoice]
"""The same for who follows faces, of an engine that will probably run on the device with this label."""


def built_in_tracker(engine: EngineName, device: str, settings: RenderSettings) -> TrackerChoice:
    """Choose the tracker that needs nothing."""
    del engine, device, settings
    return TrackerChoice()


def make_order(
    job: Job,
    saved: Order | None,
    *,
    work_dir: Path,
    cache_dir: Path,
    settings: RenderSettings,
    choose: ChooseEngine,
    choose_tracker: ChooseTracker = built_in_tracker,
    workers: int = 1,
    device: str = "cpu",
) -> Order:
    """Return `saved`, the order of an earlier run, if it still holds, else a new one to be spread over `workers`.

    It holds while inputs, engine, weights and our version are the same. Options and what segments are cut by stay as
    they were saved: a setting changed in the middle of a film, or a device that came, is for the next film. `device` is
    where it will probably run. Raises InputError for inputs that cannot be named or used, SetupError when the engine
    or the tracker cannot be had.
    """
    if job.video is None or job.audio is None:
        raise InputError("E102", "a film needs a picture and a sound, and one of the two is not there")
    if job.media is None:
        raise InputError("E110", "the files were never found to be usable")
    for file in job.inputs:
        _check_name(file.path)
    engine = _engine(job.options.engine, saved, choose)
    order = Order(
        job_id=job.id,
        work_dir=work_dir,
        cache_dir=cache_dir,
        video=job.video.path,
        video_sha256=job.video.sha256,
        video_info=job.media.video,
        audio=job.audio.path,
        audio_sha256=job.audio.sha256,
        audio_info=job.media.audio,
        options=job.options,
        engine=engine,
        max_segment_s=settings.segment_s,
        min_segment_s=settings.min_segment_s,
        workers=workers,
        encoder=settings.encoder,
    )
    if saved and _as_begun(order, saved) == saved:
        return saved
    return replace(order, tracker=choose_tracker(engine.name, device, settings))


def _as_begun(order: Order, saved: Order) -> Order:
    """Return `order` with what may change in the middle of a film as it was at its beginning."""
    return replace(
        order,
        options=saved.options,
        max_segment_s=saved.max_segment_s,
        min_segment_s=saved.min_segment_s,
        tracker=saved.tracker,
        workers=saved.workers,
        encoder=saved.encoder,
    )


def _engine(wanted: EngineName, saved: Order | None, choose: ChooseEngine) -> EngineChoice:
    """Keep what the film was begun with, while it can be had; `auto` may mean something else today."""
    if saved is not None:
        try:
            return choose(saved.engine.name)
        except SetupError:
            pass  # its weights are gone; another engine may do, from the beginning
    return choose(wanted)


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError("E101", "the name of the file is not valid UTF-8; rename it") from None
