from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from heygemd.daemon.forecast import Allowance, Forecast, InQueue, InWork, forecast

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def at_work(job="r", left_s=30.0, **changes):
    return InWork(job=job, left_s=left_s, **changes)


def waiting(job="q", work_s=60.0, not_before=NOON, most=None):
    lane = None if most is None else Allowance(root="mine", folder="lane", most=most)
    return InQueue(job=job, work_s=work_s, not_before=not_before, lane=lane)


def starts(running, queue, places=1):
    told = forecast(NOON, running, queue, places).starts_at
    return {job: (start - NOON).total_seconds() for job, start in told.items()}


def test_a_job_in_work_is_ready_when_its_work_is_done():
    assert forecast(NOON, [at_work()], [], 1).ready_at == {"r": after(30)}


def test_what_nobody_knows_is_not_promised():
    assert forecast(NOON, [at_work(left_s=None)], [waiting()], 1) == Forecast()


def test_a_film_that_is_being_handed_over_is_ready_and_holds_nobody_up():
    told = forecast(NOON, [at_work("l", None, is_leaving=True, has_worker=False), at_work()], [waiting()], 1)
    assert told.ready_at == {"l": NOON, "r": after(30)}
    assert told.starts_at == {"q": after(30)}


def test_jobs_start_one_after_the_other():
    told = forecast(NOON, [at_work()], [waiting("a"), waiting("b", 10), waiting("c")], 1)
    assert told.starts_at == {"a": after(30), "b": after(90), "c": after(100)}
    assert told.ends_at == after(160)


def test_where_nothing_runs_the_first_jobs_start_now():
    assert starts([], [waiting("a"), waiting("b", 10), waiting("c")], places=2) == {"a": 0, "b": 0, "c": 10}
    assert starts([], [waiting()], places=0) == {"q": 0}


def test_two_jobs_in_work_on_two_places_end_one_by_one():
    running = [at_work("r", 30.0), at_work("s", 100.0)]
    assert starts(running, [waiting("a"), waiting("b")], places=2) == {"a": 30, "b": 90}


def test_a_film_that_has_all_places_gives_all_of_them_back():
    assert starts([at_work()], [waiting("a"), waiting("b")], places=2) == {"a": 30, "b": 30}


def test_more_jobs_in_work_than_places_are_not_forgotten():
    running = [at_work("r", 30.0), at_work("s", 40.0)]
    assert starts(running, [waiting("a"), waiting("b")], places=1) == {"a": 30, "b": 40}


def test_a_job_that_lost_its_worker_comes_before_those_that_wait():
    told = forecast(NOON, [at_work(), at_work("idle", 20, has_worker=False)], [waiting()], 1)
    assert told.ready_at == {"r": after(30), "idle": after(50)}
    assert told.starts_at == {"q": after(50)}
    assert told.ends_at == after(110)


def test_a_job_that_rests_starts_no_sooner_and_lets_others_pass():
    told = forecast(NOON, [at_work()], [waiting("a", not_before=after(500)), waiting("b")], 1)
    assert told.starts_at == {"a": after(500), "b": after(30)}


def test_a_folder_begins_no_more_jobs_than_it_may():
    queue = [waiting("a", most=1), waiting("b", most=1), waiting("c")]
    assert starts([], queue, places=2) == {"a": 0, "b": 60, "c": 0}
    lane = queue[0].lane
    assert starts([at_work(lane=lane), at_work("s", 10)], queue, places=2) == {"a": 30, "b": 90, "c": 10}
    assert starts([at_work("r", 25, lane=lane, has_worker=False)], queue, places=2) == {"a": 25, "b": 85, "c": 0}


def test_a_folder_may_begin_several_jobs():
    queue = [waiting(str(number), most=2) for number in range(5)]
    assert starts([], queue, places=4) == {"0": 0, "1": 0, "2": 60, "3": 60, "4": 120}


def test_a_folder_that_is_stopped_starts_nothing_and_holds_up_nobody():
    told = forecast(NOON, [], [waiting("a", most=0), waiting("b")], 1)
    assert (told.starts_at, told.ends_at) == ({"b": NOON}, None)


def test_behind_a_job_of_unknown_length_its_place_promises_nothing():
    queue = [waiting("a", None), waiting("b"), waiting("c")]
    told = forecast(NOON, [at_work()], queue, 1)
    assert (told.starts_at, told.ends_at) == ({"a": after(30)}, None)
    assert starts([], queue, places=2) == {"a": 0, "b": 0, "c": 60}


def test_what_is_years_away_is_not_promised():
    told = forecast(NOON, [at_work(left_s=1e30)], [waiting()], 1)
    assert told == Forecast()


LANES = st.sampled_from([None, 0, 1, 2, 3])
JOBS = st.lists(st.tuples(st.floats(0, 1e4), LANES, st.floats(0, 1e3)), max_size=25)


@given(st.lists(st.floats(0, 1e4), max_size=4), JOBS, st.integers(1, 5))
def test_no_plan_has_too_many_at_once(lefts, jobs, places):
    running = [at_work(f"r{n}", left_s) for n, left_s in enumerate(lefts)]
    queue = [waiting(str(n), work_s, after(rests_s), most) for n, (work_s, most, rests_s) in enumerate(jobs)]
    begin_s = starts(running, queue, places)
    spans = [(begin_s[str(n)], begin_s[str(n)] + jobs[n][0], jobs[n][1]) for n in range(len(jobs)) if str(n) in begin_s]
    for at_s, _, most in spans:
        now = [span for span in spans if span[0] <= at_s < span[1] - 1e-3]
        assert len(now) + sum(left_s > at_s + 1e-3 for left_s in lefts) <= max(places, len(lefts))
        if most is not None:
            assert sum(span[2] is not None for span in now) <= 3
    for number, (_, most, rests_s) in enumerate(jobs):
        assert (str(number) in begin_s) is (most != 0)
        assert begin_s.get(str(number), 1e9) >= rests_s - 1e-3


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=4), st.lists(st.floats(0, 1e4), max_size=20), st.integers(1, 5))
def test_without_lanes_and_rests_nobody_starts_before_those_in_front(lefts, works, places):
    running = [at_work(f"r{n}", left_s) for n, left_s in enumerate(lefts)]
    told = forecast(NOON, running, [waiting(f"q{n}", work_s) for n, work_s in enumerate(works)], places)
    starts = list(told.starts_at.values())
    assert starts == sorted(starts)
    assert len(starts) == len(works)
    assert told.ends_at >= max([NOON, *starts])
