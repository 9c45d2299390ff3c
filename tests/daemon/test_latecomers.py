"""Roots that were not there at the start: what `run --until-idle` may conclude from their absence."""

from pathlib import Path

import pytest

from heygemd.daemon import latecomers
from heygemd.daemon.errands import Answer
from heygemd.daemon.latecomers import EVERY_S, Latecomers
from heygemd.errors import ResourceError

SHARE = Path("/share")
AWAY = Answer(error=ResourceError("E201", "it has no sentinel"))


@pytest.fixture
def place(monkeypatch):
    """Latecomers with one absent root; `place.answer` is what the next question is answered with, once it is there."""

    class Asked:
        def __init__(self, *_args, **_limits):
            pass

        def poll(self, _now_s):
            return Place.answer

    class Place:
        answer = None
        now_s = 0.0

    monkeypatch.setattr(latecomers, "Errand", Asked)
    place = Place
    place.late = Latecomers((SHARE,), None, lambda: Place.now_s)
    return place


def ask(place, answer):
    place.now_s += EVERY_S
    place.late.tick()
    place.answer = answer
    return place.late.tick()


def test_root_that_was_slow_at_the_start_is_waited_for_until_it_has_answered(place):
    assert not place.late.is_idle
    assert ask(place, None) == ()
    assert not place.late.is_idle, "asked, but not heard"
    place.answer = Answer(value="the root")
    assert place.late.tick() == ("the root",)
    assert place.late.is_idle


def test_root_that_is_not_mounted_keeps_nobody_waiting_for_ever(place):
    ask(place, AWAY)
    assert place.late.is_idle
    assert place.late.paths == [SHARE], "it is asked for again, all the same"


def test_root_that_came_but_cannot_be_written_is_waited_for(place):
    ask(place, Answer(value="the root"))
    place.late.postpone(SHARE, "read-only file system")
    assert not place.late.is_idle
    ask(place, AWAY)
    assert place.late.is_idle


def test_without_absent_roots_there_is_nobody_to_wait_for():
    assert Latecomers((), None, lambda: 0.0).is_idle
