"""What comes in the way of a handover: bugs, a full disk, a root nobody serves, a job that fails on its way out."""

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from heygemd.daemon.errands import Answer, open_nursery
from heygemd.daemon.handover import MAX_FAULTS
from heygemd.daemon.loop import Daemon
from heygemd.daemon.notify import ServiceManager
from heygemd.daemon.reload import Reloader
from heygemd.errors import FaultError, ResourceError, SetupError
from heygemd.jobs.states import JobState
from heygemd.log import LogChoice
from heygemd.scheduler.outcome import JobFailed
from heygemd.settings import OutboxSettings, Settings

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
DISK_FULL = Answer(error=ResourceError("E202", "the disk is full"))
BUG = Answer(fault="Traceback (most recent call last):\n  somewhere\nValueError: a bug\n")
PUBLISHED = ["anna.jpg", "anna.mp4", "anna.mp4.json"]


def test_a_bug_that_stays_fails_the_job_with_its_traceback(bench, running, film, errands):
    errands.mishaps["deliver"].extend([BUG] * MAX_FAULTS)
    bench.handover.film_ready(film)
    for _ in range(MAX_FAULTS - 1):
        assert bench.settle(4) == ()
        assert bench.store.get(running.id).state is JobState.RUNNING
        assert bench.handover.pauses() == {running.id: "ValueError: a bug"}
        bench.wait()
    assert bench.settle() == (running.id,)
    job = bench.store.get(running.id)
    assert (job.state, job.error_code, job.error_message) == (JobState.FAILED, "E500", "ValueError: a bug")
    (told,) = bench.root.failed.glob("*/error.json")
    assert "somewhere" in json.loads(told.read_text())["error"]["traceback"]


def test_bugs_that_pass_are_forgiven(bench, running, film, errands):
    errands.mishaps["choose_name"].extend([BUG] * (MAX_FAULTS - 1))
    errands.mishaps["deliver"].extend([BUG] * (MAX_FAULTS - 1))
    bench.handover.film_ready(film)
    for _ in range(2 * MAX_FAULTS):
        bench.settle(4)
        bench.wait()
    assert bench.store.get(running.id).state is JobState.DONE


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(BUG, id="bug"),
        pytest.param(Answer(error=SetupError("E401", "wrong")), id="setup"),
        pytest.param(Answer(error=FaultError("E500", "x")), id="fault"),
    ],
)
def test_a_film_in_the_outbox_is_never_failed_because_its_inputs_will_not_move(bench, running, film, errands, answer):
    errands.mishaps["archive_inputs"].extend([answer] * 2)
    bench.handover.film_ready(film)
    for _ in range(2):
        assert bench.settle(8) == ()
        bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).state is JobState.DONE
    assert bench.tree(bench.root.processing) == []


def test_one_job_that_waits_does_not_hold_up_another(bench, film, errands, *, tmp_path, new_job, film_of):
    other = new_job(bench.root, 2, "bert")
    bench.store.add(other)
    bench.store.move(other.id, JobState.RUNNING, at=NOON)
    errands.mishaps["choose_name"].append(DISK_FULL)
    bench.handover.film_ready(film)
    bench.handover.film_ready(film_of(other, tmp_path))
    assert bench.settle() == (other.id,)
    assert list(bench.handover.pauses()) == [film.job_id]


def test_a_store_that_is_full_for_a_moment_costs_a_repetition(bench, running, film):
    bench.handover.film_ready(film)
    bench.store.trouble = "move"
    with pytest.raises(ResourceError):
        bench.settle()
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.outbox) == PUBLISHED
    assert bench.store.get(running.id).state is JobState.DONE


def test_a_failure_told_again_after_a_full_disk_is_taken_up(bench, running):
    failed = JobFailed(job_id=running.id, code="E131", message="no face")
    bench.store.trouble = "events_of"
    with pytest.raises(ResourceError):
        bench.handover.job_failed(failed)
    assert bench.store.get(running.id).state is JobState.FAILED
    bench.handover.job_failed(failed)
    assert bench.settle() == (running.id,)


def test_a_job_that_was_put_away_is_told_although_another_met_a_full_disk(bench, running, store, root, new_job):
    other = new_job(root, 2, "bert")
    store.add(other)
    for job in (running, other):
        bench.handover.job_failed(JobFailed(job_id=job.id, code="E131", message="no face"))
    bench.handover.tick()
    store_it = store.set_claim_dir

    troubled, put_away = [], []

    def full_for_the_second(job_id, claim_dir):
        if job_id == other.id and job_id not in troubled:
            troubled.append(job_id)
            raise ResourceError("E202", "disk is full")
        return store_it(job_id, claim_dir)

    store.set_claim_dir = full_for_the_second
    for _ in range(5):
        try:
            put_away += bench.handover.tick()
        except ResourceError:
            continue
    assert sorted(put_away) == sorted([running.id, other.id])


def test_a_job_of_a_root_that_is_not_served_any_more_holds_up_nobody(bench, running, store, root, new_job):
    stray = replace(new_job(root, 2, "bert"), root="gone", state=JobState.FAILED, error_code="E131")
    store.add(stray)
    store.move(running.id, JobState.DONE, at=NOON)
    bench.handover.resume()
    assert bench.settle() == (running.id,)
    assert "not served" in bench.handover.pauses()[stray.id]


def test_an_end_that_an_earlier_run_told_is_not_told_again(open_bench, running):
    with capture_logs() as logs:
        open_bench().handover.job_failed(JobFailed(job_id=running.id, code="E131", message="no face"))
        later = open_bench()
        later.handover.resume()
        later.settle()
    assert [line["event"] for line in logs].count("job.ended") == 1


class IdleScheduler:
    """A scheduler that has nothing more to do."""

    def __init__(self):
        self.discarded = []

    def discard_work(self, job_id):
        self.discarded.append(job_id)


@pytest.fixture
def daemon(store, root, errands, tmp_path):
    """A daemon whose loop does not run; its handover's errands are done at once."""
    settings = Settings(roots=(root.path,), outbox=OutboxSettings(on_clash="fail"))
    daemon = Daemon(
        settings=settings, roots=(root,), absent=(), state_dir=tmp_path, store=store, scheduler=IdleScheduler(),
        nursery=open_nursery(LogChoice(level="error")), locks=ExitStack(),
        manager=ServiceManager({}), reloader=Reloader(None),
    )  # fmt: skip
    yield daemon
    for desk in daemon.desks:
        desk.stop()


def put_away_all(daemon):
    for _ in range(20):
        for job_id in daemon.handover.tick():
            daemon._put_away(job_id)


def test_a_published_film_counts_as_done_and_its_work_is_discarded(daemon, running, film):
    daemon.handover.film_ready(film)
    put_away_all(daemon)
    assert daemon.ledger.ended == {"done": 1, "failed": 0, "cancelled": 0}
    assert daemon.scheduler.discarded == [running.id]


def test_a_job_that_fails_on_its_way_out_counts_as_failed(daemon, root, film):
    (root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    daemon.handover.film_ready(film)
    put_away_all(daemon)
    assert daemon.ledger.ended == {"done": 0, "failed": 1, "cancelled": 0}
    assert sum(daemon.ledger.failures.values()) == 1
