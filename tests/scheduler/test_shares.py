"""Fairness: who is next between roots, between folders, and within one."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from heygemd.scheduler.facts import Service, Share
from heygemd.scheduler.shares import Line, charge, in_turn, settle

A, B, C = Share("r1", "a"), Share("r1", "b"), Share("r2", "")


@dataclass(frozen=True)
class Waiter:
    """A job in line."""

    job_id: str
    share: Share = A
    turn: float = 0.0
    priority_s: float = 0.0
    task_s: float = 10.0


def order(*waiters: Waiter, service: Service | None = None) -> list[str]:
    return [waiter.job_id for waiter in in_turn(waiters, service or Service())]


def test_within_a_folder_the_smallest_turn_comes_first() -> None:
    assert order(Waiter("x", turn=2.0), Waiter("b", turn=1.0), Waiter("a", turn=1.0)) == ["a", "b", "x"]


def test_folders_take_turns_however_many_wait_in_one_of_them() -> None:
    many = [Waiter(f"m{number}", A, turn=float(number)) for number in range(4)]
    assert order(*many, Waiter("x", B, turn=99.0), Waiter("y", B, turn=100.0)) == ["m0", "x", "m1", "y", "m2", "m3"]


def test_roots_take_turns_whatever_folders_they_have() -> None:
    waiters = [Waiter("a", A), Waiter("b", B), Waiter("c1", C), Waiter("c2", C)]
    assert order(*waiters) == ["a", "c1", "b", "c2"]


def test_long_tasks_count_for_more_than_short_ones() -> None:
    long = [Waiter(f"l{number}", C, task_s=100.0) for number in range(2)]
    short = [Waiter(f"s{number}", A, task_s=10.0) for number in range(9)]
    assert order(*long, *short)[:3] == ["l0", "s0", "s1"]
    assert order(*long, *short).index("l1") == 11 - 1


def test_who_was_served_less_before_is_served_now() -> None:
    service = Service(roots={"r1": 50.0, "r2": 20.0})
    assert order(Waiter("a", A), Waiter("c", C, turn=9e9), service=service) == ["c", "a"]


def test_priority_is_worth_its_seconds_of_service_and_no_more() -> None:
    service = Service(roots={"r1": 50.0, "r2": 0.0})
    assert order(Waiter("a", A, priority_s=60.0), Waiter("c", C), service=service) == ["a", "c"]
    assert order(Waiter("a", A, priority_s=40.0), Waiter("c", C), service=service) == ["c", "a"]


def test_how_far_one_comes_after_another() -> None:
    line = Line([], Service(roots={"r1": 50.0, "r2": 20.0}, folders={A: 5.0, B: 1.0}))
    assert line.lag_s(Waiter("x", A, turn=7.0), Waiter("y", A, turn=3.0)) == 4.0
    assert line.lag_s(Waiter("x", A), Waiter("y", B)) == 4.0
    assert line.lag_s(Waiter("x", A), Waiter("y", C)) == 30.0


def test_who_comes_soon_after_is_near_to_all_whom_it_would_pass() -> None:
    service = Service(roots={"r1": 0.0, "r2": 20.0}, folders={A: 0.0, B: 10.0})
    first = Waiter("a1", A)
    waiters = [first, Waiter("a2", A, turn=5.0), Waiter("a3", A, turn=99.0), Waiter("b1", B), Waiter("b2", B, turn=1.0)]
    line = Line([*waiters, Waiter("c", C)], service)
    assert [waiter.job_id for waiter in line.soon_after(first, 9.0)] == ["a2"]
    assert [waiter.job_id for waiter in line.soon_after(first, 200.0)] == ["a2", "a3", "b1", "b2", "c"]
    assert line.next() is first, "looking ahead changes nothing"


# The ledger ---------------------------------------------------------------------------------------------------------


def test_who_comes_back_has_saved_nothing_up() -> None:
    service = Service()
    settle(service, [A])
    charge(service, A, 500.0)
    settle(service, [A, C])
    assert service.roots == {"r1": 500.0, "r2": 500.0}


def test_nor_has_a_folder_of_the_same_root() -> None:
    service = Service()
    settle(service, [A])
    charge(service, A, 500.0)
    settle(service, [A, B])
    assert service.folders == {A: 500.0, B: 500.0}


def test_who_left_with_a_debt_has_it_still_when_it_comes_back_soon() -> None:
    service = Service()
    settle(service, [A, C])
    charge(service, A, 100.0)
    settle(service, [C])
    settle(service, [A, C])
    assert service.roots["r1"] == 100.0


def test_after_a_time_in_which_nobody_wanted_anything_all_begin_anew() -> None:
    service = Service()
    settle(service, [A])
    charge(service, A, 100.0)
    settle(service, [])
    settle(service, [A, C])
    assert (service.roots, service.folders) == ({}, {})


def test_what_took_less_than_was_thought_is_given_back() -> None:
    service = Service()
    charge(service, A, 30.0)
    charge(service, A, -10.0)
    assert (service.roots["r1"], service.folders[A]) == (20.0, 20.0)
    charge(service, A, -99.0)
    assert service.roots["r1"] == 0.0


SHARES = st.lists(st.sampled_from([A, B, C]), max_size=3, unique=True)


@given(st.lists(st.tuples(SHARES, st.sampled_from([A, B, C]), st.floats(0, 100)), max_size=30))
def test_the_ledger_stays_small_and_nobody_is_ever_ahead_of_those_who_waited(
    story: list[tuple[list[Share], Share, float]],
) -> None:
    service = Service()
    before: set[str] = set()
    for active, served, seconds in story:
        stayed = {share.root for share in active} & before
        floor = min((service.roots.get(root, 0.0) for root in stayed), default=0.0)
        settle(service, active)
        assert all(service.roots.get(share.root, 0.0) >= floor for share in active)
        assert set(service.folders) <= {A, B, C}
        if served in active:
            charge(service, served, seconds)
        before = {share.root for share in active}


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, C]), st.floats(0, 1e6), st.sampled_from([-600.0, 0.0, 600.0])), max_size=20
    )
)
def test_everybody_in_line_is_served_once(drawn: list[tuple[Share, float, float]]) -> None:
    waiters = [Waiter(f"w{n:02}", share, turn, priority) for n, (share, turn, priority) in enumerate(drawn)]
    assert sorted(order(*waiters)) == [waiter.job_id for waiter in waiters]
    for share in (A, B, C):
        mine = [w.job_id for w in sorted(waiters, key=lambda w: (w.turn, w.job_id)) if w.share == share]
        assert [job_id for job_id in order(*waiters) if job_id in mine] == mine
