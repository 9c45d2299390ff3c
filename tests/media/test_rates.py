"""Time stamps become one constant rate."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.media.rates import STILL_FPS, clock_of, timescale

RATES = [Fraction(r) for r in (9, 12, 15, 24, 25, 30, 50, 60, 120)] + [
    Fraction(1000 * n, 1001) for n in (24, 30, 60, 120)
]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("ticks_hz", [1000, 90_000, 12_800, 60_000])
def test_constant_stamps_on_any_clock_give_the_exact_rate(fps: Fraction, ticks_hz: int) -> None:
    clock = clock_of([round(i / fps * ticks_hz) for i in range(300)], Fraction(1, ticks_hz))
    assert clock.fps == fps
    assert not clock.is_vfr
    assert abs(clock.duration_s - 300 / fps) < Fraction(1, 500)


def test_a_short_clip_in_milliseconds_keeps_its_rate() -> None:
    assert clock_of([0, 33, 67, 100], Fraction(1, 1000)).fps == 30


def test_an_unusual_constant_rate_is_kept() -> None:
    assert clock_of([i * 384 for i in range(1189)], Fraction(1, 11456)).fps == Fraction(179, 6)


def test_jitter_of_a_phone_is_variable_at_its_nominal_rate() -> None:
    rng = random.Random(1)
    stamps, at = [], 0
    for _ in range(300):
        stamps.append(at)
        at += rng.choice([3000, 3000, 3000, 2997, 3003, 3010, 2990, 4500])
    clock = clock_of(stamps, Fraction(1, 90_000))
    assert clock.fps == 30
    assert clock.is_vfr


def test_dropped_frames_do_not_lower_the_rate() -> None:
    clock = clock_of([i * 512 for i in range(200) if i % 4 != 3], Fraction(1, 15_360))
    assert (clock.fps, clock.is_vfr) == (Fraction(30), True)


def test_a_rate_far_from_the_common_ones_is_not_pulled_to_one() -> None:
    assert clock_of([i * 1000 for i in range(100)], Fraction(1, 22_130)).fps == Fraction(2213, 100)


def test_one_stamp_believes_the_file() -> None:
    assert clock_of([7], Fraction(1, 1000), declared=[Fraction(30)]).fps == 30
    assert clock_of([7], Fraction(1, 1000), declared=[Fraction(90_000)]).fps == STILL_FPS


def test_the_longest_gap_is_seen() -> None:
    assert clock_of([0, 100_000], Fraction(1)).longest_gap_s == 100_000


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=60), st.integers(1, 10**6))
def test_any_stamps_give_a_sane_clock(stamps: list[int], ticks_hz: int) -> None:
    clock = clock_of(stamps, Fraction(1, ticks_hz))
    assert 1 <= clock.fps <= 240
    assert clock.duration_s > 0
    assert clock.fps.denominator <= 1001


@given(st.fractions(1, 240, max_denominator=1001))
def test_every_frame_lasts_a_whole_number_of_ticks(fps: Fraction) -> None:
    ticks_hz = timescale(fps)
    assert (ticks_hz / fps).denominator == 1
    assert 12_800 <= ticks_hz < 2**31
