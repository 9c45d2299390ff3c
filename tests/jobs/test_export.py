"""The event log: whatever ends the daemon, and whenever, its lines are the transitions, each once and in order."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd.jobs import export
from heygemd.jobs.export import EventLog
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import NOW, make_job, open_store, pass_through
from tests.jobs.log_house import House


def test_each_transition_becomes_one_line_with_all_that_is_known(house):
    house.store.add(make_job("你", duplicate_of="a", state=JobState.FAILED, error_code="E101", error_message="no\n好"))
    assert house.write() == 2
    text = house.path.read_text(encoding="utf-8")
    assert text.count("\n") == 2
    assert "你好" in text, "people read it"
    assert house.told() == [
        {
            "seq": 1, "at": "2026-01-01T00:00:00.000000+00:00", "job": "a", "root": "uuid", "name": "你好",
            "folder": "sub/dir", "state": "queued", "attempts": 0, "error_code": None, "error_message": None,
            "duplicate_of": None, "batch": "b1", "row": 4, "row_id": "ep04",
        },
        {
            "seq": 2, "at": "2026-01-01T00:00:00.000000+00:00", "job": "你", "root": "uuid", "name": "你好",
            "folder": "sub/dir", "state": "failed", "attempts": 0, "error_code": "E101", "error_message": "no\n好",
            "duplicate_of": "a", "batch": None, "row": None, "row_id": None,
        },
    ]  # fmt: skip
    house.check()


def test_names_that_steer_terminals_are_escaped_and_stay_exact(house):
    name = "gp\u202e4pm \u2028 \x9b31m \u2066"
    house.store.add(replace(make_job("b"), name=name))
    house.write()
    line = house.path.read_text(encoding="utf-8").splitlines()[-1]
    assert line.isprintable()
    assert json.loads(line)["name"] == name
    house.check()


def test_nothing_new_writes_nothing(house):
    assert house.write() == 1
    before = house.path.stat().st_mtime_ns
    assert house.write() == 0
    assert house.path.stat().st_mtime_ns == before


def test_a_long_history_is_written_in_blocks_with_one_sync_each(house, monkeypatch):
    monkeypatch.setattr(export, "LINES_AT_ONCE", 4)
    house.happen(9)
    synced = []
    sync = house.calls.sync
    house.calls.sync = lambda fd: synced.append(sync(fd))  # type: ignore[method-assign]
    assert house.write() == 10
    assert len(synced) == 3
    house.check()


def test_a_block_is_bounded_however_long_the_messages_are(house, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_BYTES", 20_000)
    pass_through(house.store, "a", "running")
    for state in ("queued", "running") * 5:
        house.store.move("a", JobState(state), at=NOW, error_code="E500", error_message="\x01" * 100_000)
    blocks = []
    append = house.calls.append
    house.calls.append = lambda fd, data: blocks.append(len(data)) or append(fd, data)  # type: ignore[method-assign]
    assert house.write() == 12
    assert max(blocks) < 6 * export.TEXT_CHARACTERS + 1000, "a control character becomes six bytes"
    assert len(house.told()[-1]["error_message"]) == export.TEXT_CHARACTERS
    house.check()


def test_after_a_restart_the_log_goes_on(house):
    house.write()
    size = house.path.stat().st_size
    house.log.close()
    house.start()
    assert house.write() == 0
    assert house.path.stat().st_size == size
    house.happen(2)
    assert house.write() == 2
    house.check()


@pytest.mark.parametrize("taken_bytes", [0, 1, 200, 1 << 30])
@pytest.mark.parametrize("steps", range(12))
def test_a_kill_at_any_step_neither_doubles_nor_loses_a_line(house, monkeypatch, steps, taken_bytes):
    monkeypatch.setattr(export, "LINES_AT_ONCE", 2)
    house.happen(3)
    house.write_and_die(steps, taken_bytes)
    house.write_and_die(1, taken_bytes)
    house.happen()
    house.write()
    house.check()


ACTS = st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 4)),
    st.tuples(st.just("write")),
    st.tuples(st.just("write_and_die"), st.integers(0, 9), st.integers(0, 600)),
    st.tuples(st.just("rotate")),
    st.tuples(st.just("cut_power"), st.floats(0, 1), st.booleans()),
)


@given(acts=st.lists(ACTS, max_size=14), lines_at_once=st.integers(1, 4))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=120
)
def test_whatever_happens_lines_are_transitions_each_once_in_order(acts, lines_at_once, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "LINES_AT_ONCE", lines_at_once)
        patch.setattr(export, "sync_folder", lambda folder: None)
        house = House(tmp_path_factory.mktemp("log"))
        try:
            for name, *values in acts:
                getattr(house, name)(*values)
            house.happen()
            house.write()
            house.check()
        finally:
            house.log.close()
            house.store.close()


def test_real_kills_neither_double_nor_lose_a_line(tmp_path):
    open_store(tmp_path).close()
    with JobStore(tmp_path / "jobs.sqlite") as store:
        store.add(make_job())
    for rounds in (1, 7, 2, 12, 5, 3):
        beat_out, beat_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            run_until_killed(tmp_path, beat_in)
        os.close(beat_in)
        beats = b""
        while len(beats) < rounds:
            beats += os.read(beat_out, 1)
        os.kill(pid, signal.SIGKILL)
        os.close(beat_out)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        with JobStore(tmp_path / "jobs.sqlite") as store:
            log = EventLog(tmp_path / "events.jsonl", store)
            log.write_new()
            log.close()
            told = [json.loads(line)["seq"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
            assert told == [event.seq for event in store.events()]
    assert len(told) > 30


def run_until_killed(folder: Path, beat: int) -> None:
    """In a child: move a job and write the log, for ever."""
    os.close(1)  # what structlog prints is nobody's
    store = JobStore(folder / "jobs.sqlite")
    store._db.execute("PRAGMA synchronous = OFF")
    log = EventLog(folder / "events.jsonl", store)
    state = store.get("a").state
    try:
        while True:
            state = JobState.RUNNING if state is JobState.QUEUED else JobState.QUEUED
            with structlog.testing.capture_logs():
                store.move("a", state, at=NOW, error_message="x" * 3000)
            log.write_new()
            os.write(beat, b".")
    finally:
        os._exit(1)
