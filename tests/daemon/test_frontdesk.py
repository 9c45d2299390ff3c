"""One root as the daemon sees it: with a child that answers when the test wants, and once with a real one."""

import select
import threading
import time
from dataclasses import replace
from fractions import Fraction

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import frontdesk as module
from heygemd.daemon.desk import Desk
from heygemd.daemon.errands import Answer, open_nursery
from heygemd.daemon.frontdesk import ALARM_EVERY_S, LOOK_PAUSE_S, LOOKS_IN_VAIN, FrontDesk
from heygemd.errors import ResourceError
from heygemd.intake import alarm as alarms
from heygemd.intake.findings import Arrival, Closing, Findings, KnownRows, Word
from heygemd.intake.roots import init_root
from heygemd.jobs.job import RenderOptions
from heygemd.log import LogChoice
from tests.daemon.children import Child
from tests.daemon.frontdesk_rig import JOB, SETTINGS, asks, look, make_desk, told


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def desk(root, monkeypatch):
    return make_desk(root, monkeypatch)


def test_the_first_look_is_at_once(desk):
    assert desk.due_s(100) == 0
    desk.tick(100)
    assert desk._desk.asked == [("look", (Word(),), 100, SETTINGS.intake.scan_limit_s)]
    assert desk.filenos() == [77]


def test_a_look_under_way_is_not_followed_by_another(desk):
    for now_s in (100, 200, 300):
        assert desk.tick(now_s) is None
    assert asks(desk) == 1


@pytest.mark.parametrize(("busy", "pause_s"), [(False, 10), (True, 2)])
def test_the_next_look_comes_sooner_where_something_happens(desk, busy, pause_s):
    look(desk, 100, Answer(value=Findings(busy=busy)))
    assert desk.due_s(100) == pause_s
    desk.tick(100 + pause_s - 0.1)
    assert asks(desk) == 1
    desk.tick(100 + pause_s)
    assert asks(desk) == 2


def test_an_alarm_brings_the_next_look_forward_and_wakes_the_loop(desk):
    look(desk, 100)
    desk._alarm.ring()
    assert desk.wakes == [1]
    assert desk.due_s(100) == LOOK_PAUSE_S
    desk.tick(100 + LOOK_PAUSE_S)
    assert asks(desk) == 2


def test_a_storm_of_alarms_gives_two_looks_a_second_at_most(desk):
    now_s = 100.0
    for _ in range(1000):
        desk._alarm.ring()
        now_s += 0.01
        look(desk, now_s) if not desk._desk.is_busy else desk.tick(now_s)
        desk._desk.answers.clear()
        if desk._desk.is_busy:
            desk._desk.answers.append(Answer(value=Findings()))
    assert asks(desk) <= 10 / LOOK_PAUSE_S + 1


def test_an_alarm_during_a_look_is_not_forgotten(desk):
    desk.tick(100)
    desk._alarm.ring()
    desk._desk.answers.append(Answer(value=Findings()))
    desk.tick(101)
    assert desk.due_s(101) == LOOK_PAUSE_S
    assert not desk.is_quiet


def test_arrivals_are_handed_on_and_acknowledged_at_the_next_look(desk):
    found = Findings(arrivals=(Arrival(job=JOB),))
    assert look(desk, 100, Answer(value=found)) is found
    desk.note_stored((JOB.id,))
    assert desk.due_s(100) == LOOK_PAUSE_S, "soon"
    look(desk, 101)
    assert told(desk).stored == (JOB.id,)
    look(desk, 200)
    assert told(desk).stored == ()


@pytest.mark.parametrize(
    "answer",
    [Answer(fault="the helper process died (exit -9)"), Answer(value=Findings(paused="E202 full"))],
    ids=["dead", "full disk"],
)
def test_what_may_not_have_been_heard_is_told_again(desk, answer):
    rows = KnownRows(batch="b", rows=frozenset({1}))
    desk.note_stored((JOB.id,))
    desk.note_rows(rows)
    look(desk, 100, answer)
    desk.note_stored(("later", JOB.id))
    look(desk, 200)
    assert told(desk) == Word(stored=(JOB.id, "later"), batches=(rows,))
    look(desk, 300)
    assert told(desk) == Word()


def test_what_is_said_during_a_look_is_told_with_the_next(desk):
    desk.tick(100)
    desk.note_rows(KnownRows(batch="b"))
    desk._desk.answers.append(Answer(value=Findings()))
    desk.tick(101)
    look(desk, 102)
    assert told(desk).batches == (KnownRows(batch="b"),)


def test_a_batch_is_closed_until_the_findings_say_so(desk):
    closing = Closing(batch="b", day="2026-01-01")
    desk.close_batch(closing)
    for now_s in (100, 200):
        look(desk, now_s)
        assert told(desk).closing == (closing,)
        assert not desk.is_quiet
    look(desk, 300, Answer(value=Findings(closed=("b",))))
    assert desk.closing == {}


def test_a_mount_is_looked_at_less_often(desk):
    look(desk, 100, Answer(value=Findings(is_local=False)))
    assert desk.due_s(100) == SETTINGS.intake.scan_mount_idle_s
    look(desk, 200, Answer(value=Findings(is_local=False, busy=True)))
    assert desk.due_s(200) == SETTINGS.intake.scan_mount_s


def test_an_absent_root_is_looked_for_less_and_less_often(desk):
    pauses = []
    for now_s in range(1000, 8000, 1000):
        look(desk, now_s, Answer(value=Findings(offline="no sentinel")))
        pauses.append(desk.due_s(now_s))
    assert pauses == [4, 8, 16, 16, 16, 16, 16]
    look(desk, 9000)
    assert desk.due_s(9000) == SETTINGS.intake.scan_idle_s


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
    look(desk, 200, Answer(value=Findings(arrivals=(Arrival(job=JOB),))))
    assert not desk.is_quiet
    look(desk, 250, Answer(value=Findings(paused="the disk is full")))
    assert not desk.is_quiet
    look(desk, 300)
    assert desk.is_quiet
    desk.look_now()
    assert not desk.is_quiet


def test_a_root_that_has_just_gone_is_waited_for_and_one_that_stays_away_is_not(desk):
    look(desk, 100)
    assert desk.is_quiet
    for now_s in range(200, 100 + 100 * LOOKS_IN_VAIN, 100):
        look(desk, now_s, Answer(value=Findings(offline="too many open files")))
        assert not desk.is_quiet
    look(desk, 1000, Answer(value=Findings(offline="too many open files")))
    assert desk.is_quiet
    look(desk, 2000, Answer(value=Findings(settling=True)))
    assert not desk.is_quiet, "it is back, with work"
    look(desk, 3000, Answer(error=ResourceError("E201", "gone again")))
    look(desk, 4000)
    assert desk.is_quiet


def test_a_dead_alarm_is_started_anew_now_and_then(desk):
    look(desk, 100)
    desk._alarm.alive = False
    desk.tick(100 + ALARM_EVERY_S - 1)
    before = desk._alarm.starts
    desk.tick(100 + ALARM_EVERY_S)
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
    desk = FrontDesk(root, SETTINGS, root.path.parent, None, lambda: None)
    touched_by.clear()
    for now_s in (100, 100 + ALARM_EVERY_S, 100 + 2 * ALARM_EVERY_S):
        look(desk, now_s)
    assert threading.current_thread() not in touched_by


def new_desk(root):
    return Desk(root, SETTINGS.intake, SETTINGS.limits, RenderOptions(), root.path.parent)


def test_a_desk_looks_at_its_inbox(root):
    assert new_desk(root).look(Word()).offline is None
    assert new_desk(replace(root, uuid="another")).look(Word()).offline


def test_a_shared_input_is_probed_once(root, monkeypatch):
    from heygemd.daemon import desk as desk_module

    probed = []

    def probe_video(path, limits):
        probed.append(path)
        return "picture"

    def probe_audio(path, limits):
        probed.append(path)
        return "sound"

    monkeypatch.setattr(desk_module, "probe_video", probe_video)
    monkeypatch.setattr(desk_module, "probe_audio", probe_audio)
    monkeypatch.setattr(desk_module, "MediaInfo", lambda video, audio: (video, audio))
    shared = root.shared / f"{'a' * 64}.mp4"
    desk = new_desk(root)
    for sound in ("a.wav", "b.wav"):
        assert desk.probe(shared, root.processing / sound) == ("picture", "sound")
    assert probed == [shared, root.processing / "a.wav", root.processing / "b.wav"]


@pytest.mark.ffmpeg
def test_a_desk_probes_both_files(root, tmp_path):
    import subprocess

    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    subprocess.run([*make, "testsrc2=s=64x48:r=25:d=0.2", "-pix_fmt", "yuv420p", str(tmp_path / "a.mp4")], check=True)
    subprocess.run([*make, "sine=duration=0.3:sample_rate=8000", str(tmp_path / "a.wav")], check=True)
    media = new_desk(root).probe(tmp_path / "a.mp4", tmp_path / "a.wav")
    assert (media.video.width_px, media.audio.duration_s) == (64, Fraction(3, 10))


def test_with_a_real_child_a_root_that_moves_away_is_offline_until_it_is_back(root, tmp_path):
    desk = FrontDesk(root, SETTINGS, tmp_path, open_nursery(LogChoice(level="error")), lambda: None)
    now_s = time.monotonic()

    def looks(until):
        nonlocal now_s
        for _ in range(20):
            now_s += SETTINGS.intake.scan_idle_s
            desk.tick(now_s)
            select.select(desk.filenos(), [], [], 20)
            desk.tick(now_s)
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
