import logging
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from heygemd.intake import alarm as alarm_module
from heygemd.intake.alarm import Alarm
from heygemd.intake.filesystems import is_local
from heygemd.intake.scan import scan
from heygemd.intake.settle import SettleRule
from heygemd.intake.watch import Watch

PATIENCE_S = 10.0


@pytest.fixture
def woken():
    return threading.Event()


@pytest.fixture
def inbox(tmp_path):
    if not is_local(tmp_path):
        pytest.skip("inotify needs a local file system")
    (tmp_path / "inbox" / "s").mkdir(parents=True)
    return tmp_path / "inbox"


@pytest.fixture
def alarm(inbox, woken):
    alarm = Alarm(inbox, woken.set)
    alarm.start()
    yield alarm
    alarm.stop()


def test_a_file_in_a_sub_folder_wakes(alarm, inbox, woken):
    assert alarm.is_alive()
    (inbox / "s" / "a.mp4").write_bytes(b"x")
    assert woken.wait(PATIENCE_S)


def test_our_own_looks_do_not_wake(inbox, woken):
    (inbox / "s" / "a.mp4").write_bytes(b"x")
    alarm = Alarm(inbox, woken.set)
    alarm.start()
    scan(inbox, inbox.stat().st_dev)
    (inbox / "s" / "a.mp4").read_bytes()
    assert not woken.wait(0.3)
    alarm.stop()


def test_a_stopped_alarm_is_silent_and_can_be_started_again(alarm, inbox, woken):
    alarm.stop()
    assert not alarm.is_alive()
    (inbox / "a.mp4").touch()
    assert not woken.wait(0.3)
    alarm.start()
    (inbox / "b.mp4").touch()
    assert woken.wait(PATIENCE_S)


def test_an_exchanged_folder_is_no_longer_watched(alarm, inbox):
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()
    assert not alarm.is_alive()
    alarm.start()
    assert alarm.is_alive()
    shutil.rmtree(inbox)
    assert not alarm.is_alive()


def test_on_a_mount_and_without_a_folder_nothing_is_watched(tmp_path, monkeypatch, woken):
    alarm = Alarm(tmp_path / "none", woken.set)
    alarm.start()
    assert not alarm.is_alive()
    monkeypatch.setattr(alarm_module, "is_local", lambda _: False)
    alarm = Alarm(Path(tmp_path), woken.set)
    alarm.start()
    assert not alarm.is_alive()
    alarm.stop()


def emitter_of(alarm: Alarm) -> threading.Thread:
    (emitter,) = alarm._observer.emitters
    return emitter


def test_a_dead_emitter_is_noticed_and_start_rebuilds_it(alarm, inbox, woken):
    assert not alarm.needs_rebuild()
    emitter_of(alarm).stop()
    emitter_of(alarm).join(PATIENCE_S)
    assert alarm.needs_rebuild()
    (inbox / "unseen.mp4").touch()
    assert not woken.wait(0.3)
    alarm.start()
    assert not alarm.needs_rebuild()
    (inbox / "a.mp4").touch()
    assert woken.wait(PATIENCE_S)


def test_every_thread_behind_it_counts(alarm):
    """Some versions of watchdog read the kernel's queue in a thread that is no emitter."""
    assert emitter_of(alarm) in alarm._threads
    assert alarm._observer in alarm._threads
    readers = [thread for thread in alarm._threads if thread not in (emitter_of(alarm), alarm._observer)]
    if not readers:
        pytest.skip("this version of watchdog reads in its emitter")
    readers[0].stop()
    readers[0].join(PATIENCE_S)
    assert emitter_of(alarm).is_alive()
    assert alarm.needs_rebuild()
    alarm.start()
    assert alarm.is_alive()


def test_a_recreated_inbox_needs_a_rebuild_and_what_was_born_meanwhile_is_found_by_the_scan(alarm, inbox, woken):
    """The file that nobody has seen: born between the death of one watcher and the birth of the next."""
    rule = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3)
    watch = Watch(inbox, lambda _: rule)
    shutil.rmtree(inbox)
    inbox.mkdir()
    # Where the new folder has got the number of the old one, only the death of the watcher tells, a moment later.
    ends_s = time.monotonic() + 5
    while not alarm.needs_rebuild() and time.monotonic() < ends_s:
        time.sleep(0.01)
    assert alarm.needs_rebuild()
    woken.clear()
    (inbox / "born.wav").write_bytes(b"x")
    alarm.start()
    assert not woken.wait(0.3)
    watch.note(scan(inbox, inbox.stat().st_dev), 0.0, lambda: False)
    assert set(watch.files) == {("", "born.wav")}


def test_an_overflow_of_the_kernels_queue_wakes(alarm, inbox, woken):
    """Holds the reader back until the queue is full; what follows is lost, and must wake all the same."""
    reader = getattr(alarm._observer, "_inotify_fd", None)
    if reader is None:
        pytest.skip("this version of watchdog has another reader")
    names = [inbox / "a.mp4", inbox / "b.mp4"]
    for name in names:
        name.touch()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 70_000:
        pytest.skip("the queue is too long to fill in a test")
    with capture_logs() as logs:
        with reader._lock:
            for step in range(limit + 8000):
                os.utime(names[step % 2])
        woken.clear()
        assert woken.wait(PATIENCE_S)
        for _ in range(200):
            if any(entry["event"] == "intake.alarm_complained" for entry in logs):
                break
            threading.Event().wait(0.05)
    assert any("overflow" in entry.get("reason", "") for entry in logs)


def test_what_watchdog_only_complains_about_wakes(alarm, woken):
    woken.clear()
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    assert woken.is_set()


def test_a_stopped_alarm_needs_no_rebuild_and_hears_no_complaints(alarm, woken):
    alarm.stop()
    assert not alarm.needs_rebuild()
    woken.clear()
    logging.getLogger("watchdog").warning("late")
    assert not woken.is_set()


def test_a_kernel_that_refuses_is_one_warning_and_tried_again(inbox, woken, monkeypatch):
    def refuse(*_):
        raise OSError(28, "inotify watch limit reached")

    alarm = Alarm(inbox, woken.set)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(alarm_module, "Observer", refuse)
        alarm.start()
        alarm.start()
    assert [entry["event"] for entry in logs] == ["intake.alarm_failed"]
    assert alarm.needs_rebuild()
    alarm.start()
    assert not alarm.needs_rebuild()
    alarm.stop()


def test_what_became_of_the_watch_is_counted(alarm, inbox, woken):
    assert (alarm.state, alarm.rebuilds, alarm.overflows) == ("on", 0, 0)
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    assert alarm.overflows == 1
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()
    alarm._keep()
    assert (alarm.state, alarm.rebuilds) == ("on", 1)
    alarm._keep()
    assert alarm.rebuilds == 1, "nothing was wrong"
    alarm.stop()
    assert alarm.state == "off"


def test_a_watch_that_never_began_is_dead_and_not_rebuilt(inbox, woken, monkeypatch):
    alarm = Alarm(inbox, woken.set)
    assert alarm.state == "off"

    def refuse(*_):
        raise OSError(28, "inotify watch limit reached")

    with monkeypatch.context() as patch:
        patch.setattr(alarm_module, "Observer", refuse)
        alarm._keep()
        alarm._keep()
    assert (alarm.state, alarm.rebuilds) == ("dead", 0)
    alarm._keep()
    assert (alarm.state, alarm.rebuilds) == ("on", 0)
    alarm.stop()


def test_a_mount_is_not_watched(inbox, woken, monkeypatch):
    monkeypatch.setattr(alarm_module, "is_local", lambda path: False)
    alarm = Alarm(inbox, woken.set)
    alarm._keep()
    assert alarm.state == "off"


def test_a_dead_thread_is_a_dead_watch(alarm):
    alarm._threads = [threading.Thread()]
    assert alarm.state == "dead"


@pytest.mark.parametrize("moment", ["before", "within"])
def test_a_stop_while_the_keeper_begins_leaves_no_watch(inbox, woken, monkeypatch, moment):
    alarm = Alarm(inbox, woken.set)
    begun = []

    class Late(alarm_module.Observer):
        def schedule(self, *args, **how):
            if moment == "within":
                alarm.stop()
            begun.append(self)
            return super().schedule(*args, **how)

    def is_local(path):
        if moment == "before":
            alarm.stop()
        return True

    monkeypatch.setattr(alarm_module, "Observer", Late)
    monkeypatch.setattr(alarm_module, "is_local", is_local)
    with capture_logs() as logs:
        alarm._keep()
    assert (alarm.state, logs) == ("off", [])
    assert len(begun) == (moment == "within")
    for observer in begun:
        observer.join(PATIENCE_S)
        assert not observer.is_alive()
