import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from heygemd.intake.roots import init_root
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore

CONFIG = """
roots = ["{root}"]
state_dir = "{state}"
models_dir = "{state}/no-models"
[intake]
settle_s = 0.2
settle_unsure_s = 0.4
scan_active_s = 0.1
scan_idle_s = 0.5
[render]
engine = "passthrough"
segment_s = {segment_s}
preset = "ultrafast"
"""


@dataclass
class Workshop:
    """A root, a state directory, and real daemons started and killed on them."""

    folder: Path
    root: Root
    state: Path
    config: Path

    def start(self, *flags):
        argv = [sys.executable, "-m", "heygemd", "run", "--config", str(self.config), *flags]
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def run_until_idle(self):
        """Returns the daemon's exit status."""
        daemon = self.start("--until-idle")
        try:
            return daemon.wait(120)
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()

    def events(self):
        lines = (self.folder / "daemon.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def named(self, event):
        return [line for line in self.events() if line["event"] == event]

    def jobs(self):
        with JobStore.open_readonly(self.state / "jobs.sqlite") as store:
            return store.jobs()

    def states(self):
        return sorted(job.state for job in self.jobs())

    def segments(self):
        return sorted(self.state.glob("work/*/segments-*/*.mp4"))

    def films(self):
        return sorted(path for path in self.root.outbox.rglob("*.mp4"))

    def leftovers(self):
        """What must not be there when all is done."""
        parts = [path for path in self.root.path.rglob("*") if path.name.endswith(".part")]
        held = [*self.root.processing.iterdir(), *self.root.claims.iterdir(), *(self.state / "work").iterdir()]
        return [*parts, *held]

    def wait_for(self, condition, daemon=None, limit_s=60):
        """Polls files that other processes make; fails when the time is up or the daemon died."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found := condition():
                return found
            if daemon is not None and daemon.poll() is not None:
                raise AssertionError(f"the daemon ended with {daemon.returncode}")
            time.sleep(0.01)
        raise AssertionError("the time is up")

    def kill(self, daemon):
        """As the kernel's OOM killer would: nothing gets to clean up."""
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()

    def done(self):
        jobs = self.jobs()
        return bool(jobs) and all(job.state is JobState.DONE for job in jobs)


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A moving picture of 4 s and a sound of 12 s: six segments of 2 s, ping-pong."""
    folder = tmp_path_factory.mktemp("pair")
    video, audio = folder / "face.mp4", folder / "voice.wav"
    make = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi"]
    picture = ["-i", "testsrc2=size=320x180:rate=25:duration=4", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
    subprocess.run([*make, *picture, "-preset", "ultrafast", str(video)], check=True)
    subprocess.run([*make, "-i", "sine=frequency=220:duration=12:sample_rate=16000", str(audio)], check=True)
    return video, audio


@pytest.fixture(scope="session")
def open_workshop():
    """A function that makes a workshop in a folder."""

    def make(folder):
        root, config = init_root(folder / "root"), folder / "heygemd.toml"
        config.write_text(CONFIG.format(root=root.path, state=folder / "state", segment_s=2))
        return Workshop(folder, root, folder / "state", config)

    return make


@pytest.fixture
def workshop(tmp_path, open_workshop):
    return open_workshop(tmp_path)
