from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd.errors import WrongStateError
from heygemd.jobs.job import BatchRow, InputFile, Lane, RenderOptions
from heygemd.jobs.states import JobState, may_follow
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import NOW, make_job, open_store, pass_through


def test_a_job_comes_back_as_it_went_in(store):
    job = make_job(
        priority=3, published_name="x.mp4", duplicate_of="b", attempts=2, forgiven=1, turn=-0.125, keep_days=0,
        lane=Lane(folder="", most=1), row=BatchRow(batch="b", number=7, row_id="第七"), content_key="k",
        film_sha256="f",
    )  # fmt: skip
    assert store.add(job)
    assert store.get("a") == job
    refused = make_job("f", media=None, state=JobState.FAILED, error_code="E101", error_message="no", claim_dir=None)
    assert store.add(refused)
    assert store.get("f") == refused
    assert store.get("none") is None


@pytest.mark.parametrize("missing", ["video", "audio", "both"])
def test_a_job_that_failed_at_the_door_may_lack_a_file(store, missing):
    absent = {"video": {"video": None}, "audio": {"audio": None}, "both": {"video": None, "audio": None}}[missing]
    job = make_job(state=JobState.FAILED, media=None, error_code="E102", **absent)
    assert store.add(job)
    assert store.get("a") == job
    moved = store.set_claim_dir("a", Path("/r/failed/x"))
    assert {file.path.parent for file in moved.inputs} <= {Path("/r/failed/x")}
    assert store.get("a") == moved


def test_adding_twice_changes_nothing(store):
    assert store.add(make_job())
    store.move("a", JobState.RUNNING, at=NOW)
    assert not store.add(make_job(name="other"))
    assert store.get("a").state is JobState.RUNNING
    assert len(list(store.events())) == 2


def test_a_new_job_is_queued_or_failed(store):
    with pytest.raises(WrongStateError):
        store.add(make_job(state=JobState.RUNNING))


STEPS = st.lists(st.tuples(st.sampled_from(JobState), st.booleans()), max_size=10)


@given(path=STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_store_takes_exactly_the_legal_steps(path, tmp_path_factory):
    state, attempts = JobState.QUEUED, 0
    with structlog.testing.capture_logs() as logs, open_store(tmp_path_factory.mktemp("s")) as store:
        store.add(make_job())
        for then, refund in path:
            legal = may_follow(state, then) and not (refund and (state, then) != (JobState.RUNNING, JobState.QUEUED))
            if legal:
                attempts += 1 if then is JobState.RUNNING else -refund
                state = then
                moved = store.move("a", then, at=NOW, refund=refund)
                assert (moved.state, moved.attempts) == (state, attempts)
                assert moved == store.get("a")
            else:
                with pytest.raises(WrongStateError):
                    store.move("a", then, at=NOW, refund=refund)
                assert store.get("a").state is state
        events = list(store.events())
    assert [(e.job_id, e.state) for e in events] == [(line["job_id"], line["state"]) for line in logs]
    assert [line["event"] for line in logs] == ["job.added"] + ["job.moved"] * (len(logs) - 1)
    assert events[-1].state is state


def test_moving_an_unknown_job_is_refused(store):
    with pytest.raises(WrongStateError, match="no job"):
        store.move("a", JobState.RUNNING, at=NOW)
    with pytest.raises(WrongStateError):
        store.strike("a")
    with pytest.raises(WrongStateError):
        store.set_claim_dir("a", None)


def test_the_error_of_a_retry_stays_in_its_event(store):
    store.add(make_job())
    store.move("a", JobState.RUNNING, at=NOW)
    later = NOW + timedelta(minutes=1)
    job = store.move("a", JobState.QUEUED, at=NOW, error_code="E301", error_message="full", not_before=later)
    assert (job.error_code, job.not_before, job.attempts) == (None, later, 1)
    assert list(store.events())[-1].error_code == "E301"
    store.move("a", JobState.RUNNING, at=NOW)
    assert store.move("a", JobState.FAILED, at=NOW, error_code="E500", error_message="bug").error_code == "E500"
    again = store.move("a", JobState.QUEUED, at=NOW)
    assert (again.error_code, again.error_message, again.attempts) == (None, None, 2)


def test_strikes_count_up_and_are_cleared(store):
    store.add(make_job())
    assert [store.strike("a"), store.strike("a")] == [1, 2]
    store.clear_strikes("a")
    assert store.get("a").strikes == 0


def test_the_published_name_is_chosen_once(store):
    store.add(make_job())
    assert store.set_published_name("a", "x.mp4") == "x.mp4"
    assert store.set_published_name("a", "x.v2.mp4") == "x.mp4"
    store.clear_published_name("a")
    assert store.set_published_name("a", "x.v2.mp4") == "x.v2.mp4"
    store.move("a", JobState.RUNNING, at=NOW)
    store.move("a", JobState.DONE, at=NOW)
    with pytest.raises(WrongStateError):
        store.clear_published_name("a")


def test_inputs_follow_the_claim_folder(store):
    shared = InputFile(name="_default.wav", path=Path("/elsewhere/_default.wav"), size_bytes=1, sha256="")
    store.add(make_job(audio=shared))
    job = store.set_claim_dir("a", Path("/r/failed/x"))
    assert job.video.path == Path("/r/failed/x/你好.mp4")
    assert job.audio.path == shared.path
    gone = store.set_claim_dir("a", None)
    assert gone.claim_dir is None
    assert gone.video.path == Path("/r/failed/x/你好.mp4")
    assert store.get("a") == gone


def test_recover_puts_every_running_job_back(store):
    for job_id in "abc":
        store.add(make_job(job_id))
    for job_id in "ab":
        store.move(job_id, JobState.RUNNING, at=NOW)
    assert [(job.id, job.state, job.attempts) for job in store.recover(NOW)] == [
        ("a", JobState.QUEUED, 1),
        ("b", JobState.QUEUED, 1),
    ]
    last = list(store.events())[-2:]
    assert [event.state for event in last] == [JobState.QUEUED] * 2
    assert [event.seq for event in store.events(after_seq=last[0].seq)] == [last[1].seq]
    assert store.recover(NOW) == []


# What people put back -----------------------------------------------------------------------------------------------

FRESH_CLAIM = Path("/root-of-people/processing/你好__bbbbbbbb")
FRESH = make_job(
    "fresh", video=InputFile(name="你好.mov", path=FRESH_CLAIM / "你好.mov", size_bytes=9, sha256="ef"),
    audio=InputFile(name="你好.wav", path=FRESH_CLAIM / "你好.wav", size_bytes=8, sha256="cd"),
    options=RenderOptions(crf=30), claim_dir=FRESH_CLAIM, queued_at=NOW + timedelta(days=1),
    not_before=NOW + timedelta(days=1), priority=2, turn=77.5, lane=Lane(folder="sub", most=3), keep_days=5,
    content_key="fresh key", name="another name", folder="elsewhere", row=BatchRow(batch="other", number=9),
)  # fmt: skip


def failed_twice(store: JobStore, **changes: object) -> None:
    """Leave job a failed after two attempts, with everything that a try leaves behind."""
    store.add(make_job(row=BatchRow(batch="b", number=4, row_id="ep04"), content_key="old key", **changes))
    pass_through(store, "a", "running", "queued", "running")
    store.strike("a")
    store.set_published_name("a", "x.mp4")
    store.set_film("a", "f" * 64)
    store.move("a", JobState.FAILED, at=NOW, error_code="E502", error_message="no")


def test_a_job_that_was_put_back_is_queued_with_what_lies_there_now(store):
    failed_twice(store)
    old = store.get("a")
    job = store.requeue("a", FRESH, at=NOW + timedelta(days=1))
    assert job == store.get("a")
    assert job == replace(
        FRESH, id="a", name=old.name, folder=old.folder, row=old.row, attempts=2, forgiven=2, state=JobState.QUEUED
    )
    assert (job.error_code, job.strikes, job.published_name, job.film_sha256, job.duplicate_of) == (
        None, 0, None, None, None,
    )  # fmt: skip
    last = store.events_of("a")[-1]
    assert (last.state, last.at, last.attempts) == (JobState.QUEUED, FRESH.queued_at, 2)
    assert store.ended(5) == []


def test_a_cancelled_job_can_be_put_back_too(store):
    store.add(make_job())
    pass_through(store, "a", "cancelled")
    assert store.requeue("a", FRESH, at=NOW).state is JobState.QUEUED


def test_a_claim_that_is_announced_again_after_a_crash_changes_nothing_more(store):
    failed_twice(store)
    job = store.requeue("a", FRESH, at=NOW)
    count = len(list(store.events()))
    assert store.requeue("a", FRESH, at=NOW) == job
    pass_through(store, "a", "running", "failed")
    assert store.requeue("a", FRESH, at=NOW).state is JobState.FAILED, "also when it has failed again meanwhile"
    assert len(list(store.events())) == count + 2
    assert not store.add(FRESH), "a claim that put a job back never becomes a job of its own"
    assert store.ids() == {"a", "fresh"}
    assert store.requeue("a", replace(FRESH, id="fresher"), at=NOW).forgiven == 3


@pytest.mark.parametrize("state", ["queued", "running", "done"])
def test_a_job_that_has_not_failed_is_not_put_back(store, state):
    store.add(make_job())
    pass_through(store, "a", *{"queued": (), "running": ("running",), "done": ("running", "done")}[state])
    before = store.get("a")
    assert store.requeue("a", FRESH, at=NOW) is None
    assert store.get("a") == before
    assert store.add(FRESH), "then it is a new job"


def test_an_unknown_job_one_of_another_root_or_a_bad_claim_is_not_put_back(store):
    failed_twice(store)
    before = store.get("a")
    assert store.requeue("nobody", FRESH, at=NOW) is None
    assert store.requeue("a", replace(FRESH, root="another"), at=NOW) is None
    refused = replace(FRESH, state=JobState.FAILED, media=None, error_code="E101")
    assert store.requeue("a", refused, at=NOW) is None
    store.add(FRESH)
    assert store.requeue("a", FRESH, at=NOW) is None, "it is a job of its own already"
    assert store.get("a") == before
    assert store.ids() == {"a", "fresh"}


# Films of others ----------------------------------------------------------------------------------------------------


def test_a_job_becomes_a_duplicate_and_can_be_made_its_own_again(store):
    store.add(make_job())
    store.set_duplicate_of("a", "b")
    assert store.get("a").duplicate_of == "b"
    store.set_duplicate_of("a", None)
    assert store.get("a").duplicate_of is None
    with pytest.raises(WrongStateError):
        store.set_duplicate_of("a", "a")
    pass_through(store, "a", "running", "done")
    with pytest.raises(WrongStateError):
        store.set_duplicate_of("a", "b")


def test_the_film_s_hash_is_stored_while_the_job_runs(store):
    store.add(make_job())
    with pytest.raises(WrongStateError):
        store.set_film("a", "f" * 64)
    pass_through(store, "a", "running")
    store.set_film("a", "f" * 64)
    done = pass_through(store, "a", "done")
    assert done.film_sha256 == "f" * 64


def test_an_event_keeps_what_the_job_was_a_duplicate_of_then(store):
    store.add(make_job(duplicate_of="b"))
    pass_through(store, "a", "cancelled")
    store.requeue("a", FRESH, at=NOW)
    assert [event.duplicate_of for event in store.events_of("a")] == ["b", "b", None]


def test_the_event_offset_never_goes_back(store):
    assert store.event_offset() == 0
    store.set_event_offset(7)
    store.set_event_offset(3)
    assert store.event_offset() == 7
