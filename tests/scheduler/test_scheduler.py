"""The scheduler from queue to outcome, with a real store and real files; only the workers are fake."""

import shutil
from collections.abc import Iterable
from dataclasses import replace

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.planning.plan import EngineChoice, Event, EventKind, Task, TaskKind
from heygemd.scheduler.fake_workers import done, failed, leave_files, progress
from heygemd.scheduler.outcome import FilmReady, JobFailed, Stage
from heygemd.scheduler.workers import Ended
from heygemd.settings import RenderSettings
from tests.scheduler.conftest import GPUS, House, a_job

JOB, NEXT_JOB = a_job(1), a_job(2)
ANALYSE, RENDER, FINISH = TaskKind.ANALYSE, TaskKind.RENDER, TaskKind.FINISH
KILLED = Ended(returncode=-9)


def kinds(house: House) -> list[TaskKind]:
    return [task.kind for task in house.sent]


def silent(task: Task) -> Iterable[Event]:
    """A worker that takes its task and says nothing."""
    del task
    return ()


def hold(house: House, kind: TaskKind, index: int = 0) -> Task:
    """Tick until a worker has that task, and let it be silent then."""
    obey = house.pool.act

    def act(task: Task) -> Iterable[Event | Ended]:
        is_it = task.kind is kind and (task.segment is None or task.segment.index == index)
        return () if is_it else obey(task)

    house.pool.act = act
    house.tick(10)
    house.pool.act = obey
    task = house.sent[-1]
    assert task.kind is kind
    return task


def the_failure(outcomes: list[FilmReady | JobFailed]) -> JobFailed:
    (outcome,) = outcomes
    assert isinstance(outcome, JobFailed)
    return outcome


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


def test_higher_priority_goes_first_but_does_not_break_into_a_begun_film(house: House) -> None:
    urgent, plain = a_job(3, priority=5), a_job(1)
    house.add(plain, a_job(2))
    house.tick()
    house.add(urgent)
    films = house.tick(30)
    assert [film.job_id for film in films] == [plain.id, urgent.id, a_job(2).id]
    order = [task.job_id for task in house.sent]
    assert order == sorted(order, key=[plain.id, urgent.id, a_job(2).id].index)


def test_two_devices_share_the_segments_of_one_job(house: House) -> None:
    house.devices = GPUS
    house.restart()
    house.add(JOB)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert sorted(house.segments_sent()) == [0, 1, 2]
    assert {task.device for task in house.sent} == {"cuda:0", "cuda:1"}


def test_a_second_job_begins_only_on_a_device_the_first_leaves_free(house: House) -> None:
    house.devices = GPUS
    house.restart()
    house.pool.act = silent
    house.add(JOB, NEXT_JOB, a_job(3))
    house.tick(3)
    assert [(task.job_id, task.device) for task in house.sent] == [(JOB.id, "cuda:0"), (NEXT_JOB.id, "cuda:1")]
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


# Dead, hanging and lying workers -------------------------------------------------------------------------------------


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
    house.clocks.pass_time(house.settings.silence_limit_s)
    house.tick()
    assert house.pool.killed == []
    house.clocks.pass_time(0.1)
    house.pool.act = silent
    house.tick(3)
    assert set(house.pool.killed) == {1}
    assert house.job(JOB).strikes == 1
    assert house.segments_sent()[-1] == 1
    house.clocks.pass_time(house.settings.silence_limit_s + 1)
    failure = the_failure(house.tick(3))
    assert failure.code == "E501"
    assert "said nothing" in failure.message


def test_a_worker_that_speaks_is_left_alone(house: House) -> None:
    house.add(JOB)
    task = hold(house, RENDER, 1)
    for frames in range(1, 10):
        house.clocks.pass_time(house.settings.silence_limit_s * 0.9)
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


# Failures with a code ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["E110", "E131", "E402", "E405"])
def test_bad_inputs_and_bad_setups_fail_at_once_and_only_once(house: House, code: str) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, code, "no"),)
    assert the_failure(house.tick(10)) == JobFailed(job_id=JOB.id, code=code, message="no")
    assert len(house.sent) == 1


def test_weights_that_do_not_load_fail_the_job_that_wanted_them(house: House) -> None:
    house.add(JOB, NEXT_JOB)
    house.pool.first_words = lambda device: Event(kind=EventKind.FAILED, error_code="E405", message="a pickle")
    failure, same_for_the_next = house.tick(5)
    assert failure == JobFailed(job_id=JOB.id, code="E405", message="a pickle")
    assert same_for_the_next == JobFailed(job_id=NEXT_JOB.id, code="E405", message="a pickle")
    assert house.pool.killed == [1, 2]


def test_short_memory_halves_the_batch_to_one_then_tries_a_fresh_worker_then_waits(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, "E301"),) if task.kind is RENDER else (leave_files(task),)
    assert house.tick(20) == []
    sizes = [(worker, task.batch_size) for worker, task in house.pool.sent if task.kind is RENDER]
    assert sizes == [(1, 16), (1, 8), (1, 4), (1, 2), (1, 1), (2, 1)]
    job = house.job(JOB)
    assert (job.state, job.attempts, job.strikes) == (JobState.QUEUED, 0, 0)
    assert (job.not_before - house.clocks.wall).total_seconds() == 5.0
    house.clocks.pass_time(5.0)
    house.tick(5)
    assert house.sent[-1].batch_size == 1
    assert (house.job(JOB).not_before - house.clocks.wall).total_seconds() == 10.0


def test_memory_that_comes_back_finishes_the_film_with_the_smaller_batch(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, "E301"),) if task.batch_size > 4 else (leave_files(task),)
    (film,) = house.tick(20)
    assert isinstance(film, FilmReady)
    assert {task.batch_size for task in house.sent[3:]} == {4}


def test_waiting_for_the_machine_goes_on_for_ever_and_lets_others_pass(house: House) -> None:
    house.add(JOB, NEXT_JOB)
    house.pool.act = lambda task: (failed(task, "E202"),) if task.job_id == JOB.id else (leave_files(task),)
    (film,) = house.tick(10)
    assert film.job_id == NEXT_JOB.id
    for _ in range(20):
        assert house.tick(3, pause_s=150.0) == []
    assert house.job(JOB).attempts <= 1
    house.pool.act = lambda task: (leave_files(task),)
    assert isinstance(house.tick(12, pause_s=150.0)[0], FilmReady)


def test_a_job_whose_device_is_lost_again_and_again_stops_at_its_last_attempt(house: House) -> None:
    house.add(JOB)
    house.pool.act = lambda task: (failed(task, "E302"),)
    outcomes: list[FilmReady | JobFailed] = []
    while not outcomes:
        outcomes = house.tick(pause_s=60.0)
    assert the_failure(outcomes).code == "E501"
    assert len(house.sent) == house.settings.max_attempts


def test_a_machine_that_starts_no_process_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(engine: EngineChoice, device: str) -> int:
        raise ResourceError("E302", "no processes left")

    house.add(JOB)
    with monkeypatch.context() as patch:
        patch.setattr(house.pool, "start", refuse)
        assert house.tick(10, pause_s=60.0) == []
    assert house.job(JOB).attempts == 0
    assert isinstance(house.tick(12, pause_s=150.0)[0], FilmReady)


def test_one_refused_start_is_enough_for_one_tick(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.devices = GPUS
    house.restart()
    house.add(JOB)
    house.pool.act = lambda task: () if task.kind is RENDER else (leave_files(task),)
    house.tick(3)
    house.restart()
    tried: list[str] = []

    def refuse(engine: EngineChoice, device: str) -> int:
        tried.append(device)
        raise ResourceError("E302", "no processes left")

    monkeypatch.setattr(house.pool, "start", refuse)
    house.tick()
    assert tried == ["cuda:0"]
    assert house.state(JOB) is JobState.QUEUED


def test_an_engine_that_cannot_be_had_fails_the_job_before_it_runs(house: House) -> None:
    house.add(a_job(options=RenderOptions(engine=EngineName.WAV2LIP)))
    assert the_failure(house.tick(3)).code == "E402"
    assert house.job(JOB).attempts == 0
    assert house.pool.started == []


def test_a_work_directory_that_cannot_be_made_is_waited_for(house: House) -> None:
    (house.state_dir / "work").touch()
    house.add(JOB)
    assert house.tick(3) == []
    assert house.state(JOB) is JobState.QUEUED
    (house.state_dir / "work").unlink()
    house.clocks.pass_time(10.0)
    assert isinstance(house.tick(10)[0], FilmReady)


def test_a_disk_that_fills_up_while_the_plan_is_saved_is_waited_for(house: House) -> None:
    house.add(JOB)
    hold(house, ANALYSE)
    work_dir = house.state_dir / "work" / JOB.id
    (work_dir / "took.json.part").mkdir()  # nothing can be written under this name
    house.pool.say(1, leave_files(house.sent[-1]))
    assert house.tick(2) == []
    assert house.state(JOB) is JobState.QUEUED
    assert house.job(JOB).attempts == 0
    (work_dir / "took.json.part").rmdir()
    house.clocks.pass_time(10.0)
    assert isinstance(house.tick(10)[0], FilmReady)
    assert kinds(house).count(ANALYSE) == 1


def test_no_other_device_goes_on_with_a_failed_job(house: House) -> None:
    house.devices = GPUS
    house.restart()
    house.add(JOB)
    obey = house.pool.act
    house.pool.act = lambda task: () if task.kind is RENDER else obey(task)
    house.tick(4)
    rendering = [(worker, task) for worker, task in house.pool.sent if task.kind is RENDER]
    assert [worker for worker, _ in rendering] == [1, 2]
    house.pool.say(1, failed(rendering[0][1], "E110"))
    the_failure(house.tick(3))
    assert house.pool.killed == [2]
    house.add(NEXT_JOB)
    house.pool.act = obey
    (film,) = house.tick(10)
    assert film.job_id == NEXT_JOB.id


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


# The whole ----------------------------------------------------------------------------------------------------------


def test_a_store_that_fails_in_the_middle_of_a_tick_costs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add(JOB, NEXT_JOB)
    house.tick(2)

    def refuse(*args: object, **kwargs: object) -> None:
        raise ResourceError("E202", "the disk is full")

    films: list[FilmReady | JobFailed] = []
    for name in ("jobs", "move", "get"):
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
    house.devices = GPUS
    house.settings = RenderSettings(segment_s=0.5)
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
