import json
import os
import sqlite3
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd.errors import ResourceError, SetupError, WrongStateError
from heygemd.jobs import store as store_module
from heygemd.jobs.job import AudioInfo, EngineName, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.states import JobState, may_follow
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
    return replace(job, **changes)


@pytest.fixture
def store(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        yield store


def test_a_job_comes_back_as_it_went_in(store):
    job = make_job(priority=3, published_name="x.mp4", duplicate_of="b", attempts=2)
    assert store.add(job)
    assert store.get("a") == job
    refused = make_job("f", media=None, state=JobState.FAILED, error_code="E101", error_message="no", claim_dir=None)
    assert store.add(refused)
    assert store.get("f") == refused
    assert store.get("none") is None


def test_adding_twice_changes_nothing(store):
    assert store.add(make_job())
    store.move("a", JobState.RUNNING, at=NOW)
    assert not store.add(make_job(name="other"))
    assert store.get("a").state is JobState.RUNNING
    assert len(list(store.events())) == 2


def test_a_new_job_is_queued_or_failed(store):
    with pytest.raises(WrongStateError):
        store.add(make_job(state=JobState.RUNNING))


STEPS = st.lists(st.tuples(st.sampled_from(JobState), st.booleans()), max_size=10)


@given(path=STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_store_takes_exactly_the_legal_steps(path, tmp_path_factory):
    state, attempts = JobState.QUEUED, 0
    with structlog.testing.capture_logs() as logs, JobStore(tmp_path_factory.mktemp("s") / "jobs.sqlite") as store:
        store.add(make_job())
        for then, refund in path:
            legal = may_follow(state, then) and not (refund and (state, then) != (JobState.RUNNING, JobState.QUEUED))
            if legal:
                attempts += 1 if then is JobState.RUNNING else -refund
                state = then
                moved = store.move("a", then, at=NOW, refund=refund)
                assert (moved.state, moved.attempts) == (state, attempts)
                assert moved == store.get("a")
            else:
                with pytest.raises(WrongStateError):
                    store.move("a", then, at=NOW, refund=refund)
                assert store.get("a").state is state
        events = list(store.events())
    assert [(e.job_id, e.state) for e in events] == [(line["job_id"], line["state"]) for line in logs]
    assert [line["event"] for line in logs] == ["job.added"] + ["job.moved"] * (len(logs) - 1)
    assert events[-1].state is state


def test_moving_an_unknown_job_is_refused(store):
    with pytest.raises(WrongStateError, match="no job"):
        store.move("a", JobState.RUNNING, at=NOW)
    with pytest.raises(WrongStateError):
        store.strike("a")
    with pytest.raises(WrongStateError):
        store.set_claim_dir("a", None)


def test_the_error_of_a_retry_stays_in_its_event(store):
    store.add(make_job())
    store.move("a", JobState.RUNNING, at=NOW)
    later = NOW + timedelta(minutes=1)
    job = store.move("a", JobState.QUEUED, at=NOW, error_code="E301", error_message="full", not_before=later)
    assert (job.error_code, job.not_before, job.attempts) == (None, later, 1)
    assert list(store.events())[-1].error_code == "E301"
    store.move("a", JobState.RUNNING, at=NOW)
    assert store.move("a", JobState.FAILED, at=NOW, error_code="E500", error_message="bug").error_code == "E500"
    again = store.move("a", JobState.QUEUED, at=NOW)
    assert (again.error_code, again.error_message, again.attempts) == (None, None, 2)


def test_strikes_count_up_and_are_cleared(store):
    store.add(make_job())
    assert [store.strike("a"), store.strike("a")] == [1, 2]
    store.clear_strikes("a")
    assert store.get("a").strikes == 0


def test_the_published_name_is_chosen_once(store):
    store.add(make_job())
    assert store.set_published_name("a", "x.mp4") == "x.mp4"
    assert store.set_published_name("a", "x.v2.mp4") == "x.mp4"
    store.clear_published_name("a")
    assert store.set_published_name("a", "x.v2.mp4") == "x.v2.mp4"
    store.move("a", JobState.RUNNING, at=NOW)
    store.move("a", JobState.DONE, at=NOW)
    with pytest.raises(WrongStateError):
        store.clear_published_name("a")


def test_inputs_follow_the_claim_folder(store):
    shared = InputFile(name="_default.wav", path=Path("/elsewhere/_default.wav"), size_bytes=1, sha256="")
    store.add(make_job(audio=shared))
    job = store.set_claim_dir("a", Path("/r/failed/x"))
    assert job.video.path == Path("/r/failed/x/你好.mp4")
    assert job.audio.path == shared.path
    gone = store.set_claim_dir("a", None)
    assert gone.claim_dir is None
    assert gone.video.path == Path("/r/failed/x/你好.mp4")
    assert store.get("a") == gone


def test_queue_order_is_priority_then_time_then_id(store):
    store.add(make_job("d"))
    store.add(make_job("c", queued_at=NOW + timedelta(microseconds=1)))
    store.add(make_job("b", queued_at=NOW + timedelta(seconds=1), priority=1))
    store.add(make_job("a"))
    store.add(make_job("e", state=JobState.FAILED))
    assert [job.id for job in store.jobs(JobState.QUEUED)] == ["b", "a", "d", "c"]
    assert [job.id for job in store.jobs(JobState.QUEUED, limit=2)] == ["b", "a"]
    assert len(store.jobs()) == 5
    assert store.counts() == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 4, JobState.FAILED: 1}


def test_questions_about_one_root_do_not_see_the_others(store):
    for number, (state, root) in enumerate([("done", "r"), ("failed", "r"), ("queued", "r"), ("queued", "other")]):
        store.add(make_job(f"j{number}", root=root))
        for step in {"done": ("running", "done"), "failed": ("failed",)}.get(state, ()):
            store.move(f"j{number}", JobState(step), at=NOW)
    assert [job.id for job in store.unfinished("r")] == ["j2"]
    assert [job.id for job in store.unfinished()] == ["j2", "j3"]
    assert [job.id for job in store.ended(5, "r")] == ["j1", "j0"], "the newest first"
    assert [job.id for job in store.ended(1)] == ["j1"]
    assert store.ended(5, "other") == []
    assert store.counts("other") == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 1}
    assert store.ids() == {"j0", "j1", "j2", "j3"}
    assert store.has_work(["other"])
    assert not store.has_work(["nobody"])
    store.move("j3", JobState.CANCELLED, at=NOW)
    assert not store.has_work(["other"])


def test_what_has_ended_is_to_be_put_away_until_its_folder_is_gone(store):
    store.add(make_job("waits"))
    store.add(make_job("failed", state=JobState.FAILED, error_code="E101"))
    assert [job.id for job in store.to_put_away()] == ["failed"]
    store.set_claim_dir("failed", None)
    assert store.to_put_away() == []


def test_recover_puts_every_running_job_back(store):
    for job_id in "abc":
        store.add(make_job(job_id))
    for job_id in "ab":
        store.move(job_id, JobState.RUNNING, at=NOW)
    assert [(job.id, job.state, job.attempts) for job in store.recover(NOW)] == [
        ("a", JobState.QUEUED, 1),
        ("b", JobState.QUEUED, 1),
    ]
    last = list(store.events())[-2:]
    assert [event.state for event in last] == [JobState.QUEUED] * 2
    assert [event.seq for event in store.events(after_seq=last[0].seq)] == [last[1].seq]
    assert store.recover(NOW) == []


def test_what_was_returned_survives_a_kill(tmp_path):
    path = tmp_path / "jobs.sqlite"
    JobStore(path).close()
    pid = os.fork()
    if pid == 0:
        child = JobStore(path)
        child.add(make_job())
        child.move("a", JobState.RUNNING, at=NOW)
        os._exit(9)
    os.waitpid(pid, 0)
    with JobStore(path) as store:
        assert store.get("a").state is JobState.RUNNING
        assert len(list(store.events())) == 2


def test_the_file_is_durable_by_its_settings(store):
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == 1


def test_a_reader_works_beside_the_writer_and_may_not_write(store, tmp_path):
    store.add(make_job())
    with JobStore.open_readonly(tmp_path / "jobs.sqlite") as reader:
        assert reader.get("a") == make_job()
        store.move("a", JobState.RUNNING, at=NOW)
        assert reader.counts()[JobState.RUNNING] == 1
        with pytest.raises(ResourceError) as caught:
            reader.move("a", JobState.DONE, at=NOW)
    assert caught.value.code == "E202"


def test_a_reader_without_a_store_is_told_so(tmp_path):
    with pytest.raises(SetupError, match="there is no job store"):
        JobStore.open_readonly(tmp_path / "jobs.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_another_user_reads_a_store_that_was_closed():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "jobs.sqlite"
        with JobStore(path) as store:
            store.add(make_job())
        pid = os.fork()
        if pid == 0:
            count = -1
            try:
                os.setgid(65534)
                os.setuid(65534)
                count = len(JobStore.open_readonly(path).jobs())
            finally:
                os._exit(0 if count == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_file_that_is_no_store_is_refused(tmp_path):
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database, but long enough to have a header" * 100)
    with pytest.raises(SetupError, match="damaged"):
        JobStore(path)


def test_a_store_of_a_newer_program_is_refused(tmp_path):
    path = tmp_path / "jobs.sqlite"
    JobStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SetupError, match="newer"):
        JobStore(path)
    with pytest.raises(SetupError, match="schema 99"):
        JobStore.open_readonly(path)


def test_a_migration_keeps_a_copy_of_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "jobs.sqlite"
    with JobStore(path) as store:
        store.add(make_job())
    old = store_module.schema_sections()
    monkeypatch.setattr(store_module, "schema_sections", lambda: (*old, "ALTER TABLE job ADD COLUMN mood TEXT;"))
    with JobStore(path) as store:
        assert store.get("a") == make_job()
        assert store._db.execute("SELECT mood FROM job").fetchone()[0] is None
    copy = sqlite3.connect(tmp_path / "jobs.sqlite.v1.bak")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == 1
    assert copy.execute("SELECT count(*) FROM job").fetchone()[0] == 1
    copy.close()


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "jobs.sqlite"
    JobStore(path).close()
    old = store_module.schema_sections()
    monkeypatch.setattr(store_module, "schema_sections", lambda: (*old, "CREATE TABLE x (a) STRICT; nonsense;"))
    with pytest.raises(sqlite3.OperationalError):
        JobStore(path)
    monkeypatch.undo()
    with JobStore(path) as store:
        assert store._db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'x'").fetchone()[0] == 0


def test_a_full_disk_is_a_fault_of_the_machine_and_changes_nothing(store):
    store.add(make_job())
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ResourceError) as caught:
        store.add(make_job("big", error_message="x" * 100_000))
    assert caught.value.code == "E202"
    assert store.get("big") is None
    assert store.move("a", JobState.RUNNING, at=NOW).attempts == 1


def test_the_stored_json_is_plain(store):
    store.add(make_job())
    row = store._db.execute("SELECT video, media FROM job").fetchone()
    assert json.loads(row["video"])["name"] == "你好.mp4"
    assert json.loads(row["media"])["video"]["fps"] == "30000/1001"
