"""One root as the daemon sees it: with a child that answers when the test wants, and once with a real one."""

import json
import select
import threading
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import frontdesk as module
from heygemd.daemon.desk import Desk
from heygemd.daemon.errands import Answer, open_nursery
from heygemd.daemon.frontdesk import ALARM_EVERY_S, LOOK_PAUSE_S, STATUS_EVERY_S, FrontDesk
from heygemd.errors import ResourceError
from heygemd.intake import alarm as alarms
from heygemd.intake.inbox import Findings
from heygemd.intake.roots import init_root
from heygemd.jobs.job import InputFile, Job, RenderOptions
from heygemd.jobs.states import JobState
from heygemd.log import LogChoice
from heygemd.outbox.status import RootState, RootStatus, Snapshot
from heygemd.settings import IntakeSettings, Limits, Settings

NOW = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
SETTINGS = Settings(intake=IntakeSettings(scan_idle_s=10, scan_active_s=2, settle_s=0.1, settle_unsure_s=0.1))
JOB = Job(
    id="20250131T080000000-abcdefgh23", root="a-root", name="anna", folder="", state=JobState.QUEUED,
    video=InputFile(name="a", path=Path("/a"), size_bytes=1, sha256="aa"),
    audio=InputFile(name="b", path=Path("/b"), size_bytes=1, sha256="bb"),
    options=RenderOptions(), media=None, claim_dir=None, queued_at=NOW, not_before=NOW,
)  # fmt: skip


class Child:
    """Stands for `Resident`: notes what it is asked, answers with what it is given."""

    def __init__(self, nursery, factory, *args):
        self.asked, self.answers, self.is_busy, self.ended = [], deque(), False, False

    def fileno(self):
        return 77 if self.is_busy else None

    def ask(self, method, *args, now_s, limit_s):
        assert not self.is_busy
        self.asked.append((method, args, now_s, limit_s))
        self.is_busy = True

    def poll(self, now_s):
        if not self.is_busy or not self.answers:
            return None
        self.is_busy = False
        return self.answers.popleft()

    def end(self):
        self.ended = True


class SilentAlarm:
    """Stands for `Alarm`: rings when the test does; may die."""

    def __init__(self, inbox, wake):
        self.ring, self.starts, self.alive = wake, 0, True

    def start(self):
        self.starts += 1

    def is_alive(self):
        return self.alive

    def stop(self):
        self.alive = False


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


def snapshot_of(root):
    status = RootStatus(path=root.path, uuid=root.uuid, state=RootState.ONLINE)
    counts = dict.fromkeys(JobState, 0)
    return Snapshot(written_at=NOW, pid=1, host="h", version="1", root=status, counts=counts)


@pytest.fixture
def desk(root, monkeypatch):
    monkeypatch.setattr(module, "Resident", Child)
    monkeypatch.setattr(module, "Alarm", SilentAlarm)
    wakes = []
    desk = FrontDesk(root, SETTINGS, None, lambda: wakes.append(1))
    desk.wakes = wakes
    return desk


def look(desk, now_s, *answer):
    """One look, begun and ended at `now_s`; returns what arrived."""
    desk.tick(now_s, snapshot_of)
    desk._desk.answers.append(answer[0] if answer else Answer(value=Findings()))
    return desk.tick(now_s, snapshot_of)


def asks(desk):
    return len(desk._desk.asked)


def test_the_first_look_is_at_once_and_carries_the_status(desk):
    assert desk.due_s(100) == 0
    desk.tick(100, snapshot_of)
    ((method, (stored, snapshot), now_s, limit_s),) = desk._desk.asked
    assert (method, stored, now_s, limit_s) == ("look", (), 100, SETTINGS.intake.scan_limit_s)
    assert snapshot.root.uuid == desk.root.uuid
    assert desk.filenos() == [77]


def test_a_look_under_way_is_not_followed_by_another(desk):
    for now_s in (100, 200, 300):
        assert desk.tick(now_s, snapshot_of) == ()
    assert asks(desk) == 1


@pytest.mark.parametrize(("busy", "pause_s"), [(False, 10), (True, 2)])
def test_the_next_look_comes_sooner_where_something_happens(desk, busy, pause_s):
    look(desk, 100, Answer(value=Findings(busy=busy)))
    assert desk.due_s(100) == pause_s
    desk.tick(100 + pause_s - 0.1, snapshot_of)
    assert asks(desk) == 1
    desk.tick(100 + pause_s, snapshot_of)
    assert asks(desk) == 2


def test_an_alarm_brings_the_next_look_forward_and_wakes_the_loop(desk):
    look(desk, 100)
    desk._alarm.ring()
    assert desk.wakes == [1]
    assert desk.due_s(100) == LOOK_PAUSE_S
    desk.tick(100 + LOOK_PAUSE_S, snapshot_of)
    assert asks(desk) == 2


def test_a_storm_of_alarms_gives_two_looks_a_second_at_most(desk):
    now_s = 100.0
    for _ in range(1000):
        desk._alarm.ring()
        now_s += 0.01
        look(desk, now_s) if not desk._desk.is_busy else desk.tick(now_s, snapshot_of)
        desk._desk.answers.clear()
        if desk._desk.is_busy:
            desk._desk.answers.append(Answer(value=Findings()))
    assert asks(desk) <= 10 / LOOK_PAUSE_S + 1


def test_an_alarm_during_a_look_is_not_forgotten(desk):
    desk.tick(100, snapshot_of)
    desk._alarm.ring()
    desk._desk.answers.append(Answer(value=Findings()))
    desk.tick(101, snapshot_of)
    assert desk.due_s(101) == LOOK_PAUSE_S
    assert not desk.is_quiet


def test_arrivals_are_handed_on_and_acknowledged_at_the_next_look(desk):
    assert look(desk, 100, Answer(value=Findings(arrivals=(JOB,)))) == (JOB,)
    desk.stored += (JOB.id,)
    assert desk.due_s(100) == LOOK_PAUSE_S, "soon"
    desk.tick(101, snapshot_of)
    assert desk._desk.asked[-1][1][0] == (JOB.id,)


def test_an_acknowledgement_that_did_not_arrive_is_repeated(desk):
    look(desk, 100, Answer(value=Findings(arrivals=(JOB,))))
    desk.stored += (JOB.id,)
    look(desk, 101, Answer(fault="the helper process died (exit -9)"))
    assert desk.stored == (JOB.id,)
    look(desk, 200)
    assert desk._desk.asked[-1][1][0] == (JOB.id,)
    assert desk.stored == ()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(value=Findings(offline="no sentinel")), "no sentinel"),
        (Answer(error=ResourceError("E201", "no answer within 600 s")), "no answer within 600 s"),
        (Answer(fault="the helper process died"), "the helper process died"),
    ],
    ids=["absent", "hanging", "dead"],
)
def test_a_root_goes_offline_and_comes_back_and_says_both_once(desk, answer, reason):
    with capture_logs() as logs:
        look(desk, 100)
        look(desk, 200, answer)
        look(desk, 300, answer)
        assert desk.offline == reason
        look(desk, 400)
        look(desk, 500)
    assert desk.offline is None
    assert [line["event"] for line in logs] == ["root.went_offline", "root.came_online"]


def test_a_pause_of_the_claims_is_known(desk):
    assert desk.paused is None
    look(desk, 100, Answer(value=Findings(paused="E202 full")))
    assert desk.paused == "E202 full"


def test_quiet_is_a_look_that_found_nothing_to_wait_for(desk):
    assert not desk.is_quiet, "nobody has looked yet"
    look(desk, 100, Answer(value=Findings(settling=True)))
    assert not desk.is_quiet
    look(desk, 200, Answer(value=Findings(arrivals=(JOB,))))
    assert not desk.is_quiet
    look(desk, 300)
    assert desk.is_quiet
    desk.look_now()
    assert not desk.is_quiet


def test_the_status_is_written_now_and_then_and_when_it_is_wanted(desk):
    told = []
    for now_s in range(100, 200, 10):
        look(desk, now_s)
        told.append(desk._desk.asked[-1][1][1] is not None)
    assert told == [True, False] * 5, f"every {STATUS_EVERY_S} s"
    desk.refresh_status()
    look(desk, 190.6)
    assert desk._desk.asked[-1][1][1] is not None


def test_a_dead_alarm_is_started_anew_now_and_then(desk):
    look(desk, 100)
    desk._alarm.alive = False
    desk.tick(100 + ALARM_EVERY_S - 1, snapshot_of)
    before = desk._alarm.starts
    desk.tick(100 + ALARM_EVERY_S, snapshot_of)
    assert desk._alarm.starts == before + 1


def test_a_stop_ends_alarm_and_child(desk):
    desk.stop()
    assert (desk._alarm.alive, desk._desk.ended) == (False, True)


def test_the_loop_never_touches_a_share_itself(root, monkeypatch):
    touched_by = []

    def is_local(path):
        touched_by.append(threading.current_thread())
        return False

    monkeypatch.setattr(module, "Resident", Child)
    monkeypatch.setattr(alarms, "is_local", is_local)
    desk = FrontDesk(root, SETTINGS, None, lambda: None)
    touched_by.clear()
    for now_s in (100, 100 + ALARM_EVERY_S, 100 + 2 * ALARM_EVERY_S):
        look(desk, now_s)
    assert threading.current_thread() not in touched_by


def new_desk(root):
    return Desk(root, SETTINGS.intake, Limits())


def test_a_desk_writes_the_status_that_it_is_given(root):
    new_desk(root).look((), None)
    assert not (root.status / "status.json").exists()
    assert new_desk(root).look((), snapshot_of(root)).offline is None
    assert json.loads((root.status / "status.json").read_text())["root"]["uuid"] == root.uuid


def test_a_desk_writes_nothing_where_the_root_is_another(root):
    assert new_desk(replace(root, uuid="another")).look((), snapshot_of(root)).offline
    assert not (root.status / "status.json").exists()


@pytest.mark.parametrize("spoil", ["removed", "a file"])
def test_a_status_that_cannot_be_written_does_not_stop_the_intake(root, spoil):
    root.status.rmdir()
    if spoil == "a file":
        root.status.write_text("")
    assert new_desk(root).look((), snapshot_of(root)).offline is None


@pytest.mark.ffmpeg
def test_a_desk_probes_both_files(root, tmp_path):
    import subprocess

    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    subprocess.run([*make, "testsrc2=s=64x48:r=25:d=0.2", "-pix_fmt", "yuv420p", str(tmp_path / "a.mp4")], check=True)
    subprocess.run([*make, "sine=duration=0.3:sample_rate=8000", str(tmp_path / "a.wav")], check=True)
    media = new_desk(root).probe(tmp_path / "a.mp4", tmp_path / "a.wav")
    assert (media.video.width_px, media.audio.duration_s) == (64, Fraction(3, 10))


def test_with_a_real_child_a_root_that_moves_away_is_offline_until_it_is_back(root, tmp_path):
    desk = FrontDesk(root, SETTINGS, open_nursery(LogChoice(level="error")), lambda: None)
    now_s = time.monotonic()

    def looks(until):
        nonlocal now_s
        for _ in range(20):
            now_s += SETTINGS.intake.scan_idle_s
            desk.tick(now_s, snapshot_of)
            select.select(desk.filenos(), [], [], 20)
            desk.tick(now_s, snapshot_of)
            if until():
                return
        raise AssertionError("never")

    try:
        looks(lambda: desk.findings is not None and desk.offline is None)
        root.path.rename(tmp_path / "away")
        looks(lambda: desk.offline is not None)
        (tmp_path / "away").rename(root.path)
        looks(lambda: desk.offline is None)
    finally:
        desk.stop()
