"""The end of every job, with a real store, a real root and errands that are done at once."""

import json
import select
import time
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from heygemd.daemon.errands import Answer, open_nursery
from heygemd.daemon.handover import PAUSE_S, Handover
from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.log import LogChoice
from heygemd.scheduler.outcome import JobFailed
from heygemd.settings import OutboxSettings

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
FILM = b"the film"
DISK_FULL = Answer(error=ResourceError("E202", "the disk is full"))
PUBLISHED = ["anna.jpg", "anna.mp4", "anna.mp4.json"]


def test_a_film_is_published_and_its_inputs_archived(bench, running, film, errands):
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert errands.done == ["choose_name", "deliver", "archive_inputs"]
    assert bench.tree(bench.root.outbox) == PUBLISHED
    assert (bench.root.outbox / "anna.mp4").read_bytes() == FILM
    report = json.loads((bench.root.outbox / "anna.mp4.json").read_text())
    assert (report["state"], report["output"], report["job"]) == ("done", "anna.mp4", running.id)
    assert bench.tree(bench.root.done / "2025-01-31") == ["anna__abcdefg2/anna.mp4", "anna__abcdefg2/anna.wav"]
    job = bench.store.get(running.id)
    assert (job.state, job.published_name, job.claim_dir) == (JobState.DONE, "anna.mp4", None)
    assert bench.handover.is_idle()


def test_an_end_is_told_once_in_the_log(bench, film):
    with capture_logs() as logs:
        bench.handover.film_ready(film)
        bench.settle()
    assert [line["event"] for line in logs if line["event"].startswith("job.e")] == ["job.ended"]
    (published,) = [line for line in logs if line["event"] == "outbox.published"]
    assert published["already"] is False


def test_a_step_at_a_time_and_the_loop_can_wait_for_it(bench, running, film, errands):
    errands.is_slow = True
    bench.handover.film_ready(film)
    assert bench.handover.filenos() == []
    assert bench.settle() == ()
    assert (errands.done, bench.handover.filenos()) == (["choose_name"], [99])
    assert not bench.handover.is_idle()


@pytest.mark.parametrize("step", ["choose_name", "deliver", "archive_inputs"])
def test_an_environment_fault_pauses_and_goes_on_by_itself(bench, running, film, errands, step):
    errands.mishaps[step].append(DISK_FULL)
    bench.handover.film_ready(film)
    with capture_logs() as logs:
        assert bench.settle() == ()
        assert bench.handover.pauses() == {running.id: "E202 the disk is full"}
        before = list(errands.done)
        bench.clock.now_s += PAUSE_S - 0.1
        bench.settle()
        assert errands.done == before, "not before the pause is over"
        bench.clock.now_s += 0.1
        assert bench.settle() == (running.id,)
    assert [line["event"] for line in logs].count("outbox.paused") == 1
    assert bench.handover.pauses() == {}
    assert bench.tree(bench.root.outbox) == PUBLISHED


def test_an_environment_fault_never_fails_a_job(bench, running, film, errands):
    errands.mishaps["deliver"].extend([DISK_FULL] * 30)
    bench.handover.film_ready(film)
    for _ in range(30):
        bench.settle(3)
        assert bench.store.get(running.id).state is JobState.RUNNING
        bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).state is JobState.DONE


def test_a_share_that_is_away_is_waited_for(bench, running, film, tmp_path):
    bench.root.path.rename(tmp_path / "away")
    bench.handover.film_ready(film)
    bench.settle()
    assert bench.handover.pauses()[running.id].startswith("E201 ")
    (tmp_path / "away").rename(bench.root.path)
    bench.wait()
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.outbox) == PUBLISHED


def test_a_name_that_is_taken_before_the_delivery_is_exchanged_for_another(bench, running, film, errands):
    errands.before["deliver"] = lambda: (bench.root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert errands.done == ["choose_name", "deliver", "choose_name", "deliver", "archive_inputs"]
    assert (bench.root.outbox / "anna.mp4").read_bytes() == b"somebody else's"
    assert (bench.root.outbox / "anna.v2.mp4").read_bytes() == FILM
    assert bench.store.get(running.id).published_name == "anna.v2.mp4"
    assert json.loads((bench.root.outbox / "anna.v2.mp4.json").read_text())["output"] == "anna.v2.mp4"


def test_a_name_that_must_not_be_taken_fails_the_job(open_bench, running, film):
    bench = open_bench(on_clash="fail")
    (bench.root.outbox / "anna.mp4").write_bytes(b"somebody else's")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    job = bench.store.get(running.id)
    assert (job.state, job.error_code, job.claim_dir) == (JobState.FAILED, "E106", None)
    assert bench.tree(bench.root.outbox) == ["anna.mp4"]
    (folder,) = bench.root.failed.iterdir()
    assert bench.tree(folder) == ["REASON.txt", "anna.mp4", "anna.wav", "error.json"]
    assert "E106" in (folder / "REASON.txt").read_bytes().decode("utf-8-sig")


def test_a_film_that_is_not_the_verified_one_fails_the_job(bench, running, film):
    film.plan.film_file.write_bytes(b"other bytes")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).error_code == "E502"
    assert bench.tree(bench.root.outbox) == []


def test_inputs_are_deleted_when_that_is_wanted(open_bench, running, film):
    bench = open_bench(originals="delete")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert bench.tree(bench.root.done) == bench.tree(bench.root.processing) == []


def test_a_failed_job_goes_to_failed_with_reason_and_traceback(bench, running):
    bench.handover.job_failed(JobFailed(job_id=running.id, code="E500", message="a bug", traceback="line 7"))
    assert bench.store.get(running.id).state is JobState.FAILED, "at once: a crash must not lose it"
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).claim_dir is None
    (folder,) = bench.root.failed.iterdir()
    assert bench.tree(folder) == ["REASON.txt", "anna.mp4", "anna.wav", "error.json"]
    assert json.loads((folder / "error.json").read_text())["error"]["traceback"] == "line 7"


def test_a_name_chosen_by_an_earlier_run_is_kept(bench, running, film, errands):
    bench.store.set_published_name(running.id, "anna.v7.mp4")
    bench.handover.film_ready(film)
    assert bench.settle() == (running.id,)
    assert "choose_name" not in errands.done
    assert "anna.v7.mp4" in bench.tree(bench.root.outbox)


def test_a_film_delivered_by_an_earlier_run_is_not_delivered_again(open_bench, running, film):
    first = open_bench()
    first.handover.film_ready(film)
    while not (first.root.outbox / "anna.mp4").exists():
        first.handover.tick()
    second = open_bench()
    assert second.store.get(running.id).state is JobState.RUNNING
    with capture_logs() as logs:
        second.handover.film_ready(film)
        assert second.settle() == (running.id,)
    assert second.tree(second.root.outbox) == PUBLISHED
    assert [line["already"] for line in logs if line["event"] == "outbox.published"] == [True]


@pytest.mark.parametrize(
    ("state", "place"),
    [(JobState.DONE, "done/2025-01-31"), (JobState.FAILED, "failed"), (JobState.CANCELLED, "failed")],
)
def test_what_an_earlier_run_left_is_put_away_at_the_next_start(bench, running, state, place):
    bench.store.move(running.id, state, at=NOON, error_code="E131", error_message="no face")
    bench.handover.resume()
    assert not bench.handover.is_idle()
    assert bench.settle() == (running.id,)
    names = bench.tree(bench.root.path / place)
    assert [name for name in names if name.endswith((".mp4", ".wav"))] == [
        "anna__abcdefg2/anna.mp4", "anna__abcdefg2/anna.wav",
    ]  # fmt: skip
    assert ("anna__abcdefg2/REASON.txt" in names) == (place == "failed")
    assert bench.store.get(running.id).claim_dir is None


def test_what_is_put_away_or_still_in_work_is_left_alone(bench, running, store, root, new_job):
    done = new_job(root, 2, "bert")
    store.add(done)
    store.move(done.id, JobState.RUNNING, at=NOON)
    store.move(done.id, JobState.DONE, at=NOON)
    store.set_claim_dir(done.id, None)
    store.add(new_job(root, 3, "carl"))
    bench.handover.resume()
    assert bench.handover.is_idle()


def test_inputs_moved_before_the_crash_are_found_where_they_are(bench, running):
    bench.store.move(running.id, JobState.DONE, at=NOON)
    (bench.root.done / "2025-01-31").mkdir()
    running.claim_dir.rename(bench.root.done / "2025-01-31" / running.claim_dir.name)
    bench.handover.resume()
    assert bench.settle() == (running.id,)
    assert bench.store.get(running.id).claim_dir is None


def test_a_stop_ends_the_step_under_way_and_it_can_be_repeated(bench, running, film, errands):
    errands.is_slow = True
    bench.handover.film_ready(film)
    bench.handover.tick()
    bench.handover.stop()
    assert (errands.ended, bench.handover.filenos()) == (1, [])
    errands.is_slow = False
    assert bench.settle() == (running.id,)


def test_the_same_with_real_errands(store, root, running, film):
    handover = Handover(
        store=store, roots={root.uuid: root}, nursery=open_nursery(LogChoice(level="error")),
        settings=OutboxSettings(), clock=time.monotonic, wall=lambda: NOON,
    )  # fmt: skip
    handover.film_ready(film)
    end_s, put_away = time.monotonic() + 30, ()
    while not put_away and time.monotonic() < end_s:
        put_away = handover.tick()
        if numbers := handover.filenos():
            select.select(numbers, [], [], 1)
    assert put_away == (running.id,)
    assert (root.outbox / "anna.mp4").read_bytes() == FILM
