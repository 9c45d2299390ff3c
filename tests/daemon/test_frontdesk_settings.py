"""A desk under other settings, and how long the watchdog waits for it."""

import pytest

from heygemd.daemon.errands import Answer
from heygemd.daemon.frontdesk import LATE_S
from heygemd.intake.findings import Arrival, Closing, Findings, KnownRows
from heygemd.intake.roots import init_root
from tests.daemon.frontdesk_rig import JOB, SETTINGS, asks, look, make_desk, told


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def desk(root, monkeypatch):
    return make_desk(root, monkeypatch)


# Other settings ------------------------------------------------------------------------------------------------------


def other(**intake):
    return SETTINGS.model_copy(update={"intake": SETTINGS.intake.model_copy(update=intake)})


def test_a_desk_changes_its_child_at_the_next_look_and_that_is_at_once(desk):
    look(desk, 100)
    old = desk._desk
    desk.reconfigure(other(settle_s=9.0))
    assert not old.ended
    assert (desk.wakes, desk.due_s(101)) == ([1], 0.0)
    desk.tick(101)
    assert (old.ended, desk._desk is old, asks(desk)) == (True, False, 1)


def test_a_look_under_way_is_ended_by_who_began_it_and_nothing_is_lost(desk):
    rows, closing = KnownRows(batch="b", rows=frozenset({1})), Closing(batch="c", day="2026-01-01")
    desk.tick(100)
    old = desk._desk
    desk.note_stored((JOB.id,))
    desk.note_rows(rows)
    desk.close_batch(closing)
    desk.reconfigure(other(settle_s=9.0))
    desk.reconfigure(other(settle_s=8.0))
    found = Findings(arrivals=(Arrival(job=JOB),))
    old.answers.append(Answer(value=found))
    assert desk.tick(101) is found
    assert not old.ended
    desk.tick(102)
    assert old.ended
    assert (told(desk).stored, told(desk).batches, told(desk).closing) == ((JOB.id,), (rows,), (closing,))


def test_what_the_old_child_may_not_have_heard_the_new_one_is_told(desk):
    desk.note_stored((JOB.id,))
    desk.tick(100)
    desk.reconfigure(other(settle_s=9.0))
    desk._desk.answers.append(Answer(fault="the helper process died (exit -9)"))
    desk.tick(101)
    desk.tick(102)
    assert told(desk).stored == (JOB.id,)


def test_settings_that_no_desk_knows_leave_the_child_alone(desk):
    look(desk, 100)
    child = desk._desk
    desk.reconfigure(SETTINGS.model_copy(update={"log_level": "debug"}))
    look(desk, 200)
    assert desk._desk is child
    assert not child.ended


def test_other_pauses_hold_from_the_next_look_on(desk):
    look(desk, 100)
    desk.reconfigure(other(scan_idle_s=77.0))
    look(desk, 101)
    assert desk.due_s(101) == 77.0


# What the watchdog waits for -----------------------------------------------------------------------------------------


def test_a_desk_is_given_as_long_as_its_look_may_take(desk):
    desk.tick(100)
    limit_s = SETTINGS.intake.scan_limit_s
    assert desk.patience_s(100) == limit_s + LATE_S
    desk.reconfigure(other(scan_limit_s=5.0))
    assert desk.patience_s(100 + limit_s) == LATE_S, "asking again gives no more time, and neither does a reload less"
    assert desk.patience_s(100 + limit_s + LATE_S + 1) < 0


def test_a_desk_that_forgets_to_look_is_overdue(desk):
    look(desk, 100)
    assert desk.patience_s(100) == SETTINGS.intake.scan_idle_s + LATE_S
    assert desk.patience_s(100 + SETTINGS.intake.scan_idle_s + LATE_S + 1) < 0


def test_a_desk_that_is_wanted_is_not_late_at_once(desk):
    look(desk, 100, Answer(value=Findings(is_local=False)))
    desk._alarm.ring()
    assert desk.patience_s(100 + SETTINGS.intake.scan_mount_idle_s) > 0


def test_a_desk_of_an_absent_root_is_given_its_longer_pauses(desk):
    for now_s in range(1000, 8000, 1000):
        look(desk, now_s, Answer(value=Findings(offline="no sentinel")))
        assert desk.patience_s(now_s) == desk.due_s(now_s) + LATE_S
