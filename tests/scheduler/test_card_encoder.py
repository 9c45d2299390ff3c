"""A card's encoder that gives out costs no film, and no film has two encoders: also over a restart."""

import sys
from dataclasses import replace
from functools import partial

import pytest

from heygemd import assembly
from heygemd.assembly import open_scheduler
from heygemd.errors import ResourceError
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EncoderName, EngineName, InputFile, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.media.probe import probe_audio, probe_video
from heygemd.outbox.report import Report
from heygemd.planning.plan import Analysis, Order, Plan, from_json, to_json
from heygemd.scheduler import verdict, workdir
from heygemd.scheduler.fake_workers import failed, leave_files
from heygemd.scheduler.outcome import FilmReady
from heygemd.scheduler.workdir import WorkDir
from heygemd.scheduler.workers import LocalWorkers
from heygemd.settings import Settings
from tests.fake_nvenc import MARK, nvenc
from tests.pictures import ffmpeg
from tests.scheduler.conftest import ANALYSE, JOB, RENDER, TWO, House, hold, kinds
from tests.scheduler.test_two_workers import finish_all

__all__ = ["nvenc"]

TO_BE_NVENC = {"encoder": "auto"}


def settles_on_nvenc(task):
    """A worker whose card has an encoder."""
    event = leave_files(task)
    if task.kind is ANALYSE:
        order = from_json(Order, task.order_path.read_bytes())
        analysis = replace(from_json(Analysis, order.analysis_file.read_bytes()), encoder=EncoderName.NVENC)
        order.analysis_file.write_text(to_json(analysis))
    return event


class Card:
    """Workers on a card whose encoder fails some segments of the film, as often as it is told to."""

    def __init__(self, house: House, fails: dict[int, int]) -> None:
        self.house, self.fails = house, fails
        self.encoders: list[EncoderName] = []

    def act(self, task):
        if task.kind is not RENDER:
            return (settles_on_nvenc(task),)
        plan = from_json(Plan, task.order_path.read_bytes())
        self.encoders.append(plan.encoder)
        if plan.encoder is EncoderName.NVENC and self.fails.get(task.segment.index, 0):
            self.fails[task.segment.index] -= 1
            return (failed(task, "E304", "no session left"),)
        return (settles_on_nvenc(task),)


@pytest.fixture
def card(house: House) -> Card:
    made = Card(house, {})
    house.settings = house.settings.model_copy(update=TO_BE_NVENC)
    house.pool.act = made.act
    house.restart()
    house.add(JOB)
    return made


def segments_of(house: House) -> list[str]:
    folder = WorkDir.of(house.state_dir, JOB.id).path
    return sorted(str(path.relative_to(folder)) for path in folder.glob("segments-*/*.mp4"))


def test_a_film_of_the_card_is_made_by_the_card(card: Card) -> None:
    (film,) = card.house.tick(10)
    assert film.plan.encoder is EncoderName.NVENC
    assert set(card.encoders) == {EncoderName.NVENC}
    assert film.plan.order.encoder == "auto"


def test_the_first_time_it_is_tried_again_and_costs_no_attempt_and_no_worker(card: Card) -> None:
    card.fails = {1: 1}
    while card.house.pool.sent == [] or card.fails[1]:
        assert card.house.tick(1) == []
    card.house.tick(1)
    assert (card.house.state(JOB), card.house.job(JOB).attempts) == (JobState.QUEUED, 0)
    assert card.house.pool.killed == []
    (film,) = card.house.tick(20, pause_s=5.0)
    assert (film.plan.encoder, film.facts.warnings) == (EncoderName.NVENC, ())
    assert card.house.segments_sent() == [0, 1, 1, 2]


@pytest.mark.parametrize("fails", [{1: 2}, {1: 1, 2: 1}])
def test_the_second_time_the_whole_film_is_begun_again_with_x264(card: Card, fails: dict[int, int]) -> None:
    card.fails = fails
    (film,) = card.house.tick(30, pause_s=5.0)
    assert isinstance(film, FilmReady)
    assert film.plan.encoder is EncoderName.X264
    assert card.encoders[-3:] == [EncoderName.X264] * 3
    assert segments_of(card.house) == [f"segments-{film.plan.hash}/{n:05d}.mp4" for n in range(3)]
    report = Report.of_film(card.house.job(JOB), film, finished_at=card.house.clocks.wall)
    assert report.encoder == "x264 veryfast crf 18"
    assert "no session left" in report.warnings[-1]
    assert kinds(card.house).count(ANALYSE) == 1


def test_nobody_goes_on_with_the_plan_that_was_given_up(card: Card) -> None:
    house, act = card.house, card.act

    def second_worker_is_slow(task):
        is_slow = task.kind is RENDER and task.segment.index == 0 and not card.encoders.count(EncoderName.X264)
        plan = from_json(Plan, task.order_path.read_bytes()) if is_slow else None
        return () if plan and plan.encoder is EncoderName.NVENC else act(task)

    house.devices, house.pool.act, card.fails = TWO, second_worker_is_slow, {1: 2}
    house.restart()
    (film,) = house.tick(25, pause_s=2.0)
    assert house.settings.silence_render_s > 25 * 2.0, "they were not ended for their silence"
    assert film.plan.encoder is EncoderName.X264
    assert len(house.pool.killed) == 2


def test_after_a_restart_it_stays_with_what_it_was_begun_with(card: Card) -> None:
    house = card.house
    hold(house, RENDER, 1)
    house.settings = house.settings.model_copy(update={"encoder": "x264"})
    house.restart()
    (film,) = house.tick(20)
    assert (film.plan.encoder, film.plan.order.encoder) == (EncoderName.NVENC, "auto")
    assert set(card.encoders) == {EncoderName.NVENC}


def test_after_a_restart_it_stays_with_x264_once_the_card_was_given_up(card: Card) -> None:
    house, card.fails = card.house, {0: 2}
    while EncoderName.X264 not in card.encoders:
        assert house.tick(1, pause_s=5.0) == []
    house.restart()
    (film,) = house.tick(20)
    assert film.plan.encoder is EncoderName.X264
    assert kinds(house).count(ANALYSE) == 1
    assert card.encoders.count(EncoderName.X264) == 3, "what was rendered before the restart is kept"


def test_a_crash_between_analysis_and_plan_leaves_one_whole_plan(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    house, write = card.house, workdir.write_text
    card.fails = {1: 2, 2: 2}

    def crash(path, text):
        if path.name == "plan.json" and '"encoder":"x264"' in text:
            raise OSError(5, "the power fails here")
        write(path, text)

    house.tick(3)
    monkeypatch.setattr(workdir, "write_text", crash)
    house.tick(3, pause_s=5.0)
    folder = WorkDir.of(house.state_dir, JOB.id).path
    assert from_json(Analysis, (folder / "analysis.json").read_bytes()).encoder is EncoderName.X264
    assert from_json(Plan, (folder / "plan.json").read_bytes()).encoder is EncoderName.NVENC
    monkeypatch.setattr(workdir, "write_text", write)
    house.restart()
    (film,) = house.tick(40, pause_s=5.0)
    names = {path.split("/")[0] for path in segments_of(house)}
    assert f"segments-{film.plan.hash}" in names


def test_a_film_that_is_x264_s_already_is_left_alone(house: House) -> None:
    house.add(JOB)
    house.tick(3)
    work = WorkDir.of(house.state_dir, JOB.id)
    before = {path: path.read_bytes() for path in work.path.rglob("*.json")}
    work.do_without_card_encoder(from_json(Order, work.order_file.read_bytes()), "why")
    assert {path: path.read_bytes() for path in work.path.rglob("*.json")} == before


def test_a_disk_that_refuses_the_new_plan_only_delays_it(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.fails = {1: 3}
    refuse = [True]
    real = WorkDir.do_without_card_encoder

    def refusing(self, order, reason):
        if refuse:
            refuse.clear()
            raise ResourceError("E202", "no room")
        real(self, order, reason)

    monkeypatch.setattr(WorkDir, "do_without_card_encoder", refusing)
    (film,) = card.house.tick(60, pause_s=5.0)
    assert film.plan.encoder is EncoderName.X264
    assert not refuse


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_a_card_that_breaks_in_the_second_of_three_segments_leaves_a_film_of_one_encoder(tmp_path, nvenc, monkeypatch):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=1.2", "-pix_fmt", "yuv420p", tmp_path / "v.mp4")
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=220:duration=1.2:sample_rate=16000", tmp_path / "a.wav")
    monkeypatch.setattr(verdict, "REST_FIRST_S", 0.01)
    command = (sys.executable, "-m", "tests.scheduler.card_worker")
    monkeypatch.setattr(assembly, "LocalWorkers", partial(LocalWorkers, command=command))
    settings = Settings(
        state_dir=tmp_path / "state",
        render={
            "device": "cpu", "workers": 1, "ram_reserve_mib": 0, "segment_s": 0.4, "min_segment_s": 0.4,
            "encoder": "nvenc",
        },
    )  # fmt: skip
    trials, good, failed_twice = 2, 1, 2
    nvenc.plan(fails_from=trials + good + 1, reads_bytes=160 * 96)
    files = [
        InputFile(name=path.name, path=path, size_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in (tmp_path / "v.mp4", tmp_path / "a.wav")
    ]
    media = MediaInfo(
        video=probe_video(files[0].path, settings.limits), audio=probe_audio(files[1].path, settings.limits)
    )
    options = RenderOptions(engine=EngineName.PASSTHROUGH, crf=23, preset="ultrafast")
    with JobStore(tmp_path / "jobs.sqlite") as store:
        assert store.add(replace(JOB, video=files[0], audio=files[1], media=media, options=options))
        scheduler = open_scheduler(settings, store, settings.state_dir)
        try:
            film = finish_all(scheduler, store, 1)[JOB.id]
        finally:
            scheduler.stop(0)
    assert len(film.plan.segments) == 3
    assert film.plan.encoder is EncoderName.X264
    assert MARK not in film.plan.film_file.read_bytes()
    assert "gave out" in film.facts.warnings[-1]
    assert len(nvenc.told) == trials + good + failed_twice
    assert film.facts.frame_count == 30
