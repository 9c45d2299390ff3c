"""What can be seen of a daemon from outside."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from heygemd import lookout, places
from heygemd.errors import ResourceError, SetupError
from heygemd.intake.roots import init_root
from heygemd.lookout import (
    Standing,
    find_place,
    holder_seen,
    in_line,
    latest_vitals,
    look_at_roots,
    roots_of,
    standing_of,
)
from heygemd.outbox.status import QueuedJob
from heygemd.settings import Settings
from heygemd.vitals import write_vitals
from tests.top.samples import NOW, job, root, vitals


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def hang(*_):
    import signal

    while True:
        signal.pause()


def test_somebody_must_say_which_daemon_is_meant():
    with pytest.raises(SetupError, match="--state-dir") as caught:
        find_place(Settings())
    assert caught.value.code == "E401"


def test_a_state_directory_alone_is_enough(tmp_path):
    place = find_place(Settings(state_dir=tmp_path / "s"))
    assert (place.state_dir, place.roots) == (tmp_path / "s", ())
    served = vitals(roots=(root("/a"), root("/b")))
    assert roots_of(place, served) == (Path("/a"), Path("/b"))
    place = find_place(Settings(state_dir=tmp_path, roots=(Path("/b"), Path("/c"))))
    assert roots_of(place, served) == (Path("/b"), Path("/c"), Path("/a"))


def test_a_root_leads_to_the_state_of_its_daemon(tmp_path):
    made = init_root(tmp_path / "root")
    place = find_place(Settings(roots=(made.path,)))
    assert place.state_dir == tmp_path / "xdg" / "heygemd" / made.uuid
    with pytest.raises(SetupError, match="init-root"):
        find_place(Settings(roots=(tmp_path / "absent",)))


def test_a_root_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(lookout, "LOOK_LIMIT_S", 0.2)
    monkeypatch.setattr(lookout, "open_root", hang)
    with pytest.raises(ResourceError, match="did not answer") as caught:
        find_place(Settings(roots=(tmp_path,)))
    assert str(tmp_path) in caught.value.message


def test_a_dead_share_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    good, dead = init_root(tmp_path / "good"), init_root(tmp_path / "dead")
    read = lookout.read_status_file
    monkeypatch.setattr(lookout, "LOOK_LIMIT_S", 1.0)
    monkeypatch.setattr(lookout, "read_status_file", lambda path: hang() if path == dead.path else read(path))
    first, second, third = look_at_roots((good.path, dead.path, tmp_path / "absent"))
    assert (first.told, first.trouble) == (None, "")
    assert "E201 it did not answer within 1 s" in second.trouble
    assert third.trouble == "E201 it is not there"


def test_a_state_directory_of_somebody_else_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SetupError) as caught:
        find_place(Settings(state_dir=tmp_path))
    assert caught.value.code == "E407"


def test_a_user_who_may_not_try_the_lock_trusts_fresh_vitals(tmp_path, monkeypatch):
    (tmp_path / "lock").write_text("host a pid 4121\n")
    told, now = vitals(), datetime.now(UTC)
    assert holder_seen(tmp_path, told, NOW) is None, "nobody holds it"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(places, "holder_of", lambda path: None)
    assert holder_seen(tmp_path, told, NOW) == "host studio-3 pid 4121"
    assert holder_seen(tmp_path, told, now) is None


@pytest.mark.parametrize(
    ("holder", "pid", "age_s", "expected"),
    [
        ("host a pid 4121", 4121, 1, Standing.RUNNING), ("host a pid 4121", 4121, 61, Standing.SILENT),
        ("host a pid 9", 4121, 1, Standing.STARTING), ("host a pid 9", None, 1, Standing.STARTING),
        (None, 4121, 1, Standing.STOPPED), (None, None, 1, Standing.NEVER), ("unknown", 4121, 1, Standing.RUNNING),
        ("host a pid 4121", 4121, -3600, Standing.RUNNING),
    ],
)  # fmt: skip
def test_how_a_daemon_stands(tmp_path, holder, pid, age_s, expected):
    told = None if pid is None else vitals(pid=pid, written_at=NOW - timedelta(seconds=age_s))
    assert standing_of(tmp_path, holder, told, NOW) is expected


def test_a_store_is_a_trace_of_a_daemon(tmp_path):
    (tmp_path / "jobs.sqlite").touch()
    assert standing_of(tmp_path, None, None, NOW) is Standing.STOPPED


def test_waiting_films_stand_in_the_order_in_which_they_will_start():
    jobs = [job(number, name) for number, name in enumerate("abcd")]
    told = partial(QueuedJob, name="", folder="", queued_at=NOW)
    expected = {jobs[2].id: told(job="c", position=1), jobs[0].id: told(job="a", position=2), jobs[1].id: told(job="b")}
    assert [one.name for one in in_line(jobs, expected)] == ["c", "a", "b", "d"]


def test_vitals_without_a_zone_are_not_ours(tmp_path):
    assert latest_vitals(tmp_path) is None
    write_vitals(tmp_path, vitals())
    assert latest_vitals(tmp_path) == vitals()
    write_vitals(tmp_path, vitals(written_at=datetime(2025, 1, 1)))  # noqa: DTZ001  # that is the point
    assert latest_vitals(tmp_path) is None
