"""Who is next: turns, lanes, duplicates, and what a person has forgiven."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from heygemd.jobs.job import Lane
from heygemd.jobs.states import JobState
from heygemd.scheduler.fake_workers import leave_files
from heygemd.scheduler.outcome import FilmReady, JobFailed
from tests.scheduler.conftest import (
    AGING_S,
    FOUR,
    JOB,
    KILLED,
    MIDNIGHT,
    NEXT_JOB,
    RENDER,
    TWO,
    House,
    a_job,
    hold,
    silent,
    the_failure,
)

SLOW = Lane(folder="slow", most=1)


def films_in_order(house: House, times: int = 60) -> list[str]:
    outcomes = []
    for _ in range(times):
        for outcome in house.tick():
            outcomes.append(outcome.job_id)
            house.close(outcome)
    return outcomes


# Turns --------------------------------------------------------------------------------------------------------------


def test_waiting_long_enough_beats_priority(house: House) -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    old = a_job(1, queued_at=noon - timedelta(seconds=2 * AGING_S + 1), priority=0)
    young = a_job(2, queued_at=noon, priority=2)
    middle = a_job(3, queued_at=noon, priority=3)
    house.add(young, old, middle)
    assert films_in_order(house) == [middle.id, old.id, young.id]


def test_short_films_pass_a_long_one_that_has_begun_and_it_waits_no_longer_than_it_plays(house: House) -> None:
    long = a_job(1, film_s=120)
    house.add(long)
    hold(house, RENDER, 1)
    house.pool.say(1, leave_files(house.sent[-1]))
    minutes = [timedelta(seconds=seconds) for seconds in (30, 60, 90, 118, 150)]
    short = [a_job(n, film_s=1, queued_at=long.queued_at + later) for n, later in enumerate(minutes, 2)]
    house.add(*reversed(short))
    assert films_in_order(house, 300) == [*(job.id for job in short[:4]), long.id, short[4].id]
    assert house.segments_sent().count(50) == 1, "nothing was rendered twice"


def test_folders_are_served_in_turn_however_much_one_of_them_holds(house: House) -> None:
    many = [a_job(number, folder="many") for number in range(1, 9)]
    few = [a_job(number, folder="few") for number in range(20, 23)]
    other = a_job(30, root="another root")
    house.pool.act = lambda task: (house.clocks.pass_time(1.0), leave_files(task))[1:]  # type: ignore[func-returns-value]
    house.add(*many, *few, other)
    order = films_in_order(house, 120)
    assert order.index(other.id) <= 2
    assert order.index(few[-1].id) <= 7
    assert sorted(order) == sorted(job.id for job in (*many, *few, other))


# Lanes --------------------------------------------------------------------------------------------------------------


def test_no_more_jobs_of_a_lane_run_than_may(house: House) -> None:
    house.devices = FOUR
    house.restart()
    house.pool.act = silent
    jobs = [a_job(number, lane=Lane(folder="slow", most=2)) for number in range(1, 5)]
    house.add(*jobs, a_job(5), a_job(6, lane=Lane(folder="slow", most=2), root="another root"))
    house.tick(5)
    running = {job.id for job in house.store.jobs(JobState.RUNNING)}
    assert running == {a_job(n).id for n in (1, 2, 5, 6)}
    house.store.move(jobs[0].id, JobState.CANCELLED, at=house.clocks.wall)
    house.tick(3)
    assert house.state(jobs[2]) is JobState.RUNNING
    assert house.state(jobs[3]) is JobState.QUEUED


def test_a_full_lane_lets_those_behind_it_pass(house: House) -> None:
    house.devices = TWO
    house.restart()
    house.pool.act = silent
    house.add(*(a_job(number, lane=SLOW) for number in range(1, 40)))
    behind = a_job(50)
    house.add(behind)
    house.tick(3)
    assert [task.job_id for task in house.sent] == [JOB.id, behind.id]


def test_whatever_workers_do_a_lane_is_never_too_full_and_every_job_ends(house: House) -> None:
    house.devices = FOUR
    house.restart()
    lanes = [None, SLOW, Lane(folder="other", most=2)]
    jobs = [a_job(number, film_s=2, lane=lanes[number % 3]) for number in range(1, 13)]
    house.pool.act = silent
    house.add(*jobs)
    answered = 0
    ended: Counter[type] = Counter()
    for turn in range(400):
        for outcome in house.tick(pause_s=5.0):
            ended[type(outcome)] += 1
            house.close(outcome)
        running = Counter(job.lane for job in house.store.jobs(JobState.RUNNING))
        assert running[SLOW] <= 1
        assert running[lanes[2]] <= 2
        if answered < len(house.pool.sent):
            worker, task = house.pool.sent[answered]
            answered += 1
            house.pool.say(worker, KILLED if turn % 17 == 5 else leave_files(task))
        if sum(ended.values()) == len(jobs):
            break
    assert sum(ended.values()) == len(jobs)
    assert ended[FilmReady] > ended[JobFailed]


def test_a_film_that_lies_ready_counts_in_its_lane_too(house: House) -> None:
    """It was published neither before the restart nor yet: it runs."""
    first, second = a_job(1, lane=SLOW), a_job(2, lane=SLOW)
    house.add(first, second)
    assert len(house.tick(10)) == 1
    house.restart()
    (film,) = house.tick(3)
    assert film.job_id == first.id
    assert house.state(second) is JobState.QUEUED
    house.close(film)
    assert house.tick(10)[0].job_id == second.id


# Duplicates ---------------------------------------------------------------------------------------------------------


def test_a_duplicate_gets_no_worker(house: House) -> None:
    house.add(replace(JOB, duplicate_of=NEXT_JOB.id), NEXT_JOB)
    assert films_in_order(house, 20) == [NEXT_JOB.id]
    assert house.state(JOB) is JobState.QUEUED
    house.store.set_duplicate_of(JOB.id, None)
    assert films_in_order(house, 20) == [JOB.id]


def test_a_duplicate_that_is_being_handed_over_is_the_daemons(house: House) -> None:
    house.add(replace(JOB, duplicate_of="x"))
    house.store.move(JOB.id, JobState.RUNNING, at=house.clocks.wall)
    assert house.tick(5) == []
    assert house.sent == []
    assert house.scheduler.progress() == ()
    house.scheduler.stop(0.0)
    assert house.state(JOB) is JobState.RUNNING


def test_a_job_that_becomes_a_duplicate_while_it_rests_is_let_go(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.store.move(JOB.id, JobState.QUEUED, at=house.clocks.wall, refund=True)
    house.store.set_duplicate_of(JOB.id, "x")
    assert house.tick(3) == []
    assert house.pool.killed == [1]
    house.store.move(JOB.id, JobState.RUNNING, at=house.clocks.wall)
    assert house.tick(3) == []
    assert house.scheduler.progress() == ()


# Put back by a person -----------------------------------------------------------------------------------------------


def test_attempts_that_were_forgiven_do_not_count_against_the_limit(house: House) -> None:
    most = house.settings.max_attempts
    house.add(JOB)
    house.pool.act = silent
    for _ in range(most):
        house.tick()
        house.restart()
    house.close(the_failure(house.tick(3)))
    fresh = a_job(9, queued_at=JOB.queued_at)
    assert house.store.requeue(JOB.id, fresh, at=house.clocks.wall) is not None
    house.scheduler.forget(JOB.id)  # as the daemon does with what it puts back
    for _ in range(most):
        assert house.tick() == []
        assert house.state(JOB) is JobState.RUNNING
        house.restart()
    assert the_failure(house.tick(3)).code == "E501"
    assert house.job(JOB).attempts == 2 * most


def test_a_job_that_lost_its_device_before_is_not_judged_by_that_again(house: House) -> None:
    most = house.settings.max_attempts
    house.add(replace(JOB, attempts=most, forgiven=most))
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
