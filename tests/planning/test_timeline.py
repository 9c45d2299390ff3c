"""Timelines: which source tick each frame of the film shows."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.jobs.job import LengthPolicy
from heygemd.planning.timeline import Timeline, frames_for, plan_timeline

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(9)]
rates = st.sampled_from(RATES)
policies = st.sampled_from(list(LengthPolicy))


def timeline(frame_count: int, tick_count: int, policy: LengthPolicy) -> Timeline:
    return Timeline(fps=Fraction(25), frame_count=frame_count, tick_count=tick_count, policy=policy)


def ticks(frame_count: int, tick_count: int, policy: LengthPolicy) -> list[int]:
    line = timeline(frame_count, tick_count, policy)
    return [line.tick_of(frame) for frame in range(frame_count)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LengthPolicy.AUTO, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]),
        (LengthPolicy.LOOP, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        (LengthPolicy.FREEZE, [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_a_short_source_is_stretched_as_drawn_in_the_module(policy: LengthPolicy, expected: list[int]) -> None:
    assert ticks(10, 4, policy) == expected


@given(st.integers(1, 400), st.integers(1, 60), policies)
@settings(max_examples=60, deadline=None)
def test_every_frame_shows_a_tick_that_exists(frame_count: int, tick_count: int, policy: LengthPolicy) -> None:
    assert all(0 <= tick < tick_count for tick in ticks(frame_count, tick_count, policy))


@given(st.integers(1, 60), st.integers(0, 60), policies)
@settings(max_examples=60, deadline=None)
def test_a_long_enough_source_is_shown_straight(frame_count: int, spare: int, policy: LengthPolicy) -> None:
    assert ticks(frame_count, frame_count + spare, policy) == list(range(frame_count))


@given(st.integers(2, 60), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_ping_pong_never_jumps_and_never_stands_still(tick_count: int, frame_count: int) -> None:
    shown = ticks(frame_count, tick_count, LengthPolicy.AUTO)
    assert all(abs(b - a) == 1 for a, b in pairwise(shown))


@pytest.mark.parametrize("policy", list(LengthPolicy))
def test_a_still_picture_shows_its_only_tick(policy: LengthPolicy) -> None:
    assert ticks(5, 1, policy) == [0] * 5


@pytest.mark.parametrize("frame", [-1, 10])
def test_a_frame_outside_the_film_is_refused(frame: int) -> None:
    with pytest.raises(IndexError):
        timeline(10, 4, LengthPolicy.AUTO).tick_of(frame)


@given(st.integers(1, 10_000_000), st.sampled_from([8000, 16000, 44100, 48000]), rates)
@settings(max_examples=60, deadline=None)
def test_film_is_the_shortest_that_covers_the_sound(samples: int, rate_hz: int, fps: Fraction) -> None:
    sound_s = Fraction(samples, rate_hz)
    count = frames_for(sound_s, fps)
    assert count / fps >= sound_s
    assert count == 1 or (count - 1) / fps < sound_s


@given(rates, st.integers(1, 500), st.fractions(min_value=0, max_value=60), policies)
@settings(max_examples=60, deadline=None)
def test_only_keep_video_ignores_the_length_of_the_sound(
    fps: Fraction, tick_count: int, sound_s: Fraction, policy: LengthPolicy
) -> None:
    planned = plan_timeline(fps=fps, tick_count=tick_count, sound_s=sound_s, policy=policy)
    expected = tick_count if policy is LengthPolicy.KEEP_VIDEO else frames_for(sound_s, fps)
    assert (planned.frame_count, planned.tick_count, planned.fps) == (expected, tick_count, fps)


def test_a_source_without_ticks_is_refused() -> None:
    with pytest.raises(ValueError, match="tick"):
        plan_timeline(fps=Fraction(25), tick_count=0, sound_s=Fraction(1), policy=LengthPolicy.AUTO)


def changes(line: Timeline, cuts: set[int]) -> list[int]:
    """Frames of the film that show another scene than the one before, found by looking at every frame."""
    scene = [sum(cut <= tick for cut in cuts) for tick in range(line.tick_count)]
    shown = [line.tick_of(frame) for frame in range(line.frame_count)]
    jumps = line.policy is LengthPolicy.LOOP
    return [frame for frame, (a, b) in enumerate(pairwise(shown), start=1) if scene[a] != scene[b] or (jumps and b < a)]


def places(line: Timeline, cuts: set[int]) -> list[int]:
    return list(line.scene_places(sorted(cuts)).within(1, line.frame_count))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LengthPolicy.AUTO, [2, 5, 8]),
        (LengthPolicy.LOOP, [2, 4, 6, 8]),
        (LengthPolicy.FREEZE, [2]),
    ],
)
def test_scenes_change_where_the_docstring_says(policy: LengthPolicy, expected: list[int]) -> None:
    assert places(timeline(10, 4, policy), {2}) == expected


@given(st.integers(1, 300), st.integers(1, 40), policies, st.sets(st.integers(1, 39)))
@settings(max_examples=300, deadline=None)
def test_scenes_change_where_the_frames_show_it(
    frame_count: int, tick_count: int, policy: LengthPolicy, cuts: set[int]
) -> None:
    line = timeline(tick_count if policy is LengthPolicy.KEEP_VIDEO else frame_count, tick_count, policy)
    assert places(line, {cut for cut in cuts if cut < tick_count}) == changes(line, cuts)


@pytest.mark.parametrize("policy", list(LengthPolicy))
def test_scenes_that_the_source_cannot_have_are_not_in_the_film(policy: LengthPolicy) -> None:
    line = timeline(4 if policy is LengthPolicy.KEEP_VIDEO else 10, 4, policy)
    assert places(line, {-3, 0, 2, 4, 11}) == places(line, {2})


def test_the_scenes_of_a_week_are_found_without_counting_its_frames() -> None:
    line = timeline(7 * 24 * 3600 * 25, 250, LengthPolicy.AUTO)
    middle = 498 * 10_000
    assert list(line.scene_places([100]).within(middle, middle + 498)) == [middle + 100, middle + 399]


@given(rates, st.integers(2, 5_000), st.lists(st.tuples(st.floats(0, 90), st.floats(0, 20)), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_joint_in_a_pause_lies_half_a_frame_from_its_middle_at_most(
    fps: Fraction, frame_count: int, found: list[tuple[float, float]]
) -> None:
    line = Timeline(fps=fps, frame_count=frame_count, tick_count=3, policy=LengthPolicy.AUTO)
    pauses = [(start, start + length) for start, length in found]
    frames = list(line.pause_places(pauses).within(0, frame_count))
    middles = [(start + stop) / 2 for start, stop in pauses]
    assert frames == sorted(set(frames))
    assert all(0 < frame < frame_count for frame in frames)
    assert all(min(abs(float(line.time_of(f)) - m) for m in middles) <= float(1 / fps) / 2 + 1e-9 for f in frames)
    for middle in middles:
        if float(1 / fps) < middle < float(line.time_of(frame_count - 1)) - 1:
            assert any(abs(float(line.time_of(f)) - middle) <= float(1 / fps) / 2 + 1e-9 for f in frames)


def test_pauses_that_the_film_does_not_reach_are_not_in_it() -> None:
    line = timeline(50, 50, LengthPolicy.AUTO)
    assert list(line.pause_places([(0.0, 0.01), (0.5, 1.5), (1.9, 2.2), (7.0, 9.0)]).within(0, 50)) == [25]


@pytest.mark.parametrize("second", [float("nan"), float("inf"), -float("inf")])
def test_a_pause_without_a_time_is_refused(second: float) -> None:
    with pytest.raises(ValueError, match="Fraction"):
        timeline(50, 50, LengthPolicy.AUTO).pause_places([(0.0, second)])


@given(rates, st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_times_are_exact(fps: Fraction, frame: int) -> None:
    line = Timeline(fps=fps, frame_count=frame + 2, tick_count=1, policy=LengthPolicy.AUTO)
    assert line.time_of(frame + 1) - line.time_of(frame) == 1 / fps
