"""What the status foresees: when jobs begin and when films are ready."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from heygemd.daemon.snapshot import GLANCE, take_snapshot
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName, InputFile, Lane
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.planning.plan import TaskKind
from heygemd.scheduler.outcome import Stage
from heygemd.scheduler.outlook import Outlook
from tests.daemon.snapshot_rig import NOON, Daemon, Desk, put_job, working


@pytest.fixture
def daemon(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        yield Daemon(store)


@pytest.fixture
def add(daemon):
    """A function that adds a job and takes it through states."""
    return partial(put_job, daemon)


FILM_FRAMES, FACE_FRAMES, PIXELS = 500, 1500, 64 * 48
"""Of a job with `MEDIA`."""


@pytest.fixture
def learnt(daemon):
    """An outlook with one place, where each kind of task takes as many seconds as is said for a job with `MEDIA`."""

    def learn(analyse, render, finish, **changes):
        rates, engine = daemon.seen.rates, EngineName.ATLAS
        for kind, frames, seconds in (
            (TaskKind.ANALYSE, FACE_FRAMES, analyse),
            (TaskKind.RENDER, FILM_FRAMES, render),
            (TaskKind.FINISH, FILM_FRAMES, finish),
        ):
            for _ in range(3):
                rates.note(kind, engine, "cpu", PIXELS, frames, seconds)
        daemon.seen = replace(daemon.seen, **changes)

    return learn


def waits_s(snapshot, now):
    return {job.name: pytest.approx((job.starts_at - now).total_seconds(), abs=2) for job in snapshot.queue}


@pytest.fixture
def at_work(daemon, add):
    """Somebody works: a film that is ready in a moment."""
    daemon.shown = (working(add("leaving", JobState.RUNNING), stage=Stage.PUBLISH, job_left_s=0.0),)


def face(sha256):
    return InputFile(name="v", path=Path("/nowhere/v"), size_bytes=1, sha256=sha256)


def test_waiting_jobs_are_told_when_they_start(daemon, add, learnt):
    learnt(analyse=70, render=50, finish=10)
    now = datetime.now(UTC)
    daemon.shown = (working(add("now", JobState.RUNNING)),)
    add("first", at=NOON + timedelta(seconds=1))
    add("second", at=NOON + timedelta(seconds=3))
    snapshot = take_snapshot(daemon, Desk())
    assert [(job.name, job.position) for job in snapshot.queue] == [("first", 1), ("second", 2)]
    assert waits_s(snapshot, now) == {"first": 30, "second": 90}
    assert (snapshot.running[0].ready_at - now).total_seconds() == pytest.approx(30, abs=2)
    assert (snapshot.queue_ends_at - now).total_seconds() == pytest.approx(150, abs=2)


def test_a_job_is_told_when_it_is_ready_while_it_is_analysed(daemon, add):
    now = datetime.now(UTC)
    daemon.shown = (working(add("now", JobState.RUNNING), stage=Stage.ANALYSE, fps=None, eta_s=None, job_left_s=90.0),)
    (running,) = take_snapshot(daemon, Desk()).running
    assert (running.ready_at - now).total_seconds() == pytest.approx(90, abs=2)


def test_a_job_without_a_worker_is_ready_when_it_has_had_one(daemon, add, learnt):
    learnt(analyse=70, render=50, finish=10)
    now = datetime.now(UTC)
    busy, idle = add("busy", JobState.RUNNING), add("idle", JobState.RUNNING)
    daemon.shown = (working(busy), working(idle, frames_done=250, fps=None, eta_s=None, job_left_s=None))
    ready = {job.name: (job.ready_at - now).total_seconds() for job in take_snapshot(daemon, Desk()).running}
    assert ready == {"busy": pytest.approx(30, abs=2), "idle": pytest.approx(30 + 25 + 10, abs=4)}


@pytest.mark.usefixtures("at_work")
def test_only_the_first_film_of_a_face_has_it_analysed(daemon, add, learnt):
    learnt(analyse=100, render=50, finish=10)
    now = datetime.now(UTC)
    for number, name in enumerate("abcd"):
        add(name, at=NOON + timedelta(seconds=number), job={"video": face("ours" if name in "acd" else "done before")})
    add("old", JobState.RUNNING, JobState.DONE, job={"video": face("done before")})
    snapshot = take_snapshot(daemon, Desk())
    assert waits_s(snapshot, now) == {"a": 0, "b": 160, "c": 220, "d": 280}


@pytest.mark.usefixtures("at_work")
def test_more_places_begin_more_jobs(daemon, add, learnt):
    learnt(analyse=70, render=50, finish=10, places=2)
    now = datetime.now(UTC)
    for number, name in enumerate("abcd"):
        add(name, at=NOON + timedelta(seconds=number), job={"video": face(name)})
    snapshot = take_snapshot(daemon, Desk())
    assert waits_s(snapshot, now) == {"a": 0, "b": 0, "c": 130, "d": 130}


@pytest.mark.usefixtures("at_work")
def test_a_folder_that_runs_one_at_a_time_is_told_so(daemon, add, learnt):
    learnt(analyse=70, render=50, finish=10, places=2)
    now = datetime.now(UTC)
    for number, name in enumerate("abc"):
        lane = Lane(folder="sub", most=1) if name in "ab" else None
        add(name, at=NOON + timedelta(seconds=number), job={"video": face(name), "lane": lane})
    assert waits_s(take_snapshot(daemon, Desk()), now) == {"a": 0, "b": 130, "c": 0}


def test_roots_take_turns_in_the_forecast_as_in_the_queue(daemon, add, learnt):
    learnt(analyse=70, render=50, finish=10)
    for number in range(3):
        add(f"theirs {number}", at=NOON + timedelta(seconds=number), root="another")
    for number in range(2):
        add(f"mine {number}", at=NOON + timedelta(seconds=10 + number))
    queue = take_snapshot(daemon, Desk()).queue
    assert [(job.name, job.position) for job in queue] == [("mine 0", 2), ("mine 1", 4)]


def test_the_queue_is_listed_as_it_will_probably_begin(daemon, add):
    for number, folder in enumerate(("a", "a", "b")):
        add(f"{folder}{number}", at=NOON + timedelta(seconds=number), job={"folder": folder})
    queue = take_snapshot(daemon, Desk()).queue
    assert [(job.name, job.position) for job in queue] == [("a0", 1), ("b2", 2), ("a1", 3)]


@pytest.mark.usefixtures("at_work")
def test_an_engine_that_cannot_be_had_promises_nothing(daemon, add):
    def settle(wanted):
        raise SetupError("E402", "no weights")

    daemon.seen = Outlook(settle=settle)
    add("first")
    add("second", at=NOON + timedelta(seconds=1))
    first, second = take_snapshot(daemon, Desk()).queue
    assert first.starts_at is not None
    assert second.starts_at is None


def test_nothing_is_promised_while_nobody_works(daemon, add):
    daemon.shown = (working(add("short of memory", JobState.RUNNING), fps=None, eta_s=None, job_left_s=None),)
    add("waiting")
    snapshot = take_snapshot(daemon, Desk())
    assert (snapshot.queue[0].starts_at, snapshot.queue_ends_at) == (None, None)
    assert snapshot.running[0].ready_at is None


def test_the_end_of_a_long_queue_is_not_promised(daemon, add):
    daemon.shown = (working(add("now", JobState.RUNNING)),)
    for number in range(GLANCE):
        add(str(number))
    assert take_snapshot(daemon, Desk()).queue_ends_at is None
