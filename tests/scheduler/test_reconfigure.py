"""Other settings while work goes on: what is begun goes on as it was, what comes next goes by them."""

import sys
import time
from pathlib import Path

from heygemd.jobs.job import EngineName
from heygemd.limits import Limits
from heygemd.log import LogChoice, Sink
from heygemd.planning.plan import EngineChoice, TaskKind
from heygemd.scheduler.workers import LocalWorkers
from tests.scheduler.conftest import House, a_job, hold


def change(house: House, **changes: object) -> None:
    house.settings = house.settings.model_copy(update=changes)
    house.scheduler.reconfigure(house.settings, Limits())


def test_a_film_that_is_begun_keeps_its_cut_and_the_next_one_takes_the_new(house: House) -> None:
    first, second = a_job(1), a_job(2)
    house.add(first)
    hold(house, TaskKind.RENDER, 1)
    change(house, segment_s=3.0, min_segment_s=3.0)
    ((worker, task),) = house.pool.sent[-1:]
    house.pool.say(worker, *house.pool.act(task))
    house.add(second)
    house.tick(20)
    cut = {(task.job_id, task.segment.index) for task in house.sent if task.segment}
    assert cut == {(first.id, 0), (first.id, 1), (first.id, 2), (second.id, 0)}


def test_fewer_attempts_hold_at_once(house: House) -> None:
    change(house, max_attempts=1)
    assert house.scheduler._rules.max_attempts == 1


def test_workers_may_become_more(house: House) -> None:
    house.tick()
    change(house, workers=7)
    house.tick()
    (device,) = house.scheduler.devices_seen()
    assert device.most_workers == 7


def test_a_silence_that_is_allowed_longer_is_waited_for(house: House) -> None:
    house.add(a_job())
    hold(house, TaskKind.ANALYSE)
    change(house, silence_analyse_s=1000.0)
    house.clocks.pass_time(500.0)
    house.tick()
    assert [worker.state for worker in house.scheduler.workers_seen()] == ["busy"]
    change(house, silence_analyse_s=10.0)
    house.tick()
    assert "busy" not in [worker.state for worker in house.scheduler.workers_seen()]


def test_whoever_watches_sees_whether_there_is_work(house: House) -> None:
    assert not house.scheduler.is_busy
    house.add(a_job())
    hold(house, TaskKind.ANALYSE)
    assert house.scheduler.is_busy
    (worker,) = house.scheduler.workers_seen()
    assert (worker.state, worker.task, worker.job) == ("busy", "analyse", a_job().id)


def test_workers_that_come_later_log_as_they_are_told(house: House) -> None:
    house.scheduler.log_as(LogChoice(level="debug"))
    assert house.pool.logs.level == "debug"


def test_a_real_worker_is_started_with_the_level_that_holds_then(tmp_path: Path) -> None:
    words = tmp_path / "words"
    program = f"import sys, pathlib; pathlib.Path({str(words)!r}).write_text(' '.join(sys.argv))"
    pool = LocalWorkers(command=(sys.executable, "-c", program), logs=LogChoice(level="warning", sink=Sink.JSON))
    pool.log_as(LogChoice(level="debug", sink=Sink.JSON))
    pool.start(EngineChoice(name=EngineName.PASSTHROUGH), "cpu")
    ends_s = time.monotonic() + 60
    while not pool.events():
        assert time.monotonic() < ends_s
        pool.wait(0.1)
    pool.close()
    assert "--log-level debug" in words.read_text()
