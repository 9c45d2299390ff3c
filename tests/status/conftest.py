"""A root, its state directory, and a daemon that only says how it stands."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from heygemd import places
from heygemd.intake.roots import init_root
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.settings import Settings
from heygemd.status import showing
from heygemd.vitals import write_vitals
from tests.top.samples import vitals


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def settings(tmp_path, root):
    (tmp_path / "state").mkdir()
    return Settings(roots=(root.path,), state_dir=tmp_path / "state")


@pytest.fixture
def add(settings, root, tmp_path):
    """A function that puts a job into the store and lets it go through states."""

    def put(name, *states, folder="", **how):
        at = datetime.now(UTC) - timedelta(hours=1)
        one = InputFile(name=name, path=tmp_path / name, size_bytes=1, sha256="aa")
        job = Job(
            id=new_job_id(at), root=root.uuid, name=name, folder=folder, state=JobState.QUEUED, video=one, audio=one,
            options=RenderOptions(), media=None, claim_dir=None, queued_at=at, not_before=at,
        )  # fmt: skip
        with JobStore(settings.state_dir / "jobs.sqlite") as store:
            store.add(job)
            for state in states:
                store.move(job.id, state, at=at, **(how if state is states[-1] else {}))
        return job

    return put


@pytest.fixture(autouse=True)
def _nothing_is_installed(monkeypatch):
    monkeypatch.setattr(showing, "UNIT_FILES", ())


@pytest.fixture
def daemon(settings):
    """A function that lets this process be the daemon, with vitals of these fields; until the test ends."""
    with places.locked(settings.state_dir / "lock"):

        def speak(**fields):
            now = datetime.now(UTC)
            base = {"written_at": now, "started_at": now - timedelta(hours=5), "pid": os.getpid(), "roots": ()}
            write_vitals(settings.state_dir, vitals(**base | fields))

        yield speak
