"""Looks again and again, and what they cost."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from heygemd import places
from heygemd.intake.roots import init_root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.lookout import Place, Standing
from heygemd.outbox.status import QueuedJob, write_status
from heygemd.top import observer as module
from heygemd.top.observer import Observer
from heygemd.vitals import write_vitals
from tests.top.samples import NOW, job, root, told, vitals


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def share(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    with JobStore(folder / "jobs.sqlite") as store:
        for number, states in enumerate(
            ((), (), (JobState.RUNNING,), (JobState.FAILED,), (JobState.RUNNING, JobState.DONE))
        ):
            one = job(number, f"film {number}")
            store.add(one)
            for to in states:
                store.move(one.id, to, at=NOW)
    return folder


@pytest.fixture
def watcher(state, share, clock):
    found = Observer(Place(state_dir=state, roots=(share.path,)), clock)
    yield found
    found.close()


def tell(state, **fields):
    write_vitals(state, vitals(**{"pid": os.getpid(), "written_at": datetime.now(UTC), "roots": ()} | fields))


def until(watcher, clock, is_so):
    """Look until the child that reads the share has answered."""
    for _ in range(1000):
        glance = watcher.look()
        if is_so(glance):
            return glance
        import time

        time.sleep(0.01)
        clock.now_s += 0.01
    raise AssertionError(glance)


def test_a_daemon_that_does_not_run_leaves_its_store(watcher):
    glance = watcher.look()
    assert glance.standing is Standing.STOPPED
    assert [one.name for one in glance.queue] == ["film 0", "film 1"]
    assert [one.name for one in glance.running] == ["film 2"]
    assert {one.job.name: one.at for one in glance.ended} == {"film 3": NOW, "film 4": NOW}
    assert glance.counts[JobState.QUEUED] == 2


def test_new_words_of_the_daemon_are_seen_at_the_next_look(watcher, state, clock):
    with places.locked(state / "lock"):
        tell(state)
        glance = watcher.look()
        assert (glance.standing, glance.vitals.host) == (Standing.RUNNING, "studio-3")
        assert glance.running == (), "the vitals tell it better"
        tell(state, host="another")
        assert watcher.look().vitals.host == "another"
    # Here the child that reads the share is one of the "daemon", too, and holds the lock with it until it ends.
    glance = until(watcher, clock, lambda glance: glance.standing is Standing.STOPPED)
    assert [one.name for one in glance.running] == ["film 2"], "read at once when the daemon has gone"


def test_the_store_is_read_only_when_something_may_have_changed(watcher, clock, monkeypatch):
    opened = []
    real = JobStore.open_readonly.__func__
    monkeypatch.setattr(
        JobStore, "open_readonly", classmethod(lambda cls, path: opened.append(path) or real(cls, path))
    )
    for _ in range(5):
        watcher.look()
        clock.now_s += 0.5
    assert len(opened) == 1
    clock.now_s += module.STORE_EVERY_S
    watcher.look()
    watcher.look_anew()
    watcher.look()
    assert len(opened) == 3


def test_what_the_share_tells_comes_with_a_later_look(watcher, share, clock):
    waiting = watcher.look().queue
    entry = QueuedJob(
        job=waiting[1].id, name="", folder="", queued_at=NOW, position=1, starts_at=NOW, waits_for="E301 x"
    )
    write_status(share.status, told([entry]).told)
    clock.now_s += module.ROOTS_EVERY_S
    glance = until(watcher, clock, lambda glance: glance.queued)
    assert glance.queued[waiting[1].id].waits_for == "E301 x"
    assert [one.id for one in glance.queue] == [waiting[1].id, waiting[0].id]


def test_a_dead_share_is_called_so_and_asked_by_one_child_only(watcher, share, clock, monkeypatch):
    import signal

    def hang(path):
        while True:
            signal.pause()

    looks = []
    real = module.Look
    monkeypatch.setattr(module, "read_status_file", hang)
    monkeypatch.setattr(module, "Look", lambda function: looks.append(real(function)) or looks[-1])
    watcher.look()
    for _ in range(5):
        clock.now_s += module.ROOTS_EVERY_S
        (seen,) = watcher.look().roots
    assert seen.trouble == "E201 no answer within 2 s"
    assert len(looks) == 1


def test_failures_are_searched_for_further_back(watcher, state, monkeypatch, clock):
    monkeypatch.setattr(module, "ENDED_SHOWN", 1)
    assert [one.job.name for one in watcher.look().ended] == ["film 4"]
    watcher.wants_failures = True
    watcher.look_anew()
    assert [one.job.name for one in watcher.look().ended] == ["film 3"]


def test_details_bring_the_history(watcher):
    (film,) = watcher.look().running
    found = watcher.details(film.id)
    assert [event.state for event in found.events] == [JobState.QUEUED, JobState.RUNNING]
    assert watcher.details("nobody") is None


def test_details_know_the_root(watcher, state, share):
    tell(state, roots=(root(str(share.path)),))
    (film,) = watcher.look().running or watcher.look().running
    assert watcher.details(film.id).root == share.path


def test_a_damaged_store_is_told_and_the_rest_goes_on(watcher, state):
    (state / "jobs.sqlite").write_bytes(b"no store at all" * 100)
    for name in ("jobs.sqlite-wal", "jobs.sqlite-shm"):
        (state / name).unlink(missing_ok=True)
    glance = watcher.look()
    assert glance.trouble.startswith("E401")
    assert watcher.details("x") is None


def test_damaged_vitals_leave_the_last_good_ones(watcher, state):
    tell(state)
    watcher.look()
    (state / "vitals.json").write_bytes(b"{")
    assert watcher.look().vitals is not None
    (state / "vitals.json").unlink()
    assert watcher.look().vitals is None


def test_no_store_at_all(tmp_path):
    watcher = Observer(Place(state_dir=tmp_path / "nothing"))
    assert watcher.look(NOW + timedelta(days=1)).standing is Standing.NEVER
