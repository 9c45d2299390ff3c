from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from heygemd.daemon.snapshot import GLANCE, NOTICE_S, RESULTS_READ, SHOWN, take_snapshot
from heygemd.errors import ADVICE
from heygemd.intake.findings import Findings, Misconfigured, Waiting
from heygemd.intake.pairing import Why
from heygemd.jobs import questions
from heygemd.jobs.batch import Batch, BatchKind, Row, RowError
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import BatchRow, InputFile, LengthPolicy, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox.status import RootState
from heygemd.scheduler.facts import Wait
from heygemd.scheduler.outcome import JobProgress, Stage
from tests.daemon.snapshot_rig import NOON, SHARE, Daemon, Desk, put_job


@pytest.fixture
def daemon(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        yield Daemon(store)


@pytest.fixture
def add(daemon):
    """A function that adds a job and takes it through states."""
    return partial(put_job, daemon)


def test_an_idle_root_is_online_and_counts_every_state(daemon):
    snapshot = take_snapshot(daemon, Desk())
    assert (snapshot.root.state, snapshot.root.reason) == (RootState.ONLINE, None)
    assert snapshot.counts == dict.fromkeys(JobState, 0)


def test_only_the_jobs_of_this_root_are_told(daemon, add):
    add("mine")
    add("theirs", root="another")
    snapshot = take_snapshot(daemon, Desk())
    assert [job.name for job in snapshot.queue] == ["mine"]
    assert snapshot.counts[JobState.QUEUED] == 1


def test_a_running_job_shows_its_progress(daemon, add):
    job = add("film", JobState.RUNNING)
    other = add("theirs", JobState.RUNNING, root="another")
    daemon.shown = tuple(
        JobProgress(
            job_id=each.id, stage=Stage.RENDER, frames_done=5, frames_total=0, fps=None, eta_s=None, device="cpu"
        )
        for each in (job, other)
    )
    (running,) = take_snapshot(daemon, Desk()).running
    assert (running.job, running.stage, running.frames_done, running.frames_total) == (job.id, "render", 5, None)
    assert running.started_at == NOON + timedelta(seconds=5)
    assert running.film_s == 20.0


def test_a_job_that_waits_says_what_its_last_attempt_met(daemon, add):
    add("again", JobState.RUNNING, JobState.QUEUED, error_code="E202", error_message="the disk is full")
    add("first")
    queue = {job.name: job.waits_for for job in take_snapshot(daemon, Desk()).queue}
    assert queue == {"again": "E202 the disk is full", "first": None}


def test_a_job_that_finds_no_memory_says_so(daemon, add):
    job = add("large")
    daemon.wants = {job.id: Wait(job_id=job.id, reason="memory is short", code="E301")}
    snapshot = take_snapshot(daemon, Desk())
    assert [entry.waits_for for entry in snapshot.queue] == ["E301 memory is short"]
    assert "E301" in snapshot.advice


def test_a_job_that_waits_after_a_failed_attempt_says_until_when(daemon, add):
    later = NOON + timedelta(minutes=5)
    add("again", JobState.RUNNING, JobState.QUEUED, not_before=later)
    add("first")
    queue = {job.name: job.not_before for job in take_snapshot(daemon, Desk()).queue}
    assert queue == {"again": later, "first": None}


def test_results_are_told_newest_first_with_what_went_wrong(daemon, add):
    add("old", JobState.RUNNING, JobState.DONE)
    add("new", JobState.FAILED, at=NOON + timedelta(hours=1), error_code="E131", error_message="no face")
    new, old = take_snapshot(daemon, Desk()).results
    assert (new.name, new.state, new.error_code) == ("new", JobState.FAILED, "E131")
    assert "face" in (new.error_title or "")
    assert (old.name, old.error_title, old.finished_at) == ("old", None, NOON + timedelta(seconds=5))


def test_long_lists_are_cut_but_counted(daemon, add):
    for number in range(SHOWN + 3):
        add(str(number))
    snapshot = take_snapshot(daemon, Desk())
    assert (len(snapshot.queue), snapshot.counts[JobState.QUEUED]) == (SHOWN, SHOWN + 3)


@pytest.mark.parametrize(
    ("desk", "state", "reason"),
    [
        (Desk(offline="no share"), RootState.OFFLINE, "no share"),
        (Desk(offline="no share", paused="full"), RootState.OFFLINE, "no share"),
        (Desk(paused="full"), RootState.PAUSED, "full"),
    ],
    ids=["offline", "both", "paused"],
)
def test_a_root_in_trouble_says_why(daemon, desk, state, reason):
    root = take_snapshot(daemon, desk).root
    assert (root.state, root.reason) == (state, reason)


def test_a_film_that_cannot_be_handed_over_pauses_its_root(daemon, add):
    job = add("film", JobState.RUNNING)
    daemon.held = {job.id: "E202 the disk is full"}
    assert take_snapshot(daemon, Desk()).root.reason == "E202 the disk is full"


def test_a_film_that_cannot_be_handed_over_pauses_no_other_root(daemon, add):
    job = add("theirs", JobState.RUNNING, root="another")
    daemon.held = {job.id: "E201 the other share is gone"}
    assert take_snapshot(daemon, Desk()).root.state is RootState.ONLINE


def test_waiting_files_are_named_with_their_folder(daemon):
    waiting = Waiting(folder="sub", names=("a.mp4", "b.mp4"), why=Why.AMBIGUOUS, since=NOON)
    top = replace(waiting, folder="")
    snapshot = take_snapshot(daemon, Desk(findings=Findings(waiting=(waiting, top))))
    assert [file.path for file in snapshot.waiting] == ["sub/a.mp4, b.mp4", "a.mp4, b.mp4"]
    assert snapshot.waiting[0].reason == Why.AMBIGUOUS.value
    assert snapshot.waiting[0].why == "AMBIGUOUS"


@pytest.mark.parametrize(
    ("why", "waited_s", "needs_you"),
    [
        (Why.AMBIGUOUS, 0, True), (Why.PARTNER, 0, True), (Why.REFUSED_NAME, 0, True), (Why.UNREADABLE, 0, True),
        (Why.ARRIVING, 9999, False), (Why.CHECKING, 9999, False), (Why.DEFAULT, 9999, False),
        (Why.RESERVED, 9999, False), (Why.HOLES, 1, False), (Why.HOLES, NOTICE_S + 1, True), (Why.JOB_FOLDER, 1, False),
        (Why.JOB_FOLDER, NOTICE_S + 1, True), (Why.MEMBERS, NOTICE_S + 1, True), (Why.COMMIT, NOTICE_S + 1, True),
    ],
)  # fmt: skip
def test_what_no_waiting_mends_needs_a_person(daemon, why, waited_s, needs_you):
    since = datetime.now(UTC) - timedelta(seconds=waited_s)
    waiting = Waiting(folder="", names=("a",), why=why, since=since)
    (file,) = take_snapshot(daemon, Desk(findings=Findings(waiting=(waiting,)))).waiting
    assert file.needs_you is needs_you


def test_every_reason_to_wait_is_sorted(daemon):
    for why in Why:
        waiting = Waiting(folder="", names=("a",), why=why, since=NOON)
        (file,) = take_snapshot(daemon, Desk(findings=Findings(waiting=(waiting,)))).waiting
        assert file.needs_you is (why not in {Why.ARRIVING, Why.CHECKING, Why.DEFAULT, Why.RESERVED})


def test_wrong_settings_of_folders_are_told(daemon):
    wrong = (Misconfigured(folder="", message="line 1"), Misconfigured(folder="a/b", message="line 2"))
    problems = take_snapshot(daemon, Desk(findings=Findings(misconfigured=wrong))).problems
    assert [(problem.path, problem.message) for problem in problems] == [
        (".heygemd.toml", "line 1"), ("a/b/.heygemd.toml", "line 2"),
    ]  # fmt: skip


def test_more_files_wait_than_are_listed(daemon):
    waiting = tuple(Waiting(folder="", names=(str(n),), why=Why.ARRIVING, since=NOON) for n in range(SHOWN + 1))
    snapshot = take_snapshot(daemon, Desk(findings=Findings(waiting=waiting, waiting_count=7000)))
    assert (len(snapshot.waiting), snapshot.waiting_count) == (SHOWN, 7000)


def test_a_result_tells_where_film_and_sheet_lie(daemon, add):
    job = add("anna", JobState.RUNNING, job={"folder": "客户/a:b"})
    daemon.store.set_published_name(job.id, "anna.v2.mp4")
    daemon.store.move(job.id, JobState.DONE, at=NOON)
    (result,) = take_snapshot(daemon, Desk()).results
    assert (result.film, result.sheet) == ("outbox/客户/a%3Ab/anna.v2.mp4", "outbox/客户/a%3Ab/anna.v2.jpg")
    assert (result.film_s, result.reason_file) == (20.0, None)


def test_a_film_that_keeps_its_picture_is_as_long_as_that(daemon, add):
    add("anna", job={"options": RenderOptions(length=LengthPolicy.KEEP_VIDEO)})
    add("unknown", job={"media": None})
    lengths = {job.name: job.film_s for job in take_snapshot(daemon, Desk()).queue}
    assert lengths == {"anna": 60.0, "unknown": None}


CLAIM = SHARE / "processing" / "old name__claim123"
BATCH = "20250131T120000000-batchid823"
IN_CLAIM = InputFile(name="a.wav", path=CLAIM / "a.wav", size_bytes=1, sha256="aa")
IN_BATCH = replace(IN_CLAIM, path=SHARE / "processing" / "speeches__batchid8" / "a.wav")


@pytest.mark.parametrize(
    ("changes", "folder"),
    [
        ({"claim_dir": CLAIM}, "old name__claim123"),
        ({"video": None, "audio": IN_CLAIM}, "old name__claim123"),
        ({"row": BatchRow(batch=BATCH, number=1), "audio": IN_CLAIM}, "old name__claim123"),
        ({"row": BatchRow(batch=BATCH, number=1), "audio": IN_BATCH}, "a%3Ab__{id8}"),
        ({}, "a%3Ab__{id8}"),
    ],
    ids=["claimed", "put away", "row that was put back", "row", "shared inputs"],
)
def test_a_failure_tells_where_its_reason_lies(daemon, add, changes, folder):
    job = add("a:b", JobState.RUNNING, JobState.FAILED, job=changes, error_code="E131", error_message="no face")
    (result,) = take_snapshot(daemon, Desk()).results
    assert result.reason_file == f"failed/{folder.format(id8=job.id8)}/REASON.txt"
    assert result.error_message == "no face"


def test_every_code_that_is_named_is_explained(daemon, add):
    add("a", JobState.FAILED, error_code="E131")
    add("b", JobState.RUNNING, JobState.QUEUED, error_code="E302", error_message="lost")
    add("c", JobState.FAILED, error_code="E999")
    snapshot = take_snapshot(daemon, Desk(paused="E202 full"))
    assert snapshot.root.code == "E202"
    assert snapshot.advice == {code: ADVICE[code] for code in ("E131", "E202", "E302")}


def test_failures_do_not_push_out_the_films(daemon, add):
    add("film", JobState.RUNNING, JobState.DONE)
    for number in range(SHOWN + 3):
        add(str(number), JobState.FAILED, error_code="E131")
    assert RESULTS_READ > SHOWN + 3
    results = take_snapshot(daemon, Desk()).results
    assert (len(results), results[-1].name) == (SHOWN + 1, "film")


def test_a_manifest_tells_how_far_it_is(daemon, add):
    rows = (*(Row(number=number) for number in (1, 2, 3, 4)), Row(number=5, error=RowError(code="E124", message="?")))
    for hour, kind, name in ((0, BatchKind.MANIFEST, "lines?"), (1, BatchKind.FOLDER, "speeches")):
        batch = Batch(
            id=new_job_id(NOON + timedelta(hours=hour)),
            root="mine",
            kind=kind,
            name=name,
            folder="a",
            claim_dir=CLAIM,
            accepted_at=NOON,
            rows=rows,
        )
        daemon.store.add_batch(batch)
        add("1", JobState.RUNNING, JobState.DONE, job={"row": BatchRow(batch=batch.id, number=1)})
        add("2", JobState.FAILED, job={"row": BatchRow(batch=batch.id, number=2)}, error_code="E131")
        add("3", JobState.CANCELLED, job={"row": BatchRow(batch=batch.id, number=3)})
    snapshot = take_snapshot(daemon, Desk())
    assert [(one.name, one.rows, one.done, one.failed) for one in snapshot.batches] == [
        ("lines?", 5, 1, 3), ("speeches", 5, 1, 3),
    ]  # fmt: skip
    assert [one.report for one in snapshot.batches] == ["status/manifests/a/lines%3F.report.csv", None]
    assert snapshot.batch_count == 2


def test_a_long_queue_is_not_read_to_its_end(daemon, add, monkeypatch):
    for number in range(SHOWN + GLANCE + 100):
        add(str(number))
    read = []
    make = questions.job_of
    monkeypatch.setattr(questions, "job_of", lambda row: read.append(row) or make(row))
    assert take_snapshot(daemon, Desk()).counts[JobState.QUEUED] == SHOWN + GLANCE + 100
    assert len(read) <= SHOWN + GLANCE
