"""Memory as the queue's currency: budgets, the ladder of shortage, what is remembered, and devices that disappear."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.planning.plan import EngineChoice, Event, EventKind, Task
from heygemd.scheduler.devices import Device
from heygemd.scheduler.fake_workers import done, failed, leave_files
from heygemd.scheduler.outcome import FilmReady
from heygemd.scheduler.workers import Ended
from tests.scheduler.conftest import (
    ANALYSE,
    CPU,
    JOB,
    KILLED,
    NEXT_JOB,
    RENDER,
    TWO,
    House,
    a_job,
    hold,
    silent,
    the_failure,
)

GIB = 1 << 30
CARD = Device(index=0, name="Card", kind="cuda", total_bytes=8 * GIB, free_bytes=8 * GIB)
WAV2LIP = RenderOptions(engine=EngineName.WAV2LIP)
NET_JOB, NEXT_NET_JOB = a_job(1, options=WAV2LIP), a_job(2, options=WAV2LIP)


def choose_with_weights(name: EngineName) -> EngineChoice:
    return EngineChoice(name=name, weights=Path("/w.pth") if name is EngineName.WAV2LIP else None)


def with_cards(house: House, *cards: Device) -> None:
    """Give the house these cards and a CPU, and weights; workers on a card say so."""
    house.devices = (*cards, replace(CPU, cores=5))
    house.choose = choose_with_weights
    house.pool.first_words = lambda device: Event(kind=EventKind.READY, device=device, precision="float16")
    house.restart()


def short_above(batch: int, *, on: str = "") -> "object":
    """Workers that render no more than `batch` frames at once (on devices whose label begins with `on`)."""

    def act(task: Task) -> Iterable[Event]:
        is_short = task.kind is RENDER and task.batch_size > batch and task.device.startswith(on)
        return (failed(task, "E301", "out of memory") if is_short else leave_files(task),)

    return act


def sizes(house: House, start: int = 0) -> list[tuple[int, str, int]]:
    return [(worker, task.device, task.batch_size) for worker, task in house.pool.sent[start:] if task.kind is RENDER]


# Budgets ------------------------------------------------------------------------------------------------------------


def test_no_worker_is_started_beyond_what_others_leave_of_a_card(house: House) -> None:
    with_cards(house, replace(CARD, free_bytes=2 * GIB))
    house.pool.act = silent
    house.add(*(a_job(number, options=WAV2LIP) for number in range(1, 9)))
    house.tick(5)
    few = len(house.pool.started)
    assert 1 <= few <= 3
    assert {device for _, _, device in house.pool.started} == {"cuda:0"}
    house.devices = (CARD, house.devices[1])
    house.tick(5)
    assert len(house.pool.started) == 4, "as many as the cores carry, once others have left"


def test_a_card_that_is_full_of_others_is_waited_for_and_the_job_says_why(house: House) -> None:
    with_cards(house, replace(CARD, free_bytes=GIB // 4))
    house.add(NET_JOB)
    assert house.tick(10, pause_s=1.0) == []
    assert house.pool.started == []
    assert house.scheduler.waits[NET_JOB.id].code == "E301"
    assert (house.state(NET_JOB), house.job(NET_JOB).attempts) == (JobState.QUEUED, 0)
    house.devices = (CARD, house.devices[1])
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert film.device == "cuda:0"


def test_a_job_that_waited_long_for_graphics_memory_goes_to_the_cpu(house: House) -> None:
    with_cards(house, replace(CARD, free_bytes=GIB // 4))
    house.add(NET_JOB)
    assert house.tick(2) == []
    house.clocks.pass_time(house.settings.memory_wait_s)
    (film,) = house.tick(12)
    assert isinstance(film, FilmReady)
    assert film.device == "cpu"


def test_it_never_does_where_that_is_not_wanted(house: House) -> None:
    house.settings = house.settings.model_copy(update={"cpu_fallback": False})
    with_cards(house, replace(CARD, free_bytes=GIB // 4))
    house.add(NET_JOB)
    assert house.tick(50, pause_s=house.settings.memory_wait_s) == []
    assert house.pool.started == []


def test_an_engine_without_a_network_never_takes_a_card(house: House) -> None:
    with_cards(house, CARD)
    house.add(JOB)
    (film,) = house.tick(10)
    assert film.device == "cpu"
    assert {device for _, _, device in house.pool.started} == {"cpu"}


def test_idle_workers_let_go_when_others_want_the_memory(house: House) -> None:
    with_cards(house, CARD)
    house.add(NET_JOB)
    house.tick(10)
    assert house.pool.alive
    house.devices = (replace(CARD, free_bytes=GIB // 4), house.devices[1])
    house.tick(2)
    assert not house.pool.alive


def test_an_idle_worker_keeps_its_engine_for_a_while_and_then_goes(house: House) -> None:
    house.add(JOB)
    house.tick(10)
    house.clocks.pass_time(house.settings.keep_warm_s - 1)
    house.tick()
    assert house.pool.alive == {1}
    house.clocks.pass_time(2)
    house.tick()
    assert house.pool.alive == set()
    house.add(NEXT_JOB)
    assert isinstance(house.tick(10)[0], FilmReady)


# The ladder ---------------------------------------------------------------------------------------------------------


def test_short_memory_halves_the_batch_to_one_and_then_tries_a_fresh_worker(house: House) -> None:
    house.devices = (CPU,)
    house.add(JOB)
    house.pool.act = short_above(0)  # type: ignore[assignment]
    failure = the_failure(house.tick(20))
    assert failure.code == "E301"
    assert "not even one frame" in failure.message
    steps = [(worker, batch) for worker, _, batch in sizes(house)]
    assert steps == [(1, 16), (1, 8), (1, 4), (1, 2), (1, 1), (2, 1)]
    assert house.job(JOB).strikes == 0


def test_the_smallest_batch_is_tried_beside_no_other_worker(house: House) -> None:
    house.devices = TWO
    house.restart()
    tries: list[tuple[int, bool]] = []

    def act(task: Task) -> Iterable[Event | Ended]:
        if task.kind is not RENDER:
            return (leave_files(task),)
        if task.job_id == NEXT_JOB.id:
            return ()  # a neighbour that works on and on
        tries.append((task.batch_size, len(house.pool.alive) == 1))
        return (failed(task, "E303", "no memory"),)

    house.pool.act = act
    house.add(a_job(2, film_s=1))
    house.tick(3)
    house.add(a_job(3))
    house.tick(20)
    assert tries == [(batch, False) for batch in (16, 8, 4, 2, 1, 1)], "all the way down beside the neighbour"
    worker, task = next((worker, task) for worker, task in house.pool.sent if task.kind is RENDER)
    house.pool.say(worker, leave_files(task))
    outcomes = house.tick(20)
    assert [outcome.job_id for outcome in outcomes] == [NEXT_JOB.id, a_job(3).id]
    assert tries[-1] == (1, True), "and last with nobody else"


def test_memory_that_others_hold_is_waited_for_with_the_job_in_its_place(house: House) -> None:
    house.settings = house.settings.model_copy(update={"cpu_fallback": False})
    with_cards(house, replace(CARD, free_bytes=4 * GIB))
    house.pool.act = short_above(0, on="cuda")  # type: ignore[assignment]
    house.add(NET_JOB)
    for _ in range(40):
        assert house.tick(3, pause_s=100.0) == []
    job = house.job(NET_JOB)
    assert (job.state, job.attempts, job.strikes) == (JobState.QUEUED, 0, 0)
    house.devices = (CARD, house.devices[1])
    house.pool.act = short_above(16)  # type: ignore[assignment]
    assert isinstance(house.tick(20, pause_s=100.0)[0], FilmReady)


def test_a_card_that_is_too_small_even_alone_sends_the_job_to_the_cpu_at_once(house: House) -> None:
    with_cards(house, CARD)
    house.pool.act = short_above(0, on="cuda")  # type: ignore[assignment]
    house.add(NET_JOB)
    (film,) = house.tick(30)
    assert isinstance(film, FilmReady)
    assert film.device == "cpu"
    assert [device for _, device, _ in sizes(house)][-3:] == ["cpu"] * 3


def test_a_job_too_large_for_one_card_moves_to_a_larger_one(house: House) -> None:
    small = replace(CARD, index=1, name="Small", total_bytes=2 * GIB, free_bytes=2 * GIB)
    house.settings = house.settings.model_copy(update={"memory_wait_s": 1e6})
    with_cards(house, replace(CARD, free_bytes=GIB // 4), small)
    house.pool.act = short_above(0, on="cuda:1")  # type: ignore[assignment]
    house.add(NET_JOB)
    assert house.tick(20) == []
    assert {device for _, device, _ in sizes(house)} == {"cuda:1"}
    house.devices = (CARD, *house.devices[1:])
    (film,) = house.tick(20, pause_s=10.0)
    assert isinstance(film, FilmReady)
    assert film.device == "cuda:0"


def test_a_worker_that_the_kernel_ended_for_memory_is_no_strike(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kills: list[bool] = []
    monkeypatch.setattr(house.scheduler._treasury._oom, "has_risen", lambda: bool(kills) and kills.pop())
    house.add(JOB)

    def act(task: Task) -> Iterable[Event | Ended]:
        if task.kind is RENDER and task.batch_size > 8:
            kills.append(True)
            return (KILLED,)
        return (leave_files(task),)

    house.pool.act = act
    (film,) = house.tick(20)
    assert isinstance(film, FilmReady)
    assert house.job(JOB).strikes == 0
    assert house.scheduler.tally.shortages == {"E303": 1}
    assert {batch for _, _, batch in sizes(house)} == {16, 8}


# What is remembered -------------------------------------------------------------------------------------------------


def test_the_smaller_batch_is_kept_for_the_next_job_and_after_a_restart(house: House) -> None:
    with_cards(house, CARD)
    house.pool.act = short_above(4)  # type: ignore[assignment]
    house.add(NET_JOB)
    assert isinstance(house.tick(20)[0], FilmReady)
    before = len(house.pool.sent)
    house.restart()
    house.add(NEXT_NET_JOB)
    assert isinstance(house.tick(20)[-1], FilmReady)
    assert {batch for _, _, batch in sizes(house, before)} == {4}


def test_it_is_tried_upwards_again_later(house: House) -> None:
    with_cards(house, CARD)
    house.pool.act = short_above(4)  # type: ignore[assignment]
    house.add(NET_JOB)
    house.tick(20)
    house.pool.act = short_above(16)  # type: ignore[assignment]
    before = len(house.pool.sent)
    house.add(a_job(2, options=WAV2LIP, film_s=40))
    assert isinstance(house.tick(200)[-1], FilmReady)
    batches = [batch for _, _, batch in sizes(house, before)]
    assert batches[0] == 4
    assert batches[-1] == 16


def test_what_was_measured_is_what_is_expected_next(house: House) -> None:
    with_cards(house, CARD)

    def act(task: Task) -> Iterable[Event]:
        return (replace(leave_files(task), peak_vram_bytes=3 * GIB, held_vram_bytes=3 * GIB),)

    house.pool.act = act
    house.add(NET_JOB)
    house.tick()
    (first,) = house.scheduler._crew.facts()
    house.tick(20)
    house.restart()
    before = len(house.pool.started)
    house.pool.act = silent
    house.add(*(a_job(number, options=WAV2LIP) for number in range(2, 7)))
    house.tick(5)
    assert first.held_bytes < 2 * GIB
    assert len(house.pool.started) - before == 2, "two of more than 3 GiB fit on 8 GiB, a third does not"


# Devices that disappear ---------------------------------------------------------------------------------------------


def test_a_card_that_falls_off_the_bus_gives_its_segment_to_another(house: House) -> None:
    other = replace(CARD, index=1)
    with_cards(house, CARD, other)
    house.add(NET_JOB)
    hold(house, RENDER, 1)
    task = next(task for task in house.sent if task.segment and task.segment.index == 1)
    lost, stays = (CARD, other) if task.device == "cuda:0" else (other, CARD)
    house.devices = tuple(replace(d, is_lost=d.label == lost.label) for d in house.devices)
    (film,) = house.tick(20, pause_s=3.0)
    assert isinstance(film, FilmReady)
    assert house.sent[-1].device == stays.label
    assert house.job(NET_JOB).strikes == 0


def test_nothing_is_begun_while_all_cards_are_lost(house: House) -> None:
    house.settings = house.settings.model_copy(update={"cpu_fallback": False})
    with_cards(house, replace(CARD, is_lost=True))
    house.add(NET_JOB)
    assert house.tick(20, pause_s=300.0) == []
    assert house.pool.started == []
    house.devices = (CARD, house.devices[1])
    assert isinstance(house.tick(10)[0], FilmReady)


def test_a_card_that_torch_cannot_use_leaves_its_jobs_to_the_cpu(house: House) -> None:
    with_cards(house, CARD)
    house.pool.first_words = lambda device: Event(kind=EventKind.READY, device="cpu")
    house.add(NET_JOB, NEXT_NET_JOB)
    films = house.tick(40)
    assert [type(film) for film in films] == [FilmReady] * 2
    assert [device for _, _, device in house.pool.started][-1] == "cpu"


# Recycling ----------------------------------------------------------------------------------------------------------


def test_a_worker_is_replaced_after_so_many_tasks(house: House) -> None:
    house.settings = house.settings.model_copy(update={"recycle_tasks": 3})
    house.restart()
    house.add(JOB)
    (film,) = house.tick(20)
    assert isinstance(film, FilmReady)
    assert [worker for worker, _ in house.pool.sent] == [1, 1, 1, 2, 2]
    assert house.pool.stopped == [1]
    assert house.scheduler.tally.workers_recycled == 1


def test_a_worker_whose_memory_grows_is_replaced(house: House) -> None:
    grown = iter(range(1, 100))

    def act(task: Task) -> Iterable[Event]:
        return (replace(leave_files(task), rss_bytes=next(grown) * GIB),)

    house.pool.act = act
    house.add(JOB)
    (film,) = house.tick(20)
    assert isinstance(film, FilmReady)
    assert len(house.pool.started) > 1


# One analysis for one face ------------------------------------------------------------------------------------------


def test_two_jobs_of_one_picture_are_not_analysed_at_once(house: House) -> None:
    house.devices = TWO
    house.restart()
    house.pool.act = silent
    atlas = RenderOptions(engine=EngineName.ATLAS)
    other = a_job(3, options=atlas)
    first = a_job(1, options=atlas)
    house.add(first, a_job(2, options=atlas, video=first.video), other)
    house.tick(4)
    assert [task.job_id for task in house.sent] == [a_job(1).id, other.id]
    assert {task.kind for task in house.sent} == {ANALYSE}
    house.pool.say(1, leave_files(house.sent[0]))
    house.tick(2)
    assert [(t.job_id, t.kind) for t in house.sent[2:]] in (
        [(a_job(1).id, RENDER)],
        [(a_job(2).id, ANALYSE)],
    )


def test_what_the_cache_gave_is_counted_and_told_of_the_film(house: House) -> None:
    def act(task: Task) -> Iterable[Event]:
        event = leave_files(task)
        return (replace(event, cached=("track",)) if task.kind is ANALYSE else event,)

    house.pool.act = act
    house.add(JOB)
    (film,) = house.tick(10)
    assert isinstance(film, FilmReady)
    assert film.cached == ("track",)
    tally = house.scheduler.tally.as_dict()
    assert tally["cache_hits"] == {"track": 1, "likeness": 0, "speech": 0}
    assert tally["cache_misses"] == {"track": 0, "likeness": 0, "speech": 1}
    assert tally["tasks_done"] == {"analyse": 1, "render": 3, "finish": 1}
    assert tally["frames_rendered"] == 30


def test_lies_about_memory_teach_nothing(house: House) -> None:
    house.pool.act = lambda task: (done(task),) if task.kind is RENDER else (leave_files(task),)
    house.add(JOB)
    the_failure(house.tick(10))
    assert house.scheduler.tally.memory == {}
