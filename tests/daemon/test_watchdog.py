"""The watchdog is fed by ticks that end well, and by nothing else."""

import os
import signal
from contextlib import ExitStack

import pytest
import structlog

from heygemd.daemon import loop
from heygemd.daemon.bell import Bell
from heygemd.daemon.errands import open_nursery
from heygemd.daemon.loop import FAULTS_BETWEEN, LOOP, TICK_WITHIN_S, Daemon
from heygemd.daemon.notify import Heart, ServiceManager
from heygemd.daemon.reload import Reloader
from heygemd.daemon.requests import LOOK_EVERY_S, LOOK_IDLE_S
from heygemd.errors import ResourceError
from heygemd.intake.roots import init_root
from heygemd.log import LogChoice
from heygemd.scheduler.tally import Tally
from heygemd.settings import Settings


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


class Watched(ServiceManager):
    """Counts how often it was fed."""

    def __init__(self):
        super().__init__({})
        self.fed = 0

    def feed(self):
        self.fed += 1


class NoScheduler:
    """Has no devices, no workers and nothing to do."""

    is_busy, tally = False, Tally()

    def progress(self):
        return ()

    devices_seen = workers_seen = progress


@pytest.fixture
def manager():
    return Watched()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def daemon(store, tmp_path, manager, clock, monkeypatch):
    """A daemon whose tick is the test's: `daemon.rounds` are called one after the other, then nothing happens."""
    monkeypatch.setattr(loop, "FAULT_PAUSE_S", 0.0)
    daemon = Daemon(
        settings=Settings(), roots=(), absent=(), state_dir=tmp_path, store=store, scheduler=NoScheduler(),
        nursery=open_nursery(LogChoice(level="error")), locks=ExitStack(), manager=manager, reloader=Reloader(None),
    )  # fmt: skip
    daemon.heart = Heart(clock)
    return daemon


def one_round(daemon, monkeypatch, tick):
    monkeypatch.setattr(daemon, "tick", tick)
    daemon._guarded_tick()
    daemon._feed_watchdog()


def fail():
    raise ZeroDivisionError("a bug")


def full_disk():
    raise ResourceError("E202", "no space left")


def test_a_good_tick_feeds(daemon, manager, monkeypatch):
    one_round(daemon, monkeypatch, lambda: None)
    assert manager.fed == 1


def test_when_every_tick_fails_the_feeding_ends(daemon, manager, clock, monkeypatch):
    one_round(daemon, monkeypatch, lambda: None)
    one_round(daemon, monkeypatch, fail)
    assert manager.fed == 2, "one fault is no reason"
    clock.now_s = TICK_WITHIN_S + 1
    one_round(daemon, monkeypatch, fail)
    assert manager.fed == 2
    one_round(daemon, monkeypatch, lambda: None)
    assert manager.fed == 3


def test_a_full_disk_is_waited_for_and_feeds(daemon, manager, clock, monkeypatch):
    for clock.now_s in (0.0, 100.0, 200.0):
        one_round(daemon, monkeypatch, full_disk)
    assert manager.fed == 3
    assert daemon.paused == "E202 no space left"


def test_a_desk_that_is_not_heard_in_time_ends_the_feeding(daemon, manager, clock, monkeypatch):
    daemon.heart.beat("inbox /srv/films", 600)
    clock.now_s = 601
    with structlog.testing.capture_logs() as told:
        one_round(daemon, monkeypatch, lambda: None)
        one_round(daemon, monkeypatch, lambda: None)
    assert manager.fed == 0
    assert [(line["event"], line["loops"]) for line in told] == [("daemon.loop_late", ["inbox /srv/films"])]


def test_the_same_fault_and_the_same_pause_are_told_now_and_then(daemon, monkeypatch):
    with structlog.testing.capture_logs() as told:
        for _ in range(FAULTS_BETWEEN + 1):
            one_round(daemon, monkeypatch, fail)
        for _ in range(3):
            one_round(daemon, monkeypatch, full_disk)
    assert [line["repeated"] for line in told if line["event"] == "daemon.tick_failed"] == [0, FAULTS_BETWEEN]
    assert [line["event"] for line in told].count("daemon.paused") == 1


def test_the_loop_is_heard_under_its_name(daemon, monkeypatch):
    one_round(daemon, monkeypatch, lambda: None)
    assert set(daemon.heart.ages()) == {LOOP}


def test_a_full_disk_that_keeps_desks_and_clerks_from_their_turn_feeds_too(daemon, manager, clock, monkeypatch):
    daemon.heart.beat("clerk /srv/films", 80)
    for clock.now_s in range(0, 1000, 5):
        one_round(daemon, monkeypatch, full_disk)
    assert manager.fed == 200
    clock.now_s += TICK_WITHIN_S + 1
    one_round(daemon, monkeypatch, lambda: None)
    assert manager.fed == 200, "the disk is well, and the clerk still has no turn"


def test_a_bug_while_the_pause_is_told_does_not_end_the_daemon(daemon, monkeypatch):
    monkeypatch.setattr(daemon.bulletin, "tick", lambda daemon: fail())
    with structlog.testing.capture_logs() as told:
        one_round(daemon, monkeypatch, full_disk)
    assert [line["event"] for line in told] == ["daemon.paused", "daemon.tick_failed"]


def test_a_bug_in_a_reload_does_not_end_the_daemon_and_ends_the_reload(daemon, manager, monkeypatch):
    said = []
    monkeypatch.setattr(manager, "reloading", lambda: said.append("RELOADING"))
    monkeypatch.setattr(manager, "ready", lambda status: said.append("READY"))
    monkeypatch.setattr(daemon.reloader, "reload", lambda daemon: fail())
    daemon._bell.is_reload_wanted = True
    with structlog.testing.capture_logs() as told:
        one_round(daemon, monkeypatch, lambda: None)
        one_round(daemon, monkeypatch, lambda: None)
    assert [line["event"] for line in told] == ["daemon.tick_failed"]
    assert said == ["RELOADING", "READY"]
    assert manager.fed == 2


class Ended(NoScheduler):
    """Notes how long the work in hand is given at the end."""

    def __init__(self):
        self.graces = []

    def tick(self):
        return ()

    def filenos(self):
        return ()

    def stop(self, grace_s):
        self.graces.append(grace_s)


@pytest.fixture
def service(daemon):
    daemon.scheduler = Ended()
    return daemon


def test_who_waits_for_ready_may_reload_at_once(service, manager, monkeypatch):
    def reload_now(status):
        if status == "started":
            os.kill(os.getpid(), signal.SIGHUP)  # it would end a process without a handler

    monkeypatch.setattr(manager, "ready", reload_now)
    monkeypatch.setattr(service, "_bell", Bell(is_on_terminal=False))
    service.run(until_idle=True)
    assert service._bell.is_reload_wanted


def test_one_ctrl_c_gives_the_work_its_time_and_two_do_not(service):
    for signals, graces in (1, [Settings().render.stop_grace_s]), (2, [0.0]):
        service._bell, service.scheduler = Bell(), Ended()

        def press(times=signals):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

        try:
            service.run(on_tick=press)
        except KeyboardInterrupt:
            assert signals == 2
        assert service.scheduler.graces == graces


def test_the_loop_sleeps_no_longer_than_a_request_may_wait(service, monkeypatch):
    slept = []
    monkeypatch.setattr(service._bell, "sleep", lambda numbers, most_s: slept.append(most_s))
    service.tick()
    service._sleep(5.0)
    monkeypatch.setattr(service.scheduler, "is_busy", True, raising=False)
    service._sleep(5.0)
    idle_s, busy_s = slept
    assert 0 < busy_s <= LOOK_EVERY_S < idle_s <= LOOK_IDLE_S


def test_a_late_root_that_holds_the_state_is_refused(service, tmp_path):
    root = init_root(tmp_path / "root")
    service.state_dir = root.path / "state"
    service._welcome(root)
    assert service.desks == []
    assert "must not lie inside the root" in service.latecomers.reasons[root.path]
