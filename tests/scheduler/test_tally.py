"""Counters since the start."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.planning.plan import TaskKind
from heygemd.scheduler.tally import MemoryErrors, Tally


def test_a_new_tally_knows_every_kind_and_counts_nothing() -> None:
    assert Tally().as_dict() == {
        "tasks_done": {"analyse": 0, "render": 0, "finish": 0},
        "frames_rendered": 0,
        "stage_s": {},
        "cache_hits": {"track": 0, "likeness": 0, "speech": 0},
        "cache_misses": {"track": 0, "likeness": 0, "speech": 0},
        "shortages": {},
        "retries": 0,
        "workers_started": 0,
        "workers_recycled": 0,
        "memory": {},
    }


def test_tasks_are_counted_by_kind_and_seconds_by_stage() -> None:
    tally = Tally()
    tally.note_task(TaskKind.ANALYSE, {"track": 1.5, "listen": 0.25})
    tally.note_task(TaskKind.RENDER, {"decode": 1.0, "render": 2.0}, frames=250)
    tally.note_task(TaskKind.RENDER, {"decode": 0.5}, frames=50)
    tally.note_task(TaskKind.FINISH, {"stitch": 1.0}, frames=300)
    told = tally.as_dict()
    assert told["tasks_done"] == {"analyse": 1, "render": 2, "finish": 1}
    assert told["frames_rendered"] == 300, "the frames that a finish goes through are rendered already"
    assert told["stage_s"] == {"decode": 1.5, "listen": 0.25, "render": 2.0, "stitch": 1.0, "track": 1.5}


def test_what_was_not_in_the_cache_is_a_miss() -> None:
    tally = Tally()
    for cached in ((), ("track",), ("track", "speech")):
        tally.note_cached(cached, studied=False)
    tally.note_cached(("track", "likeness"), studied=True)
    tally.note_cached((), studied=True)
    assert tally.as_dict()["cache_hits"] == {"track": 3, "likeness": 1, "speech": 1}
    assert tally.as_dict()["cache_misses"] == {"track": 2, "likeness": 1, "speech": 4}


def test_troubles_are_counted() -> None:
    tally = Tally()
    for code in ("E301", "E303", "E301"):
        tally.note_shortage(code)
    tally.note_retry()
    tally.note_worker_started()
    tally.note_worker_started()
    tally.note_worker_recycled()
    told = tally.as_dict()
    assert told["shortages"] == {"E301": 2, "E303": 1}
    assert (told["retries"], told["workers_started"], told["workers_recycled"]) == (1, 2, 1)


def test_predictions_are_compared_with_what_was_measured_by_kind_of_device() -> None:
    tally = Tally()
    tally.note_memory("cuda:0", predicted_bytes=110, measured_bytes=100)
    tally.note_memory("cuda:1", predicted_bytes=80, measured_bytes=100)
    tally.note_memory("cpu", predicted_bytes=100, measured_bytes=100)
    tally.note_memory("cpu", predicted_bytes=100, measured_bytes=0)
    assert tally.as_dict()["memory"] == {
        "cpu": {"count": 1, "mean": 0.0, "worst_below": 0.0, "worst_above": 0.0},
        "cuda": {"count": 2, "mean": 0.15, "worst_below": 0.2, "worst_above": 0.1},
    }


def test_no_prediction_has_no_error() -> None:
    assert MemoryErrors().as_dict() == {"count": 0, "mean": 0.0, "worst_below": 0.0, "worst_above": 0.0}


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 40)), min_size=1, max_size=30))
def test_the_mean_error_is_never_larger_than_the_worst(pairs: list[tuple[int, int]]) -> None:
    errors = MemoryErrors()
    for predicted_bytes, measured_bytes in pairs:
        errors.note(predicted_bytes, measured_bytes)
    worst = max(errors.worst_below, errors.worst_above)
    assert errors.total / errors.count <= worst + 1e-9
    assert errors.worst_below <= 1


def test_what_is_given_away_is_a_copy_of_plain_values() -> None:
    tally = Tally()
    tally.note_task(TaskKind.RENDER, {"decode": 0.1}, frames=1)
    told = tally.as_dict()
    before = json.dumps(told)
    tally.note_task(TaskKind.RENDER, {"decode": 0.2}, frames=1)
    tally.note_cached(("track",), studied=False)
    assert json.dumps(told) == before
    assert tally.as_dict()["stage_s"]["decode"] == pytest.approx(0.3)
