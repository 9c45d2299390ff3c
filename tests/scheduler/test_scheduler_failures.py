"""What the scheduler does about failures with a code: which end a job, and which are waited for."""

from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.planning.plan import EngineChoice, Event, EventKind
from heygemd.scheduler.fake_workers import failed, leave_files, ready
from heygemd.scheduler.outcome import FilmReady, JobFailed
from tests.scheduler.conftest import ANALYSE, JOB, NEXT_JOB, RENDER, TWO, House, a_job, hold, kinds, the_failure


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


def test_weights_that_were_exchanged_after_the_plan_are_chosen_anew(house: House) -> None:
    sums = ["a" * 64]
    weights = Path("/models/wav2lip.pth")
    house.choose = lambda name: EngineChoice(name=EngineName.WAV2LIP, weights=weights, weights_sha256=sums[-1])
    house.restart()
    house.add(JOB)
    house.pool.first_words = lambda device: Event(kind=EventKind.FAILED, error_code="E409", message="another file")
    assert house.tick(3) == []
    assert (house.state(JOB), house.job(JOB).attempts) == (JobState.QUEUED, 0)
    sums.append("b" * 64)
    house.pool.first_words = ready
    (film,) = house.tick(30, pause_s=10.0)
    assert isinstance(film, FilmReady)
    assert film.plan.order.engine.weights_sha256 == "b" * 64


def test_weights_that_are_damaged_end_the_job_after_some_tries(house: House) -> None:
    house.add(JOB)
    house.pool.first_words = lambda device: Event(kind=EventKind.FAILED, error_code="E409", message="damaged")
    assert the_failure(house.tick(30, pause_s=10.0)) == JobFailed(job_id=JOB.id, code="E409", message="damaged")
    assert set(house.pool.killed) == {1, 2, 3}


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
    house.devices = TWO
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
    assert tried == ["cpu"]
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
    house.devices = TWO
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
