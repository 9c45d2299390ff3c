"""What others see of devices and workers."""

from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.scheduler.budgets import Budget
from heygemd.scheduler.crew import Hand
from heygemd.scheduler.devices import Device
from heygemd.scheduler.facts import DeviceFacts
from heygemd.scheduler.sight import devices_seen, workers_seen

GIB = 1 << 30
CARD = Device(
    index=1, name="a card", kind="cuda", total_bytes=24 * GIB, free_bytes=10 * GIB, utilisation=0.5, uuid="GPU-1",
    throttle=("sw_power_cap",), temperature_c=70,
)  # fmt: skip
FACTS = DeviceFacts(label="cuda:1", budget_bytes=20 * GIB, most_workers=3)
BUDGET = Budget(device=CARD, facts=FACTS, others_bytes=2 * GIB)
ENGINE = EngineChoice(name=EngineName.ATLAS)


def hand(worker, **changes):
    return Hand(worker=worker, engine=ENGINE, slot="cuda:1", device="cuda:1", **changes)


def render(segment=3):
    return Task(
        job_id="job-1", kind=TaskKind.RENDER, order_path=Path("/w/plan.json"),
        segment=Segment(index=segment, start=30, stop=40),
    )  # fmt: skip


def test_a_device_is_told_with_what_was_granted_and_what_is_held():
    hands = [hand(1, claim_bytes=4 * GIB, task=render()), hand(2, claim_bytes=3 * GIB), replace(hand(3), slot="cpu")]
    (seen,) = devices_seen([BUDGET], hands)
    assert (seen.label, seen.name, seen.uuid, seen.is_lost) == ("cuda:1", "a card", "GPU-1", False)
    assert (seen.workers, seen.busy_workers, seen.most_workers) == (2, 1, 3)
    assert (seen.granted_bytes, seen.budget_bytes, seen.others_bytes) == (7 * GIB, 20 * GIB, 2 * GIB)
    assert seen.held_bytes == (24 - 10 - 2) * GIB
    assert (seen.utilisation, seen.temperature_c, seen.throttle) == (0.5, 70, ("sw_power_cap",))


def test_what_is_held_is_never_negative():
    (seen,) = devices_seen([replace(BUDGET, others_bytes=30 * GIB)], [])
    assert seen.held_bytes == 0


@pytest.mark.parametrize("lost", [{"device": replace(CARD, is_lost=True)}, {"facts": replace(FACTS, is_lost=True)}])
def test_a_lost_device_is_told_as_lost_by_whoever_knows_it(lost):
    (seen,) = devices_seen([replace(BUDGET, **lost)], [])
    assert seen.is_lost


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "starting"),
        ({"is_ready": True}, "idle"),
        ({"is_ready": True, "task": render()}, "busy"),
        ({"is_ready": True, "task": render(), "is_leaving": True}, "leaving"),
    ],
)
def test_a_worker_says_what_it_is_at(changes, state):
    (seen,) = workers_seen([hand(7, **changes)], {7: 4711}, 100.0)
    assert (seen.state, seen.pid, seen.engine, seen.device) == (state, 4711, "atlas", "cuda:1")


def test_a_busy_worker_tells_of_its_task_and_an_idle_one_of_none():
    busy = hand(1, is_ready=True, task=render(), began_s=90.0, frames_done=5, frames_total=10, rss_bytes=7)
    idle = hand(2, is_ready=True, began_s=90.0, frames_done=5, frames_total=10, tasks_taken=4, claim_bytes=9)
    at_work, at_rest = workers_seen([busy, idle], {}, 100.0)
    assert (at_work.job, at_work.task, at_work.segment, at_work.task_s) == ("job-1", "render", 3, 10.0)
    assert (at_work.frames_done, at_work.frames_total, at_work.rss_bytes, at_work.pid) == (5, 10, 7, None)
    assert (at_rest.job, at_rest.task, at_rest.segment, at_rest.task_s) == ("", "", None, 0.0)
    assert (at_rest.frames_done, at_rest.frames_total, at_rest.tasks_taken, at_rest.granted_bytes) == (0, 0, 4, 9)
