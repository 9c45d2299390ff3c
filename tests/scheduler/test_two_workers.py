"""A whole scheduler with two real worker processes: the film that they make together is the one that one makes."""

import time
from pathlib import Path

import pytest

from heygemd import assembly, catalogue
from heygemd.assembly import open_scheduler, utc_now
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName, InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.media.probe import probe_audio, probe_video
from heygemd.planning.plan import Task, TaskKind
from heygemd.scheduler.order import make_order
from heygemd.scheduler.scheduler import FilmReady, Scheduler
from heygemd.scheduler.workdir import WorkDir
from heygemd.scheduler.workers import LocalWorkers
from heygemd.settings import Settings
from tests.pictures import ffmpeg, make_presenter, packets, picture_hashes
from tests.scheduler.conftest import a_job

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

PATIENCE_S = 240.0
SOURCE_FRAMES, FPS = 40, 25
SOUND_FRAMES = 89.5


class NotingWorkers(LocalWorkers):
    """Notes who was sent what."""

    sent: list[tuple[int, Task]]

    def send(self, worker, task):
        self.sent.append((worker, task))
        super().send(worker, task)


def an_input(path: Path) -> InputFile:
    return InputFile(name=path.name, path=path, size_bytes=path.stat().st_size, sha256=sha256_of(path))


def lossless(number: int, video: Path, voice: Path, settings: Settings) -> Job:
    media = MediaInfo(video=probe_video(video, settings.limits), audio=probe_audio(voice, settings.limits))
    options = RenderOptions(engine=EngineName.ATLAS, crf=0, preset="ultrafast")
    return a_job(number, video=an_input(video), audio=an_input(voice), media=media, options=options)


def finish_all(scheduler: Scheduler, store: JobStore, count: int) -> dict[str, FilmReady]:
    """Do what the daemon does until `count` films are there."""
    films: dict[str, FilmReady] = {}
    ends_s = time.monotonic() + PATIENCE_S
    while len(films) < count:
        assert time.monotonic() < ends_s, scheduler.progress()
        for outcome in scheduler.tick():
            assert isinstance(outcome, FilmReady), outcome
            films[outcome.job_id] = outcome
            store.move(outcome.job_id, JobState.DONE, at=utc_now())
        scheduler.wait(0.1)
    return films


def test_two_workers_make_the_film_of_one_frame_by_frame(tmp_path, script, repository, monkeypatch):
    make_presenter(script("demo/make_presenter"), tmp_path / "face.mp4", SOURCE_FRAMES)
    voice = repository / "scripts" / "demo" / "voice_en.flac"
    ffmpeg("-i", voice, "-t", SOUND_FRAMES / FPS, tmp_path / "voice.m4a")
    settings = Settings(
        state_dir=tmp_path / "state",
        render={"device": "cpu", "workers": 2, "ram_reserve_mib": 0, "segment_s": 13 / FPS, "min_segment_s": 12 / FPS},
    )
    monkeypatch.setattr(assembly, "LocalWorkers", NotingWorkers)
    monkeypatch.setattr(NotingWorkers, "sent", [], raising=False)
    with JobStore(tmp_path / "jobs.sqlite") as store:
        # The second worker is started for the analysis of the second film, so both are there when that is rendered.
        whole, parts = (lossless(n, tmp_path / "face.mp4", tmp_path / "voice.m4a", settings) for n in (1, 2))
        begin_in_one_piece(whole, settings)
        assert store.add(whole)
        assert store.add(parts)
        scheduler = open_scheduler(settings, store, settings.state_dir)
        try:
            films = finish_all(scheduler, store, 2)
        finally:
            scheduler.stop(0)
    cut, one = films[parts.id].plan, films[whole.id].plan
    assert (len(one.segments), len(cut.segments)) == (1, 7)
    rendered = [(worker, task.segment.index) for worker, task in NotingWorkers.sent if is_of(parts, task)]
    assert sorted(index for _, index in rendered) == list(range(7))
    assert {worker for worker, _ in rendered} == {1, 2}
    assert picture_hashes(cut.film_file) == picture_hashes(one.film_file)
    assert films[parts.id].facts.touched_frames == cut.timeline.frame_count
    sounds = [[p["data_hash"] for p in packets(file, "a")] for file in (parts.audio.path, cut.film_file, one.film_file)]
    assert sounds[0] == sounds[1] == sounds[2]


def is_of(job: Job, task: Task) -> bool:
    return task.job_id == job.id and task.kind is TaskKind.RENDER


def begin_in_one_piece(job: Job, settings: Settings) -> None:
    """Leave an order of an earlier run behind, of a time with one worker and long segments."""
    state_dir = settings.state_dir
    order = make_order(
        job, None, work_dir=WorkDir.of(state_dir, job.id).path, cache_dir=state_dir / "cache",
        settings=settings.render.model_copy(update={"segment_s": 60.0}),
        choose=lambda wanted: catalogue.choose_engine(wanted, settings.models_dir), workers=1,
    )  # fmt: skip
    (state_dir / "work").mkdir(parents=True)
    WorkDir.of(state_dir, job.id).open_for(order)
