"""The event log when other hands or the disk meddle: rotated, emptied, cut, removed, refused."""

import errno
import itertools
import os

import pytest
import structlog

from heygemd.errors import ResourceError
from heygemd.jobs import export
from heygemd.jobs.export import EventLog
from heygemd.jobs.states import JobState
from tests.jobs.conftest import NOW
from tests.jobs.log_house import House

# What other hands do to the file ------------------------------------------------------------------------------------


def test_after_rotation_the_next_lines_go_to_a_new_file(house):
    house.write()
    house.rotate()
    house.happen()
    with structlog.testing.capture_logs() as logs:
        assert house.write() == 1
    assert [line["event"] for line in logs] == ["eventlog.reopened"]
    assert [line["seq"] for line in house.told()] == [1, 2]
    assert len(house.path.read_text().splitlines()) == 1
    house.check()


def test_rotation_between_a_kill_and_the_next_start_doubles_nothing(house):
    house.happen(2)
    for steps in (0, 1, 2, 3, 4, 1, 2, 5):
        house.write_and_die(steps)
        house.rotate()
        house.happen()
    house.happen()
    house.write()
    house.check()


def test_a_file_that_was_emptied_is_begun_anew(house):
    house.happen(3)
    house.write()
    os.truncate(house.path, 0)
    house.happen()
    with structlog.testing.capture_logs() as logs:
        assert house.write() == 1
    assert [line["event"] for line in logs] == ["eventlog.reopened"]
    assert [line["seq"] for line in house.told()] == [5]


def test_what_somebody_else_wrote_behind_our_lines_is_cut_off(house):
    house.write()
    with house.path.open("ab") as file:
        file.write(b"half a li")
    house.happen()
    assert house.write() == 1
    house.check()


def test_a_file_that_was_removed_is_made_again(house):
    house.write()
    house.path.unlink()
    house.happen()
    assert house.write() == 1
    assert [line["seq"] for line in house.told()] == [2]


def test_half_a_line_is_cut_off_and_said(house):
    house.happen(2)
    house.write()
    whole = house.path.read_bytes()
    house.log.close()
    house.path.write_bytes(whole + b'{"seq": 4, "at"')
    house.start()
    with structlog.testing.capture_logs() as logs:
        assert house.write() == 0
    assert logs == [{"event": "eventlog.cut", "log_level": "warning", "path": str(house.path), "bytes": 15}]
    assert house.path.read_bytes() == whole


def test_lines_of_another_history_do_not_hide_ours(house, tmp_path_factory):
    """The store was restored from a backup, and the log knows more than it does."""
    house.happen(5)
    house.write()
    older = House(tmp_path_factory.mktemp("older"))
    older.store.set_event_offset(1)
    older.path.write_bytes(house.path.read_bytes())
    older.store.move("a", JobState.CANCELLED, at=NOW)
    with structlog.testing.capture_logs() as logs:
        assert older.write() == 1
    assert "eventlog.foreign" in [line["event"] for line in logs]
    assert older.told()[-1]["state"] == "cancelled"
    older.log.close()
    older.start()
    older.store.move("a", JobState.QUEUED, at=NOW)
    assert older.write() == 1
    assert [line["seq"] for line in older.told()] == [1, 2, 3, 4, 5, 6, 2, 3]
    older.log.close()
    older.store.close()


def test_only_the_end_of_a_long_log_is_read(house, monkeypatch):
    house.happen(50)
    house.write()
    monkeypatch.setattr(export, "TAIL_BYTES", 1000)
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: read.append(size) or pread(fd, size, at))
    house.log.close()
    house.start()
    house.happen()
    assert house.write() == 1
    assert sum(read) == 1000
    house.check()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "junk"])
def test_what_is_no_log_is_not_written(house, kind, tmp_path, monkeypatch):
    if kind == "link":
        house.path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        house.path.mkdir()
    elif kind == "fifo":
        os.mkfifo(house.path)
    else:
        monkeypatch.setattr(export, "TAIL_BYTES", 1000)
        house.path.write_bytes(b"x" * 5000)
    for _ in range(2):
        with pytest.raises(ResourceError) as caught:
            house.write()
        assert caught.value.code == "E202"
    assert not (tmp_path / "elsewhere").exists()
    if kind == "junk":
        assert house.path.stat().st_size == 5000
        house.path.unlink()
        assert house.write() == 1


# A disk that refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["append", "sync"])
def test_a_full_disk_loses_nothing_and_goes_on_later(house, number, call):
    house.happen(3)
    sizes = itertools.count()
    refuse = house.calls._refuse

    def refuse_later(now: str) -> None:
        if now == call and next(sizes) == (1 if call == "append" else 0):
            house.calls.fault = number
        refuse(now)

    house.calls._refuse = refuse_later
    with pytest.raises(ResourceError) as caught:
        house.write()
    assert caught.value.code == "E202"
    assert house.path.stat().st_size == 0, "what is not certain is written anew"
    assert house.store.event_offset() == 0
    house.happen()
    assert house.write() == 5
    house.check()


def test_a_cut_that_fails_too_leaves_whole_lines_that_are_not_doubled(house, monkeypatch):
    house.happen(3)
    sync = house.calls._refuse

    def refuse(now: str) -> None:
        if now == "sync":
            house.calls.fault = errno.EIO
        sync(now)

    def no_cut(fd: int, size_bytes: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(house.calls, "_refuse", refuse)
        patch.setattr(house.calls, "cut", no_cut)
        with pytest.raises(ResourceError):
            house.write()
    house.happen()
    house.write()
    house.check()


def test_a_store_that_cannot_keep_the_offset_doubles_nothing(house):
    house.happen()
    keep = house.store.set_event_offset

    def refuse(seq: int) -> None:
        raise ResourceError("E202", "full")

    house.store.set_event_offset = refuse
    with pytest.raises(ResourceError):
        house.write()
    house.store.set_event_offset = keep
    house.happen()
    assert house.write() == 1
    house.check()


def test_a_folder_that_is_gone_is_a_fault_of_the_machine(house):
    house.log.close()
    log = EventLog(house.path.parent / "gone" / "events.jsonl", house.store)
    with pytest.raises(ResourceError):
        log.write_new()
