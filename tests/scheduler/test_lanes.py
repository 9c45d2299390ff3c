"""Lanes: who may begin, and how the queue is read past those who may not."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import Job, Lane
from heygemd.jobs.store import JobStore
from heygemd.scheduler.lanes import Lanes, glance
from tests.scheduler.conftest import a_job

SLOW = Lane(folder="slow", most=2)


def test_a_lane_has_room_until_as_many_run_as_may() -> None:
    lanes = Lanes([a_job(1, lane=SLOW), a_job(2)])
    assert lanes.has_room_for(a_job(3, lane=SLOW))
    lanes.enter(a_job(3, lane=SLOW))
    assert not lanes.has_room_for(a_job(4, lane=SLOW))
    assert lanes.has_room_for(a_job(4, lane=Lane(folder="slow", most=3))), "what its own folder said counts"
    assert lanes.has_room_for(a_job(4, lane=SLOW, root="other"))
    assert lanes.has_room_for(a_job(4, lane=Lane(folder="slow/er", most=1)))
    assert lanes.has_room_for(a_job(4))
    assert lanes.busy == {("r", "slow"): 2}


def test_a_lane_of_none_lets_nobody_begin() -> None:
    assert not Lanes([]).has_room_for(a_job(lane=Lane(folder="slow", most=0)))


JOBS = st.lists(st.sampled_from([None, ("x", 0), ("x", 1), ("y", 2), ("z", 1)]), max_size=30)


@given(lanes=JOBS, most=st.integers(0, 6), enters=st.lists(st.booleans(), min_size=30, max_size=30))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_glance_sees_the_first_who_may_begin_and_never_one_of_a_full_lane(
    shared_store: JobStore, lanes: list[tuple[str, int] | None], most: int, enters: list[bool]
) -> None:
    jobs = [
        a_job(number, lane=lane and Lane(folder=lane[0], most=lane[1]), turn=float(number))
        for number, lane in enumerate(lanes)
    ]
    shared_store._db.execute("DELETE FROM event")
    shared_store._db.execute("DELETE FROM job")
    for job in jobs:
        shared_store.add(job)
    at_work = Lanes([])
    seen: list[str] = []
    for job in glance(shared_store, at_work, most):
        seen.append(job.id)
        if enters[int(job.turn)]:
            at_work.enter(job)
    assert seen == wanted(jobs, most, enters)


def wanted(jobs: list[Job], most: int, enters: list[bool]) -> list[str]:
    """The same with everything in memory."""
    busy: Counter[str] = Counter()
    seen: list[str] = []
    for job in jobs:
        if len(seen) == most:
            break
        if job.lane and busy[job.lane.folder] >= job.lane.most:
            continue
        seen.append(job.id)
        if job.lane and enters[int(job.turn)]:
            busy[job.lane.folder] += 1
    return seen


def test_the_store_is_asked_again_only_when_a_lane_has_filled_up(shared_store: JobStore) -> None:
    shared_store._db.execute("DELETE FROM event")
    shared_store._db.execute("DELETE FROM job")
    for number in range(200):
        shared_store.add(a_job(number, lane=Lane(folder="slow", most=1), turn=float(number)))
    for number in range(200, 210):
        shared_store.add(a_job(number, turn=float(number)))
    asked: list[int] = []

    class Asked:
        def queue(self, limit: int, **others: object) -> list[Job]:
            asked.append(limit)
            return shared_store.queue(limit, **others)  # type: ignore[arg-type]

    lanes = Lanes([])
    found = 0
    for job in glance(Asked(), lanes, 100):  # type: ignore[arg-type]
        lanes.enter(job)
        found += 1
    assert found == 11
    assert asked == [100, 99]
