"""Work directories that a disk did not let go of."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from heygemd.daemon.loop import Daemon
from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState


class BareDaemon(Daemon):
    """Only what removes work directories."""

    def __init__(self, state_dir):
        self.state_dir, self._kept_work = state_dir, set()
        self.states, self.is_broken, self.discarded = {}, False, []
        self.store = SimpleNamespace(get=self.job)
        self.scheduler = SimpleNamespace(discard_work=self.discard)

    def job(self, job_id):
        state = self.states.get(job_id)
        return None if state is None else SimpleNamespace(state=state, at=datetime(2026, 1, 1, tzinfo=UTC))

    def discard(self, job_id):
        if self.is_broken:
            raise ResourceError("E202", "read-only file system")
        self.discarded.append(job_id)


@pytest.fixture
def daemon(tmp_path):
    """With one ended job whose directory could not be removed."""
    daemon = BareDaemon(tmp_path)
    daemon.states["j1"] = JobState.DONE
    daemon.is_broken = True
    daemon._discard_work("j1")
    return daemon


def test_it_is_tried_again_until_the_disk_lets_go(daemon):
    daemon.sweep_work(daemon._kept_work)
    assert daemon._kept_work == {"j1"}
    daemon.is_broken = False
    daemon.sweep_work(daemon._kept_work)
    assert (daemon.discarded, daemon._kept_work) == (["j1"], set())


def test_job_that_was_put_back_keeps_its_directory(daemon):
    daemon.is_broken = False
    daemon.states["j1"] = JobState.QUEUED
    daemon.sweep_work(daemon._kept_work)
    assert (daemon.discarded, daemon._kept_work) == ([], set())


def test_start_sweeps_what_belongs_to_no_living_job(daemon):
    daemon.is_broken = False
    for name in ("j1", "j2", "j3"):
        (daemon.state_dir / "work" / name).mkdir(parents=True)
    daemon.states["j2"] = JobState.RUNNING
    daemon.sweep_work()
    assert sorted(daemon.discarded) == ["j1", "j3"]
