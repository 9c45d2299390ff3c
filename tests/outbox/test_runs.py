from datetime import timedelta

import pytest

from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox.runs import worked_on


@pytest.fixture
def store(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        yield store


@pytest.fixture
def life(store, samples):
    """A function that lets a job live: `(state, seconds after noon)` one after the other."""

    def live(*steps):
        job = samples.job(state=JobState.QUEUED)
        store.add(job)
        for state, at_s in steps:
            store.move(job.id, state, at=samples.now + timedelta(seconds=at_s))

        return lambda now_s: worked_on(store, job.id, samples.now + timedelta(seconds=now_s))

    return live


def test_a_job_that_never_ran_has_no_start(life, samples):
    worked = life()(100)
    assert (worked.started_at, worked.wall_s) == (None, 0)


def test_the_attempt_under_way_counts_until_now(life, samples):
    worked = life((JobState.RUNNING, 10))(25)
    assert (worked.started_at, worked.wall_s) == (samples.now + timedelta(seconds=10), 15)


def test_an_ended_attempt_counts_until_its_end(life):
    assert life((JobState.RUNNING, 10), (JobState.DONE, 30))(10_000).wall_s == 20


def test_waiting_between_attempts_does_not_count(life, samples):
    worked = life((JobState.RUNNING, 10), (JobState.QUEUED, 15), (JobState.RUNNING, 1000))(1007)
    assert (worked.started_at, worked.wall_s) == (samples.now + timedelta(seconds=10), 12)


def test_a_job_that_failed_in_the_queue_was_never_worked_on(life):
    worked = life((JobState.FAILED, 10))(100)
    assert (worked.started_at, worked.wall_s) == (None, 0)


def test_a_clock_that_is_set_back_never_gives_less_than_nothing(life):
    assert life((JobState.RUNNING, 10))(-3600).wall_s == 0


def test_a_clock_that_is_set_back_does_not_eat_the_other_attempts(life):
    steps = ((JobState.RUNNING, 0), (JobState.QUEUED, 50), (JobState.RUNNING, 60), (JobState.QUEUED, -3600))
    assert life(*steps)(0).wall_s == 50


def test_another_job_does_not_count(life, store, samples):
    worked = life((JobState.RUNNING, 0))
    store.add(samples.job(state=JobState.QUEUED, id="20250131T080000000-other22222"))
    store.move("20250131T080000000-other22222", JobState.RUNNING, at=samples.now - timedelta(seconds=500))
    assert worked(5).wall_s == 5


def test_an_unknown_job_was_never_worked_on(store, samples):
    assert worked_on(store, "nobody", samples.now).wall_s == 0
