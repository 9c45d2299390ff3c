import hashlib
import json
import os
import sqlite3
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heygemd.errors import ResourceError, SetupError
from heygemd.jobs import database
from heygemd.jobs.database import Database
from heygemd.jobs.requests import Act, RequestBook
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import CLAIM, MEDIA, NOW, make_job, pass_through


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


def test_the_file_is_durable_by_its_settings(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert store._db.execute("PRAGMA user_version").fetchone()[0] == len(database.schema_sections())
    assert [file.name for file in tmp_path.iterdir()] == ["jobs.sqlite"], "a new store has nothing to back up"


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
    old = database.schema_sections()
    monkeypatch.setattr(database, "schema_sections", lambda: (*old, "ALTER TABLE job ADD COLUMN mood TEXT;"))
    with JobStore(path) as store:
        assert store.get("a") == make_job()
        assert store._db.execute("SELECT mood FROM job").fetchone()[0] is None
    copy = sqlite3.connect(tmp_path / f"jobs.sqlite.v{len(old)}.bak")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == len(old)
    assert copy.execute("SELECT count(*) FROM job").fetchone()[0] == 1
    copy.close()


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "jobs.sqlite"
    JobStore(path).close()
    old = database.schema_sections()
    monkeypatch.setattr(database, "schema_sections", lambda: (*old, "CREATE TABLE x (a) STRICT; nonsense;"))
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


# From version 1 -----------------------------------------------------------------------------------------------------

RELEASED = {1: "4ad56f03e85a9f336dbf3f4d0402f8610af8528d0fe9e4a0da7a7a0e2106d8bc"}
"""sha256 of sections that are out in the world."""


@pytest.mark.parametrize("version", RELEASED)
def test_a_released_section_is_never_edited(version):
    section = database.schema_sections()[version - 1]
    assert hashlib.sha256(section.strip().encode()).hexdigest() == RELEASED[version]


V1_JOB = {
    "root": "uuid", "name": "你好", "folder": "sub/dir",
    "video": json.dumps({
        "name": "你好.mp4", "path": f"{CLAIM}/你好.mp4", "size_bytes": 7, "sha256": "ab", "evidence": ["quiet"],
    }),
    "audio": json.dumps({
        "name": "你好.wav", "path": f"{CLAIM}/你好.wav", "size_bytes": 8, "sha256": "cd", "evidence": [],
    }),
    "options": json.dumps({
        "engine": "atlas", "length": "auto", "silence": "close", "audio_offset_ms": -40, "crf": 18,
        "preset": "veryfast",
    }),
    "media": json.dumps({
        "video": {
            "demuxer": "mov", "codec": "h264", "stream": 0, "fps": "30000/1001", "frame_count": 300,
            "width_px": 1920, "height_px": 1080, "rotation_deg": 0, "sample_aspect": "1", "pixel_format": "yuv420p",
            "colour": {"matrix": None, "range": None, "primaries": None, "transfer": None}, "is_vfr": False,
            "is_still": False, "duration_s": 0.0, "warnings": [],
        },
        "audio": {
            "demuxer": "wav", "codec": "pcm_s16le", "stream": 0, "rate_hz": 44100, "channels": 2,
            "sample_count": 441000, "warnings": [],
        },
    }),
    "claim_dir": str(CLAIM), "not_before": "2026-01-01T00:00:00.000000+00:00", "attempts": 0, "strikes": 0,
    "published_name": None, "error_code": None, "error_message": None, "duplicate_of": None,
}  # fmt: skip
"""A row as version 1 wrote it, but for what differs from job to job."""


def v1_file(path: Path) -> None:
    """A store of version 1 with a job in every state; c ended after d."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(f"BEGIN IMMEDIATE;{database.schema_sections()[0]};PRAGMA user_version = 1;COMMIT;")
    lives = {"a": ["queued"], "b": ["queued", "running"], "c": ["queued", "running", "done"], "d": ["failed"],
             "e": ["queued", "cancelled"]}  # fmt: skip
    for number, (job_id, states) in enumerate(lives.items()):
        row = V1_JOB | {
            "id": job_id, "state": states[-1], "queued_at": f"2026-01-01T00:00:0{number}.123456+00:00",
            "priority": 2 if job_id == "b" else 0,
        }  # fmt: skip
        if job_id == "d":
            row |= {"media": None, "error_code": "E101", "error_message": "no", "claim_dir": None}
        names = ", ".join(row)
        db.execute(f"INSERT INTO job ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    steps = ["a queued", "b queued", "c queued", "d failed", "c running", "e queued", "b running", "c done",
             "e cancelled"]  # fmt: skip
    for step in steps:
        values = (step[0], "2026-01-01T00:00:09.000000+00:00", step[2:], 0)
        db.execute("INSERT INTO event (job_id, at, state, attempts) VALUES (?, ?, ?, ?)", values)
    db.close()


def test_a_store_of_version_1_is_brought_over_with_all_its_jobs(tmp_path):
    path = tmp_path / "jobs.sqlite"
    v1_file(path)
    with JobStore(path) as store:
        queued_at = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
        assert store.get("a") == replace(make_job("a"), queued_at=queued_at, turn=queued_at.timestamp())
        assert store.get("b").turn == queued_at.timestamp() + 1 - 2 * 600.0
        assert [job.id for job in store.unfinished()] == ["b", "a"]
        assert [job.id for job in store.queue(9)] == ["a"]
        assert [job.id for job in store.ended(9)] == ["e", "c", "d"], "in the order in which they ended"
        assert store.get("c").media == MEDIA
        assert store.get("d").media is None
        assert len(store.event_lines(0, 99)) == 9
        assert store.event_offset() == 0
        assert store.open_batches() == []
        pass_through(store, "a", "running", "done")
        assert store.ended(1)[0].id == "a"
    copy = sqlite3.connect(tmp_path / "jobs.sqlite.v1.bak")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == 1
    assert copy.execute("SELECT count(*) FROM job").fetchone()[0] == 5
    copy.close()


@pytest.mark.parametrize("made_whole", [False, True])
def test_a_migration_that_is_cut_off_is_done_again_at_the_next_start(tmp_path, monkeypatch, made_whole):
    path = tmp_path / "jobs.sqlite"
    v1_file(path)
    with monkeypatch.context() as patch:
        first, second = database.schema_sections()[:2]
        half = second[: second.index("INSERT INTO export")] + ("INSERT INTO nowhere VALUES (1);" if made_whole else "(")
        patch.setattr(database, "schema_sections", lambda: (first, half))
        with pytest.raises(sqlite3.OperationalError):
            JobStore(path)
    with JobStore(path) as store:
        assert store.get("a").state is JobState.QUEUED


def test_a_reader_of_this_version_refuses_a_file_of_version_1(tmp_path):
    path = tmp_path / "jobs.sqlite"
    v1_file(path)
    with pytest.raises(SetupError, match="schema 1"):
        JobStore.open_readonly(path)


# From version 3 -----------------------------------------------------------------------------------------------------


def v3_file(path: Path) -> None:
    """The store of version 1 after two upgrades, with a job that a person has put back."""
    v1_file(path)
    db = sqlite3.connect(path, isolation_level=None)
    for number in (2, 3):
        section = database.schema_sections()[number - 1]
        db.executescript(f"BEGIN IMMEDIATE;{section};PRAGMA user_version = {number};COMMIT;")
    db.execute("UPDATE job SET queued_at = '2026-02-02T00:00:00.000000+00:00' WHERE id = 'a'")
    db.close()


def test_a_store_of_version_3_is_brought_over_and_takes_requests(tmp_path):
    path = tmp_path / "jobs.sqlite"
    v3_file(path)
    with pytest.raises(SetupError, match="schema 3, this program knows 4: start the new daemon once"):
        RequestBook.open(path)
    with JobStore(path) as store:
        assert sorted(job.id for job in store.jobs()) == list("abcde")
        assert store.oldest_waiting() == datetime(2026, 2, 2, tzinfo=UTC)
        with RequestBook.open(path) as book:
            book.ask(Act.CANCEL, "a", by="anna", at=NOW)
        assert [request.target for request in store.requests.open_requests()] == ["a"]
    copy = sqlite3.connect(tmp_path / "jobs.sqlite.v3.bak")
    assert copy.execute("PRAGMA user_version").fetchone()[0] == 3
    assert copy.execute("SELECT count(*) FROM job").fetchone()[0] == 5
    assert copy.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'request'").fetchone()[0] == 0
    assert copy.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    copy.close()
    assert not list(tmp_path.glob("*.part"))


def test_an_upgraded_store_and_a_new_one_have_the_same_tables(tmp_path):
    v1_file(tmp_path / "old.sqlite")
    found = []
    for name in ("old.sqlite", "new.sqlite"):
        with JobStore(tmp_path / name) as store:
            found.append(store._db.all("SELECT type, name, sql FROM sqlite_schema ORDER BY name"))
    assert found[0] == found[1]


def test_a_new_store_is_made_in_one_go(tmp_path, monkeypatch):
    """A command that comes in between must not meet an older schema and give wrong advice."""
    path = tmp_path / "jobs.sqlite"
    versions = []

    def stop(db, sql, version):
        versions.append(version)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(database, "_run", stop)
        with pytest.raises(KeyboardInterrupt):
            JobStore(path)
    assert versions == [len(database.schema_sections())]
    for ask in (RequestBook.open, JobStore.open_readonly):
        with pytest.raises(SetupError, match="is only just making it"):
            ask(path)
    JobStore(path).close()


def test_a_store_that_is_written_beside_its_daemon_is_neither_made_nor_changed(tmp_path):
    path = tmp_path / "jobs.sqlite"
    with pytest.raises(SetupError, match="no job store"):
        Database(path, may_migrate=False)
    JobStore(path).close()
    beside = Database(path, may_migrate=False)
    assert beside.one("PRAGMA synchronous")["synchronous"] == 2
    assert beside.one("PRAGMA foreign_keys")["foreign_keys"] == 1
    beside.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SetupError, match="use the program of the daemon"):
        Database(path, may_migrate=False)
