"""The queue as far as it is seen: fair heads, lanes, rests, and no more than is wanted."""

from heygemd.jobs.job import Job, Lane
from heygemd.scheduler.facts import Service
from heygemd.scheduler.lanes import Lanes
from heygemd.scheduler.waiting import next_in_turn
from tests.scheduler.conftest import AGING_S, House, a_job


def seen(
    house: House, most: int, *, service: Service | None = None, resting: frozenset[str] = frozenset()
) -> list[Job]:
    lanes, found = Lanes([]), []
    for job in next_in_turn(house.store, lanes, service or Service(), lambda job: job.id not in resting, most, AGING_S):
        lanes.enter(job)
        found.append(job)
    return found


def numbers(jobs: list[Job]) -> list[int]:
    return [int(job.name.removeprefix("film")) for job in jobs]


def test_folders_and_roots_take_turns(house: House) -> None:
    house.add(*(a_job(n, folder="many") for n in range(1, 6)), a_job(7, folder="few"), a_job(8, root="other"))
    assert numbers(seen(house, 4)) == [1, 8, 7, 2]


def test_no_more_are_looked_at_than_are_wanted(house: House) -> None:
    house.add(*(a_job(n) for n in range(1, 9)))
    assert numbers(seen(house, 3)) == [1, 2, 3]
    assert seen(house, 0) == []


def test_a_resting_job_is_passed(house: House) -> None:
    house.add(*(a_job(n) for n in range(1, 4)))
    assert numbers(seen(house, 2, resting=frozenset({a_job(1).id}))) == [2]
    assert numbers(seen(house, 3, resting=frozenset({a_job(1).id}))) == [2, 3]


def test_no_lane_is_filled_beyond_what_its_folder_says(house: House) -> None:
    slow = Lane(folder="slow", most=2)
    house.add(*(a_job(n, lane=slow, folder=f"slow/{n}") for n in range(1, 6)), a_job(9))
    assert sorted(numbers(seen(house, 9))) == [1, 2, 9]


def test_a_short_film_passes_a_long_one(house: House) -> None:
    house.add(a_job(1, film_s=3600), a_job(2, film_s=5))
    assert numbers(seen(house, 2)) == [2, 1]
