from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.daemon.forecast import Forecast, InQueue, InWork, forecast, pace_of

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def rendering(job="r", left_s=30.0, **changes):
    return InWork(
        **{"job": job, "film_s": 60.0, "worked_s": 10.0, "stage_left_s": left_s, "is_rendering": True} | changes
    )


def waiting(job="q", film_s=60.0, not_before=NOON):
    return InQueue(job=job, film_s=film_s, not_before=not_before)


def test_the_pace_is_the_median_of_the_latest_films():
    assert pace_of([(10, 10), (20, 10), (900, 10)], [(25, 1)]) == 2


def test_before_the_first_film_the_pace_is_that_of_the_work_in_hand():
    assert pace_of([], [(25, 50)]) == 0.5
    assert pace_of([(3, 0)], [(25, 0)]) is None


def test_what_renders_is_ready_when_its_stage_is():
    assert forecast(NOON, [rendering()], [], None).ready_at == {"r": after(30)}


def test_before_rendering_the_pace_says_when_a_film_is_ready():
    early = rendering(is_rendering=False, left_s=None)
    assert forecast(NOON, [early], [], 2.0).ready_at == {"r": after(110)}
    assert forecast(NOON, [early], [], None) == Forecast()


def test_a_job_that_takes_longer_than_others_did_is_not_promised():
    assert forecast(NOON, [rendering(is_rendering=False, left_s=None, worked_s=200.0)], [], 2.0) == Forecast()


def test_a_film_that_is_being_handed_over_is_ready_and_holds_nobody_up():
    leaving = rendering("l", is_leaving=True)
    told = forecast(NOON, [leaving, rendering()], [waiting()], 1.0)
    assert told.ready_at["l"] == NOON
    assert told.starts_at == {"q": after(30)}


def test_jobs_start_one_after_the_other():
    told = forecast(NOON, [rendering()], [waiting("a"), waiting("b", film_s=10), waiting("c")], 2.0)
    assert told.starts_at == {"a": after(30), "b": after(150), "c": after(170)}
    assert told.ends_at == after(290)


def test_two_jobs_in_work_are_two_lanes():
    told = forecast(NOON, [rendering("r", 30.0), rendering("s", 100.0)], [waiting("a"), waiting("b")], 1.0)
    assert told.starts_at == {"a": after(30), "b": after(90)}


def test_a_job_that_rests_starts_no_sooner():
    told = forecast(NOON, [rendering()], [waiting(not_before=after(500))], 1.0)
    assert told.starts_at == {"q": after(500)}


def test_with_an_unknown_pace_only_the_next_job_is_promised():
    told = forecast(NOON, [rendering()], [waiting("a"), waiting("b")], None)
    assert (told.starts_at, told.ends_at) == ({"a": after(30)}, None)
    told = forecast(NOON, [rendering()], [waiting("a", film_s=None), waiting("b")], 1.0)
    assert (told.starts_at, told.ends_at) == ({"a": after(30)}, None)


@pytest.mark.parametrize("running", [[], [rendering(), rendering("s", is_rendering=False, left_s=None, film_s=None)]])
def test_nothing_is_promised_while_a_lane_is_unknown(running):
    told = forecast(NOON, running, [waiting()], 1.0)
    assert (told.starts_at, told.ends_at) == ({}, None)


@given(
    st.lists(st.floats(0, 1e4), min_size=1, max_size=4),
    st.lists(st.floats(0, 1e4), max_size=20),
    st.floats(0.001, 100),
)
def test_nobody_starts_before_those_in_front(lefts, films, pace):
    running = [rendering(f"r{n}", left_s) for n, left_s in enumerate(lefts)]
    told = forecast(NOON, running, [waiting(f"q{n}", film_s) for n, film_s in enumerate(films)], pace)
    starts = list(told.starts_at.values())
    assert starts == sorted(starts)
    assert len(starts) == len(films)
    assert told.ends_at >= max([NOON, *starts])
