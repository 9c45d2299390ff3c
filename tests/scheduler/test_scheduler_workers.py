"""What the scheduler does about workers that die, hang, lie or never come up."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from heygemd.jobs.states import JobState
from heygemd.planning.plan import Event, Task, TaskKind
from heygemd.scheduler.fake_workers import done, failed, leave_files, progress
from heygemd.scheduler.outcome import FilmReady, JobFailed
from heygemd.scheduler.workers import Ended
from tests.scheduler.conftest import (
    ANALYSE,
    FINISH,
    JOB,
    KILLED,
    NEXT_JOB,
    RENDER,
    House,
    hold,
    silent,
    the_failure,
)


@pytest.mark.parametrize("kind", [ANALYSE, RENDER, FINISH])
def test_after_a_death_a_fresh_worker_gets_the_same_task(house: House, kind: TaskKind) -> None:
    house.add(JOB)
    task = hold(house, kind)
    house.pool.say(1, KILLED)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    again = [t for t in house.sent if (t.kind, t.segment) == (task.kind, task.segment)]
    assert len(again) == 2
    assert [worker for worker, _, _ in house.pool.started] == [1, 2]
    assert house.job(JOB).attempts == 1
    assert house.job(JOB).strikes == 0


def test_a_second_death_of_one_task_ends_the_job_and_the_next_goes_on(house: House) -> None:
    house.add(JOB, NEXT_JOB)
    house.pool.act = lambda task: (KILLED,) if task.job_id == JOB.id and task.kind is RENDER else (leave_files(task),)
    failure, film = house.tick(20)
    assert isinstance(failure, JobFailed)
    assert (failure.job_id, failure.code) == (JOB.id, "E501")
    assert "signal 9" in failure.message
    assert isinstance(film, FilmReady)
    assert film.job_id == NEXT_JOB.id
    assert house.state(JOB) is JobState.RUNNING
    assert [t.kind for t in house.sent if t.job_id == JOB.id] == [ANALYSE, RENDER, RENDER]


def test_deaths_of_different_tasks_are_forgiven(house: House) -> None:
    house.add(JOB)
    deaths: list[int] = []

    def die_once_each(task: Task) -> Iterable[Event | Ended]:
        if task.segment and task.segment.index not in deaths:
            deaths.append(task.segment.index)
            return (KILLED,)
        return (leave_files(task),)

    house.pool.act = die_once_each
    (film,) = house.tick(20)
    assert isinstance(film, FilmReady)
    assert deaths == [0, 1, 2]


def test_strikes_outlive_the_daemon(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.pool.say(1, KILLED)
    house.tick()
    house.restart()
    house.pool.act = lambda task: (KILLED,)
    assert the_failure(house.tick(5)).code == "E501"


def test_a_worker_that_falls_silent_is_killed_and_that_counts(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.clocks.pass_time(house.settings.silence_render_s)
    house.tick()
    assert house.pool.killed == []
    house.clocks.pass_time(0.1)
    house.pool.act = silent
    house.tick(3)
    assert set(house.pool.killed) == {1}
    assert house.job(JOB).strikes == 1
    assert house.segments_sent()[-1] == 1
    house.clocks.pass_time(house.settings.silence_render_s + 1)
    failure = the_failure(house.tick(3))
    assert failure.code == "E501"
    assert "said nothing" in failure.message


@pytest.mark.parametrize("stage", ["start", "analyse", "render", "finish"])
def test_each_stage_has_a_patience_of_its_own(house: House, stage: str) -> None:
    limits = {f"silence_{name}_s": 1e9 for name in ("start", "analyse", "render", "finish")}
    house.settings = house.settings.model_copy(update={**limits, f"silence_{stage}_s": 40.0})
    house.restart()
    house.add(JOB)
    if stage == "start":
        say, house.pool.say = house.pool.say, lambda worker, *things: None  # type: ignore[method-assign]
        house.tick()
        house.pool.say = say  # type: ignore[method-assign]
    else:
        hold(house, TaskKind(stage))
    house.clocks.pass_time(39.0)
    house.tick()
    assert house.pool.killed == []
    house.clocks.pass_time(2.0)
    house.pool.act = silent
    house.tick()
    assert 1 in house.pool.killed


def test_a_worker_that_speaks_is_left_alone(house: House) -> None:
    house.add(JOB)
    task = hold(house, RENDER, 1)
    for frames in range(1, 10):
        house.clocks.pass_time(house.settings.silence_render_s * 0.9)
        house.pool.say(1, progress(task, frames, 10))
        house.tick()
    assert house.pool.killed == []


def test_a_worker_that_lies_about_its_files_is_not_believed(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (done(task),) if task.kind is RENDER else (leave_files(task),)
    failure = the_failure(house.tick(10))
    assert failure.code == "E500"
    assert "left no file" in failure.message
    assert len(house.sent) == 3


def test_a_worker_that_speaks_of_another_task_is_killed(house: House) -> None:
    house.add(JOB)
    task = hold(house, RENDER, 1)
    house.pool.say(1, done(replace(task, job_id="another")))
    house.tick()
    assert 1 in house.pool.killed
    assert house.job(JOB).strikes == 1


def test_a_bug_gets_a_fresh_worker_and_then_a_report_with_its_traceback(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, "E500", "KeyError: 7", "Traceback …"),)
    failure = the_failure(house.tick(10))
    assert failure == JobFailed(job_id=JOB.id, code="E500", message="KeyError: 7", traceback="Traceback …")
    assert [worker for worker, _ in house.pool.sent] == [1, 2]


def test_workers_that_never_come_up_fail_the_job_with_its_reason_and_cost_no_attempts(house: House) -> None:
    house.add(JOB)
    house.pool.first_words = lambda device: Ended(returncode=1)
    outcomes: list[FilmReady | JobFailed] = []
    while not outcomes:
        outcomes = house.tick(pause_s=1.0)
    failure = the_failure(outcomes)
    assert failure.code == "E500"
    assert "no worker comes up" in failure.message
    assert len(house.pool.started) == house.settings.max_attempts
    assert house.job(JOB).attempts == 1
    assert house.job(JOB).strikes == 0


def test_a_worker_that_dies_idle_harms_nobody(house: House) -> None:
    house.add(JOB)
    house.tick(10)
    house.pool.say(1, KILLED)
    house.add(NEXT_JOB)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert len(house.pool.started) == 2
