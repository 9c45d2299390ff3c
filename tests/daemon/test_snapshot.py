from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heygemd.daemon.snapshot import SHOWN, take_snapshot
from heygemd.intake.inbox import Findings, Waiting
from heygemd.intake.pairing import Why
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox.status import RootState
from heygemd.scheduler.outcome import JobProgress, Stage

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Desk:
    """What a snapshot asks of a front desk."""

    root: Root = field(default_factory=lambda: Root(Path("/share"), "mine"))
    findings: Findings | None = None
    offline: str | None = None
    paused: str | None = None


@dataclass
class Daemon:
    """What a snapshot asks of the daemon; it is scheduler and handover, too."""

    store: JobStore
    shown: tuple[JobProgress, ...] = ()
    held: dict[str, str] = field(default_factory=dict)

    @property
    def scheduler(self):
        return self

    @property
    def handover(self):
        return self

    def progress(self):
        return self.shown

    def pauses(self):
        return self.held


@pytest.fixture
def daemon(tmp_path):
    with JobStore(tmp_path / "jobs.sqlite") as store:
        yield Daemon(store)


@pytest.fixture
def add(daemon):
    """A function that adds a job and takes it through states."""

    def put(name, *states, at=NOON, root="mine", **how):
        one = InputFile(name=name, path=Path("/nowhere"), size_bytes=1, sha256="aa")
        job = Job(
            id=new_job_id(at), root=root, name=name, folder="sub", state=JobState.QUEUED, video=one, audio=one,
            options=RenderOptions(), media=None, claim_dir=None, queued_at=at, not_before=at,
        )  # fmt: skip
        daemon.store.add(job)
        for state in states:
            daemon.store.move(job.id, state, at=at + timedelta(seconds=5), **(how if state is states[-1] else {}))
        return job

    return put


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


def test_a_job_that_waits_says_what_its_last_attempt_met(daemon, add):
    add("again", JobState.RUNNING, JobState.QUEUED, error_code="E202", error_message="the disk is full")
    add("first")
    queue = {job.name: job.waits_for for job in take_snapshot(daemon, Desk()).queue}
    assert queue == {"again": "E202 the disk is full", "first": None}


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
