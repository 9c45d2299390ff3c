"""How the daemon stands: counted, and put together without touching a share."""

import errno
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from heygemd.daemon import measuring as module
from heygemd.daemon.errands import open_nursery
from heygemd.daemon.loop import Daemon
from heygemd.daemon.measuring import HOUR_S, NEVER_THERE, Ledger, take_vitals
from heygemd.daemon.notify import ServiceManager
from heygemd.daemon.reload import Reloader
from heygemd.errors import SetupError
from heygemd.intake.findings import Findings, Misconfigured, Waiting
from heygemd.intake.pairing import Why
from heygemd.jobs.states import JobState
from heygemd.log import LogChoice
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.tally import Tally
from heygemd.settings import Settings
from heygemd.vitals import read_vitals, write_vitals

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


class Clock:
    now_s = 5000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(clock):
    return Ledger(clock)


@pytest.fixture
def ended(root, new_job):
    """A function that makes a job that has ended."""

    def make(number, state, **changes):
        return replace(new_job(root, number), state=state, **changes)

    return make


def test_what_has_ended_is_counted_by_state_and_code(ledger, ended):
    ledger.note(ended(1, JobState.DONE))
    ledger.note(ended(2, JobState.FAILED, error_code="E110"))
    ledger.note(ended(3, JobState.FAILED, error_code="E110"))
    ledger.note(ended(4, JobState.FAILED))
    ledger.note(ended(5, JobState.CANCELLED))
    ledger.note(ended(6, JobState.QUEUED))  # put back while it was being put away
    assert ledger.ended == {"done": 1, "failed": 3, "cancelled": 1}
    assert ledger.failures == {"E110": 2, "E500": 1}


def test_a_copy_is_a_film_done_and_none_made(ledger, ended):
    ledger.note(ended(1, JobState.DONE))
    ledger.note(ended(2, JobState.DONE, duplicate_of="1"))
    assert (ledger.ended["done"], ledger.duplicates, ledger.last_hour()[0]) == (2, 1, 1)
    assert ledger.film_s == ledger.last_hour()[1] == pytest.approx(ended(3, JobState.DONE).film_s)


def test_the_last_hour_moves_on(ledger, clock, ended):
    ledger.note(ended(1, JobState.DONE))
    clock.now_s += HOUR_S / 2
    ledger.note(ended(2, JobState.DONE))
    clock.now_s += HOUR_S / 2
    assert ledger.last_hour()[0] == 2
    clock.now_s += 1
    assert ledger.last_hour()[0] == 1
    clock.now_s += HOUR_S
    assert ledger.last_hour() == (0, 0)
    assert ledger.ended["done"] == 2


class Works:
    """Stands for the scheduler: what it says of running jobs."""

    is_busy, tally = False, Tally()

    def __init__(self):
        self.told = ()

    def progress(self):
        return self.told

    def devices_seen(self):
        return ()

    workers_seen = devices_seen


@pytest.fixture
def daemon(store, root, tmp_path):
    settings = Settings(roots=(root.path,), state_dir=tmp_path)
    daemon = Daemon(
        settings=settings, roots=(root,), absent=(Path("/srv/late"),), state_dir=tmp_path, store=store,
        scheduler=Works(), nursery=open_nursery(LogChoice(level="error")), locks=ExitStack(),
        manager=ServiceManager({}), reloader=Reloader(None, Path("/etc/heygemd.toml")),
    )  # fmt: skip
    yield daemon
    for desk in daemon.desks:
        desk.stop()


def test_everything_crosses_the_file(daemon, tmp_path):
    vitals = take_vitals(daemon)
    write_vitals(tmp_path, vitals)
    assert read_vitals(tmp_path) == vitals
    assert vitals.config == "/etc/heygemd.toml"


def test_counts_are_of_the_store_and_of_the_ledger(daemon, store, root, new_job):
    for number in (1, 2, 3):
        store.add(replace(new_job(root, number), queued_at=datetime.now(UTC) - timedelta(hours=number)))
    store.move(new_id(3), JobState.RUNNING, at=NOON)
    daemon.ledger.note(replace(store.get(new_id(1)), state=JobState.FAILED, error_code="E131"))
    counts = take_vitals(daemon).counts
    assert (counts.queued, counts.running, counts.failures) == (2, 1, {"E131": 1})
    assert counts.oldest_queued_s == pytest.approx(7200, abs=60)


def new_id(number):
    return f"20250131T08000000{number}-abcdefg{number + 1}22"


def test_a_clock_that_was_set_back_gives_no_negative_age(daemon, store, root, new_job):
    store.add(replace(new_job(root), queued_at=datetime.now(UTC) + timedelta(days=1)))
    assert take_vitals(daemon).counts.oldest_queued_s == 0.0


def test_only_jobs_that_run_are_told_as_running(daemon, store, root, new_job):
    told = {
        "stage": next(iter(Stage)), "frames_done": 5, "frames_total": 10, "fps": 2.0, "eta_s": 2.5,
        "job_left_s": 9.0, "device": "cpu",
    }  # fmt: skip
    for number in (1, 2):
        store.add(new_job(root, number, name="安娜"))
    store.move(new_id(1), JobState.RUNNING, at=NOON)
    daemon.scheduler.told = tuple(JobProgress(job_id=new_id(number), **told) for number in (1, 2, 3))
    (job,) = take_vitals(daemon).jobs
    assert (job.job, job.name, job.frames_done, job.left_s, job.attempts) == (new_id(1), "安娜", 5, 9.0, 1)


def test_a_root_says_how_it_is_and_how_old_that_is(daemon):
    (desk,) = daemon.desks
    assert take_vitals(daemon).roots[0].look_age_s is None
    stuck = Waiting(folder="", names=("a.mp4",), why=Why.AMBIGUOUS, since=NOON)
    fresh = Waiting(folder="", names=("b.mp4",), why=Why.UNREADABLE, since=NOON)
    desk.findings = Findings(
        waiting=(stuck, fresh), waiting_count=7, misconfigured=(Misconfigured(folder="x", message="bad"),)
    )
    desk.offline, desk.look_ended_s, desk.look_s = "the share is gone", module.time.monotonic() - 10, 0.25
    told = take_vitals(daemon).roots[0]
    assert (told.state, told.reason, told.waiting_files, told.needs_you) == ("offline", "the share is gone", 7, 3)
    assert (told.look_s, round(told.look_age_s)) == (0.25, 10)


def test_no_share_is_touched(daemon, root):
    root.path.rename(root.path.with_name("away"))  # whatever asked it would fail
    assert take_vitals(daemon).roots[0].path == str(root.path)


def test_roots_that_are_not_served_are_told_with_their_reason(daemon, root):
    assert [(told.path, told.state, told.reason) for told in take_vitals(daemon).roots[1:]] == [
        ("/srv/late", "offline", NEVER_THERE)
    ]
    late = replace(root, path=Path("/srv/late"), uuid="other")
    daemon.latecomers.paths.remove(late.path)
    daemon.latecomers.refuse(late, SetupError("E401", "it lies inside another root"))
    assert daemon.latecomers.paths == []
    assert [told.reason for told in take_vitals(daemon).roots[1:]] == ["it lies inside another root"]


@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "too many"), psutil.AccessDenied(1)], ids=["fds", "rights"])
def test_what_cannot_be_measured_is_left_out(daemon, monkeypatch, fault):
    def fail(*args):
        raise fault

    monkeypatch.setattr(psutil.Process, "num_fds", fail)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: (_ for _ in ()).throw(OSError(5, "io")))
    vitals = take_vitals(daemon)
    assert (vitals.open_fds, vitals.rss_bytes, vitals.state_free_bytes) == (None, None, None)


def test_the_own_costs_are_there(daemon):
    vitals = take_vitals(daemon)
    assert vitals.rss_bytes > 1 << 20
    assert vitals.open_fds > 3
    assert vitals.cpu_s > 0
