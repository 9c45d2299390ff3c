"""A desk whose child and alarm do what the test wants."""

from datetime import UTC, datetime
from pathlib import Path

from heygemd.daemon import frontdesk as module
from heygemd.daemon.errands import Answer
from heygemd.daemon.frontdesk import FrontDesk
from heygemd.intake.findings import Findings
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.settings import IntakeSettings, Settings
from tests.daemon.children import Child

NOW = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
SETTINGS = Settings(intake=IntakeSettings(scan_idle_s=10, scan_active_s=2, settle_s=0.1, settle_unsure_s=0.1))
JOB = Job(
    id="20250131T080000000-abcdefgh23", root="a-root", name="anna", folder="", state=JobState.QUEUED,
    video=InputFile(name="a", path=Path("/a"), size_bytes=1, sha256="aa"),
    audio=InputFile(name="b", path=Path("/b"), size_bytes=1, sha256="bb"),
    options=RenderOptions(), media=None, claim_dir=None, queued_at=NOW, not_before=NOW,
)  # fmt: skip


class SilentAlarm:
    """Stands for `Alarm`: rings when the test does; may die."""

    def __init__(self, inbox, wake):
        self.ring, self.starts, self.alive = wake, 0, True

    def start(self):
        self.starts += 1

    def is_alive(self):
        return self.alive

    def tend(self):
        self.starts += not self.alive

    def stop(self):
        self.alive = False


def make_desk(root, monkeypatch):
    """Return a desk; `desk.wakes` has an entry for each time it woke the loop."""
    monkeypatch.setattr(module, "Resident", Child)
    monkeypatch.setattr(module, "Alarm", SilentAlarm)
    wakes = []
    desk = FrontDesk(root, SETTINGS, root.path.parent, None, lambda: wakes.append(1))
    desk.wakes = wakes
    return desk


def look(desk, now_s, *answer):
    """One look, begun and ended at `now_s`; returns what arrived."""
    desk.tick(now_s)
    desk._desk.answers.append(answer[0] if answer else Answer(value=Findings()))
    return desk.tick(now_s)


def asks(desk):
    return len(desk._desk.asked)


def told(desk):
    """What the child was told with the latest look."""
    return desk._desk.asked[-1][1][0]
