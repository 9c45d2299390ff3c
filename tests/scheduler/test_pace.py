"""Pace: measured speed and the time that is left."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import TaskKind
from heygemd.scheduler.pace import TRUST_S, WINDOW_S, Ahead, Pace, film_left_s
from heygemd.scheduler.rates import Rates


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


def test_a_rate_is_trusted_the_more_the_longer_it_was_measured() -> None:
    pace = Pace()
    assert pace.blend_s(100, 40.0) == 40.0
    pace.note(0.0, "render", 0)
    pace.note(TRUST_S, "render", 50)
    assert pace.blend_s(100, 40.0) == pytest.approx(20 * TRUST_S / 10 + (40 - 20 * TRUST_S / 10) / 2)
    for second in range(1, 26):
        pace.note(TRUST_S + second, "render", 50 + 10 * second)
    assert pace.blend_s(100, 40.0) == pytest.approx(10, abs=6)


def ahead(stage: TaskKind | None = TaskKind.RENDER, **changes: int) -> Ahead:
    frames = {"stage_frames": 1500, "film_frames": 1500} | changes
    return Ahead(engine=EngineName.ATLAS, device="cpu", pixels=1280 * 720, stage=stage, **frames)


def task_s(kind: TaskKind, frames: int) -> float:
    return Rates().task_s(kind, EngineName.ATLAS, "cpu", 1280 * 720, frames)


def test_a_film_that_is_ready_takes_no_time() -> None:
    assert film_left_s(ahead(None), Rates()) == 0


def test_while_it_is_analysed_the_later_stages_are_foreseen() -> None:
    left_s = film_left_s(ahead(TaskKind.ANALYSE, stage_frames=150), Rates())
    stages = [(TaskKind.ANALYSE, 150), (TaskKind.RENDER, 1500), (TaskKind.FINISH, 1500)]
    assert left_s == pytest.approx(sum(task_s(kind, frames) for kind, frames in stages))


def test_after_rendering_only_the_finish_is_left() -> None:
    assert film_left_s(ahead(TaskKind.FINISH, stage_frames=700), Rates()) == task_s(TaskKind.FINISH, 700)


def test_workers_share_the_rendering_and_nothing_else() -> None:
    finish_s = task_s(TaskKind.FINISH, 1500)
    assert film_left_s(ahead(workers=3), Rates()) == pytest.approx(task_s(TaskKind.RENDER, 500) + finish_s)
    assert film_left_s(ahead(workers=0), Rates()) == film_left_s(ahead(workers=1), Rates())
    early = film_left_s(ahead(TaskKind.ANALYSE, workers=2, spread=2), Rates())
    assert early == pytest.approx(task_s(TaskKind.ANALYSE, 1500) + task_s(TaskKind.RENDER, 750) + finish_s)
    assert film_left_s(ahead(TaskKind.FINISH, workers=2), Rates()) == finish_s


def test_the_present_stage_goes_by_its_own_pace() -> None:
    pace = Pace()
    for second in range(26):
        pace.note(float(second), "render", 100 * second)
    rendering = film_left_s(ahead(), Rates(), pace)
    by_both_s = 15 * 25 / (25 + TRUST_S) + task_s(TaskKind.RENDER, 1500) * TRUST_S / (25 + TRUST_S)
    assert rendering == pytest.approx(by_both_s + task_s(TaskKind.FINISH, 1500))
    assert film_left_s(ahead(TaskKind.FINISH), Rates(), pace) == task_s(TaskKind.FINISH, 1500)


@given(
    st.sampled_from(TaskKind),
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    st.tuples(st.integers(0, 16), st.integers(0, 16)),
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 1000)), max_size=20),
)
def test_time_left_is_never_negative(
    stage: TaskKind, frames: tuple[int, int], workers: tuple[int, int], steps: list[tuple[float, int]]
) -> None:
    pace, now_s, done = Pace(), 0.0, 0
    for pause_s, more in steps:
        now_s, done = now_s + pause_s, done + more
        pace.note(now_s, stage, done)
    job = ahead(stage, stage_frames=frames[0], film_frames=frames[1], workers=workers[0], spread=workers[1])
    assert film_left_s(job, Rates(), pace) > 0
