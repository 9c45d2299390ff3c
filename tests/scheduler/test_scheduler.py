"""The scheduler from queue to outcome, with a real store and real files; only the workers are fake."""

import shutil
from collections.abc import Iterable

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.planning.plan import Event, Task
from heygemd.scheduler.fake_workers import leave_files
from heygemd.scheduler.outcome import FilmReady, JobFailed, Stage
from heygemd.settings import RenderSettings
from tests.scheduler.conftest import (
    ANALYSE,
    FINISH,
    JOB,
    KILLED,
    NEXT_JOB,
    RENDER,
    TWO,
    House,
    a_job,
    hold,
    kinds,
    silent,
    the_failure,
)

# The straight way ---------------------------------------------------------------------------------------------------


def test_a_queued_job_becomes_a_film_in_one_warm_worker(house: House) -> None:
    house.add(JOB)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert film.job_id == JOB.id
    assert kinds(house) == [ANALYSE, RENDER, RENDER, RENDER, FINISH]
    assert len(house.pool.started) == 1
    assert film.plan.film_file.is_file()
    assert film.facts.frame_count == 30
    assert film.seconds == {"track": 1.0, "listen": 0.5, "render": 6.0, "encode": 3.0, "stitch": 0.25, "verify": 0.25}
    assert film.device == "cpu"


def test_the_attempt_is_counted_before_the_first_task_is_sent(house: House) -> None:
    house.add(JOB)
    seen = []

    def look(task: Task) -> Iterable[Event]:
        seen.append((house.job(JOB).state, house.job(JOB).attempts))
        return (leave_files(task),)

    house.pool.act = look
    house.tick(3)
    assert seen[0] == (JobState.RUNNING, 1)


def test_a_film_is_reported_once_and_its_job_runs_until_the_daemon_says_done(house: House) -> None:
    house.add(JOB)
    (film,) = house.tick(20)
    assert house.state(JOB) is JobState.RUNNING
    assert [p.stage for p in house.scheduler.progress()] == [Stage.PUBLISH]
    house.close(film)
    assert house.tick(3) == []
    assert house.scheduler.progress() == ()


def test_a_film_that_was_not_published_is_reported_again_after_a_restart(house: House) -> None:
    house.add(JOB)
    (first,) = house.tick(10)
    house.restart()
    sent = len(house.sent)
    (again,) = house.tick(3)
    assert isinstance(first, FilmReady)
    assert again == first
    assert len(house.sent) == sent
    assert house.state(JOB) is JobState.RUNNING


def test_a_film_whose_publishing_must_wait_is_reported_again_when_it_is_due(house: House) -> None:
    house.add(JOB)
    (film,) = house.tick(10)
    house.store.move(JOB.id, JobState.QUEUED, at=house.clocks.wall, refund=True)
    assert house.tick() == [film]


def test_a_warm_worker_serves_the_next_job_while_the_first_is_published(house: House) -> None:
    house.add(JOB, NEXT_JOB)
    films = house.tick(20)
    assert [film.job_id for film in films] == [JOB.id, NEXT_JOB.id]
    assert len(house.pool.started) == 1


def test_higher_priority_goes_first_and_breaks_into_a_begun_film_between_two_segments(house: House) -> None:
    urgent, plain = a_job(3, priority=5), a_job(1)
    house.add(plain, a_job(2))
    hold(house, RENDER, 0)
    house.add(urgent)
    house.pool.say(1, leave_files(house.sent[-1]))
    films = house.tick(30)
    assert [film.job_id for film in films] == [urgent.id, plain.id, a_job(2).id]
    assert house.segments_sent() == [0, *(0, 1, 2), *(1, 2), *(0, 1, 2)]


def test_two_workers_share_the_segments_of_one_job(house: House) -> None:
    house.devices = TWO
    house.restart()
    house.add(JOB)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert sorted(house.segments_sent()) == [0, 1, 2]
    assert {worker for worker, task in house.pool.sent if task.kind is RENDER} == {1, 2}


def test_a_second_job_begins_only_in_a_place_the_first_leaves_free(house: House) -> None:
    house.devices = TWO
    house.restart()
    house.pool.act = silent
    house.add(JOB, NEXT_JOB, a_job(3))
    house.tick(3)
    assert [(worker, task.job_id) for worker, task in house.pool.sent] == [(1, JOB.id), (2, NEXT_JOB.id)]
    assert house.state(a_job(3)) is JobState.QUEUED


def test_a_worker_with_another_engine_is_replaced(house: House) -> None:
    house.add(JOB, a_job(2, options=RenderOptions(engine=EngineName.ATLAS)))
    assert len(house.tick(20)) == 2
    assert [engine.name for _, engine, _ in house.pool.started] == [EngineName.PASSTHROUGH, EngineName.ATLAS]
    assert house.pool.stopped == [1]


# Resuming -----------------------------------------------------------------------------------------------------------


def test_after_a_crash_only_missing_segments_are_rendered(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 1)
    house.restart()
    sent = len(house.sent)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert [(t.kind, t.segment.index if t.segment else None) for t in house.sent[sent:]] == [
        (RENDER, 1), (RENDER, 2), (FINISH, None),
    ]  # fmt: skip


def test_a_lost_segment_is_rendered_again(house: House) -> None:
    house.add(JOB)
    hold(house, FINISH)
    (segments_dir,) = (house.state_dir / "work" / JOB.id).glob("segments-*")
    (segments_dir / "00001.mp4").unlink()
    house.restart()
    sent = len(house.sent)
    house.tick(10)
    assert [t.segment.index for t in house.sent[sent:] if t.segment] == [1]


def test_a_running_job_that_nobody_put_back_is_taken_up_as_well(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 2)
    house.pool.close()
    house.scheduler = house.open()
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert house.job(JOB).attempts == 1


def test_crashes_of_the_daemon_cannot_go_on_for_ever(house: House) -> None:
    house.add(JOB)
    house.pool.act = silent
    for _ in range(house.settings.max_attempts):
        assert house.tick() == []
        house.restart()
    assert the_failure(house.tick(3)).code == "E501"
    assert len(house.sent) == house.settings.max_attempts


def test_a_finished_film_is_published_even_after_the_last_attempt(house: House) -> None:
    house.add(JOB)
    house.tick(10)
    while house.job(JOB).attempts < house.settings.max_attempts:
        house.restart()
        house.tick()
    house.restart()
    (film,) = house.tick(2)
    assert isinstance(film, FilmReady)


# The whole ----------------------------------------------------------------------------------------------------------


def test_a_store_that_fails_in_the_middle_of_a_tick_costs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add(JOB, NEXT_JOB)
    house.tick(2)

    def refuse(*args: object, **kwargs: object) -> None:
        raise ResourceError("E202", "the disk is full")

    films: list[FilmReady | JobFailed] = []
    for name in ("jobs", "queue", "move", "get"):
        with monkeypatch.context() as patch:
            patch.setattr(house.store, name, refuse)
            for _ in range(3):
                try:
                    films += house.tick()
                except ResourceError as error:
                    assert error.code == "E202"
    films += house.tick(40, pause_s=1.0)
    assert [film.job_id for film in films] == [JOB.id, NEXT_JOB.id]
    assert sorted(house.segments_sent()) == [0, 0, 1, 1, 2, 2]


def test_no_worker_ever_has_two_tasks_and_no_task_two_workers(house: House) -> None:
    house.devices = TWO
    house.settings = RenderSettings(segment_s=0.5, min_segment_s=0.5)
    house.restart()
    busy: dict[int, Task] = {}
    send = house.pool.send

    def check(worker: int, task: Task) -> None:
        assert worker not in busy, f"{task} after {busy[worker]}"
        same = [t for t in busy.values() if (t.job_id, t.kind, t.segment) == (task.job_id, task.kind, task.segment)]
        assert not same, f"{task} is in work already"
        busy[worker] = task
        send(worker, task)

    house.pool.send = check  # type: ignore[method-assign]
    house.pool.act = silent
    house.add(*(a_job(n) for n in range(1, 5)))
    films = []
    for turn in range(200):
        films += house.tick()
        if busy:
            worker = sorted(busy)[turn % len(busy)]
            task = busy.pop(worker)
            house.pool.say(worker, KILLED if turn % 7 == 3 else leave_files(task))
        if len(films) == 4:
            break
    assert [type(film) for film in films] == [FilmReady] * 4


def test_the_work_can_be_thrown_away_at_any_time(house: House) -> None:
    house.add(JOB)
    hold(house, RENDER, 2)
    shutil.rmtree(house.state_dir / "work")
    house.restart()
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert film.facts.frame_count == 30
