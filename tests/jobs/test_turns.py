from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from heygemd.jobs.turns import turn_of

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
AGING_S = 600.0


def test_one_step_of_priority_is_worth_so_much_waiting():
    assert turn_of(NOON, 0, AGING_S) == NOON.timestamp()
    assert turn_of(NOON, 2, AGING_S) == turn_of(NOON - 2 * timedelta(seconds=AGING_S), 0, AGING_S)
    assert turn_of(NOON, 1, AGING_S) < turn_of(NOON, 0, AGING_S) < turn_of(NOON, -1, AGING_S)


@given(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(-100, 100))
def test_of_equal_priority_the_earlier_comes_first_by_a_microsecond(at, later, priority):
    first = turn_of(NOON + timedelta(microseconds=at), priority, AGING_S)
    assert first < turn_of(NOON + timedelta(microseconds=at + later), priority, AGING_S)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(-9, 9), st.integers(-9, 9))
def test_nobody_overtakes_a_job_that_came_long_enough_before(at, later, priority, other):
    """However high the other's priority is: its worth in waiting is the most by which it can come later."""
    mine = turn_of(NOON + timedelta(seconds=at), priority, AGING_S)
    theirs = turn_of(NOON + timedelta(seconds=at + max(0, other - priority) * AGING_S + later + 1e-3), other, AGING_S)
    assert mine < theirs


def test_a_short_film_passes_one_that_would_be_ready_later():
    long = turn_of(NOON, 0, AGING_S, film_s=3600.0)
    assert turn_of(NOON + timedelta(minutes=58), 0, AGING_S, film_s=60.0) < long
    assert turn_of(NOON + timedelta(minutes=60), 0, AGING_S, film_s=60.0) > long
