import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, LengthPolicy, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.outbox import endings
from heygemd.outbox.publish import Delivery
from heygemd.outbox.report import Report
from heygemd.planning.plan import Analysis, EngineChoice, FilmFacts, Order, Plan
from heygemd.planning.segments import cut
from heygemd.planning.timeline import plan_timeline
from tests.outbox.originals_rig import refill

JOB_ID = "20250131T080000000-abcdefgh23"
BATCH_ID = "20250131T070000000-batchbat23"
NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
FILM = bytes(range(256)) * 10
VIDEO = VideoInfo(
    demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=100, width_px=640, height_px=360,
    warnings=("picture: odd height",),
)  # fmt: skip
AUDIO = AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000)


@dataclass(frozen=True)
class Ready:
    """What the scheduler says of a finished film."""

    plan: Plan
    facts: FilmFacts
    seconds: dict[str, float] = field(default_factory=lambda: {"render": 3.0001, "decode": 0.5})
    device: str = "cpu"
    cached: tuple[str, ...] = ("track",)


class Samples:
    """Jobs, films and reports to play with."""

    now = NOON
    job_id = JOB_ID

    @staticmethod
    def job(claim: Path | None = None, *, name: str = "anna", **changes: object) -> Job:
        where = claim or Path("/nowhere")
        job = Job(
            id=JOB_ID, root="root-uuid", name=name, folder="", state=JobState.RUNNING,
            video=InputFile(name=f"{name}.mp4", path=where / "v.mp4", size_bytes=3, sha256="aa", evidence=("quiet",)),
            audio=InputFile(name=f"{name}.wav", path=where / "a.wav", size_bytes=3, sha256="bb"),
            options=RenderOptions(), media=MediaInfo(video=VIDEO, audio=AUDIO), claim_dir=claim,
            queued_at=NOON, not_before=NOON, attempts=1,
        )  # fmt: skip
        return replace(job, **changes)

    @staticmethod
    def ready(job: Job, film: bytes = FILM) -> Ready:
        order = Order(
            job_id=job.id, work_dir=Path("/w"), cache_dir=Path("/c"), video=Path("/w/v"), video_sha256="aa",
            video_info=VIDEO, audio=Path("/w/a"), audio_sha256="bb", audio_info=AUDIO, options=job.options,
            engine=EngineChoice(name=EngineName.ATLAS), max_segment_s=60.0,
        )  # fmt: skip
        timeline = plan_timeline(fps=Fraction(25), tick_count=100, sound_s=Fraction(2), policy=LengthPolicy.AUTO)
        lost = "face: lost for 10 frames"
        analysis = Analysis(tick_count=100, face_frames=90, source_frames=100, warnings=(lost,))
        facts = FilmFacts(
            sha256=hashlib.sha256(film).hexdigest(), size_bytes=len(film), frame_count=50, fps="25", width_px=640,
            height_px=360, duration_s=2.0, audio_codec="aac", audio_copied=False, touched_frames=45, passed_frames=5,
            versions={"torch": "2.13", "ffmpeg": "5.1.9", "engine": "atlas-1"}, warnings=(lost, "sound: clipped"),
        )  # fmt: skip
        segments = cut(timeline.frame_count, 1500)
        return Ready(Plan(order=order, analysis=analysis, timeline=timeline, segments=segments), facts)

    @staticmethod
    def batch(*rows: Row, root: Path = Path("/share"), **changes: object) -> Batch:
        batch = Batch(
            id=BATCH_ID, root="root-uuid", kind=BatchKind.MANIFEST, name="lines", folder="",
            claim_dir=root / "processing/lines__batchbat", accepted_at=NOON, rows=rows,
        )  # fmt: skip
        return replace(batch, **changes)

    def report(self, job: Job, film: bytes = FILM) -> Report:
        return Report.of_film(job, self.ready(job, film), finished_at=NOON, wall_s=4.0)

    def failure(
        self, code: str = "E131", message: str = "no face", *, traceback: str = "", **changes: object
    ) -> Report:
        job = self.job(**{"state": JobState.FAILED, "error_code": code, "error_message": message} | changes)
        return Report.of_ended(job, finished_at=NOON, traceback=traceback)


@pytest.fixture
def fast_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: an fsync costs nothing there."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK | os.X_OK):
        yield tmp_path_factory.mktemp("slow")
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()


@pytest.fixture
def root(tmp_path: Path) -> Root:
    path = tmp_path / "share"
    for name in ("inbox", "outbox", "processing", "failed", "done", "status", ".heygemd/tmp"):
        (path / name).mkdir(parents=True)
    (path / ".heygemd" / "root.json").write_text('{"uuid": "root-uuid", "protocol": 1}')
    return Root(path, "root-uuid")


@pytest.fixture
def make_delivery(root: Root, tmp_path: Path, samples: Samples) -> Callable[..., Delivery]:
    """Makes a delivery of a film with given bytes by a given job, as `lessons/anna.mp4` unless told otherwise."""

    def make(film: bytes = FILM, *, job_id: str = JOB_ID, **changes: object) -> Delivery:
        work = tmp_path / "work" / hashlib.sha256(film + job_id.encode()).hexdigest()[:8]
        work.mkdir(parents=True, exist_ok=True)
        (work / "film.mp4").write_bytes(film)
        (work / "film.jpg").write_bytes(b"sheet of " + film[:100])
        job = samples.job(id=job_id, folder="lessons")
        delivery = Delivery(
            job_id=job.id, id8=job.id8, film=work / "film.mp4", sheet=work / "film.jpg",
            report_json=samples.report(job, film).to_json(), outbox=root.outbox, folder=job.folder,
            file_name="anna.mp4", policy="version", sha256=hashlib.sha256(film).hexdigest(),
        )  # fmt: skip
        return replace(delivery, **changes)

    return make


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Reads every file below a folder: relative name → contents."""
    return lambda top: {str(p.relative_to(top)): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}


@pytest.fixture
def killed() -> Callable[[Callable[[Callable[[int, str], None]], object], int], bool]:
    """Runs `act(fault)` in a child that is gone, without any clean-up, at the given step; True if it came to that."""

    def run(act: Callable[[Callable[[int, str], None]], object], at_step: int) -> bool:
        def fault(step: int, call: str) -> None:
            del call
            if step == at_step:
                os._exit(77)

        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                act(fault)
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, 77)
        return status == 77

    return run


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is never full."""
    monkeypatch.setattr(endings, "free_bytes", lambda root: 1 << 40)


@pytest.fixture
def claim(root: Root) -> Path:
    """The claim folder of a job with its inputs."""
    return refill(root)
