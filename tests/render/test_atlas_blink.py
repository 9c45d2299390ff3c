import numpy as np
import pytest

from heygemd.render.atlas.blink import Blinks

LENGTH_S = 600.0


def test_people_blink_every_few_seconds():
    for seed in range(5):
        start = Blinks.of(seed, LENGTH_S).start_s
        assert start[0] > 0.5
        assert 10 < len(start) / LENGTH_S * 60 < 26
        pauses = np.diff(start)
        assert pauses.max() < 7
        assert (pauses < 0.8).mean() < 0.2


def test_a_blink_shuts_the_eye_quickly_and_opens_it_slower():
    blinks = Blinks.of(3, LENGTH_S)
    time_s = np.arange(0, 60, 0.005)
    closure = np.array([blinks.closure(float(t)) for t in time_s])
    assert closure.min() == 0
    assert closure.max() == 1
    assert (closure > 0).mean() < 0.25
    first = float(blinks.start_s[0])
    shut = first + float(blinks.closing_s[0])
    assert blinks.closure(shut) == pytest.approx(1)
    assert 0.10 <= shut - first <= 0.15
    opening_s = float(blinks.opening_s[0])
    assert 0.15 <= opening_s <= 0.25
    assert blinks.closure(shut + float(blinks.shut_s[0]) + opening_s) == pytest.approx(0, abs=1e-9)


def test_a_longer_film_begins_like_a_shorter_one():
    short, long = Blinks.of(8, 20.0), Blinks.of(8, 200.0)
    assert np.array_equal(long.start_s[: len(short.start_s)], short.start_s)


def test_clips_blink_differently():
    assert len({float(Blinks.of(seed, 30.0).start_s[0]) for seed in range(20)}) == 20


def test_an_empty_film_has_no_blinks():
    assert Blinks.of(1, 0.0).closure(0.1) == 0
