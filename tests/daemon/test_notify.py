"""What systemd is told, word for word, and when its watchdog is fed."""

import os
import socket

import pytest

from heygemd.daemon.notify import Heart, ServiceManager


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def listener(tmp_path):
    """A socket in systemd's place, and a function that returns what it was told since."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)

        def told():
            found = []
            while True:
                try:
                    found.append(dict(line.split("=", 1) for line in server.recv(65536).decode().splitlines()))
                except BlockingIOError:
                    return found

        yield str(tmp_path / "notify"), told


@pytest.fixture
def manager(listener, clock):
    manager = ServiceManager({"NOTIFY_SOCKET": listener[0], "WATCHDOG_USEC": "60000000"}, clock)
    yield manager
    manager.close()


def test_a_start_asks_for_time_and_ends_with_ready(manager, listener):
    manager.starting("hashing weights")
    manager.ready("serving 2 roots")
    assert listener[1]() == [
        {"STATUS": "hashing weights", "EXTEND_TIMEOUT_USEC": "90000000"},
        {"READY": "1", "STATUS": "serving 2 roots"},
    ]


def test_a_reload_tells_when_it_began(manager, listener):
    manager.reloading()
    (told,) = listener[1]()
    assert told["RELOADING"] == "1"
    assert int(told["MONOTONIC_USEC"]) > 0


def test_stopping_asks_for_the_time_that_the_segments_get(manager, listener):
    manager.stopping(20.0)
    (told,) = listener[1]()
    assert (told["STOPPING"], int(told["EXTEND_TIMEOUT_USEC"])) == ("1", 110_000_000)


def test_a_status_is_sent_when_it_is_new_and_not_too_often(manager, listener, clock):
    manager.status("one")
    manager.status("one")
    manager.status("two")  # too soon
    clock.now_s += 3
    manager.status("two")
    assert [told["STATUS"] for told in listener[1]()] == ["one", "two"]


def test_a_status_is_one_line_whatever_names_are_in_it(manager, listener):
    manager.status("a\nREADY=1\x1b[31m" + "x" * 9999)
    (told,) = listener[1]()
    assert told.keys() == {"STATUS"}
    assert "\x1b" not in told["STATUS"]
    assert len(told["STATUS"]) <= 300


def test_the_watchdog_is_fed_some_times_within_its_limit_and_not_more(manager, listener, clock):
    for _ in range(240):  # a minute of a busy loop
        manager.feed()
        clock.now_s += 0.25
    assert 2 <= len(listener[1]()) <= 5


def test_nobody_is_fed_who_does_not_watch(listener, clock):
    for environment in (
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
    ):
        assert ServiceManager({"NOTIFY_SOCKET": listener[0], **environment}, clock).watchdog_s is None
    mine = {"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": str(os.getpid())}
    assert ServiceManager(mine, clock).watchdog_s == 9.0


def test_no_child_inherits_what_is_meant_for_the_daemon():
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    ServiceManager(environment)
    assert environment == {"HOME": "/"}


def test_an_abstract_socket_is_found(clock):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        name = f"heygemd-test-{os.getpid()}"
        server.bind(b"\0" + name.encode())
        manager = ServiceManager({"NOTIFY_SOCKET": f"@{name}"}, clock)
        manager.ready("here")
        manager.close()
        assert server.recv(4096) == b"READY=1\nSTATUS=here"


def test_a_manager_that_is_gone_or_absent_disturbs_nobody(tmp_path, clock):
    for address in ("", str(tmp_path / "nobody")):
        manager = ServiceManager({"NOTIFY_SOCKET": address}, clock)
        manager.ready("x")
        manager.status("y")
        manager.close()


def test_a_loop_that_beats_in_time_is_not_late(clock):
    heart = Heart(clock)
    heart.beat("loop", 30)
    heart.beat("inbox", 600)
    clock.now_s += 29
    assert heart.late() == ()
    clock.now_s += 2
    assert heart.late() == ("loop",)
    heart.beat("loop", 30)
    assert heart.late() == ()
    clock.now_s += 600
    assert heart.late() == ("inbox", "loop")
    heart.forget("inbox")
    assert heart.late() == ("loop",)
    assert heart.ages() == {"loop": 600.0}


def test_a_loop_that_is_overdue_when_it_beats_is_late_at_once(clock):
    heart = Heart(clock)
    heart.beat("inbox", -1.0)
    assert heart.late() == ("inbox",)


def test_an_excuse_gives_everybody_time_and_takes_none_away(clock):
    heart = Heart(clock)
    heart.beat("loop", 30)
    heart.beat("inbox", 600)
    clock.now_s += 100
    heart.excuse(30)
    assert heart.late() == ()
    assert heart.ages() == {"loop": 100.0, "inbox": 100.0}
    clock.now_s += 31
    assert heart.late() == ("loop",)
