"""When the clerk goes on its round, with what, and what is repeated when a round comes to nothing."""

from itertools import pairwise

import pytest

from heygemd.daemon import backdesk as module
from heygemd.daemon.backdesk import (
    LATE_S,
    ROUND_LIMIT_S,
    STATUS_ACTIVE_S,
    STATUS_IDLE_S,
    WATCH_EVERY_S,
    BackDesk,
)
from heygemd.daemon.clerk import Noticed
from heygemd.daemon.errands import Answer
from heygemd.errors import ResourceError
from heygemd.intake.roots import init_root
from tests.daemon.children import Child


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Resident", Child)
    return BackDesk(init_root(tmp_path / "root"), None)


def go(desk, now_s, folders=None, answer=None):
    """One round, begun and ended at `now_s`; returns what was noticed, or None when none was due."""
    before = len(desk._clerk.asked)
    desk.tick(now_s, lambda: folders or {}, lambda: f"status at {now_s}")
    if len(desk._clerk.asked) == before:
        return None
    desk._clerk.answers.append(answer or Answer(value=Noticed()))
    return desk.tick(now_s, lambda: folders or {}, lambda: f"status at {now_s}")


def last(desk):
    return desk._clerk.asked[-1][1][0]


def test_an_idle_root_tells_now_and_then_that_the_daemon_lives(desk):
    rounds = [now_s for now_s in range(100, 200) if go(desk, now_s)]
    assert rounds == list(range(100, 200, int(STATUS_IDLE_S)))
    assert last(desk).snapshot == "status at 180"


def test_while_jobs_could_be_cancelled_the_clerk_looks_every_two_seconds(desk):
    looked, told = [], []
    for now_s in range(100, 130):
        if go(desk, now_s, {"job": "anna__abcdefgh"}):
            looked.append(now_s)
            assert last(desk).folders == {"job": "anna__abcdefgh"}
            told += [now_s] if last(desk).snapshot else []
    assert max(later - sooner for sooner, later in pairwise(looked)) <= WATCH_EVERY_S
    assert max(later - sooner for sooner, later in pairwise(told)) <= STATUS_ACTIVE_S + 1


def test_what_was_noticed_is_handed_on_once(desk):
    noticed = Noticed(cancelled=("job",))
    assert go(desk, 100, {"job": "a"}, Answer(value=noticed)) is noticed
    assert go(desk, 102, {"job": "a"}) == Noticed()


def test_a_note_does_not_wait_for_the_next_round(desk):
    go(desk, 100)
    desk.note("anna__abcdefgh", "old")
    desk.note("anna__abcdefgh", "new")
    assert not desk.is_idle
    assert go(desk, 101)
    assert last(desk).notes == (("anna__abcdefgh", "new"),)
    assert desk.is_idle


def test_what_could_not_be_written_is_written_again_but_not_over_something_newer(desk):
    go(desk, 100)
    desk.note("a", "1")
    desk.note("b", "1")
    desk.tick(101, dict, lambda: None)
    desk.note("b", "2")
    desk._clerk.answers.append(Answer(error=ResourceError("E201", "the share is away")))
    assert desk.tick(101, dict, lambda: None) is None
    assert go(desk, 101.5) is None, "not at once"
    assert go(desk, 101 + WATCH_EVERY_S)
    assert dict(last(desk).notes) == {"a": "1", "b": "2"}


def test_the_status_is_told_at_once_when_a_job_has_ended(desk):
    go(desk, 100)
    desk.tell_now()
    assert go(desk, 101)
    assert last(desk).snapshot == "status at 101"


def test_a_clerk_is_given_as_long_as_its_round_may_take_and_then_as_its_pause(desk):
    desk.tick(100, dict, str)
    assert desk.patience_s(100) == ROUND_LIMIT_S + LATE_S
    assert desk.patience_s(100 + ROUND_LIMIT_S + LATE_S + 1) < 0
    desk._clerk.answers.append(Answer(value=Noticed()))
    desk.tick(110, dict, str)
    assert desk.patience_s(110) == STATUS_IDLE_S - 10 + LATE_S
    desk.tell_now()
    assert desk.patience_s(115) > 0, "it is wanted since just now"
    assert desk.patience_s(115 + STATUS_IDLE_S + LATE_S + 1) < 0, "a clerk that is never sent"
