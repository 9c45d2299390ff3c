"""Orders: what the job asks for, what the settings say, and when an old order still holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.errors import InputError, SetupError
from heygemd.jobs.job import EngineName, InputFile, Job, RenderOptions
from heygemd.planning.plan import EngineChoice, Order, TrackerChoice, from_json, to_json
from heygemd.scheduler.order import make_order
from heygemd.settings import RenderSettings
from tests.scheduler.conftest import a_job, choose_engine

WEIGHTS = EngineChoice(name=EngineName.WAV2LIP, weights=Path("/m/w.pth"), weights_sha256="1" * 64)


def order_of(
    job: Job,
    saved: Order | None = None,
    settings: RenderSettings | None = None,
    choose=choose_engine,
    workers=1,
    **more,
) -> Order:
    return make_order(
        job, saved, work_dir=Path("/s/work/1"), cache_dir=Path("/s/cache"), settings=settings or RenderSettings(),
        choose=choose, workers=workers, **more,
    )  # fmt: skip


def test_an_order_names_both_files_and_how_to_open_them() -> None:
    job = a_job()
    order = order_of(job)
    assert (order.video, order.audio) == (job.video.path, job.audio.path)
    assert (order.video_sha256, order.audio_sha256) == (job.video.sha256, job.audio.sha256)
    assert job.media is not None
    assert (order.video_info, order.audio_info) == (job.media.video, job.media.audio)
    assert order.engine == EngineChoice(name=EngineName.PASSTHROUGH)


def test_the_job_s_own_options_are_taken_as_they_are() -> None:
    asked = RenderOptions(engine=EngineName.PASSTHROUGH, crf=18, preset="ultrafast")
    settings = RenderSettings(engine="wav2lip", crf=23, preset="slow")
    assert order_of(a_job(options=asked), settings=settings).options == asked


def test_a_setting_changed_in_the_middle_of_a_film_is_for_the_next_film() -> None:
    saved = order_of(a_job())
    assert order_of(a_job(), saved, RenderSettings(crf=30, segment_s=5.0, min_segment_s=1.0)) == saved
    assert order_of(a_job(), saved, RenderSettings(encoder="nvenc")) == saved
    assert order_of(a_job(), settings=RenderSettings(encoder="nvenc")).encoder == "nvenc"


def test_the_tracker_is_settled_with_the_order_and_kept() -> None:
    asked: list[tuple[EngineName, str]] = []

    def chosen(engine: EngineName, device: str, settings: RenderSettings) -> TrackerChoice:
        asked.append((engine, device))
        return TrackerChoice(detector=settings.detector, models_dir=Path("/m"), reason="a card")

    saved = order_of(a_job(), choose_tracker=chosen, device="cuda:1")
    assert (saved.tracker.name, saved.tracker.detector) == ("face-alignment", "s3fd")
    assert asked == [(EngineName.PASSTHROUGH, "cuda:1")]
    assert from_json(Order, to_json(saved)) == saved
    assert order_of(a_job(), saved) == saved
    assert order_of(a_job(), replace(saved, version="0.0.0")).tracker == TrackerChoice(), "a new order, chosen anew"


def test_workers_that_come_or_go_in_the_middle_of_a_film_do_not_change_its_cuts() -> None:
    saved = order_of(a_job(), workers=2)
    assert saved.workers == 2
    assert order_of(a_job(), saved, workers=5) == saved
    assert order_of(a_job(), saved) == saved


def test_an_order_says_how_the_film_may_be_cut() -> None:
    order = order_of(a_job(), settings=RenderSettings(segment_s=30.0, min_segment_s=4.0), workers=3)
    assert (order.max_segment_s, order.min_segment_s, order.workers) == (30.0, 4.0, 3)


def test_an_order_without_what_newer_ones_say_of_cuts_still_holds() -> None:
    saved = order_of(a_job())
    document = json.loads(to_json(saved))
    del document["min_segment_s"], document["workers"]
    old = from_json(Order, json.dumps(document))
    assert order_of(a_job(), old, RenderSettings(min_segment_s=2.0), workers=4) == old


def test_auto_keeps_the_engine_the_film_was_begun_with() -> None:
    job = a_job(options=RenderOptions())
    saved = order_of(job)
    assert saved.engine.name is EngineName.ATLAS

    def weights_have_arrived(name: EngineName) -> EngineChoice:
        return EngineChoice(name=name) if name is EngineName.ATLAS else WEIGHTS

    assert order_of(job, saved, choose=weights_have_arrived) == saved


def test_an_engine_whose_weights_are_gone_is_chosen_anew() -> None:
    job = a_job(options=RenderOptions())
    saved = order_of(job, choose=lambda name: WEIGHTS)
    assert order_of(job, saved).engine.name is EngineName.ATLAS


@pytest.mark.parametrize("change", ["weights", "version", "input"])
def test_what_changes_pixels_begins_a_new_order(change: str) -> None:
    job = a_job()
    saved = order_of(job)
    if change == "weights":
        fresh = order_of(job, saved, choose=lambda name: replace(choose_engine(name), weights_sha256="2"))
    elif change == "version":
        saved = replace(saved, version="0.0.0")
        fresh = order_of(job, saved)
    else:
        fresh = order_of(replace(job, video=replace(job.video, sha256="f" * 64)), saved)
    assert fresh != saved


def test_missing_weights_are_the_operators_affair() -> None:
    with pytest.raises(SetupError) as caught:
        order_of(a_job(options=RenderOptions(engine=EngineName.WAV2LIP)))
    assert caught.value.code == "E402"


@pytest.mark.parametrize(
    "changes",
    [
        {"media": None},
        {"video": None},
        {"audio": None},
        {"video": InputFile(name="x", path=Path("/in/\udcff.mp4"), size_bytes=1, sha256="a")},
    ],
    ids=["never probed", "no picture", "no sound", "name is not UTF-8"],
)
def test_a_job_that_cannot_be_ordered_is_the_users_affair(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        order_of(a_job(**changes))
