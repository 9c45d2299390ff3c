"""Rests: the time of day is looked at once, so jumps of the clock change nothing."""

from datetime import timedelta

import pytest

from heygemd.scheduler.rests import Rests
from heygemd.scheduler.verdict import REST_LONGEST_S
from tests.scheduler.conftest import MIDNIGHT, Clocks, a_job


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def rests(clocks: Clocks) -> Rests:
    return Rests(lambda: clocks.now_s, lambda: clocks.wall)


def test_a_new_job_may_run_at_once(rests: Rests) -> None:
    assert rests.is_over(a_job())


def test_a_stored_rest_is_kept_to_the_second(rests: Rests, clocks: Clocks) -> None:
    job = a_job(not_before=MIDNIGHT + timedelta(seconds=30))
    assert not rests.is_over(job)
    clocks.pass_time(29.5)
    assert not rests.is_over(job)
    clocks.pass_time(0.5)
    assert rests.is_over(job)


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_clock_that_jumps_neither_shortens_nor_lengthens_a_rest(
    rests: Rests, clocks: Clocks, jump: timedelta
) -> None:
    job = a_job(not_before=MIDNIGHT + timedelta(seconds=30))
    assert not rests.is_over(job)
    clocks.wall += jump
    clocks.pass_time(29)
    assert not rests.is_over(job)
    clocks.pass_time(1)
    assert rests.is_over(job)


def test_a_clock_set_back_before_a_job_is_seen_does_not_make_it_wait_for_a_day(rests: Rests, clocks: Clocks) -> None:
    """As after a start with a wrong clock that is put right."""
    new, resting = a_job(1), a_job(2, not_before=MIDNIGHT + timedelta(seconds=30))
    clocks.wall -= timedelta(days=1)
    assert rests.is_over(new)
    assert not rests.is_over(resting)
    clocks.pass_time(REST_LONGEST_S)
    assert rests.is_over(resting)


def test_a_rest_laid_down_holds_before_and_after_it_is_stored(rests: Rests, clocks: Clocks) -> None:
    job = a_job()
    not_before = rests.lay_down(job, 10.0)
    assert not_before == MIDNIGHT + timedelta(seconds=10)
    assert not rests.is_over(job)
    stored = a_job(not_before=not_before)
    rests.follow(stored)
    clocks.wall -= timedelta(days=1)
    assert not rests.is_over(stored)
    clocks.pass_time(10)
    assert rests.is_over(stored)


def test_a_forgotten_job_is_judged_by_the_store_again(rests: Rests) -> None:
    job = a_job()
    rests.lay_down(job, 10.0)
    rests.keep_only({job.id})
    assert not rests.is_over(job)
    rests.keep_only(())
    assert rests.is_over(job)
