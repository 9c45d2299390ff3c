from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd.jobs import questions
from heygemd.jobs.job import BatchRow, InputFile, Lane
from heygemd.jobs.rows import row_of
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import CLAIM, NOW, make_job, open_store, pass_through


def test_the_order_of_the_queue_is_turn_then_id(store):
    store.add(make_job("d", turn=5.0))
    store.add(make_job("c", turn=5.5, priority=9))
    store.add(make_job("b", turn=-600.0, queued_at=NOW + timedelta(seconds=1)))
    store.add(make_job("a", turn=5.0))
    store.add(make_job("e", state=JobState.FAILED))
    assert [job.id for job in store.jobs(JobState.QUEUED)] == ["b", "a", "d", "c"]
    assert [job.id for job in store.queue(9)] == ["b", "a", "d", "c"]
    assert [job.id for job in store.jobs(JobState.QUEUED, limit=2)] == ["b", "a"]
    assert [job.id for job in store.queue(2)] == ["b", "a"]
    assert len(store.jobs()) == 5
    assert store.counts() == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 4, JobState.FAILED: 1}


def test_questions_about_one_root_do_not_see_the_others(store):
    for number, (state, root) in enumerate([("done", "r"), ("failed", "r"), ("queued", "r"), ("queued", "other")]):
        store.add(make_job(f"j{number}", root=root))
        for step in {"done": ("running", "done"), "failed": ("failed",)}.get(state, ()):
            store.move(f"j{number}", JobState(step), at=NOW)
    assert [job.id for job in store.unfinished("r")] == ["j2"]
    assert [job.id for job in store.unfinished()] == ["j2", "j3"]
    assert [job.id for job in store.ended(5, "r")] == ["j1", "j0"], "the newest first"
    assert [job.id for job in store.ended(1)] == ["j1"]
    assert store.ended(5, "other") == []
    assert store.counts("other") == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 1}
    assert store.ids() == {"j0", "j1", "j2", "j3"}
    assert store.has_work(["other"])
    assert not store.has_work(["nobody"])
    store.move("j3", JobState.CANCELLED, at=NOW)
    assert not store.has_work(["other"])


def test_what_has_ended_is_to_be_put_away_until_its_folder_is_gone(store):
    store.add(make_job("waits"))
    store.add(make_job("failed", state=JobState.FAILED, error_code="E101"))
    assert [job.id for job in store.to_put_away()] == ["failed"]
    store.set_claim_dir("failed", None)
    assert store.to_put_away() == []


# The queue ----------------------------------------------------------------------------------------------------------


def test_duplicates_wait_in_a_list_of_their_own(store):
    store.add(make_job("a", turn=2.0))
    store.add(make_job("b", turn=1.0, duplicate_of="a"))
    store.add(make_job("c", turn=0.5, duplicate_of="a"))
    assert [job.id for job in store.queue(9)] == ["a"]
    assert [job.id for job in store.duplicates()] == ["c", "b"]
    store.set_duplicate_of("b", None)
    assert [job.id for job in store.queue(9)] == ["b", "a"]


def test_the_queue_of_one_root_does_not_show_the_others(store):
    store.add(make_job("a", root="r"))
    store.add(make_job("b", root="s"))
    assert [job.id for job in store.queue(9, root="s")] == ["b"]


def test_the_queue_goes_on_behind_a_job(store):
    for job_id, turn in [("b", 1.0), ("a", 1.0), ("c", 1.0), ("d", 0.0)]:
        store.add(make_job(job_id, turn=turn))
    assert [job.id for job in store.queue(9, after=store.get("a"))] == ["b", "c"]
    assert store.queue(9, after=store.get("c")) == []


def test_a_full_lane_hides_nobody(store):
    lane = Lane(folder="slow", most=2)
    for number in range(300):
        store.add(make_job(f"slow{number:03d}", turn=float(number), lane=lane))
    store.add(make_job("same name, other root", root="s", turn=400.0, lane=lane))
    store.add(make_job("free", turn=500.0))
    store.add(make_job("raised", turn=600.0, lane=Lane(folder="slow", most=3)))
    busy = {("uuid", "slow"): 2, ("uuid", "else"): 9}
    assert [job.id for job in store.queue(100, busy=busy)] == ["same name, other root", "free", "raised"]
    assert store.queue(1, busy={("uuid", "slow"): 1})[0].id == "slow000"


QUEUED = st.lists(
    st.tuples(
        st.integers(-5, 5), st.sampled_from("rs"), st.sampled_from([None, ("x", 0), ("x", 1), ("y", 2)]), st.booleans()
    ),
    max_size=12,
)
BUSY = st.dictionaries(st.tuples(st.sampled_from("rs"), st.sampled_from("xy")), st.integers(0, 3))


@given(jobs=QUEUED, busy=BUSY, limit=st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_the_queue_is_what_python_would_sort_and_sift(jobs, busy, limit, tmp_path_factory):
    with open_store(tmp_path_factory.mktemp("s")) as store:
        made = [
            make_job(
                f"j{number:02d}", turn=float(turn), root=root, duplicate_of="x" if is_copy else None,
                lane=lane and Lane(folder=lane[0], most=lane[1]),
            )
            for number, (turn, root, lane, is_copy) in enumerate(jobs)
        ]  # fmt: skip
        for job in made:
            store.add(job)
        wanted = [
            job
            for job in sorted(made, key=lambda job: (job.turn, job.id))
            if not job.duplicate_of and not (job.lane and busy.get((job.root, job.lane.folder), 0) >= job.lane.most)
        ]
        assert store.queue(limit, busy=busy) == wanted[:limit]
        if wanted:
            assert store.queue(9, busy=busy, after=wanted[0]) == wanted[1:10]


# Twins --------------------------------------------------------------------------------------------------------------


def test_the_twin_is_done_rather_than_running_and_running_rather_than_queued(store):
    def twin() -> str | None:
        found = store.twin_of("uuid", "k", but="me")
        return found and found.id

    store.add(make_job("me", content_key="k", turn=-9.0))
    assert twin() is None, "a job is no twin of itself"
    store.add(make_job("copy", content_key="k", duplicate_of="me"))
    store.add(make_job("late", content_key="k", turn=2.0))
    store.add(make_job("early", content_key="k", turn=1.0))
    store.add(make_job("other film", content_key="l", turn=0.0))
    store.add(make_job("other root", content_key="k", root="s", turn=0.0))
    assert twin() == "early"
    pass_through(store, "late", "running")
    assert twin() == "late"
    pass_through(store, "early", "running", "done")
    assert twin() == "early"
    pass_through(store, "late", "done")
    assert twin() == "late", "the newest of two"
    pass_through(store, "copy", "running", "done")
    assert twin() == "late", "a duplicate is no twin"
    assert store.twin_of("uuid", "m") is None


def test_a_film_that_failed_or_was_cancelled_is_made_again(store):
    store.add(make_job("a", content_key="k"))
    store.add(make_job("b", content_key="k"))
    pass_through(store, "a", "running", "failed")
    pass_through(store, "b", "cancelled")
    assert store.twin_of("uuid", "k") is None


# Folders and files --------------------------------------------------------------------------------------------------


def test_ended_jobs_are_told_in_the_order_in_which_they_ended(store):
    for job_id in "abc":
        store.add(make_job(job_id))
    for job_id in "bca":
        pass_through(store, job_id, "running")
    store.move("b", JobState.FAILED, at=NOW + timedelta(hours=1))
    store.move("a", JobState.DONE, at=NOW)  # the clock was set back
    store.move("c", JobState.CANCELLED, at=NOW)
    assert [job.id for job in store.ended(9)] == ["c", "a", "b"]
    store.move("b", JobState.QUEUED, at=NOW)
    assert [job.id for job in store.ended(9, "uuid")] == ["c", "a"]
    pass_through(store, "b", "cancelled")
    assert [job.id for job in store.ended(2)] == ["b", "c"]


def test_claim_folders_are_those_of_unfinished_jobs(store):
    store.add(make_job("a"))
    store.add(make_job("b", claim_dir=CLAIM.with_name("b__bbbbbbbb")))
    store.add(make_job("c", claim_dir=None))
    store.add(make_job("d", root="s"))
    store.add(make_job("e", state=JobState.FAILED))
    pass_through(store, "b", "running")
    assert store.claim_dirs("uuid") == {"a": CLAIM.name, "b": "b__bbbbbbbb"}


def test_names_of_inputs_that_lie_in_the_claim_folders_of_unfinished_jobs(store):
    shared = InputFile(name="_default.mp4", path=Path("/r/.heygemd/shared/ab"), size_bytes=1, sha256="ab")
    for job_id, changes in {"a": {}, "b": {"video": shared}, "c": {"claim_dir": None}, "d": {"root": "s"}}.items():
        store.add(make_job(job_id, **changes))
    assert store.claimed_names("uuid") == {"a": ("你好.mp4", "你好.wav"), "b": ("你好.wav",)}
    pass_through(store, "a", "running", "done")
    assert store.claimed_names("uuid") == {"b": ("你好.wav",)}


def test_inputs_are_needed_until_they_are_put_away(store):
    shared = InputFile(name="_default.mp4", path=Path("/r/.heygemd/shared/ab"), size_bytes=1, sha256="ab")
    own = {f"{CLAIM}/你好.mp4", f"{CLAIM}/你好.wav"}
    store.add(make_job("a", video=shared))
    store.add(make_job("b", video=None, state=JobState.FAILED, root="s"))
    assert store.input_paths("uuid") == {str(shared.path), f"{CLAIM}/你好.wav"}
    assert store.input_paths("s") == {f"{CLAIM}/你好.wav"}
    pass_through(store, "a", "running", "done")
    assert str(shared.path) in store.input_paths("uuid"), "its folder still lies in processing/"
    store.set_claim_dir("a", None)
    assert store.input_paths("uuid") == set()
    store.add(make_job("c"))
    assert store.input_paths("uuid") == own


def test_own_keeping_times_are_found_by_the_end_of_the_folder_s_name(store):
    job = "20260101T000000000-aaaaaaaabb"
    store.add(make_job(job, keep_days=3))
    store.add(make_job("20260101T000000000-ccccccccdd", state=JobState.FAILED))
    assert store.keeps("uuid") == {}, "only ended jobs count, and of these only those that say something"
    pass_through(store, job, "running", "failed")
    assert store.keeps("uuid") == {"aaaaaaaa": 3}
    fresh = make_job("20260101T000000000-eeeeeeeeff", keep_days=0)
    store.requeue(job, fresh, at=NOW)
    assert store.keeps("uuid") == {}
    pass_through(store, job, "running", "done")
    assert store.keeps("uuid") == {"aaaaaaaa": 0, "eeeeeeee": 0}, "its folder has the name of the later claim"
    assert store.keeps("s") == {}


@pytest.mark.parametrize(("days", "kept"), [((3, 9, 5), 9), ((3, 0, 5), 0)])
def test_the_folder_of_a_batch_is_kept_as_long_as_any_of_its_jobs_asks(store, days, kept):
    for number, keep_days in enumerate(days, 1):
        row = BatchRow(batch="20260101T000000000-bbbbbbbbcc", number=number)
        store.add(make_job(f"j-{number}", row=row, keep_days=keep_days, state=JobState.FAILED))
    assert store.keeps("uuid")["bbbbbbbb"] == kept


# A long history -----------------------------------------------------------------------------------------------------

HISTORY = 20_000


@pytest.fixture(scope="module")
def old_store(tmp_path_factory):
    """20,000 jobs have ended; three are queued, one of them a duplicate, and one runs."""
    with open_store(tmp_path_factory.mktemp("old")) as store:
        row = row_of(make_job(claim_dir=None)) | {"state": "done"}
        names = ", ".join(f":{name}" for name in [*row, "ended_seq"])
        with store._db.transaction():
            store._db._db.executemany(
                f"INSERT INTO job ({', '.join(row)}, ended_seq) VALUES ({names})",
                ({**row, "id": f"h{number:05d}", "ended_seq": number} for number in range(HISTORY)),
            )
        store.add(make_job("a", turn=1.0, content_key="k", lane=Lane(folder="x", most=1)))
        store.add(make_job("b", turn=2.0, duplicate_of="a"))
        store.add(make_job("c", turn=3.0))
        store.add(make_job("d", row=BatchRow(batch="b1", number=1, row_id="i")))
        pass_through(store, "d", "running")
        yield store


QUESTIONS = {
    "queue": lambda store: store.queue(100, busy={("uuid", "x"): 1}),
    "queue of a root": lambda store: store.queue(100, root="uuid"),
    "duplicates": lambda store: store.duplicates(),
    "running": lambda store: store.jobs(JobState.RUNNING),
    "unfinished": lambda store: store.unfinished("uuid"),
    "unfinished everywhere": lambda store: store.unfinished(),
    "to put away": lambda store: store.to_put_away(),
    "claim folders": lambda store: store.claim_dirs("uuid"),
    "claimed names": lambda store: store.claimed_names("uuid"),
    "input paths": lambda store: store.input_paths("uuid"),
    "kept": lambda store: store.keeps("uuid"),
    "twin": lambda store: store.twin_of("uuid", "k"),
    "has work": lambda store: store.has_work(["uuid"]),
    "ended": lambda store: store.ended(20),
    "ended of a root": lambda store: store.ended(20, "uuid"),
    "event lines": lambda store: store.event_lines(0, 100),
    "rows of a batch": lambda store: store.rows_of_batch("b1"),
    "jobs of a batch": lambda store: store.jobs_of_batch("b1"),
    "row before": lambda store: store.row_before("uuid", "", "lines", "i"),
    "open batches": lambda store: store.open_batches("uuid"),
    "oldest waiting": lambda store: store.oldest_waiting(),
    "open requests": lambda store: store.requests.open_requests(),
}
STEPS_AT_MOST = 4000
"""Instructions of SQLite's machine: some hundred rows; 20,000 rows would be 100,000 and more."""


def steps_of(store: JobStore, ask) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 10
        return 0

    store._db._db.set_progress_handler(count, 10)
    try:
        ask(store)
    finally:
        store._db._db.set_progress_handler(None, 10)
    return steps


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_long_history_makes_no_question_slow(old_store, name):
    assert steps_of(old_store, QUESTIONS[name]) <= STEPS_AT_MOST


@pytest.mark.parametrize("root", [None, "uuid"])
def test_counts_read_an_index_and_no_jobs(old_store, root):
    statements: list[str] = []
    old_store._db._db.set_trace_callback(statements.append)
    assert old_store.counts(root)[JobState.DONE] == HISTORY
    old_store._db._db.set_trace_callback(None)
    (statement,) = statements
    plan = [row["detail"] for row in old_store._db.all(f"EXPLAIN QUERY PLAN {statement}")]
    assert all("USING COVERING INDEX" in line for line in plan), plan


def test_thousands_in_a_full_lane_are_passed_without_reading_them(old_store, monkeypatch):
    row = row_of(make_job(lane=Lane(folder="x", most=1), video=None, audio=None))
    names = ", ".join(f":{name}" for name in row)
    with old_store._db.transaction():
        old_store._db._db.executemany(
            f"INSERT INTO job ({', '.join(row)}) VALUES ({names})", ({**row, "id": f"q{n:05d}"} for n in range(10_000))
        )
    try:
        values = dict.fromkeys(("busy", "turn", "id", "limit"))
        plan = old_store._db.all(f"EXPLAIN QUERY PLAN {questions._queue_sql(None, None)}", values)
        assert any("USING INDEX job_waiting" in line["detail"] for line in plan), plan
        assert not any("USE TEMP B-TREE" in line["detail"] for line in plan), plan
        parsed = []
        job_of = questions.job_of
        monkeypatch.setattr(questions, "job_of", lambda row: parsed.append(row) or job_of(row))
        assert [job.id for job in old_store.queue(100, busy={("uuid", "x"): 1})] == ["c"]
        assert len(parsed) == 1
        (c,) = old_store.queue(100, busy={("uuid", "x"): 1})
        assert old_store.queue(100, root=c.root, folder=c.folder, busy={("uuid", "x"): 1}) == [c]
        assert (c.root, c.folder) in old_store.waiting_folders()
        assert steps_of(old_store, lambda store: store.waiting_folders()) <= STEPS_AT_MOST
        assert steps_of(old_store, QUESTIONS["duplicates"]) <= STEPS_AT_MOST
        assert steps_of(old_store, QUESTIONS["to put away"]) <= 10_000 * 20, "an index, and no job"
    finally:
        with old_store._db.transaction():
            old_store._db.execute("DELETE FROM job WHERE id LIKE 'q%'")


def test_the_folders_that_wait_are_told_once_each_and_their_queues_do_not_mix(store):
    for number, (root, folder) in enumerate([("r", "b"), ("r", "a"), ("s", ""), ("r", "b")]):
        store.add(make_job(f"j{number}", root=root, folder=folder))
    store.add(make_job("copy", root="t", duplicate_of="j0"))
    store.add(make_job("failed", root="u", state=JobState.FAILED))
    assert store.waiting_folders() == [("r", "a"), ("r", "b"), ("s", "")]
    assert [job.id for job in store.queue(9, root="r", folder="b")] == ["j0", "j3"]
    assert store.queue(9, root="s", folder="b") == []
    for number in range(4):
        store.move(f"j{number}", JobState.CANCELLED, at=NOW)
    assert store.waiting_folders() == []


def test_the_oldest_is_who_has_waited_longest_and_not_who_has_the_oldest_name(store):
    assert store.oldest_waiting() is None
    store.add(make_job("a", queued_at=NOW + timedelta(hours=2)))  # was put back by a person
    store.add(make_job("b", queued_at=NOW + timedelta(hours=1), duplicate_of="a"))
    store.add(make_job("c", queued_at=NOW))
    assert store.oldest_waiting() == NOW
    store.move("c", JobState.RUNNING, at=NOW)
    assert store.oldest_waiting() == NOW + timedelta(hours=1)
    store.move("c", JobState.QUEUED, at=NOW)
    assert store.oldest_waiting() == NOW
    for job in "abc":
        store.move(job, JobState.CANCELLED, at=NOW)
    assert store.oldest_waiting() is None
