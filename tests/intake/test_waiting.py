from datetime import UTC, datetime, timedelta

from heygemd.intake.pairing import Group, Pair, Why
from heygemd.intake.waiting import URGENCY, WaitingRoom

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


def lone(key: str, *names: str) -> Group:
    names = names or (key,)
    return Group(folder="s", key=key, names=names, why=Why.PARTNER, lone=names[0])


def test_a_lone_file_has_waited_long_enough_after_the_timeout_of_its_folder():
    room, asked = WaitingRoom(120), []

    def timeout_of(folder: str) -> float:
        asked.append(folder)
        return 1000.0

    room.seat([lone("a"), waits("b", Why.AMBIGUOUS)], 0, NOON)
    assert room.expired(999, timeout_of) == []
    assert [group.lone for group in room.expired(1000, timeout_of)] == ["a"]
    assert set(asked) == {"s"}


def test_a_new_member_starts_the_timeout_again():
    room = WaitingRoom(120)
    room.seat([lone("a", "a.wav")], 0, NOON)
    room.seat([waits("a", Why.AMBIGUOUS, "a.mp3", "a.wav")], 900, NOON)
    room.seat([lone("a", "a.wav")], 950, NOON)
    assert room.expired(1900, lambda _: 1000.0) == []
    assert len(room.expired(1950, lambda _: 1000.0)) == 1


def test_what_has_left_is_not_expired():
    room = WaitingRoom(120)
    room.seat([lone("a")], 0, NOON)
    room.seat([], 10, NOON)
    assert room.expired(5000, lambda _: 1000.0) == []
    room.seat([lone("a")], 5000, NOON)
    room.clear()
    assert room.expired(9000, lambda _: 1000.0) == []


def test_defaults_wait_for_nobody_and_are_not_shown():
    room = WaitingRoom(0)
    default = Group(folder="", key="_default", names=("_default.mp4",), why=Why.DEFAULT)
    assert room.seat([default], 0, NOON) == []
    assert room.expired(1e9, lambda _: 1.0) == []


def test_every_reason_has_its_urgency():
    assert sorted(URGENCY) == sorted(Why)
    assert len(set(URGENCY)) == len(URGENCY)
