"""A root, a store and a command line of the test's own."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from typer.testing import CliRunner

from heygemd.cli import app
from heygemd.intake.roots import init_root
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from tests.jobs.conftest import make_job, open_store

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _own_world(tmp_path, monkeypatch):
    """Folders and a language of the test's own; the logging of the other tests is left as it was."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")
    for name in ("LC_ALL", "LC_MESSAGES", "STATE_DIRECTORY", "HEYGEMD_CONFIG", "COLUMNS", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("heygemd.commands.options.INSTALLED_CONFIG", tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def call():
    """A function that runs one command in this process."""

    def run(*words, **how):
        return CliRunner().invoke(app, [str(word) for word in words], **how)

    return run


class House:
    """A root and its store, and jobs in it."""

    def __init__(self, folder):
        self.root = init_root(folder / "root")
        self.state_dir = folder / "state"
        self.state_dir.mkdir()
        open_store(self.state_dir).close()
        self.where = ("--state-dir", str(self.state_dir))
        self.config = folder / "house.toml"
        self.config.write_text(f'roots = [{json.dumps(str(self.root.path))}]\nstate_dir = "{self.state_dir}"\n')
        self._count = 0

    def open(self):
        """Open the store for writing, as the daemon does."""
        return JobStore(self.state_dir / "jobs.sqlite")

    def _noise(self):
        """Other bytes for each job, and the same in every run: what is typed must not fit an id by chance."""
        return hashlib.sha256(str(self._count).encode()).digest()[:7]

    def add(self, name, *states, age=timedelta(0), code=None, message=None, **changes):
        """Add a job that goes through `states`; with a code, the last of them is a failure."""
        self._count += 1
        at = NOW - age + timedelta(milliseconds=self._count)
        job = make_job(
            new_job_id(at, self._noise()), name=name, root=self.root.uuid, claim_dir=None, queued_at=at, not_before=at,
            folder="",
        )  # fmt: skip
        with self.open() as store:
            store._db.execute("PRAGMA synchronous = OFF")
            store.add(replace(job, **changes))
            for state in states:
                how = {"error_code": code, "error_message": message} if state is states[-1] else {}
                store.move(job.id, JobState(state), at=at, **how)
            return store.get(job.id)


@pytest.fixture
def house(tmp_path):
    """See `House`."""
    return House(tmp_path)
