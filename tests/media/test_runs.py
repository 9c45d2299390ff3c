"""Any order of frames becomes a few runs that a decoder can follow."""

from hypothesis import given
from hypothesis import strategies as st

from heygemd.media.runs import LEAP_FRAMES, Run, runs_of


def test_ping_pong_is_one_forward_run_and_backward_pieces() -> None:
    wanted = [*range(10), *range(8, -1, -1)]
    runs = list(runs_of(wanted, most_backward=4))
    assert runs[0] == Run(tuple(range(10)), is_forward=True)
    assert [run.indexes for run in runs[1:]] == [(8, 7, 6, 5), (4, 3, 2, 1), (0,)]
    assert (runs[1].first, runs[1].last) == (5, 8)


def test_a_loop_starts_a_new_forward_run() -> None:
    assert [run.indexes for run in runs_of([0, 1, 2, 0, 1, 2], most_backward=9)] == [(0, 1, 2), (0, 1, 2)]


def test_a_held_frame_is_one_run() -> None:
    assert list(runs_of([5] * 100, most_backward=2)) == [Run((5,) * 100, is_forward=True)]


def test_a_long_leap_is_a_new_run() -> None:
    assert [run.indexes for run in runs_of([0, 1, LEAP_FRAMES + 2], most_backward=9)] == [(0, 1), (LEAP_FRAMES + 2,)]


@given(st.lists(st.integers(0, 2000), max_size=200), st.integers(1, 50))
def test_runs_put_together_are_what_was_wanted(wanted: list[int], most: int) -> None:
    runs = list(runs_of(wanted, most_backward=most))
    assert [i for run in runs for i in run.indexes] == wanted
    for run in runs:
        assert run.first == min(run.indexes) and run.last == max(run.indexes)
        assert list(run.indexes) == sorted(run.indexes, reverse=not run.is_forward)
        assert run.is_forward or len(set(run.indexes)) <= most
