"""A store in a temporary folder, and jobs to put into it."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIM = Path("/root-of-people/processing/你好__aaaaaaaa")

MEDIA = MediaInfo(
    video=VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=Fraction(30000, 1001), frame_count=300, width_px=1920, height_px=1080
    ),
    audio=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=44100, channels=2, sample_count=441000),
)


def make_job(job_id: str = "a", **changes: object) -> Job:
    job = Job(
        id=job_id, root="uuid", name="你好", folder="sub/dir", state=JobState.QUEUED,
        video=InputFile(name="你好.mp4", path=CLAIM / "你好.mp4", size_bytes=7, sha256="ab", evidence=("quiet",)),
        audio=InputFile(name="你好.wav", path=CLAIM / "你好.wav", size_bytes=8, sha256="cd"),
        options=RenderOptions(engine=EngineName.ATLAS, audio_offset_ms=-40), media=MEDIA, claim_dir=CLAIM,
        queued_at=NOW, not_before=NOW,
    )  # fmt: skip
    return replace(job, **changes)  # type: ignore[arg-type]


def pass_through(store: JobStore, job_id: str, *states: JobState | str) -> Job:
    """Take a job through these states."""
    for state in states:
        store.move(job_id, JobState(state), at=NOW)
    job = store.get(job_id)
    assert job is not None
    return job


@cache
def _new_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        JobStore(Path(folder) / "jobs.sqlite").close()
        return (Path(folder) / "jobs.sqlite").read_bytes()


def open_store(folder: Path) -> JobStore:
    """Open a new store whose syncs are left out: no power is cut here, and disks are slow."""
    path = folder / "jobs.sqlite"
    path.write_bytes(_new_file())
    store = JobStore(path)
    store._db.execute("PRAGMA synchronous = OFF")
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A new store."""
    with open_store(tmp_path) as store:
        yield store


@pytest.fixture
def house(tmp_path: Path) -> Iterator[object]:
    """A store and its event log."""
    from tests.jobs.log_house import House  # it takes its store from here

    house = House(tmp_path)
    yield house
    house.log.close()
    house.store.close()
