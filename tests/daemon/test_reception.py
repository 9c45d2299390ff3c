"""What arrives becomes a job once, and what people do in `processing/` is carried out."""

from dataclasses import replace

import pytest

from heygemd.daemon.batchbook import BatchBook
from heygemd.daemon.clerk import Noticed
from heygemd.daemon.reception import Reception
from heygemd.daemon.twins import Twins
from heygemd.errors import ResourceError, SetupError
from heygemd.intake.findings import Absent, Arrival, Findings, KnownRows
from heygemd.jobs.batch import Batch, BatchKind, Row, Wanted
from heygemd.jobs.job import BatchRow
from heygemd.jobs.states import JobState
from heygemd.scheduler.outcome import JobFailed
from tests.daemon.conftest import NOON, _new_job

BATCH_ID = "20250131T070000000-bbbbbbbb22"


class Desk:
    """What the reception asks of a front desk."""

    def __init__(self, root):
        self.root, self.stored, self.rows, self.closing, self.findings = root, (), [], {}, None

    def note_stored(self, job_ids):
        self.stored += job_ids

    def note_rows(self, known):
        self.rows.append(known)

    def close_batch(self, closing):
        self.closing[closing.batch] = closing


class Clerk:
    def __init__(self):
        self.notes, self.reports = {}, []

    def note(self, claim_name, text):
        self.notes[claim_name] = text

    def report(self, batch, report):
        self.reports.append(report)


class IdleScheduler:
    def __init__(self):
        self.cancelled, self.forgotten = [], []

    def progress(self):
        return ()

    def cancel(self, job_id):
        self.cancelled.append(job_id)

    def forget(self, job_id):
        self.forgotten.append(job_id)


def refuse(wanted):
    raise SetupError("E402", "no duplicates in these tests")


@pytest.fixture
def place(bench, root, errands, monkeypatch):
    from heygemd.daemon import batchbook as module

    monkeypatch.setattr(module, "Errand", errands)
    clerk, scheduler = Clerk(), IdleScheduler()
    book = BatchBook(bench.store, None, bench.clock, lambda: NOON)
    reception = Reception(
        store=bench.store, scheduler=scheduler, handover=bench.handover, batches=book, aging_s=600.0,
        twins=Twins(bench.store, bench.handover, refuse), clerks={root.uuid: clerk},
    )  # fmt: skip
    reception.clerk, reception.desk, reception.book = clerk, Desk(root), book
    return reception


def arrive(place, *jobs, retry_of=None, **found):
    place.receive(place.desk, Findings(arrivals=tuple(Arrival(job=job, retry_of=retry_of) for job in jobs), **found))


def test_an_arrival_is_stored_once_and_acknowledged_each_time(place, bench, root):
    job = _new_job(root)
    arrive(place, job)
    arrive(place, job)
    assert [known.id for known in bench.store.jobs()] == [job.id]
    assert place.desk.stored == (job.id, job.id)
    assert "CANCEL" in place.clerk.notes[job.claim_dir.name]


def test_a_higher_priority_has_an_earlier_turn(place, bench, root):
    arrive(place, replace(_new_job(root, 1), priority=0), replace(_new_job(root, 2, "ben"), priority=2))
    assert [job.name for job in bench.store.queue(5)] == ["ben", "anna"]
    turns = {job.name: job.turn for job in bench.store.jobs()}
    assert turns["anna"] - turns["ben"] == 1200


def test_what_failed_at_the_door_is_put_away_with_its_reason(place, bench, root):
    job = replace(_new_job(root), state=JobState.FAILED, error_code="E102", error_message="no sound", audio=None)
    arrive(place, job)
    bench.settle()
    assert "REASON.txt" in " ".join(bench.tree(root.failed))


def failed_job(bench, root):
    job = _new_job(root)
    bench.store.add(job)
    bench.store.move(job.id, JobState.RUNNING, at=NOON)
    bench.handover.job_failed(JobFailed(job_id=job.id, code="E131", message="no face"))
    bench.settle()
    return bench.store.get(job.id)


def test_a_job_that_was_put_back_runs_again_with_its_attempts(place, bench, root):
    old = failed_job(bench, root)
    fresh = replace(_new_job(root, 5, "again"), name="anna")
    arrive(place, fresh, retry_of=old.id)
    job = bench.store.get(old.id)
    assert (job.state, job.attempts, job.forgiven, job.claim_dir) == (JobState.QUEUED, 1, 1, fresh.claim_dir)
    assert bench.store.get(fresh.id) is None
    assert place.scheduler.forgotten == [old.id]
    arrive(place, fresh, retry_of=old.id)
    assert len(bench.store.jobs()) == 1, "told twice"


def test_a_job_that_was_put_back_before_it_was_put_away_is_not_put_away(place, bench, root):
    job = _new_job(root)
    bench.store.add(job)
    bench.store.move(job.id, JobState.RUNNING, at=NOON)
    bench.handover.job_failed(JobFailed(job_id=job.id, code="E131", message="no face"))
    fresh = _new_job(root, 5, "again")
    arrive(place, fresh, retry_of=job.id)
    bench.settle()
    assert bench.store.get(job.id).claim_dir == fresh.claim_dir
    assert fresh.claim_dir.is_dir()


@pytest.mark.parametrize("known", ["nothing", "a running job"])
def test_a_ticket_that_leads_nowhere_makes_a_new_job(place, bench, root, known):
    other = _new_job(root, 3, "other")
    if known == "a running job":
        bench.store.add(other)
    fresh = _new_job(root, 5, "again")
    arrive(place, fresh, retry_of=other.id)
    assert bench.store.get(fresh.id).state is JobState.QUEUED


@pytest.mark.parametrize("sign", ["cancelled", "taken_away"])
def test_what_people_cancel_is_cancelled_and_its_folder_explained(place, bench, root, sign):
    job = _new_job(root)
    arrive(place, job)
    place.obey(Noticed(**{sign: (job.id,)}), place.desk)
    bench.settle()
    assert bench.store.get(job.id).state is JobState.CANCELLED
    assert place.scheduler.cancelled == [job.id]
    assert "REASON.txt" in " ".join(bench.tree(root.failed))


def test_a_film_on_its_way_out_is_past_cancelling(place, bench, running, film):
    bench.handover.film_ready(film)
    place.obey(Noticed(cancelled=(running.id,)), place.desk)
    bench.settle()
    assert bench.store.get(running.id).state is JobState.DONE


def test_a_job_that_has_ended_is_not_cancelled(place, bench, root):
    old = failed_job(bench, root)
    place.obey(Noticed(taken_away=(old.id, "20250131T080000001-unknown222")), place.desk)
    assert bench.store.get(old.id).state is JobState.FAILED


# Batches -------------------------------------------------------------------------------------------------------------


def a_batch(root, rows=2, **changes):
    claim = root.processing / "m__bbbbbbbb"
    claim.mkdir(exist_ok=True)
    made = tuple(
        Row(number=number, row_id=f"e{number}", video=Wanted(path="v.mp4"), audio=Wanted(path=f"{number}.wav"),
            film_folder="m", film_name=f"e{number}")
        for number in range(1, rows + 1)
    )  # fmt: skip
    plain = {
        "id": BATCH_ID, "root": root.uuid, "kind": BatchKind.MANIFEST, "name": "m", "folder": "", "claim_dir": claim,
        "accepted_at": NOON, "rows": made,
    }  # fmt: skip
    return Batch(**(plain | changes))


def row_job(root, number):
    job = _new_job(root, number, f"e{number}")
    return replace(job, folder="m", row=BatchRow(batch=BATCH_ID, number=number, row_id=f"e{number}"))


def tick(place, root, times=5):
    for _ in range(times):
        place.book.tick({root.uuid: place.desk}, {root.uuid: place.clerk})
        place.handover._clock.now_s += 5


def finish(bench, job):
    bench.store.move(job.id, JobState.FAILED, at=NOON, error_code="E131", error_message="no face")
    bench.handover.put_away(bench.store.get(job.id))
    bench.settle()


def test_a_batch_is_stored_and_the_desk_is_told_which_rows_are_jobs(place, root):
    arrive(place, batches=(a_batch(root),))
    arrive(place, row_job(root, 1), batches=(a_batch(root),))
    assert place.desk.rows == [KnownRows(batch=BATCH_ID), KnownRows(batch=BATCH_ID, rows=frozenset({1}))]


def test_a_batch_is_closed_when_its_last_job_has_ended(place, bench, root):
    arrive(place, batches=(a_batch(root),))
    jobs = [row_job(root, number) for number in (1, 2)]
    arrive(place, *jobs)
    tick(place, root)
    assert place.clerk.reports[-1].totals["queued"] == 2
    finish(bench, jobs[0])
    tick(place, root)
    assert place.desk.closing == {}
    finish(bench, jobs[1])
    tick(place, root)
    assert set(place.desk.closing) == {BATCH_ID}
    assert not place.book.is_idle
    assert (root.outbox / "m.report.json").exists()
    place.desk.findings = Findings(closed=(BATCH_ID,))
    tick(place, root, 1)
    assert place.book.is_idle
    assert bench.store.open_batches() == []


def test_an_ended_batch_is_not_stopped_by_a_new_start_that_finds_its_folder_put_away(place, bench, root):
    arrive(place, batches=(a_batch(root),))
    jobs = [row_job(root, number) for number in (1, 2)]
    arrive(place, *jobs)
    for job in jobs:
        assert set(place.book.folders(root)) == {BATCH_ID}
        finish(bench, job)
    book = BatchBook(bench.store, None, bench.clock, lambda: NOON)  # the power was cut before the store knew
    book.tick({root.uuid: place.desk}, {root.uuid: place.clerk})
    assert not book.is_idle
    assert book.folders(root) == {}, "there is nothing that people could stop"


def test_cancelling_a_batch_cancels_its_jobs_and_stops_its_rows(place, bench, root):
    arrive(place, batches=(a_batch(root),))
    arrive(place, row_job(root, 1))
    assert place.book.folders(root) == {BATCH_ID: "m__bbbbbbbb"}
    place.obey(Noticed(cancelled=(BATCH_ID,)), place.desk)
    bench.settle()
    assert place.desk.rows[-1] == KnownRows(batch=BATCH_ID, rows=frozenset({1}), is_stopped=True)
    assert [job.state for job in bench.store.jobs()] == [JobState.CANCELLED]
    tick(place, root)
    assert set(place.desk.closing) == {BATCH_ID}
    assert [row.state for row in place.clerk.reports[-1].rows] == ["cancelled", "cancelled"]


def test_a_full_disk_in_the_middle_of_a_cancelled_batch_leaves_no_job_behind(place, bench, root):
    arrive(place, batches=(a_batch(root),))
    arrive(place, row_job(root, 1), row_job(root, 2))
    bench.store.trouble = "move"
    with pytest.raises(ResourceError):
        place.cancel_batch(BATCH_ID, place.desk)
    assert place.cancel_batch(BATCH_ID, place.desk) == 2
    assert [job.state for job in bench.store.jobs()] == [JobState.CANCELLED] * 2
    assert place.cancel_batch(BATCH_ID, place.desk) == 0
    assert place.cancel_batch("no batch", place.desk) == 0


def test_a_batch_that_was_closed_in_an_earlier_run_is_closed_again(place, bench, root):
    arrive(place, batches=(a_batch(root),))
    bench.store.close_batch(BATCH_ID, NOON)
    book = BatchBook(bench.store, None, bench.clock, lambda: NOON)
    book.receive((a_batch(root),), place.desk)
    assert set(place.desk.closing) == {BATCH_ID}


def test_a_row_that_an_earlier_manifest_has_made_needs_no_files(place, bench, root, film_of, tmp_path):
    arrive(place, batches=(a_batch(root, 1),))
    job = row_job(root, 1)
    arrive(place, job)
    bench.store.move(job.id, JobState.RUNNING, at=NOON)
    bench.store.set_film(job.id, "aa")
    bench.store.set_published_name(job.id, "e1.mp4")
    bench.store.move(job.id, JobState.DONE, at=NOON)
    later = a_batch(root, 1, id="20250131T090000000-cccccccc22")
    arrive(place, batches=(later,))
    arrive(place, absent=(Absent(batch=later.id, number=1),))
    (again,) = bench.store.jobs_of_batch(later.id)
    assert (again.duplicate_of, again.claim_dir, again.state) == (job.id, None, JobState.QUEUED)
    assert place.desk.rows[-1] == KnownRows(batch=later.id, rows=frozenset({1}))
    arrive(place, absent=(Absent(batch=later.id, number=1),))
    assert len(bench.store.jobs_of_batch(later.id)) == 1


def test_a_row_that_nobody_has_made_keeps_waiting(place, bench, root):
    arrive(place, batches=(a_batch(root, 1),))
    arrive(place, absent=(Absent(batch=BATCH_ID, number=1),))
    assert bench.store.jobs() == []


def test_results_that_cannot_be_published_are_tried_again(place, bench, root):
    arrive(place, batches=(a_batch(root, 1),))
    job = row_job(root, 1)
    arrive(place, job)
    finish(bench, job)
    root.outbox.rename(root.path / "away")
    tick(place, root)
    assert place.desk.closing == {}
    (root.path / "away").rename(root.outbox)
    tick(place, root, 10)
    assert set(place.desk.closing) == {BATCH_ID}
