"""The whole queue with real worker processes on a pretended card whose memory others take and give back."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from heygemd.assembly import utc_now
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName, InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.limits import Limits
from heygemd.media.probe import probe_audio, probe_video
from heygemd.planning.plan import EngineChoice, TaskKind, to_json
from heygemd.render.scarce import Ration, held_bytes
from heygemd.render.wav2lip.untrained import save_stripped, untrained_network
from heygemd.scheduler.devices import Device
from heygemd.scheduler.outcome import FilmReady
from heygemd.scheduler.scheduler import Scheduler
from heygemd.scheduler.workers import LocalWorkers
from heygemd.settings import RenderSettings
from tests.pictures import ffmpeg, make_presenter
from tests.scheduler.conftest import a_job

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

MIB = 1 << 20
PATIENCE_S = 240.0
RATION = Ration(card_bytes=2048 * MIB, context_bytes=400 * MIB, weights_bytes=70 * MIB, frame_bytes=8 * MIB)
CPU = Device(index=0, name="CPU", kind="cpu", total_bytes=64 << 30, free_bytes=64 << 30, cores=2)
CARD = Device(index=0, name="Pretended", kind="cuda", total_bytes=RATION.card_bytes, free_bytes=RATION.card_bytes)


@dataclass
class PretendedCard:
    """Shows the card as its ration and its living workers have it."""

    file: Path
    over_budget: int = 0

    def look(self) -> tuple[Device, ...]:
        ration = Ration(**{**vars_of(RATION), "foreign_bytes": int(self.foreign.read_text())})
        used = held_bytes(self.file) + ration.foreign_bytes
        self.over_budget += held_bytes(self.file) > RATION.card_bytes
        return (replace(CARD, free_bytes=max(0, RATION.card_bytes - used)), CPU)

    @property
    def foreign(self) -> Path:
        return self.file.with_suffix(".foreign")

    def take(self, foreign_bytes: int) -> None:
        """Let others hold so much."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(to_json(replace(RATION, foreign_bytes=foreign_bytes)))
        draft.replace(self.file)
        self.foreign.write_text(str(foreign_bytes))

    def close(self) -> None:
        pass


def vars_of(ration: Ration) -> dict[str, object]:
    return {name: getattr(ration, name) for name in Ration.__dataclass_fields__}


@dataclass
class Shop:
    """A store, a scheduler, and films to be made."""

    folder: Path
    card: PretendedCard
    store: JobStore
    scheduler: Scheduler
    weights: Path

    def add(self, count: int) -> list[Job]:
        jobs = [self._job(number) for number in range(1, count + 1)]
        for job in jobs:
            assert self.store.add(job)
        return jobs

    def _job(self, number: int) -> Job:
        video, voice = self.folder / "face.mp4", self.folder / "voice.wav"
        media = MediaInfo(video=probe_video(video, Limits()), audio=probe_audio(voice, Limits()))
        files = [
            InputFile(name=file.name, path=file, size_bytes=file.stat().st_size, sha256=sha256_of(file))
            for file in (video, voice)
        ]
        options = RenderOptions(engine=EngineName.WAV2LIP, preset="ultrafast")
        return a_job(number, video=files[0], audio=files[1], media=media, options=options)

    def run(self, count: int, until: TaskKind | None = None) -> list[FilmReady]:
        """Do what the daemon does until `count` films are there, or somebody works on the stage `until`."""
        films: list[FilmReady] = []
        ends_s = time.monotonic() + PATIENCE_S
        while len(films) < count:
            assert time.monotonic() < ends_s, self.scheduler.progress()
            films += self.tick()
            at_work = [p for p in self.scheduler.progress() if p.stage.value == until and p.frames_done]
            if until and at_work:
                break
        return films

    def tick(self) -> list[FilmReady]:
        """Do what the daemon does once."""
        films = []
        for outcome in self.scheduler.tick():
            assert isinstance(outcome, FilmReady), outcome
            films.append(outcome)
            self.store.move(outcome.job_id, JobState.DONE, at=utc_now())
        self.scheduler.wait(0.1)
        return films


@pytest.fixture
def shop(tmp_path: Path, script, repository: Path) -> Iterator[Shop]:
    make_presenter(script("demo/make_presenter"), tmp_path / "face.mp4", 20)
    ffmpeg("-i", repository / "scripts" / "demo" / "voice_en.flac", "-t", 2, "-ar", 16000, tmp_path / "voice.wav")
    weights = tmp_path / "w.safetensors"
    save_stripped(untrained_network().state_dict(), weights)
    choice = EngineChoice(name=EngineName.WAV2LIP, weights=weights, weights_sha256=sha256_of(weights))
    card = PretendedCard(tmp_path / "ration.json")
    card.take(0)
    (tmp_path / "state" / "work").mkdir(parents=True)
    command = (sys.executable, "-m", "heygemd.render.scarce", "--ration", str(card.file))
    settings = RenderSettings(segment_s=1.0, min_segment_s=0.5, workers=2, vram_reserve_mib=64, memory_wait_s=1e6)
    with JobStore(tmp_path / "jobs.sqlite") as store:
        scheduler = Scheduler(
            store, LocalWorkers(command=command, threads=1), card, settings, Limits(), tmp_path / "state",  # type: ignore[arg-type]
            lambda wanted: choice, time.monotonic, utc_now,
        )  # fmt: skip
        try:
            yield Shop(tmp_path, card, store, scheduler, tmp_path / "w.safetensors")
        finally:
            scheduler.stop(0)


def is_short(shop: Shop, logs: list[EventDict]) -> bool:
    """A task failed for want of memory, or its worker gave way before: on slow machines the task ends first."""
    gave_way = any(
        line.get("reason") == "others hold the memory" for line in logs if line["event"] == "worker.dismissed"
    )
    return gave_way or shop.scheduler.tally.shortages.keys() == {"E301"}


def test_memory_that_others_take_in_the_middle_of_a_film_costs_no_film(shop: Shop) -> None:
    jobs = shop.add(2)
    films = shop.run(2, until=TaskKind.RENDER)
    shop.card.take(1800 * MIB)
    ends_s = time.monotonic() + 180
    with capture_logs() as logs:
        while not is_short(shop, logs) and time.monotonic() < ends_s:
            films += shop.tick()
    assert is_short(shop, logs), "nothing was short: the test is too kind"
    shop.card.take(0)
    films += shop.run(2 - len(films))
    assert sorted(film.job_id for film in films) == [job.id for job in jobs]
    assert {film.device for film in films} == {"cuda:0"}
    assert all(film.facts.touched_frames > 0 for film in films)
    assert shop.card.over_budget == 0


def test_predictions_come_close_to_what_is_measured(shop: Shop) -> None:
    shop.add(2)
    shop.run(2)
    memory = shop.scheduler.tally.as_dict()["memory"]["cuda"]
    assert memory["count"] >= 2 * 2
    (claim, *_) = sorted(facts.held_bytes for facts in shop.scheduler._crew.facts())
    truth = (400 + 70 + 16 * 8) * MIB
    assert truth < claim < 1.6 * truth
