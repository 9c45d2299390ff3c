"""Policy: who gets which worker on which device, with which batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.scheduler.facts import (
    Decision,
    DeviceFacts,
    Dismiss,
    Fit,
    GiveUp,
    JobFacts,
    NewWorker,
    Rules,
    Service,
    Share,
    Start,
    Wait,
    WorkerFacts,
)
from heygemd.scheduler.floor import WORN
from heygemd.scheduler.policy import BUSY, RESTING, REUSE_GRACE_S, REUSED, SAME_FACE, SHORT, assign

ATLAS = EngineChoice(name=EngineName.ATLAS)
WAV2LIP = EngineChoice(name=EngineName.WAV2LIP, weights=Path("/w.pth"), weights_sha256="a")
CPU = DeviceFacts(label="cpu", budget_bytes=1000, most_workers=1)
CARD = DeviceFacts(label="cuda:0", budget_bytes=1000, most_workers=4)
OTHER_CARD = replace(CARD, label="cuda:1")
REFUGE = replace(CPU, is_refuge=True)
RULES = Rules(keep_warm_s=300.0)
NOW_S = 100.0


def task(job_id: str, index: int = 0, kind: TaskKind = TaskKind.RENDER) -> Task:
    segment = Segment(index, index, index + 1) if kind is TaskKind.RENDER else None
    return Task(job_id=job_id, kind=kind, order_path=Path("/p"), segment=segment)


def job(job_id: str = "a", tasks: int = 1, **changes: object) -> JobFacts:
    facts = JobFacts(
        job_id=job_id,
        is_begun=False,
        turn=0.0,
        attempts=0,
        rest_until_s=0.0,
        engine=ATLAS,
        todo=tuple(task(job_id, index) for index in range(tasks)),
        task_s=10.0,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def unseen(job_id: str, **changes: object) -> JobFacts:
    """A job that must be analysed first."""
    return job(job_id, todo=(task(job_id, kind=TaskKind.ANALYSE),), **changes)


def worker(number: int = 1, engine: EngineChoice = ATLAS, device: str = "cpu", **changes: object) -> WorkerFacts:
    facts = WorkerFacts(worker=number, engine=engine, device=device, is_free=True, held_bytes=300)
    return replace(facts, **changes)  # type: ignore[arg-type]


def busy(number: int = 1, engine: EngineChoice = ATLAS, device: str = "cpu", **changes: object) -> WorkerFacts:
    facts = worker(number, engine, device, is_free=False, job_id="busy", task=TaskKind.RENDER)
    return replace(facts, **changes)  # type: ignore[arg-type]


def fit(facts: JobFacts, label: str, free_bytes: int) -> Fit | None:
    """100 for the worker and 10 for each frame at once, on any device."""
    batch = facts.batch_most
    while batch and 100 + 10 * batch > free_bytes:
        batch //= 2
    return Fit(batch, 100 + 10 * batch) if batch else None


def decide(
    jobs: Sequence[JobFacts],
    workers: Sequence[WorkerFacts] = (),
    devices: Sequence[DeviceFacts] = (CPU,),
    service: Service | None = None,
) -> list[Decision]:
    return list(assign(jobs, workers, devices, fit, service or Service(), NOW_S, RULES))


def starts(decisions: list[Decision]) -> list[Start]:
    return [decision for decision in decisions if isinstance(decision, Start)]


def waits(decisions: list[Decision]) -> dict[str, str]:
    return {decision.job_id: decision.reason for decision in decisions if isinstance(decision, Wait)}


# Places -------------------------------------------------------------------------------------------------------------


def test_the_first_job_gets_a_new_worker_with_its_batch_and_a_claim() -> None:
    (start,) = decide([job()], devices=[CARD])
    expected = replace(task("a"), device="cuda:0", batch_size=16)
    assert start == Start(task=expected, worker=NewWorker(engine=ATLAS, device="cuda:0"), claim_bytes=260)


def test_a_warm_worker_is_preferred_to_a_new_one() -> None:
    (start,) = decide([job()], [worker(7, device="cuda:1")], [CARD, OTHER_CARD])
    assert start == Start(task=replace(task("a"), device="cuda:1"), worker=7, claim_bytes=300)


def test_the_worker_that_has_the_film_ready_is_preferred() -> None:
    workers = [worker(1, staged="b"), worker(2, staged="a"), worker(3)]
    (start,) = starts(decide([job()], workers, [replace(CPU, most_workers=3)]))
    assert start.worker == 2


def test_workers_are_started_only_while_their_claims_fit_into_the_budget() -> None:
    decisions = decide([job(tasks=9)], devices=[replace(CARD, most_workers=9)])
    assert [start.claim_bytes for start in starts(decisions)] == [260, 260, 260, 180]
    assert [start.task.batch_size for start in starts(decisions)] == [16, 16, 16, 8]
    assert waits(decisions) == {"a": BUSY}


def test_workers_on_their_way_out_still_count() -> None:
    leaving = [worker(n, device="cuda:0", is_free=False) for n in (1, 2, 3)]
    (start,) = starts(decide([job(tasks=2)], leaving, [replace(CARD, budget_bytes=1050)]))
    assert start.task.batch_size == 4
    assert not starts(decide([job()], leaving, [replace(CARD, most_workers=3)]))


def test_no_device_gets_more_workers_than_its_places() -> None:
    decisions = decide([job(tasks=9)], devices=[replace(CARD, most_workers=2), replace(OTHER_CARD, most_workers=1)])
    assert sorted(start.task.device for start in starts(decisions)) == ["cuda:0", "cuda:0", "cuda:1"]


def test_a_warm_worker_gets_the_batch_that_its_device_has_room_for() -> None:
    workers = [worker(1, device="cuda:0", held_bytes=190), busy(2, device="cuda:0", held_bytes=800)]
    (start,) = starts(decide([job()], workers, [replace(CARD, most_workers=2)]))
    assert (start.task.batch_size, start.claim_bytes) == (8, 190)


def test_one_job_uses_every_device() -> None:
    cards = [replace(CARD, most_workers=1), replace(OTHER_CARD, most_workers=1)]
    decisions = decide([job(tasks=5)], devices=cards)
    segments = [start.task.segment.index for start in starts(decisions) if start.task.segment]
    assert segments == [0, 1]
    assert {start.task.device for start in starts(decisions)} == {"cuda:0", "cuda:1"}
    assert waits(decisions) == {"a": BUSY}


def test_the_next_job_may_begin_in_a_place_the_first_leaves_free() -> None:
    decisions = decide([job("a", turn=-9.0), job("b")], devices=[replace(CPU, most_workers=2)])
    assert [start.task.job_id for start in starts(decisions)] == ["a", "b"]


def test_nothing_is_given_to_a_lost_device_and_its_idle_workers_go() -> None:
    lost = replace(CARD, is_lost=True)
    decisions = decide([job()], [worker(1, device="cuda:0")], [lost])
    assert decisions == [
        Dismiss(worker=1, reason="its device is lost"),
        Wait(job_id="a", reason=SHORT, code="E302"),
    ]


def test_the_refuge_is_only_for_those_who_may() -> None:
    full = replace(CARD, budget_bytes=50)
    assert decide([job()], devices=[full, REFUGE]) == [Wait(job_id="a", reason=SHORT, code="E301")]
    (start,) = starts(decide([job(may_use_refuge=True)], devices=[full, REFUGE]))
    assert start.task.device == "cpu"
    (start,) = starts(decide([job(may_use_refuge=True)], devices=[CARD, REFUGE]))
    assert start.task.device == "cuda:0", "the card is still better"


def test_a_device_that_nobody_else_uses_is_tried_when_no_device_is_predicted_to_do() -> None:
    tiny = replace(CARD, budget_bytes=50, carries_one=True)
    (start,) = starts(decide([job()], devices=[tiny]))
    assert (start.task.batch_size, start.task.device) == (1, "cuda:0")
    assert not starts(decide([job()], [busy(device="cuda:0", held_bytes=10)], [tiny]))
    busy_large = [busy(n, device="cuda:1") for n in range(1, 5)]
    assert not starts(decide([job()], busy_large, [tiny, OTHER_CARD])), "the other one will do as soon as it is free"


def test_what_wants_no_neighbour_gets_none_before_or_after() -> None:
    picky = job("picky", needs_device_alone=True, turn=-1.0)
    decisions = decide([picky, job("b")], [busy(device="cuda:0")], [CARD])
    assert not [start for start in starts(decisions) if start.task.job_id == "picky"]
    decisions = decide([picky, job("b")], devices=[CARD])
    assert [start.task.job_id for start in starts(decisions)] == ["picky"]
    at_work = busy(device="cuda:0", is_alone=True)
    assert not starts(decide([job("b")], [at_work], [CARD]))


# Engines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [WAV2LIP, replace(WAV2LIP, weights_sha256="b")])
def test_an_idle_worker_with_another_engine_is_replaced(other: EngineChoice) -> None:
    mine = replace(WAV2LIP, weights_sha256="c")
    decisions = decide([job(engine=mine)], [worker(3, other)])
    assert decisions == [Dismiss(worker=3, reason="its place is needed"), Wait(job_id="a", reason=REUSED)]


def test_a_busy_worker_with_another_engine_is_waited_for() -> None:
    assert decide([job()], [busy(3, WAV2LIP)]) == [Wait(job_id="a", reason=BUSY)]


def test_while_one_leaves_no_second_one_is_sent_away() -> None:
    leaving, idle = worker(1, WAV2LIP, is_free=False), worker(2, WAV2LIP)
    decisions = decide([job()], [leaving, idle], [replace(CPU, most_workers=2)])
    assert not [decision for decision in decisions if isinstance(decision, Dismiss)]


def test_a_worker_is_kept_for_jobs_of_its_engine_that_come_little_later() -> None:
    other = job("b", engine=WAV2LIP, turn=REUSE_GRACE_S - 1)
    decisions = decide([job("a"), other], [worker(3, WAV2LIP)])
    assert [(start.task.job_id, start.worker) for start in starts(decisions)] == [("b", 3)]
    assert waits(decisions) == {"a": BUSY}


def test_it_is_replaced_all_the_same_when_those_come_much_later() -> None:
    other = job("b", engine=WAV2LIP, turn=REUSE_GRACE_S + 1)
    decisions = decide([job("a"), other], [worker(3, WAV2LIP)])
    assert decisions[0] == Dismiss(worker=3, reason="its place is needed")
    assert not starts(decisions)


def test_reuse_does_not_go_before_fairness() -> None:
    mine = job("a", share=Share("poor", ""), turn=60.0)
    others = [job(f"o{n}", engine=WAV2LIP, share=Share("rich", "")) for n in range(5)]
    service = Service(roots={"rich": 100.0, "poor": 0.0})
    decisions = decide([*others, mine], [worker(3, WAV2LIP)], service=service)
    assert decisions[0] == Dismiss(worker=3, reason="its place is needed")


def test_small_jobs_do_not_keep_a_large_one_out_for_ever() -> None:
    """It needs the whole card; what becomes idle there is kept for it, but not from those who come earlier."""
    large = job("large", batch_most=1, engine=WAV2LIP, turn=0.0)

    def fit_large(facts: JobFacts, label: str, free_bytes: int) -> Fit | None:
        if facts.engine != WAV2LIP:
            return fit(facts, label, free_bytes)
        return Fit(1, 900) if free_bytes >= 900 else None

    workers = [busy(1, device="cuda:0"), worker(2, device="cuda:0")]

    def jobs_started(*jobs: JobFacts) -> list[str]:
        decisions = assign([large, *jobs], workers, [CARD], fit_large, Service(), NOW_S, RULES)
        return [d.task.job_id for d in decisions if isinstance(d, Start)]

    assert jobs_started(job("later", turn=REUSE_GRACE_S + 1)) == []
    assert jobs_started(job("earlier", turn=-1.0)) == ["earlier"]


# Idle workers -------------------------------------------------------------------------------------------------------


def test_an_idle_worker_that_nobody_wants_stays_warm_for_a_while() -> None:
    assert decide([], [worker(3, WAV2LIP, idle_s=299.0)]) == []
    assert decide([], [worker(3, WAV2LIP, idle_s=301.0)]) == [Dismiss(worker=3, reason="it has been idle for long")]


def test_worn_workers_are_replaced_when_they_are_idle() -> None:
    assert decide([], [worker(3, is_worn=True)]) == [Dismiss(worker=3, reason=WORN)]
    assert decide([], [busy(3, is_worn=True)]) == []


def test_idle_workers_make_room_when_others_take_the_memory_but_the_busy_stay() -> None:
    workers = [busy(1, device="cuda:0"), worker(2, device="cuda:0", idle_s=5.0), worker(3, device="cuda:0", idle_s=9.0)]
    assert decide([], workers, [replace(CARD, budget_bytes=900)]) == []
    reason = "others hold the memory"
    assert decide([], workers, [replace(CARD, budget_bytes=899)]) == [Dismiss(worker=3, reason=reason)]
    gone = decide([], workers, [replace(CARD, budget_bytes=100)])
    assert [d.worker for d in gone if isinstance(d, Dismiss)] == [3, 2]


# Order --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (job("x", turn=-0.5), job("a")),
        (job("a"), job("x")),
        (job("x", turn=-0.5), job("a", is_begun=True)),
        (job("x", share=Share("poor", ""), turn=9e9), job("a", share=Share("rich", ""))),
        (job("x", share=Share("both", "poor"), turn=9e9), job("a", share=Share("both", "rich"))),
        (job("x", share=Share("rich", ""), priority_s=600.0), job("a", share=Share("poor", ""))),
    ],
    ids=["smaller turn", "smaller id", "even of begun ones", "root served less", "folder served less", "priority"],
)
def test_jobs_are_served_in_turn(first: JobFacts, second: JobFacts) -> None:
    service = Service(
        roots={"rich": 500.0, "poor": 100.0, "both": 0.0},
        folders={Share("both", "rich"): 20.0, Share("both", "poor"): 10.0},
    )
    start, wait = decide([second, first], [worker()], service=service)
    assert isinstance(start, Start)
    assert start.task.job_id == first.job_id
    assert wait == Wait(job_id=second.job_id, reason=BUSY)


def test_within_one_pass_what_was_given_counts_already() -> None:
    jobs = [job("a", tasks=9, share=Share("r1", "")), job("b", tasks=9, share=Share("r2", ""))]
    decisions = decide(jobs, devices=[replace(CPU, most_workers=4, budget_bytes=9999)])
    assert [start.task.job_id for start in starts(decisions)] == ["a", "b", "a", "b"]


def test_a_resting_job_lets_others_pass_and_takes_no_worker() -> None:
    wait, start = decide([job("a", turn=-9.0, rest_until_s=100.5), job("b")], [worker()])
    assert wait == Wait(job_id="a", reason=RESTING)
    assert isinstance(start, Start)
    assert start.task.job_id == "b"


def test_a_job_started_too_often_is_given_up_and_the_next_goes_on() -> None:
    give_up, start = decide([job("a", turn=-9.0, attempts=5), job("b", attempts=4)], [worker()])
    assert isinstance(give_up, GiveUp)
    assert (give_up.job_id, give_up.code) == ("a", "E501")
    assert isinstance(start, Start)


def test_the_last_attempt_is_carried_through() -> None:
    (start,) = decide([job(attempts=5, is_begun=True)], [worker()])
    assert isinstance(start, Start)


# The pipeline -------------------------------------------------------------------------------------------------------


def test_the_next_film_is_analysed_while_the_present_one_is_rendered() -> None:
    film, following = job("film", tasks=9, is_begun=True, turn=-9.0), unseen("next")
    workers = [busy(1, job_id="film"), worker(2)]
    (start,) = starts(decide([film, following], workers, [replace(CPU, most_workers=2)]))
    assert start.task.job_id == "next"


@pytest.mark.parametrize("ahead", ["analysed now", "analysed already"])
def test_one_film_ahead_is_enough(ahead: str) -> None:
    film, following = job("film", tasks=9, is_begun=True, turn=-9.0), unseen("next")
    workers = [busy(1, job_id="film"), worker(2), busy(3, job_id="x", task=TaskKind.ANALYSE)]
    jobs = [film, following, job("x", is_prepared=True)]
    if ahead == "analysed now":
        (start,) = starts(decide([film, following], workers, [replace(CPU, most_workers=3)]))
    else:
        (start,) = starts(decide(jobs, workers[:2], [replace(CPU, most_workers=2)]))
    assert start.task.job_id == "film"


def test_a_single_worker_stays_with_its_film() -> None:
    film, following = job("film", tasks=9, is_begun=True, turn=-9.0), unseen("next")
    (start,) = starts(decide([film, following], [worker()]))
    assert start.task.job_id == "film"


def test_two_jobs_of_one_picture_need_one_analysis() -> None:
    place = [replace(CPU, most_workers=4, budget_bytes=9999)]
    jobs = [unseen("a", face_key="f"), unseen("b", face_key="f"), unseen("c", face_key="g"), unseen("d")]
    decisions = decide(jobs, devices=place)
    assert [start.task.job_id for start in starts(decisions)] == ["a", "c", "d"]
    assert waits(decisions) == {"b": SAME_FACE}
    at_work = busy(job_id="a", task=TaskKind.ANALYSE)
    decisions = decide([replace(jobs[0], todo=()), jobs[1]], [at_work], place)
    assert waits(decisions) == {"b": SAME_FACE}
