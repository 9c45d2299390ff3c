import shutil
import threading
from pathlib import Path

import pytest

from heygemd.intake import alarm as alarm_module
from heygemd.intake.alarm import Alarm
from heygemd.intake.filesystems import is_local
from heygemd.intake.scan import scan

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
