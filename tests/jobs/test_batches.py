from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from heygemd.errors import WrongStateError
from heygemd.jobs.batch import Batch, BatchKind, Row, RowError, Wanted
from heygemd.jobs.batches import BatchProgress
from heygemd.jobs.job import BatchRow, EngineName, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import NOW, make_job, pass_through


def make_batch(batch_id: str = "b1", **changes: object) -> Batch:
    """Two good rows and a bad one between them."""
    batch = Batch(
        id=batch_id, root="uuid", kind=BatchKind.MANIFEST, name="lines", folder="第一/课", accepted_at=NOW,
        claim_dir=Path("/r/processing/lines__b1"), strict=False, bundle=True,
        rows=(
            Row(number=1, line=2, row_id="ep01", video=Wanted(path="a.mp4"), audio=Wanted(path="a.wav", sha256="ab"),
                film_name="ep01", priority=3, options=RenderOptions(engine=EngineName.ATLAS)),
            Row(number=2, line=3, error=RowError(code="E124", message="crf must be a number", line=3, column=7)),
            Row(number=3, line=4, video=Wanted(path="a.mp4", size_bytes=4), audio=Wanted(path="b.wav")),
        ),
    )  # fmt: skip
    return replace(batch, **changes)  # type: ignore[arg-type]


def row_job(number: int, batch: str = "b1", row_id: str | None = None, **changes: object):
    job_id = changes.pop("job_id", f"{batch}-{number}")
    return make_job(str(job_id), row=BatchRow(batch=batch, number=number, row_id=row_id), **changes)


def states(**counts: int) -> dict[JobState, int]:
    return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in counts.items()}


def test_a_batch_comes_back_as_it_went_in(store):
    assert store.add_batch(make_batch())
    assert store.get_batch("b1") == make_batch()
    folder = make_batch("b2", kind=BatchKind.FOLDER, strict=True, rows=())
    assert store.add_batch(folder)
    assert store.get_batch("b2") == folder
    assert store.get_batch("b3") is None


def test_a_batch_that_is_announced_again_changes_nothing(store):
    store.add_batch(make_batch())
    store.stop_batch("b1")
    assert not store.add_batch(make_batch(name="another"))
    assert store.get_batch("b1").name == "lines"
    assert store.is_stopped("b1")


def test_a_batch_is_open_until_it_is_closed_and_stopped_once(store):
    store.add_batch(make_batch("b2"))
    store.add_batch(make_batch("b1", root="s"))
    with structlog.testing.capture_logs() as logs:
        store.stop_batch("b2")
        store.stop_batch("b2")
    assert [(found.batch.id, found.is_stopped) for found in store.open_batches()] == [("b1", False), ("b2", True)]
    assert [found.batch.id for found in store.open_batches("uuid")] == ["b2"]
    with structlog.testing.capture_logs() as more_logs:
        store.close_batch("b2", NOW)
        store.close_batch("b2", NOW + timedelta(days=1))
    assert [found.batch.id for found in store.open_batches()] == ["b1"]
    assert [line["event"] for line in logs + more_logs] == ["batch.stopped", "batch.closed"]
    assert store.get_batch("b2") == make_batch("b2")


def test_an_unknown_batch_cannot_be_stopped_closed_or_measured(store):
    for act in (store.stop_batch, store.batch_progress, lambda batch: store.close_batch(batch, NOW)):
        with pytest.raises(WrongStateError, match="no batch"):
            act("b1")
    assert not store.is_stopped("b1")
    assert store.rows_of_batch("b1") == frozenset()


def test_a_batch_is_over_when_every_good_row_has_a_job_that_ended(store):
    store.add_batch(make_batch())
    start = store.batch_progress("b1")
    assert start == BatchProgress(ended=0, total=2, known=0, by_state=states(), is_stopped=False)
    assert not start.is_over, "no job is there yet"
    store.add(row_job(1))
    store.add(row_job(1, "another batch"))
    store.add(make_job("of no batch"))
    pass_through(store, "b1-1", "running", "done")
    assert not store.batch_progress("b1").is_over, "a row is still waiting for its files"
    store.add(row_job(3, state=JobState.FAILED, error_code="E102"))
    over = store.batch_progress("b1")
    assert over == BatchProgress(ended=2, total=2, known=2, by_state=states(done=1, failed=1), is_stopped=False)
    assert over.is_over
    store.move("b1-3", JobState.QUEUED, at=NOW)
    assert not store.batch_progress("b1").is_over, "a person has put it back"


def test_a_stopped_batch_is_over_when_the_jobs_it_has_have_ended(store):
    store.add_batch(make_batch())
    store.add(row_job(1))
    store.stop_batch("b1")
    assert not store.batch_progress("b1").is_over
    pass_through(store, "b1-1", "cancelled")
    assert store.batch_progress("b1").is_over


def test_a_batch_without_a_good_row_is_over_at_once(store):
    store.add_batch(make_batch(rows=(make_batch().rows[1],)))
    assert store.batch_progress("b1").is_over


def test_the_rows_that_are_jobs_are_known_by_number(store):
    store.add_batch(make_batch())
    store.add(row_job(3))
    store.add(row_job(1, state=JobState.FAILED))
    assert store.rows_of_batch("b1") == {1, 3}
    assert [job.row.number for job in store.jobs_of_batch("b1")] == [1, 3]
    assert store.jobs_of_batch("b2") == []


def test_a_row_is_known_by_its_id_from_an_earlier_manifest_of_the_same_name(store):
    def before(**changes: str | None) -> str | None:
        wanted = {"root": "uuid", "folder": "第一/课", "name": "lines", "row_id": "ep01", "before": "b9", **changes}
        job = store.row_before(**wanted)
        return job and job.id

    for batch in ("b1", "b2", "b9"):
        store.add_batch(make_batch(batch))
    store.add_batch(make_batch("b3", name="others"))
    assert before() is None
    store.add(row_job(1, "b1", "ep01"))
    store.add(row_job(7, "b2", "ep01"))
    store.add(row_job(2, "b2", "ep02"))
    store.add(row_job(1, "b3", "ep01"))
    store.add(row_job(1, "b9", "ep01"))
    assert before() == "b2-7", "the newest of the earlier ones"
    assert before(before=None) == "b9-1"
    assert before(before="b2") == "b1-1"
    pass_through(store, "b2-7", "running", "failed")
    assert before() == "b1-1", "a failed row is no film"
    pass_through(store, "b1-1", "running", "done")
    assert before() == "b1-1"
    assert before(row_id="ep02") == "b2-2"
    assert before(name="others") == "b3-1"
    for other in ({"root": "s"}, {"folder": ""}, {"name": "line"}, {"row_id": "ep03"}):
        assert before(**other) is None


def test_ten_thousand_rows_are_measured_without_being_read(store: JobStore):
    rows = tuple(replace(make_batch().rows[0], number=number) for number in range(1, 10_001))
    store.add_batch(make_batch(rows=rows))
    assert len(store.get_batch("b1").rows) == 10_000
    statements: list[str] = []
    store._db._db.set_trace_callback(statements.append)
    store.batch_progress("b1")
    store.rows_of_batch("b1")
    store._db._db.set_trace_callback(None)
    assert len(statements) == 3
    for statement in statements[1:]:
        plan = [row["detail"] for row in store._db.all(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("USING COVERING INDEX job_of_batch" in line for line in plan), plan
        assert not any("USING INDEX" in line for line in plan), plan


def test_a_kill_after_adding_a_batch_loses_nothing(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        store.add_batch(make_batch())
        store.add(row_job(1))
    with JobStore(tmp_path / "jobs.sqlite") as store:
        assert store.open_batches()[0].batch == make_batch()
        assert store.rows_of_batch("b1") == {1}
