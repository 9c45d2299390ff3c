from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.render.clock import ticks_of

RATES = [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(9)]


@given(st.sampled_from(RATES), st.integers(1, 400), st.randoms(use_true_random=False))
def test_constant_rate_maps_to_itself_whatever_the_jitter(fps, count, random):
    jitter = [random.uniform(-0.3, 0.3) / float(fps) for _ in range(count)]
    jitter[0] = 0.0
    pts = np.sort(np.arange(count) / float(fps) + np.array(jitter))
    ticks = ticks_of(pts, fps)[: count - 1]
    assert ticks.tolist() == list(range(len(ticks)))
    assert abs(len(ticks_of(pts, fps)) - count) <= 1


@pytest.mark.parametrize("fps", RATES)
def test_millisecond_time_stamps_keep_every_frame(fps):
    pts = np.round(np.arange(500) / float(fps), 3)
    assert ticks_of(pts, fps).tolist() == list(range(500))


def test_a_pause_in_a_variable_rate_source_holds_its_frame():
    pts = np.array([0.0, 0.04, 0.08, 0.28, 0.32])
    assert ticks_of(pts, Fraction(25)).tolist() == [0, 1, 2, 2, 2, 2, 2, 3, 4]


def test_frames_closer_than_a_tick_are_skipped():
    pts = np.arange(10) * 0.02
    assert ticks_of(pts, Fraction(25)).tolist() == [0, 2, 4, 6, 8]


def test_a_single_frame_lasts_one_tick():
    assert ticks_of(np.array([0.0]), Fraction(25)).tolist() == [0]


def test_no_frame_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        ticks_of(np.zeros(0), Fraction(25))
