"""Pace: measured speed and the time that is left."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.scheduler.pace import WINDOW_S, Pace


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    assert pace.fps is None
    pace.note(0.0, "render", 0)
    assert pace.fps is None
    assert pace.eta_s(100) is None


def test_rate_and_rest_follow_from_two_looks() -> None:
    pace = Pace()
    pace.note(10.0, "render", 0)
    pace.note(14.0, "render", 100)
    assert pace.fps == pytest.approx(25.0)
    assert pace.eta_s(50) == pytest.approx(2.0)


@pytest.mark.parametrize(("stage", "frames"), [("finish", 150), ("render", 40)])
def test_a_new_stage_and_a_step_back_start_anew(stage: str, frames: int) -> None:
    pace = Pace()
    pace.note(0.0, "render", 0)
    pace.note(1.0, "render", 100)
    pace.note(2.0, stage, frames)
    assert pace.fps is None
    pace.note(3.0, stage, frames + 10)
    assert pace.fps == pytest.approx(10.0)


def test_only_the_last_half_minute_counts() -> None:
    pace = Pace()
    for second in range(100):
        pace.note(float(second), "render", second * 5)
    for second in range(100, 100 + int(WINDOW_S) + 2):
        pace.note(float(second), "render", 500 + (second - 100) * 50)
    assert pace.fps == pytest.approx(50.0)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 1000)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_rate_is_never_negative(steps: list[tuple[float, int]]) -> None:
    pace, now_s = Pace(), 0.0
    for pause_s, frames in steps:
        now_s += pause_s
        pace.note(now_s, "render", frames)
        assert pace.fps is None or pace.fps > 0
