from datetime import UTC, datetime, timedelta

from heygemd.intake.findings import WaitingRoom
from heygemd.intake.pairing import Group, Pair, Why

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def waits(key: str, why: Why | None, *names: str) -> Group:
    return Group(folder="", key=key, names=names or (key,), why=why)


def test_since_is_kept_until_reason_or_members_change():
    room = WaitingRoom(120)
    for step in range(3):
        (seen,) = room.seat([waits("a", Why.ARRIVING, "a.mp4")], step, NOON + timedelta(seconds=step))
        assert seen.since == NOON
    (seen,) = room.seat([waits("a", Why.ARRIVING, "a.mp4", "a.wav")], 3, NOON + timedelta(seconds=3))
    assert seen.since == NOON + timedelta(seconds=3)


def test_lone_files_are_shown_after_their_time_and_a_new_member_starts_it_again():
    room = WaitingRoom(120)
    assert room.seat([waits("a", Why.PARTNER)], 0, NOON) == []
    assert room.seat([waits("a", Why.PARTNER)], 119, NOON) == []
    assert len(room.seat([waits("a", Why.PARTNER)], 120, NOON)) == 1
    assert room.seat([waits("a", Why.PARTNER, "a2")], 121, NOON) == []


def test_pairs_do_not_wait_and_notices_come_first():
    room = WaitingRoom(0)
    pair = Group(folder="", key="p", names=("p",), why=None, pair=Pair(folder="", picture="p.mp4", sound="p.wav"))
    groups = [waits("c", Why.ARRIVING), waits("b", Why.PARTNER), pair, waits("a", Why.AMBIGUOUS)]
    assert [waiting.names for waiting in room.seat(groups, 0, NOON)] == [("a",), ("b",), ("c",)]
