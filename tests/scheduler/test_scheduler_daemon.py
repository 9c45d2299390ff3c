"""What the daemon asks of the scheduler: to cancel, to take up again, to tell progress, and to stop."""

import pytest

from heygemd.jobs.states import JobState
from heygemd.scheduler.fake_workers import failed, leave_files, progress
from heygemd.scheduler.outcome import FilmReady, Stage
from heygemd.scheduler.workers import Ended
from tests.scheduler.conftest import ANALYSE, JOB, NEXT_JOB, RENDER, House, hold, silent, the_failure

# The daemon's side ---------------------------------------------------------------------------------------------------


def test_a_cancelled_job_is_dropped_with_its_worker_and_the_next_goes_on(house: House) -> None:
    house.add(JOB, NEXT_JOB)
    hold(house, RENDER, 1)
    house.scheduler.cancel(JOB.id)
    assert house.pool.killed == [1]
    (film,) = house.tick(10)
    assert film.job_id == NEXT_JOB.id
    house.store.move(JOB.id, JobState.CANCELLED, at=house.clocks.wall)
    assert house.tick(3) == []
    assert house.job(JOB).strikes == 0


def test_a_job_that_somebody_else_cancelled_is_dropped_too(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.store.move(JOB.id, JobState.CANCELLED, at=house.clocks.wall)
    assert house.tick(3) == []
    assert house.pool.killed == [1]


def test_a_cancelled_job_that_is_queued_again_goes_on_where_it_was(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.scheduler.cancel(JOB.id)
    house.store.move(JOB.id, JobState.CANCELLED, at=house.clocks.wall)
    house.store.move(JOB.id, JobState.QUEUED, at=house.clocks.wall)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert house.segments_sent() == [0, 1, 1, 2]


def test_a_failed_job_that_is_queued_again_gets_another_chance(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, "E131"),)
    house.close(the_failure(house.tick(3)))
    house.tick()
    house.store.move(JOB.id, JobState.QUEUED, at=house.clocks.wall)
    house.pool.act = lambda task: (leave_files(task),)
    assert isinstance(house.tick(10)[0], FilmReady)


def test_the_work_directory_goes_when_the_daemon_says_so(house: House) -> None:
    house.add(JOB)
    (film,) = house.tick(10)
    house.close(film)
    assert (house.state_dir / "work" / JOB.id).is_dir()
    house.scheduler.discard_work(JOB.id)
    house.scheduler.discard_work(JOB.id)
    assert not (house.state_dir / "work" / JOB.id).exists()


def test_progress_says_where_a_job_stands_and_how_fast_it_goes(house: House) -> None:
    house.add(JOB)
    task = hold(house, ANALYSE)
    house.pool.say(1, progress(task, 5, 20))
    house.tick(pause_s=1.0)
    house.pool.say(1, progress(task, 15, 20))
    house.tick()
    (now,) = house.scheduler.progress()
    assert (now.stage, now.frames_done, now.frames_total, now.device) == (Stage.ANALYSE, 15, 20, "cpu")
    assert now.fps == pytest.approx(15.0)
    assert now.eta_s == pytest.approx(5 / 15)
    house.pool.say(1, leave_files(task))
    task = hold(house, RENDER, 1)
    house.pool.say(1, progress(task, 4, 10))
    house.tick()
    (now,) = house.scheduler.progress()
    assert (now.stage, now.frames_done, now.frames_total) == (Stage.RENDER, 14, 30)


def test_a_job_in_the_queue_has_no_progress(house: House) -> None:
    house.pool.act = silent
    house.add(JOB, NEXT_JOB)
    house.tick(3)
    assert [p.job_id for p in house.scheduler.progress()] == [JOB.id]


def test_ticking_without_news_changes_nothing(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    events = len(list(house.store.events()))
    house.tick(10, pause_s=1.0)
    assert len(list(house.store.events())) == events
    assert house.segments_sent() == [0, 1]


# Stopping ------------------------------------------------------------------------------------------------------------


def test_stopping_drops_what_is_in_work_and_loses_nothing(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.scheduler.stop(0.0)
    assert house.pool.alive == set()
    job = house.job(JOB)
    assert (job.state, job.attempts, job.strikes) == (JobState.QUEUED, 0, 0)
    house.restart()
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert house.segments_sent() == [0, 1, 1, 2]


def test_a_segment_that_is_finished_within_the_grace_is_kept(house: House) -> None:
    house.add(JOB)
    task = hold(house, RENDER, 1)
    waits: list[float] = []

    def finish_meanwhile(most_s: float) -> None:
        waits.append(most_s)
        house.clocks.pass_time(5.0)
        if len(waits) == 2:
            house.pool.say(1, leave_files(task))

    house.pool.on_wait = finish_meanwhile
    house.scheduler.stop(20.0)
    assert waits == [20.0, 15.0]
    house.pool.on_wait = lambda most_s: None
    house.restart()
    house.tick(10)
    assert house.segments_sent() == [0, 1, 2]


def test_grace_ends(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.pool.on_wait = house.clocks.pass_time
    house.scheduler.stop(20.0)
    assert house.clocks.now_s == 1020.0
    assert house.state(JOB) is JobState.QUEUED


def test_workers_that_are_ended_together_with_the_daemon_are_no_strikes(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.pool.say(1, Ended(returncode=0))
    house.scheduler.stop(20.0)
    job = house.job(JOB)
    assert (job.state, job.attempts, job.strikes) == (JobState.QUEUED, 0, 0)


def test_a_film_that_is_being_published_stays_with_the_daemon(house: House) -> None:
    house.add(JOB)
    house.tick(10)
    house.scheduler.stop(0.0)
    assert house.state(JOB) is JobState.RUNNING
