from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.settle import (
    MAX_WAIT_S,
    SettleRule,
    Settling,
    Sighting,
    Writer,
    broken,
    follow,
    is_settled,
    wait_s,
)  # fmt: skip

RULE = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3)
FIRST = Sighting(ino=1, size_bytes=10, mtime_ns=5, ctime_ns=6, blocks=8, at_s=100.0, writer=Writer.FREE)


def look(*sightings: Sighting) -> Settling:
    settling = None
    for sighting in sightings:
        settling = follow(settling, sighting)
    return settling


def later(seconds: float, **changes: object) -> Sighting:
    return replace(FIRST, at_s=100.0 + seconds, **changes)


def test_quiet_file_settles_after_three_looks_and_three_seconds():
    assert not is_settled(look(FIRST, later(1), later(2)), RULE)
    assert is_settled(look(FIRST, later(1), later(3)), RULE)


def test_two_looks_are_never_enough():
    assert not is_settled(look(FIRST, later(60)), RULE)


def test_growing_file_is_not_settled():
    looks = [later(step * 2, size_bytes=10 + step) for step in range(20)]
    assert not is_settled(look(*looks), RULE)


def test_each_part_of_the_stat_counts():
    for change in ({"ino": 2}, {"mtime_ns": 4}, {"ctime_ns": 99}, {"blocks": 16}, {"size_bytes": 9}):
        assert not is_settled(look(FIRST, later(2), later(4, **change)), RULE)


def test_any_year_will_do():
    assert is_settled(look(*(later(step, mtime_ns=4 * 10**18) for step in (0, 2, 4))), RULE)


def test_empty_file_never_settles():
    assert not is_settled(look(*(later(step, size_bytes=0) for step in range(0, 900, 2))), RULE)


def test_file_with_a_writer_never_settles_and_starts_anew_when_it_is_closed():
    busy = look(*(later(step, writer=Writer.BUSY) for step in range(0, 900, 2)))
    assert not is_settled(busy, RULE)
    assert busy.patience == 1
    closed = follow(busy, later(900))
    assert not is_settled(follow(closed, later(902)), RULE)
    assert is_settled(follow(follow(closed, later(902)), later(904)), RULE)


def test_unknown_writer_needs_the_longer_wait():
    looks = [later(step * 2, writer=Writer.UNKNOWN) for step in range(11)]
    assert not is_settled(look(*looks[:10]), RULE)
    assert is_settled(look(*looks), RULE)


def test_one_unsure_look_makes_the_pause_unsure():
    assert not is_settled(look(FIRST, later(2, writer=Writer.UNKNOWN), later(4), later(6)), RULE)


def test_broken_pause_doubles_the_wait_up_to_ten_minutes():
    settling = look(FIRST, later(2))
    waits = []
    for step in range(1, 12):
        settling = follow(settling, later(10 * step, size_bytes=10 + step))
        waits.append(wait_s(settling, RULE))
        settling = follow(settling, later(10 * step + 2, size_bytes=10 + step))
    assert waits == [6, 12, 24, 48, 96, 192, 384, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]


def test_steady_growth_does_not_lengthen_the_wait():
    looks = [later(step * 2, size_bytes=10 + step) for step in range(20)]
    assert wait_s(look(*looks), RULE) == RULE.settle_s


def test_pause_that_was_none_starts_again():
    settling = broken(look(FIRST, later(2), later(4)))
    assert not is_settled(settling, RULE)
    again = follow(settling, later(6))
    assert (again.looks, wait_s(again, RULE)) == (1, 6.0)


SIGHTS = st.lists(
    st.tuples(st.sampled_from([0.5, 2.0, 10.0]), st.integers(0, 2), st.sampled_from(list(Writer))),
    min_size=1,
    max_size=30,
)


@given(SIGHTS)
def test_settled_means_equal_and_unwritten_for_as_long_as_promised(steps):
    at_s, looks, settling = 0.0, [], None
    for pause_s, size, writer in steps:
        at_s += pause_s
        looks.append(replace(FIRST, at_s=at_s, size_bytes=size, writer=writer))
        settling = follow(settling, looks[-1])
        if is_settled(settling, RULE):
            tail = [sight for sight in looks if sight.at_s >= at_s - RULE.settle_s]
            assert {sight.face for sight in tail} == {looks[-1].face}
            assert all(sight.writer is not Writer.BUSY and sight.size_bytes > 0 for sight in looks[-3:])
            assert len({sight.face for sight in looks[-3:]}) == 1
            if looks[-1].writer is Writer.UNKNOWN:
                assert at_s - settling.since_s >= RULE.settle_unsure_s
