"""Regression with numbers that are not negative, against what is known in closed form."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.planning.regression import Observation, first_belief, learn

FIRST = first_belief((100.0, 10.0), (20.0, 5.0), common=0.0)
rows = st.lists(
    st.tuples(st.floats(0, 50), st.floats(-1e4, 1e4), st.floats(0.5, 100)).map(
        lambda row: Observation(features=(1.0, row[0]), value=row[1], deviation=row[2])
    ),
    max_size=6,
)


def cost(numbers: tuple[float, float], observations: list[Observation]) -> float:
    prior = ((numbers[0] - 100) / 20) ** 2 + ((numbers[1] - 10) / 5) ** 2
    seen = ((o.value - numbers[0] - numbers[1] * o.features[1]) / o.deviation for o in observations)
    return prior + math.fsum(error**2 for error in seen)


@given(rows, st.floats(0, 500), st.floats(0, 500))
@settings(max_examples=150, deadline=None)
def test_no_other_numbers_that_are_not_negative_explain_more(observations, one, other) -> None:
    belief = learn(FIRST, observations)
    assert min(belief.numbers) >= 0
    least = cost(belief.numbers, observations)
    assert least <= cost((one, other), observations) * (1 + 1e-9) + 1e-9
    for step in (0.01, -0.01):
        near = tuple(max(0.0, number + step) for number in belief.numbers)
        assert least <= cost((near[0], belief.numbers[1]), observations) * (1 + 1e-9) + 1e-9
        assert least <= cost((belief.numbers[0], near[1]), observations) * (1 + 1e-9) + 1e-9


@given(rows, st.floats(0, 100))
@settings(max_examples=100, deadline=None)
def test_evidence_that_fits_makes_no_value_less_certain(observations, at) -> None:
    fitting = [
        Observation(features=o.features, value=FIRST.mean(o.features), deviation=o.deviation) for o in observations
    ]
    assert learn(FIRST, fitting).deviation((1.0, at)) <= FIRST.deviation((1.0, at)) * (1 + 1e-9)


def test_one_number_is_the_weighted_mean_of_belief_and_measurement() -> None:
    belief = learn(first_belief((10.0,), (2.0,), common=0.0), [Observation(features=(1.0,), value=13.0, deviation=1.0)])
    assert belief.numbers[0] == pytest.approx((10 / 4 + 13) / (1 / 4 + 1))
    misfit = (13 - belief.numbers[0]) ** 2
    assert belief.deviation((1.0,)) == pytest.approx(math.sqrt(max(1.0, misfit) / (1 / 4 + 1)))


def test_a_common_factor_carries_over_to_what_was_not_measured() -> None:
    alone = first_belief((100.0, 10.0), (10.0, 1.0), common=0.0)
    linked = first_belief((100.0, 10.0), (10.0, 1.0), common=0.5)
    seen = [Observation(features=(1.0, 0.0), value=200.0, deviation=1.0)]
    assert learn(alone, seen).numbers[1] == pytest.approx(10)
    assert learn(linked, seen).numbers[1] > 18


def test_measurements_that_lie_on_no_line_leave_more_doubt() -> None:
    def deviation(*values: float) -> float:
        seen = [Observation(features=(1.0, float(at)), value=value, deviation=5.0) for at, value in enumerate(values)]
        return learn(FIRST, seen).deviation((1.0, 1.0))

    assert deviation(100, 160, 100, 160) > 3 * deviation(100, 110, 120, 130)


def test_without_observations_nothing_is_learnt() -> None:
    assert learn(FIRST, []) == FIRST
