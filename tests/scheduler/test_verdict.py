"""What a failure means: retried, rested, made smaller, sent elsewhere, given up."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.scheduler.facts import Failure, GiveUp, Retry, Rules
from heygemd.scheduler.verdict import REST_LONGEST_S, is_shortage, is_strike, judge, judge_wait, rest_s

RULES = Rules(max_attempts=5, max_strikes=2, memory_wait_s=600.0)


def failure(code: str | None, **changes: object) -> Failure:
    facts = Failure(job_id="a", code=code, message="why", traceback="trace", batch_size=16, attempts=1, strikes=1)
    return replace(facts, **changes)  # type: ignore[arg-type]


def the_retry(verdict: Retry | GiveUp) -> Retry:
    assert isinstance(verdict, Retry)
    return verdict


def test_weights_that_were_exchanged_cost_no_job() -> None:
    answer = the_retry(judge(failure("E409", was_ready=False, failed_starts=1), RULES))
    assert (answer.refund, answer.needs_fresh_worker, answer.delay_s > 0) == (True, True, True)


def test_weights_that_are_never_the_ones_expected_are_damaged() -> None:
    assert judge(failure("E409", was_ready=False, failed_starts=3), RULES) == GiveUp(
        job_id="a", code="E409", message="why"
    )


@pytest.mark.parametrize("code", ["E101", "E131", "E402", "E405", "E409"])
def test_bad_inputs_and_bad_setups_end_the_job_at_once(code: str) -> None:
    assert judge(failure(code), RULES) == GiveUp(job_id="a", code=code, message="why")


def test_ffmpeg_that_is_gone_for_a_moment_costs_no_job() -> None:
    for attempts in (1, 50):
        answer = the_retry(judge(failure("E403", attempts=attempts, strikes=9), RULES))
        assert (answer.refund, answer.delay_s > 0) == (True, True)


def test_a_card_s_encoder_is_given_a_second_chance_and_then_done_without() -> None:
    first = the_retry(judge(failure("E304", encoder_faults=1), RULES))
    assert (first.delay_s > 0, first.refund, first.needs_fresh_worker, first.without_card_encoder) == (
        True, True, False, False,
    )  # fmt: skip
    for times in (2, 3, 50):
        answer = the_retry(judge(failure("E304", encoder_faults=times, attempts=50, rests=9), RULES))
        assert (answer.delay_s, answer.refund, answer.without_card_encoder) == (0.0, True, True)


# The ladder of shortage ---------------------------------------------------------------------------------------------

AT_ONCE = Retry(job_id="a", delay_s=0.0, batch_size=1, needs_fresh_worker=True)
LAST = failure("E301", batch_size=1, was_fresh=True, was_alone=True)
"""The smallest batch in a fresh worker with no other beside it was too much."""


def test_short_memory_halves_the_batch_in_the_same_worker() -> None:
    sizes = []
    verdict = the_retry(judge(failure("E301", batch_size=16), RULES))
    while verdict.batch_size > 1:
        assert (verdict.delay_s, verdict.needs_fresh_worker) == (0.0, False)
        sizes.append(verdict.batch_size)
        verdict = the_retry(judge(failure("E301", batch_size=verdict.batch_size), RULES))
    assert sizes == [8, 4, 2]


def test_then_it_is_tried_in_a_fresh_worker_and_then_alone() -> None:
    assert judge(failure("E301", batch_size=1), RULES) == AT_ONCE
    assert judge(failure("E301", batch_size=1, was_fresh=True), RULES) == replace(AT_ONCE, needs_device_alone=True)


def test_a_worker_that_cannot_load_its_engine_has_no_batch_to_halve() -> None:
    verdict = judge(failure("E301", was_ready=False, was_fresh=True), RULES)
    assert verdict == replace(AT_ONCE, batch_size=16, needs_device_alone=True)


def test_memory_that_others_hold_is_waited_for() -> None:
    verdict = the_retry(
        judge(replace(LAST, others_bytes=9, rests=2, memory_waited_s=599.0, is_refuge_there=True), RULES)
    )
    assert verdict == Retry(
        job_id="a", delay_s=rest_s(2), batch_size=1, needs_fresh_worker=True, refund=True, needs_device_alone=True
    )


def test_after_that_it_goes_to_the_cpu_if_it_may() -> None:
    waited = replace(LAST, others_bytes=9, memory_waited_s=600.0, is_refuge_there=True)
    assert the_retry(judge(waited, RULES)).may_use_refuge
    stays = the_retry(judge(waited, replace(RULES, cpu_fallback=False)))
    assert (stays.may_use_refuge, stays.refund, stays.delay_s > 0) == (False, True, True)


def test_where_nobody_else_is_to_blame_it_goes_there_at_once() -> None:
    assert the_retry(judge(replace(LAST, is_refuge_there=True), RULES)).may_use_refuge


def test_a_larger_card_is_waited_for_before_the_cpu() -> None:
    verdict = the_retry(judge(replace(LAST, is_larger_there=True, is_refuge_there=True), RULES))
    assert (verdict.may_use_refuge, verdict.delay_s > 0) == (False, True)


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (LAST, "E301"),
        (replace(LAST, code="E303", is_cpu=True, is_refuge_there=True), "E303"),
        (replace(LAST, code=None, was_oom_killed=True, is_cpu=True), "E303"),
    ],
)
def test_only_when_nothing_is_left_the_job_fails(last: Failure, code: str) -> None:
    verdict = judge(last, RULES)
    assert isinstance(verdict, GiveUp)
    assert verdict.code == code


@pytest.mark.parametrize("code", [None, "E110", "E500", "E502"])
def test_what_the_kernel_ended_for_memory_is_a_shortage_and_no_strike(code: str | None) -> None:
    killed = failure(code, was_oom_killed=True)
    assert is_shortage(killed)
    assert not is_strike(killed)
    assert the_retry(judge(killed, RULES)).batch_size == 8


def test_a_file_that_is_refused_stays_refused_whatever_the_kernel_did() -> None:
    assert isinstance(judge(failure("E131", was_oom_killed=True), RULES), GiveUp)


MEMORY = st.builds(
    failure,
    st.sampled_from(["E301", "E303"]),
    batch_size=st.sampled_from([1, 2, 16]),
    was_ready=st.booleans(),
    was_fresh=st.booleans(),
    was_alone=st.booleans(),
    others_bytes=st.sampled_from([0, 5]),
    is_refuge_there=st.booleans(),
    is_larger_there=st.booleans(),
    memory_waited_s=st.sampled_from([0.0, 1e9]),
    rests=st.integers(0, 50),
    attempts=st.integers(1, 99),
)


@given(MEMORY)
@settings(max_examples=300, deadline=None)
def test_memory_costs_a_job_only_when_nothing_smaller_and_nothing_else_is_left(facts: Failure) -> None:
    verdict = judge(facts, RULES)
    if isinstance(verdict, GiveUp):
        assert facts.was_alone
        assert not facts.others_bytes
        assert not facts.is_larger_there
        assert facts.is_cpu or not facts.is_refuge_there
        assert not facts.was_ready or (facts.batch_size == 1 and facts.was_fresh)
    else:
        smaller = verdict.batch_size < facts.batch_size
        another = verdict.needs_fresh_worker or verdict.may_use_refuge or verdict.needs_device_alone
        assert smaller or another or verdict.delay_s > 0, "the same thing again at once would never end"


def test_a_job_that_finds_no_memory_waits_and_then_may_flee() -> None:
    assert judge_wait("a", "E301", 599.0, may_flee=True, rules=RULES) is None
    assert judge_wait("a", "E301", 600.0, may_flee=False, rules=RULES) is None
    assert judge_wait("a", "E303", 600.0, may_flee=True, rules=RULES) is None
    flight = judge_wait("a", "E301", 600.0, may_flee=True, rules=RULES)
    assert flight is not None
    assert flight.may_use_refuge


# Everything else ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "was_ready"), [("E201", True), ("E202", True), ("E302", False)])
def test_a_fault_of_the_machine_never_fails_a_job(code: str, was_ready: bool) -> None:
    verdict = judge(failure(code, was_ready=was_ready, was_fresh=True, attempts=99, rests=99, failed_starts=99), RULES)
    assert the_retry(verdict).refund
    assert the_retry(verdict).delay_s == REST_LONGEST_S


def test_a_job_that_loses_its_device_again_and_again_is_given_up() -> None:
    verdict = the_retry(judge(failure("E302", attempts=4), RULES))
    assert (verdict.refund, verdict.needs_fresh_worker) == (False, True)
    last = judge(failure("E302", attempts=5), RULES)
    assert isinstance(last, GiveUp)
    assert last.code == "E501"


@pytest.mark.parametrize(
    ("code", "final"), [(None, "E501"), ("E500", "E500"), ("E502", "E502"), ("E999", "E500"), ("oops", "E500")]
)
def test_deaths_and_bugs_get_a_second_chance_and_no_third(code: str | None, final: str) -> None:
    verdict = the_retry(judge(failure(code, strikes=1), RULES))
    assert (verdict.delay_s, verdict.needs_fresh_worker, verdict.refund) == (0.0, True, False)
    last = judge(failure(code, strikes=2), RULES)
    assert isinstance(last, GiveUp)
    assert (last.code, last.traceback) == (final, "trace")


def test_after_a_silent_death_half_the_batch_is_tried() -> None:
    assert the_retry(judge(failure(None, strikes=1, batch_size=16), RULES)).batch_size == 8


def test_workers_that_never_come_up_are_tried_ever_later_and_then_given_up() -> None:
    rests = []
    for failed_starts in range(1, 5):
        verdict = the_retry(judge(failure(None, was_ready=False, failed_starts=failed_starts), RULES))
        assert verdict.refund
        rests.append(verdict.delay_s)
    assert rests == [1.0, 2.0, 4.0, 8.0]
    last = judge(failure(None, was_ready=False, failed_starts=5), RULES)
    assert isinstance(last, GiveUp)
    assert last.code == "E500"


@pytest.mark.parametrize(
    ("code", "was_ready", "strikes"),
    [(None, True, True), (None, False, False), ("E500", True, True), ("E502", True, True), ("odd", True, True),
     ("E301", True, False), ("E303", True, False), ("E304", True, False), ("E131", True, False), ("E402", True, False)],
)  # fmt: skip
def test_only_deaths_and_bugs_are_strikes(code: str | None, was_ready: bool, strikes: bool) -> None:
    assert is_strike(failure(code, was_ready=was_ready)) is strikes


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_rests_grow_but_stay_bounded(times: int) -> None:
    assert 0 < rest_s(times) <= rest_s(times + 1) <= REST_LONGEST_S
