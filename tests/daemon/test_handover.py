"""The end of every job, with a real store, a real root and errands that are done at once or meet what a test wants."""

import hashlib
import json
import select
import time
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import handover as module
from heygemd.daemon.errands import Answer, open_nursery
from heygemd.daemon.handover import MAX_FAULTS, PAUSE_S, Handover
from heygemd.daemon.loop import Daemon
from heygemd.errors import FaultError, HeygemdError, ResourceError, SetupError
from heygemd.intake.roots import init_root
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, LengthPolicy, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice
from heygemd.planning.plan import Analysis, EngineChoice, FilmFacts, Order, Plan
from heygemd.planning.segments import cut
from heygemd.planning.timeline import plan_timeline
from heygemd.scheduler.outcome import FilmReady, JobFailed
from heygemd.settings import OutboxSettings, Settings

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
FILM = b"the film"
VIDEO = VideoInfo(
    demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=100, width_px=64, height_px=48
)
AUDIO = AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000)


class Errands:
    """Stands for `Errand`: does the work at once, in this process; `mishaps` come before it, by function name."""

    def __init__(self):
        self.mishaps = defaultdict(deque)
        self.done = []
        self.ended = 0
        self.is_slow = False

    def __call__(self, nursery, function, *args, now_s, limit_s):
        del nursery, now_s, limit_s
        self.done.append(function.__name__)
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
        self.clock.now_s += PAUSE_S

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


def new_job(root, number=1, name="anna", **changes):
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


def film_of(job, folder, content=FILM):
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
    job = new_job(root)
    store.add(job)
    return store.move(job.id, JobState.RUNNING, at=NOON)


@pytest.fixture
def film(running, tmp_path):
    return film_of(running, tmp_path)


DISK_FULL = Answer(error=ResourceError("E202", "the disk is full"))
BUG = Answer(fault="Traceback (most recent call last):\n  somewhere\nValueError: a bug\n")
PUBLISHED = ["anna.jpg", "anna.mp4", "anna.mp4.json"]


def test_a_film_is_published_and_its_inputs_archived(bench, running, film, errands):
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert errands.done == ["choose_name", "deliver", "archive_inputs"]
    assert bench.tree(bench.root.outbox) == PUBLISHED
    assert (bench.root.outbox / "anna.mp4").read_bytes() == FILM
    report = json.loads((bench.root.outbox / "anna.mp4.json").read_text())
    assert (report["state"], report["output"], report["job"]) == ("done", "anna.mp4", running.id)
    assert bench.tree(bench.root.done / "2025-01-31") == ["anna__abcdefg2/anna.mp4", "anna__abcdefg2/anna.wav"]
    job = bench.store.get(running.id)
    assert (job.state, job.published_name, job.claim_dir) == (JobState.DONE, "anna.mp4", None)
    assert bench.handover.is_idle()


def test_an_end_is_told_once_in_the_log(bench, film):
    with capture_logs() as logs:
        bench.handover.film_ready(film)
        bench.settle()
    assert [line["event"] for line in logs if line["event"].startswith("job.e")] == ["job.ended"]
    (published,) = [line for line in logs if line["event"] == "outbox.published"]
    assert published["already"] is False


def test_a_step_at_a_time_and_the_loop_can_wait_for_it(bench, running, film, errands):
    errands.is_slow = True
    bench.handover.film_ready(film)
    assert bench.handover.filenos() == []
    assert bench.settle() == ()
    assert (errands.done, bench.handover.filenos()) == (["choose_name"], [99])
    assert not bench.handover.is_idle()


@pytest.mark.parametrize("step", ["choose_name", "deliver", "archive_inputs"])
def test_an_environment_fault_pauses_and_goes_on_by_itself(bench, running, film, errands, step):
    errands.mishaps[step].append(DISK_FULL)
    bench.handover.film_ready(film)
    with capture_logs() as logs:
        assert bench.settle() == ()
        assert bench.handover.pauses() == {running.id: "E202 the disk is full"}
        before = list(errands.done)
        bench.clock.now_s += PAUSE_S - 0.1
        bench.settle()
        assert errands.done == before, "not before the pause is over"
        bench.clock.now_s += 0.1
        assert bench.settle() == (running.id,)
    assert [line["event"] for line in logs].count("outbox.paused") == 1
    assert bench.handover.pauses() == {}
    assert bench.tree(bench.root.outbox) == PUBLISHED


def test_an_environment_fault_never_fails_a_job(bench, running, film, errands):
    errands.mishaps["deliver"].extend([DISK_FULL] * 30)
    bench.handover.film_ready(film)
    for _ in range(30):
        bench.settle(3)
        assert bench.store.get(running.id).state is JobState.RUNNING
        bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).state is JobState.DONE


def test_a_share_that_is_away_is_waited_for(bench, running, film, tmp_path):
    bench.root.path.rename(tmp_path / "away")
    bench.handover.film_ready(film)
    bench.settle()
    assert bench.handover.pauses()[running.id].startswith("E201 ")
    (tmp_path / "away").rename(bench.root.path)
    bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.outbox) == PUBLISHED


def test_a_name_that_is_taken_before_the_delivery_is_exchanged_for_another(bench, running, film, errands):
    bench.handover.film_ready(film)
    while bench.store.get(running.id).published_name is None:
        bench.handover.tick()
    (bench.root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    assert bench.settle() == (running.id,)
    assert errands.done == ["choose_name", "deliver", "choose_name", "deliver", "archive_inputs"]
    assert (bench.root.outbox / "anna.mp4").read_bytes() == b"somebody else's"
    assert (bench.root.outbox / "anna.v2.mp4").read_bytes() == FILM
    assert bench.store.get(running.id).published_name == "anna.v2.mp4"
    assert json.loads((bench.root.outbox / "anna.v2.mp4.json").read_text())["output"] == "anna.v2.mp4"


def test_a_name_that_must_not_be_taken_fails_the_job(open_bench, running, film):
    bench = open_bench(on_clash="fail")
    (bench.root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    job = bench.store.get(running.id)
    assert (job.state, job.error_code, job.claim_dir) == (JobState.FAILED, "E106", None)
    assert bench.tree(bench.root.outbox) == ["anna.mp4"]
    (folder,) = bench.root.failed.iterdir()
    assert bench.tree(folder) == ["REASON.txt", "anna.mp4", "anna.wav", "error.json"]
    assert "E106" in (folder / "REASON.txt").read_bytes().decode("utf-8-sig")


def test_a_film_that_is_not_the_verified_one_fails_the_job(bench, running, film):
    film.plan.film_file.write_bytes(b"other bytes")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).error_code == "E502"
    assert bench.tree(bench.root.outbox) == []


def test_inputs_are_deleted_when_that_is_wanted(open_bench, running, film):
    bench = open_bench(originals="delete")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.done) == bench.tree(bench.root.processing) == []


def test_a_bug_that_stays_fails_the_job_with_its_traceback(bench, running, film, errands):
    errands.mishaps["deliver"].extend([BUG] * MAX_FAULTS)
    bench.handover.film_ready(film)
    for _ in range(MAX_FAULTS - 1):
        assert bench.settle(4) == ()
        assert bench.store.get(running.id).state is JobState.RUNNING
        assert bench.handover.pauses() == {running.id: "ValueError: a bug"}
        bench.wait()
    assert bench.settle() == (running.id,)
    job = bench.store.get(running.id)
    assert (job.state, job.error_code, job.error_message) == (JobState.FAILED, "E500", "ValueError: a bug")
    (told,) = bench.root.failed.glob("*/error.json")
    assert "somewhere" in json.loads(told.read_text())["error"]["traceback"]


def test_bugs_that_pass_are_forgiven(bench, running, film, errands):
    errands.mishaps["choose_name"].extend([BUG] * (MAX_FAULTS - 1))
    errands.mishaps["deliver"].extend([BUG] * (MAX_FAULTS - 1))
    bench.handover.film_ready(film)
    for _ in range(2 * MAX_FAULTS):
        bench.settle(4)
        bench.wait()
    assert bench.store.get(running.id).state is JobState.DONE


@pytest.mark.parametrize("answer", [BUG, Answer(error=SetupError("E401", "wrong")), Answer(error=FaultError("E500", "x"))])
def test_a_film_in_the_outbox_is_never_failed_because_its_inputs_will_not_move(bench, running, film, errands, answer):
    errands.mishaps["archive_inputs"].extend([answer] * 2)
    bench.handover.film_ready(film)
    for _ in range(2):
        assert bench.settle(8) == ()
        bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).state is JobState.DONE
    assert bench.tree(bench.root.processing) == []


def test_a_failed_job_goes_to_failed_with_reason_and_traceback(bench, running):
    bench.handover.job_failed(JobFailed(job_id=running.id, code="E500", message="a bug", traceback="line 7"))
    assert bench.store.get(running.id).state is JobState.FAILED, "at once: a crash must not lose it"
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).claim_dir is None
    (folder,) = bench.root.failed.iterdir()
    assert bench.tree(folder) == ["REASON.txt", "anna.mp4", "anna.wav", "error.json"]
    assert json.loads((folder / "error.json").read_text())["error"]["traceback"] == "line 7"


def test_a_name_chosen_by_an_earlier_run_is_kept(bench, running, film, errands):
    bench.store.set_published_name(running.id, "anna.v7.mp4")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert "choose_name" not in errands.done
    assert "anna.v7.mp4" in bench.tree(bench.root.outbox)


def test_a_film_delivered_by_an_earlier_run_is_not_delivered_again(open_bench, running, film):
    first = open_bench()
    first.handover.film_ready(film)
    while not (first.root.outbox / "anna.mp4").exists():
        first.handover.tick()
    second = open_bench()
    assert second.store.get(running.id).state is JobState.RUNNING
    with capture_logs() as logs:
        second.handover.film_ready(film)
        assert second.settle() == (running.id,)
    assert second.tree(second.root.outbox) == PUBLISHED
    assert [line["already"] for line in logs if line["event"] == "outbox.published"] == [True]


@pytest.mark.parametrize(
    ("state", "place"),
    [(JobState.DONE, "done/2025-01-31"), (JobState.FAILED, "failed"), (JobState.CANCELLED, "failed")],
)
def test_what_an_earlier_run_left_is_put_away_at_the_next_start(bench, running, state, place):
    bench.store.move(running.id, state, at=NOON, error_code="E131", error_message="no face")
    bench.handover.resume()
    assert not bench.handover.is_idle()
    assert bench.settle() == (running.id,)
    names = bench.tree(bench.root.path / place)
    assert [name for name in names if name.endswith((".mp4", ".wav"))] == [
        "anna__abcdefg2/anna.mp4", "anna__abcdefg2/anna.wav",
    ]  # fmt: skip
    assert ("anna__abcdefg2/REASON.txt" in names) == (place == "failed")
    assert bench.store.get(running.id).claim_dir is None


def test_what_is_put_away_or_still_in_work_is_left_alone(bench, running, store, root):
    done = new_job(root, 2, "bert")
    store.add(done)
    store.move(done.id, JobState.RUNNING, at=NOON)
    store.move(done.id, JobState.DONE, at=NOON)
    store.set_claim_dir(done.id, None)
    store.add(new_job(root, 3, "carl"))
    bench.handover.resume()
    assert bench.handover.is_idle()


def test_inputs_moved_before_the_crash_are_found_where_they_are(bench, running):
    bench.store.move(running.id, JobState.DONE, at=NOON)
    (bench.root.done / "2025-01-31").mkdir()
    running.claim_dir.rename(bench.root.done / "2025-01-31" / running.claim_dir.name)
    bench.handover.resume()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).claim_dir is None


def test_a_stop_ends_the_step_under_way_and_it_can_be_repeated(bench, running, film, errands):
    errands.is_slow = True
    bench.handover.film_ready(film)
    bench.handover.tick()
    bench.handover.stop()
    assert (errands.ended, bench.handover.filenos()) == (1, [])
    errands.is_slow = False
    assert bench.settle() == (running.id,)


def test_one_job_that_waits_does_not_hold_up_another(bench, running, film, errands, store, root, tmp_path):
    other = new_job(root, 2, "bert")
    store.add(other)
    store.move(other.id, JobState.RUNNING, at=NOON)
    errands.mishaps["choose_name"].append(DISK_FULL)
    bench.handover.film_ready(film)
    bench.handover.film_ready(film_of(other, tmp_path))
    assert bench.settle() == (other.id,)
    assert list(bench.handover.pauses()) == [running.id]


def test_a_store_that_is_full_for_a_moment_costs_a_repetition(bench, running, film):
    bench.handover.film_ready(film)
    bench.store.trouble = "move"
    with pytest.raises(ResourceError):
        bench.settle()
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.outbox) == PUBLISHED
    assert bench.store.get(running.id).state is JobState.DONE


@pytest.mark.xfail(
    strict=True, reason="job_failed moves the job again: WrongStateError at every tick, and no outcome after it is heard"
)
def test_a_failure_told_again_after_a_full_disk_is_taken_up(bench, running):
    failed = JobFailed(job_id=running.id, code="E131", message="no face")
    bench.store.trouble = "events_of"
    with pytest.raises(ResourceError):
        bench.handover.job_failed(failed)
    assert bench.store.get(running.id).state is JobState.FAILED
    bench.handover.job_failed(failed)
    assert bench.settle() == (running.id,)


@pytest.mark.xfail(
    strict=True, reason="tick() loses the jobs it has put away when a later ending raises: their work is never discarded"
)
def test_a_job_that_was_put_away_is_told_although_another_met_a_full_disk(bench, running, store, root):
    other = new_job(root, 2, "bert")
    store.add(other)
    for job in (running, other):
        bench.handover.job_failed(JobFailed(job_id=job.id, code="E131", message="no face"))
    bench.handover.tick()
    store_it = store.set_claim_dir

    troubled, put_away = [], []

    def full_for_the_second(job_id, claim_dir):
        if job_id == other.id and job_id not in troubled:
            troubled.append(job_id)
            raise ResourceError("E202", "disk is full")
        return store_it(job_id, claim_dir)

    store.set_claim_dir = full_for_the_second
    for _ in range(5):
        try:
            put_away += bench.handover.tick()
        except ResourceError:
            continue
    assert sorted(put_away) == sorted([running.id, other.id])


@pytest.mark.xfail(
    strict=True, reason="KeyError at every tick for a job of a root that is not configured any more; the rest stands still"
)
def test_a_job_of_a_root_that_is_not_served_any_more_holds_up_nobody(bench, running, store, root):
    stray = replace(new_job(root, 2, "bert"), root="gone", state=JobState.FAILED, error_code="E131")
    store.add(stray)
    store.move(running.id, JobState.DONE, at=NOON)
    bench.handover.resume()
    assert bench.settle() == (running.id,)


@pytest.mark.xfail(
    strict=True, reason="job.ended is written again for a failed job that an earlier run had ended already"
)
def test_an_end_that_an_earlier_run_told_is_not_told_again(open_bench, running):
    with capture_logs() as logs:
        open_bench().handover.job_failed(JobFailed(job_id=running.id, code="E131", message="no face"))
        later = open_bench()
        later.handover.resume()
        later.settle()
    assert [line["event"] for line in logs].count("job.ended") == 1


class IdleScheduler:
    """A scheduler that has nothing more to do."""

    def __init__(self):
        self.discarded = []

    def discard_work(self, job_id):
        self.discarded.append(job_id)


@pytest.fixture
def daemon(store, root, errands, tmp_path):
    """A daemon whose loop does not run; its handover's errands are done at once."""
    settings = Settings(roots=(root.path,), outbox=OutboxSettings(on_clash="fail"))
    daemon = Daemon(settings, (root,), store, IdleScheduler(), open_nursery(LogChoice(level="error")))
    yield daemon
    for desk in daemon.desks:
        desk.stop()


def put_away_all(daemon):
    for _ in range(20):
        for job_id in daemon.handover.tick():
            daemon._put_away(job_id)


def test_a_published_film_counts_as_done_and_its_work_is_discarded(daemon, running, film):
    daemon.handover.film_ready(film)
    put_away_all(daemon)
    assert daemon.ended_counts == {JobState.DONE: 1, JobState.FAILED: 0}
    assert daemon.scheduler.discarded == [running.id]


@pytest.mark.xfail(
    strict=True, reason="only failures that the scheduler reports are counted: `run --until-idle` then exits with 0"
)
def test_a_job_that_fails_on_its_way_out_counts_as_failed(daemon, root, film):
    (root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    daemon.handover.film_ready(film)
    put_away_all(daemon)
    assert daemon.ended_counts == {JobState.DONE: 0, JobState.FAILED: 1}


def test_the_same_with_real_errands(store, root, running, film):
    handover = Handover(
        store=store, roots={root.uuid: root}, nursery=open_nursery(LogChoice(level="error")),
        settings=OutboxSettings(), clock=time.monotonic, wall=lambda: NOON,
    )  # fmt: skip
    handover.film_ready(film)
    end_s, put_away = time.monotonic() + 30, ()
    while not put_away and time.monotonic() < end_s:
        put_away = handover.tick()
        if numbers := handover.filenos():
            select.select(numbers, [], [], 1)
    assert put_away == (running.id,)
    assert (root.outbox / "anna.mp4").read_bytes() == FILM
