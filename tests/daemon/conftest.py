import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.daemon import handover as module
from heygemd.daemon.errands import Answer
from heygemd.daemon.handover import Handover
from heygemd.errors import HeygemdError, ResourceError
from heygemd.intake.roots import init_root
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, LengthPolicy, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.planning.plan import Analysis, EngineChoice, FilmFacts, Order, Plan
from heygemd.planning.segments import cut
from heygemd.planning.timeline import plan_timeline
from heygemd.scheduler.outcome import FilmReady
from heygemd.settings import OutboxSettings
from tests.processes import is_alive

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
structure_grace_s = 1.0
scan_active_s = 0.1
scan_idle_s = 0.5
[render]
engine = "passthrough"
segment_s = {segment_s}
preset = "ultrafast"
"""


@dataclass
class Workshop:
    """A root, a state directory, and real daemons started and killed on them."""

    folder: Path
    root: Root
    state: Path
    config: Path

    def start(self, *flags):
        argv = [sys.executable, "-m", "heygemd", "run", "--config", str(self.config), *flags]
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def run_until_idle(self):
        """Returns the daemon's exit status."""
        daemon = self.start("--until-idle")
        try:
            return daemon.wait(120)
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()

    def events(self):
        lines = (self.folder / "daemon.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def named(self, event):
        return [line for line in self.events() if line["event"] == event]

    def jobs(self):
        with JobStore.open_readonly(self.state / "jobs.sqlite") as store:
            return store.jobs()

    def states(self):
        return sorted(job.state for job in self.jobs())

    def segments(self):
        return sorted(self.state.glob("work/*/segments-*/*.mp4"))

    def films(self):
        return sorted(path for path in self.root.outbox.rglob("*.mp4"))

    def leftovers(self):
        """What must not be there when all is done."""
        parts = [path for path in self.root.path.rglob("*") if path.name.endswith(".part")]
        held = [*self.root.processing.iterdir(), *self.root.claims.iterdir(), *(self.state / "work").iterdir()]
        return [*parts, *held]

    def wait_for(self, condition, daemon=None, limit_s=60):
        """Polls files that other processes make; fails when the time is up or the daemon died."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found := condition():
                return found
            if daemon is not None and daemon.poll() is not None:
                raise AssertionError(f"the daemon ended with {daemon.returncode}")
            time.sleep(0.01)
        raise AssertionError("the time is up")

    def kill(self, daemon):
        """As the kernel's OOM killer would: nothing gets to clean up. Returns when its workers are gone, too."""
        workers = [line["pid"] for line in self.named("worker.started")]
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        self.wait_for(lambda: not any(is_alive(pid) for pid in workers))

    def done(self):
        jobs = self.jobs()
        return bool(jobs) and all(job.state is JobState.DONE for job in jobs)


def _make_pair(folder, picture_s, sound_s):
    video, audio = folder / "face.mp4", folder / "voice.wav"
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi"]
    picture = ["-i", f"testsrc2=size=320x180:rate=25:duration={picture_s}", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
    subprocess.run([*make, *picture, "-preset", "ultrafast", str(video)], check=True)
    sound = ["-i", f"sine=frequency=220:duration={sound_s}:sample_rate=16000"]
    subprocess.run([*make, *sound, str(audio)], check=True)
    return video, audio


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A moving picture of 4 s and a sound of 12 s: six segments of 2 s, ping-pong."""
    return _make_pair(tmp_path_factory.mktemp("pair"), 4, 12)


@pytest.fixture(scope="session")
def short_pair(tmp_path_factory):
    """A moving picture of 0.4 s and a sound of 0.6 s: one segment, ping-pong."""
    return _make_pair(tmp_path_factory.mktemp("short"), 0.4, 0.6)


@pytest.fixture(scope="session")
def open_workshop():
    """A function that makes a workshop in a folder."""

    def make(folder):
        root, config = init_root(folder / "root"), folder / "heygemd.toml"
        config.write_text(CONFIG.format(root=root.path, state=folder / "state", segment_s=2))
        return Workshop(folder, root, folder / "state", config)

    return make


@pytest.fixture
def workshop(tmp_path, open_workshop):
    return open_workshop(tmp_path)


NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
FILM = b"the film"
VIDEO = VideoInfo(demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=100, width_px=64, height_px=48)
AUDIO = AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000)


class Errands:
    """Stands for `Errand`: does the work at once, in this process; by function name, `mishaps` come in its place and
    `before` happens first."""

    def __init__(self):
        self.mishaps = defaultdict(deque)
        self.before = {}
        self.done = []
        self.ended = 0
        self.is_slow = False

    def __call__(self, nursery, function, *args, now_s, limit_s):
        del nursery, now_s, limit_s
        self.done.append(function.__name__)
        self.before.pop(function.__name__, lambda: None)()
        mishaps = self.mishaps[function.__name__]
        return DoneErrand(self, mishaps.popleft() if mishaps else _answer(function, args))


@dataclass
class DoneErrand:
    errands: Errands
    answer: Answer

    def fileno(self):
        return 99

    def poll(self, now_s):
        return None if self.errands.is_slow else self.answer

    def end(self):
        self.errands.ended += 1


def _answer(function, args):
    try:
        return Answer(value=function(*args))
    except HeygemdError as error:
        return Answer(error=error)


class TroubledStore(JobStore):
    """A store whose disk is full at the next call of the method named `trouble`."""

    trouble = ""

    def _meet(self, name):
        if self.trouble == name:
            self.trouble = ""
            raise ResourceError("E202", "the job store cannot be used: disk is full")

    def events_of(self, job_id):
        self._meet("events_of")
        return super().events_of(job_id)

    def set_claim_dir(self, job_id, claim_dir):
        self._meet("set_claim_dir")
        return super().set_claim_dir(job_id, claim_dir)

    def move(self, job_id, to, **how):
        self._meet("move")
        return super().move(job_id, to, **how)


@pytest.fixture
def store(tmp_path):
    with TroubledStore(tmp_path / "jobs.sqlite") as store:
        yield store


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def errands(monkeypatch):
    stand_in = Errands()
    monkeypatch.setattr(module, "Errand", stand_in)
    return stand_in


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@dataclass
class Bench:
    """A handover and what lies around it."""

    handover: Handover
    store: TroubledStore
    root: Root
    clock: Clock

    def settle(self, ticks=20):
        """Tick until nothing is on its way out or everything waits; returns the jobs put away."""
        return tuple(job_id for _ in range(ticks) for job_id in self.handover.tick())

    def wait(self):
        """Longer than any pause."""
        self.clock.now_s += 3600

    def tree(self, folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def open_bench(store, root, errands):
    def make(nursery=None, **settings):
        clock = Clock()
        handover = Handover(
            store=store, roots={root.uuid: root}, nursery=nursery, settings=OutboxSettings(**settings),
            clock=clock, wall=lambda: NOON,
        )  # fmt: skip
        return Bench(handover, store, root, clock)

    return make


@pytest.fixture
def bench(open_bench):
    return open_bench()


def _new_job(root, number=1, name="anna", **changes):
    """A queued job with its inputs in `processing/`."""
    job_id = f"20250131T08000000{number}-abcdefg{number + 1}22"
    claim = root.processing / f"{name}__abcdefg{number + 1}"
    claim.mkdir()
    for suffix in ("mp4", "wav"):
        (claim / f"{name}.{suffix}").write_bytes(suffix.encode())
    job = Job(
        id=job_id, root=root.uuid, name=name, folder="", state=JobState.QUEUED,
        video=InputFile(name=f"{name}.mp4", path=claim / f"{name}.mp4", size_bytes=3, sha256="aa"),
        audio=InputFile(name=f"{name}.wav", path=claim / f"{name}.wav", size_bytes=3, sha256="bb"),
        options=RenderOptions(engine=EngineName.PASSTHROUGH), media=MediaInfo(video=VIDEO, audio=AUDIO),
        claim_dir=claim, queued_at=NOON, not_before=NOON,
    )  # fmt: skip
    return replace(job, **changes)


def _film_of(job, folder, content=FILM):
    """A film that the scheduler reports."""
    work = folder / "work" / job.id
    work.mkdir(parents=True)
    order = Order(
        job_id=job.id, work_dir=work, cache_dir=folder, video=job.video.path, video_sha256="aa", video_info=VIDEO,
        audio=job.audio.path, audio_sha256="bb", audio_info=AUDIO, options=job.options,
        engine=EngineChoice(name=EngineName.PASSTHROUGH), max_segment_s=60.0,
    )  # fmt: skip
    timeline = plan_timeline(fps=Fraction(25), tick_count=100, sound_s=Fraction(2), policy=LengthPolicy.AUTO)
    analysis = Analysis(tick_count=100, face_frames=0, source_frames=100)
    plan = Plan(order=order, analysis=analysis, timeline=timeline, segments=cut(50, 50))
    plan.film_file.write_bytes(content)
    plan.sheet_file.write_bytes(b"sheet")
    facts = FilmFacts(
        sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), frame_count=50, fps="25", width_px=64,
        height_px=48, duration_s=2.0, audio_codec="aac", audio_copied=False, touched_frames=0, passed_frames=50,
    )  # fmt: skip
    return FilmReady(job_id=job.id, plan=plan, facts=facts, seconds={"render": 1.0}, device="cpu")


@pytest.fixture
def running(store, root):
    """A job that a worker has just finished."""
    job = _new_job(root)
    store.add(job)
    return store.move(job.id, JobState.RUNNING, at=NOON)


@pytest.fixture
def film(running, tmp_path):
    return _film_of(running, tmp_path)


@pytest.fixture(scope="session")
def new_job():
    """A function that makes a queued job: `new_job(root, number, name)`."""
    return _new_job


@pytest.fixture(scope="session")
def film_of():
    """A function that makes the film of a job: `film_of(job, folder)`."""
    return _film_of
