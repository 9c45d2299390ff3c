from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake.settle import (
    MAX_WAIT_S,
    Commit,
    Content,
    Hindrance,
    Holes,
    SettleRule,
    Settling,
    Sighting,
    Writer,
    broken,
    evidence_of,
    find_hindrance,
    find_outer_hindrance,
    follow,
    is_settled,
    pass_over,
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


WHOLE = Content(holes=Holes.NONE, structure="structure mp4", is_incomplete=False)
CUT = Content(holes=Holes.NONE, structure="structure incomplete: no moov box", is_incomplete=True)
HOLED = Content(holes=Holes.SOME, structure="structure unchecked", is_incomplete=False)
QUIET = look(FIRST, later(2), later(4))


def stands_before(settling, content=WHOLE, *, rule=RULE, commit=None, is_vouched=False):
    return find_hindrance(settling, rule, commit=commit, is_vouched=is_vouched, content=content)


def test_each_rung_is_named():
    assert stands_before(look(*(later(step, size_bytes=0) for step in (0, 2, 4)))) is Hindrance.EMPTY
    assert stands_before(look(later(0, writer=Writer.BUSY))) is Hindrance.WRITER
    assert stands_before(look(FIRST, later(2))) is Hindrance.QUIET
    assert stands_before(QUIET, None) is Hindrance.QUIET
    assert stands_before(QUIET, CUT) is Hindrance.INCOMPLETE
    assert stands_before(QUIET, HOLED) is Hindrance.HOLES
    assert stands_before(QUIET) is None


@pytest.mark.parametrize("content", [CUT, HOLED])
def test_what_seems_cut_counts_after_the_grace_without_change(content):
    assert stands_before(look(FIRST, later(300), later(599)), content) is not None
    assert stands_before(look(FIRST, later(300), later(600)), content) is None


def test_a_change_starts_the_grace_again():
    settling = look(FIRST, later(300), later(599), later(601, size_bytes=11), later(605, size_bytes=11))
    for seconds in (610, 1200):
        settling = follow(settling, later(seconds, size_bytes=11))
        assert stands_before(settling, CUT) is Hindrance.INCOMPLETE
    assert stands_before(follow(settling, later(1202, size_bytes=11)), CUT) is None


def test_a_committed_file_skips_the_quiet_and_nothing_else():
    first = look(FIRST)
    assert stands_before(first, commit=Commit.RENAME, is_vouched=True) is None
    assert stands_before(first, HOLED, commit=Commit.RENAME, is_vouched=True) is None
    assert stands_before(first, CUT, commit=Commit.RENAME, is_vouched=True) is Hindrance.INCOMPLETE
    busy = look(later(0, writer=Writer.BUSY))
    assert stands_before(busy, commit=Commit.RENAME, is_vouched=True) is Hindrance.WRITER
    empty = look(later(0, size_bytes=0))
    assert stands_before(empty, commit=Commit.RENAME, is_vouched=True) is Hindrance.EMPTY
    assert stands_before(pass_over(None, FIRST), commit=Commit.RENAME, is_vouched=True) is Hindrance.QUIET


def test_where_commits_are_required_nothing_else_is_accepted():
    rule = replace(RULE, require_commit=True)
    assert stands_before(look(FIRST, later(5000), later(9000)), rule=rule) is Hindrance.COMMIT
    assert stands_before(QUIET, rule=rule, commit=Commit.MARKER) is None


def test_passing_over_a_file_keeps_its_pause_and_forgets_a_broken_one():
    settling = look(FIRST, later(2))
    assert pass_over(settling, later(3)) is settling
    changed = pass_over(settling, later(3, size_bytes=99))
    assert (changed.looks, changed.patience, changed.is_sure) == (0, 2, False)
    assert follow(changed, later(4, size_bytes=99)).looks == 1


def test_evidence_says_which_rungs_were_reached():
    assert evidence_of(QUIET, None, WHOLE) == (
        "name", "no writer", "quiet 4.0 s in 3 looks", "no holes", "structure mp4",
    )  # fmt: skip
    unsure = look(later(0, writer=Writer.UNKNOWN))
    assert evidence_of(unsure, Commit.RENAME, HOLED) == (
        "name", "writer unknown", "committed by rename", "holes", "structure unchecked",
    )  # fmt: skip


@given(SIGHTS, st.sampled_from([WHOLE, CUT, HOLED, None]), st.booleans(), st.sampled_from([None, *Commit]))
def test_whoever_gets_to_the_top_has_passed_every_rung(steps, content, is_vouched, commit):
    at_s, settling, rule = 0.0, None, replace(RULE, grace_s=30.0, require_commit=True)
    for pause_s, size, writer in steps:
        at_s += pause_s
        settling = follow(settling, replace(FIRST, at_s=at_s, size_bytes=size, writer=writer))
        found = find_hindrance(settling, rule, commit=commit, is_vouched=is_vouched, content=content)
        outer = find_outer_hindrance(settling, rule, commit=commit, is_vouched=is_vouched)
        assert found is (outer or found)
        if found is None:
            assert content is not None
            assert commit is not None
            assert size > 0
            assert writer is not Writer.BUSY
            assert is_vouched or is_settled(settling, rule)
            assert content is WHOLE or at_s - settling.since_s >= 30 or (content is HOLED and is_vouched)
