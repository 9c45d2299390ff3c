"""When operators are told, and what happens when they cannot be."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from heygemd.daemon import bulletin as module
from heygemd.daemon.bulletin import ACTIVE_S, IDLE_S, Bulletin
from heygemd.vitals import Counts, Vitals, read_vitals

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


class Manager:
    """Remembers what systemd would show."""

    def __init__(self):
        self.told = []

    def status(self, status):
        self.told.append(status)


class House:
    """A daemon of which only the state folder and the settings count here; `queued` jobs wait."""

    def __init__(self, folder):
        self.state_dir, self.queued = folder, 0
        self.settings = SimpleNamespace(metrics_file=None, metrics_every_s=15.0)
        self.scheduler = SimpleNamespace(is_busy=False)

    def vitals(self, daemon):
        assert daemon is self
        return Vitals(
            written_at=NOON, started_at=NOON, pid=1, host="h", version="1", status="",
            counts=Counts(queued=self.queued),
        )  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    house = House(tmp_path)
    monkeypatch.setattr(module, "take_vitals", house.vitals)
    return house


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def bulletin(manager, clock):
    return Bulletin(manager, clock)


def tells(bulletin, house, manager, clock, seconds):
    """How often it told within so many seconds, at four ticks a second."""
    before = len(manager.told)
    for _ in range(int(seconds * 4)):
        bulletin.tick(house)
        clock.now_s += 0.25
    return len(manager.told) - before


def test_an_idle_daemon_tells_now_and_then_and_one_with_work_often(bulletin, house, manager, clock):
    assert tells(bulletin, house, manager, clock, 4 * IDLE_S) == 4
    house.queued = 1
    clock.now_s += IDLE_S
    assert tells(bulletin, house, manager, clock, 30 * ACTIVE_S) == 30


def test_work_that_begins_is_told_without_waiting_for_the_idle_pause(bulletin, house, manager, clock):
    bulletin.tick(house)
    clock.now_s += ACTIVE_S
    house.scheduler.is_busy = True
    bulletin.tick(house)
    assert len(manager.told) == 2


def test_all_that_is_told_is_the_same(bulletin, house, manager):
    house.queued = 3
    bulletin.tick(house)
    assert "3 queued" in bulletin.headline
    assert manager.told == [bulletin.headline]
    assert read_vitals(house.state_dir).status == bulletin.headline


@pytest.mark.parametrize("is_busy", [False, True])
def test_tell_now_is_the_next_tick_and_no_busy_waiting(bulletin, house, manager, clock, is_busy):
    house.scheduler.is_busy = is_busy
    bulletin.tick(house)
    bulletin.tell_now()
    assert bulletin.due_s(clock.now_s) == 0.0
    bulletin.tick(house)
    assert len(manager.told) == 2
    assert bulletin.due_s(clock.now_s) > 0.0, "else the loop spins"


def test_metrics_are_written_as_often_as_wanted(bulletin, house, clock):
    file = house.settings.metrics_file = house.state_dir / "heygemd.prom"
    house.queued = 1
    bulletin.tick(house)
    file.unlink()
    clock.now_s += 14.0
    bulletin.tick(house)
    assert not file.exists()
    clock.now_s += ACTIVE_S
    bulletin.tick(house)
    assert 'heygemd_jobs{state="queued"} 1' in file.read_text()


def test_what_cannot_be_written_is_said_once_and_does_not_stop_the_rest(bulletin, house, manager, clock):
    house.settings.metrics_file = house.state_dir / "nowhere" / "heygemd.prom"
    (house.state_dir / ".vitals.json.part").mkdir()
    with capture_logs() as logs:
        for _ in range(3):
            bulletin.tick(house)
            clock.now_s += IDLE_S
    told = [(line["event"], line["what"]) for line in logs]
    assert told == [("bulletin.not_written", "vitals"), ("bulletin.not_written", "metrics")]
    assert bulletin.unwritten == ("metrics", "vitals")
    assert len(manager.told) == 3
    (house.state_dir / ".vitals.json.part").rmdir()
    (house.state_dir / "nowhere").mkdir()
    bulletin.tick(house)
    assert bulletin.unwritten == ()
