"""The gauge: newest facts of the chosen devices, whatever driver and cards do meanwhile."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from heygemd.scheduler.devices import Device, Holder, choose_devices, find_devices
from heygemd.scheduler.fake_nvml import FakeGpu, FakeHandle, FakeMemory, FakeMemoryV2, FakeNvml, FakeNvmlError
from heygemd.scheduler.gauge import CALM_S, Gauge
from heygemd.scheduler.machine import Machine

GIB = 1 << 30
PATIENCE_S = 10.0
TIMEOUT = 10


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml((FakeGpu(name="first"), FakeGpu(name="second")))


@pytest.fixture
def gauge(nvml: FakeNvml, clock: Clock) -> Iterator[Gauge]:
    """Both cards and the CPU, asked only when a test asks."""
    chosen = choose_devices("auto", False, find_devices(nvml, {}))
    gauge = Gauge(chosen, nvml=nvml, clock=clock, every_s=None)
    yield gauge
    gauge.close()
    assert nvml.open_count == 0


def polled(gauge: Gauge) -> tuple[Device, ...]:
    gauge.poll()
    return gauge.look()


def lost(devices: tuple[Device, ...]) -> list[str]:
    return [device.label for device in devices if device.is_lost]


def events(logs: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(line["event"], line["device"]) for line in logs if line["event"] != "device.nvml_failed"]


def test_foreign_memory_that_comes_and_goes_is_seen_in_the_order_of_the_chosen(gauge: Gauge, nvml: FakeNvml) -> None:
    nvml.hold(1, 4711, 5 * GIB)
    assert [device.free_bytes for device in gauge.look()[:2]] == [15 * GIB, 15 * GIB]
    devices = polled(gauge)
    assert [device.label for device in devices] == ["cuda:0", "cuda:1", "cpu"]
    assert [device.free_bytes for device in devices[:2]] == [15 * GIB, 10 * GIB]
    assert devices[1].holders == (Holder(4711, 5 * GIB),)
    nvml.free(1, 4711)
    assert [device.free_bytes for device in polled(gauge)[:2]] == [15 * GIB, 15 * GIB]


def test_nvml_stays_open_while_all_is_well(gauge: Gauge, nvml: FakeNvml) -> None:
    before = nvml.init_count
    for _ in range(5):
        gauge.poll()
    assert nvml.init_count == before + 1


def test_a_lost_card_is_lost_at_once_alone_and_said_once(gauge: Gauge, nvml: FakeNvml) -> None:
    gauge.poll()
    nvml.lose(0)
    with capture_logs() as logs:
        for _ in range(3):
            assert lost(polled(gauge)) == ["cuda:0"]
            nvml.hold(1, 1, GIB)
    assert events(logs) == [("device.lost", "cuda:0")]
    assert gauge.look()[1].free_bytes == 14 * GIB


def test_a_card_that_returns_is_used_again(gauge: Gauge, nvml: FakeNvml) -> None:
    gauge.poll()
    nvml.lose(0)
    assert lost(polled(gauge)) == ["cuda:0"]
    nvml.restore(0)
    with capture_logs() as logs:
        assert lost(polled(gauge)) == []
        polled(gauge)
    assert events(logs) == [("device.returned", "cuda:0")]


def test_nothing_of_ours_keeps_a_lost_card_from_being_reset(gauge: Gauge, nvml: FakeNvml) -> None:
    gauge.poll()
    assert nvml.open_count == 1
    nvml.lose(0)
    gauge.poll()
    assert nvml.open_count == 0


@pytest.mark.parametrize("calls", range(15))
def test_a_card_may_be_lost_at_any_moment_of_a_poll(gauge: Gauge, nvml: FakeNvml, clock: Clock, calls: int) -> None:
    nvml.lose(0, after_calls=calls)
    for _ in range(3):
        clock.now_s += 2
        polled(gauge)
    clock.now_s += 31
    assert lost(polled(gauge)) == ["cuda:0"]
    nvml.restore(0)
    assert lost(polled(gauge)) == []


def test_a_card_that_changes_its_place_is_known_by_its_uuid(gauge: Gauge, nvml: FakeNvml) -> None:
    gauge.poll()
    nvml.reload()
    nvml._cards.reverse()
    nvml.hold(0, 7, 3 * GIB)
    polled(gauge)
    first, second, _ = polled(gauge)
    assert (first.name, first.index, first.free_bytes) == ("first", 0, 15 * GIB)
    assert (second.name, second.index, second.free_bytes) == ("second", 1, 12 * GIB)


def test_a_driver_that_is_loaded_again_costs_one_poll(gauge: Gauge, nvml: FakeNvml) -> None:
    gauge.poll()
    nvml.reload()
    nvml.hold(0, 7, GIB)
    with capture_logs() as logs:
        assert polled(gauge)[0].free_bytes == 15 * GIB
        assert polled(gauge)[0].free_bytes == 14 * GIB
    assert events(logs) == []


def test_a_driver_that_is_gone_loses_the_cards_after_a_while_and_never_the_cpu(
    gauge: Gauge, nvml: FakeNvml, clock: Clock
) -> None:
    gauge.poll()
    nvml.reload()
    nvml.is_loaded = False
    clock.now_s += 30
    assert lost(polled(gauge)) == []
    clock.now_s += 1
    assert lost(polled(gauge)) == ["cuda:0", "cuda:1"]
    nvml.is_loaded = True
    assert lost(polled(gauge)) == []


class Grumpy(FakeNvml):
    """A card that answers with an error of its own."""

    error: Exception | None = None

    @override
    def nvmlDeviceGetMemoryInfo(self, handle: FakeHandle, version: int | None = None) -> FakeMemory | FakeMemoryV2:
        if self.error is not None and handle.place == 0:
            raise self.error
        return super().nvmlDeviceGetMemoryInfo(handle, version)


class OtherNvmlError(FakeNvmlError):
    def __init__(self, value: int) -> None:
        Exception.__init__(self, f"error {value}")
        self.value = value


@pytest.mark.parametrize(
    "error", [OtherNvmlError(TIMEOUT), OtherNvmlError(999), UnicodeDecodeError("utf8", b"", 0, 1, "")]
)
def test_a_card_that_does_not_answer_is_lost_only_after_a_while(clock: Clock, error: Exception) -> None:
    nvml = Grumpy((FakeGpu(name="first"), FakeGpu(name="second")))
    gauge = Gauge(find_devices(nvml, {})[:2], nvml=nvml, clock=clock, every_s=None)
    nvml.error = error
    clock.now_s += 30
    assert lost(polled(gauge)) == []
    clock.now_s += 1
    assert "cuda:0" in lost(polled(gauge))
    nvml.error = None
    assert lost(polled(gauge)) == []
    gauge.close()


def test_a_card_that_needs_a_reset_is_lost_at_once(clock: Clock) -> None:
    nvml = Grumpy((FakeGpu(),))
    gauge = Gauge(find_devices(nvml, {})[:1], nvml=nvml, clock=clock, every_s=None)
    nvml.error = FakeNvmlError(nvml.NVML_ERROR_RESET_REQUIRED)
    assert lost(polled(gauge)) == ["cuda:0"]


def test_throttling_is_said_when_it_begins_and_when_it_has_been_over_for_a_while(
    gauge: Gauge, nvml: FakeNvml, clock: Clock
) -> None:
    with capture_logs() as logs:
        for mask in (0x04, 0, 0x04, 0, 0x44, 0x40):
            nvml.alter(0, throttle_mask=mask, temperature_c=90)
            clock.now_s += 2
            polled(gauge)
    assert [(line["event"], line["reasons"]) for line in logs] == [
        ("device.throttled", ["sw_power_cap"]),
        ("device.throttled", ["sw_power_cap", "hw_thermal_slowdown"]),
    ]
    assert polled(gauge)[0].throttle == ("hw_thermal_slowdown",)
    nvml.alter(0, throttle_mask=0)
    with capture_logs() as logs:
        for _ in range(4):
            clock.now_s += CALM_S / 2
            polled(gauge)
    assert events(logs) == [("device.unthrottled", "cuda:0")]


def machine_with(folder: Path, available_bytes: int) -> Machine:
    (folder / "meminfo").write_text(f"MemTotal: {8 * GIB >> 10} kB\nMemAvailable: {available_bytes >> 10} kB\n")
    return Machine(proc=folder, affinity=lambda: 2)


def test_the_memory_of_the_cpu_is_read_at_most_once_a_second(tmp_path: Path, clock: Clock) -> None:
    machine = machine_with(tmp_path, 4 * GIB)
    nvml = FakeNvml(is_installed=False)
    gauge = Gauge(find_devices(nvml, {}), nvml=nvml, machine=machine, clock=clock)
    assert (gauge.look()[0].free_bytes, gauge.look()[0].cores) == (4 * GIB, 2)
    machine_with(tmp_path, 3 * GIB)
    clock.now_s += 0.9
    assert gauge.look()[0].free_bytes == 4 * GIB
    clock.now_s += 0.1
    assert gauge.look()[0].free_bytes == 3 * GIB
    assert [thread.name for thread in threading.enumerate() if thread.name == "gauge"] == []
    gauge.close()


class Watched(FakeNvml):
    """Says when it was asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.was_asked = threading.Event()
        self.was_shut = threading.Event()

    @override
    def nvmlDeviceGetCount(self) -> int:
        self.was_asked.set()
        return super().nvmlDeviceGetCount()

    @override
    def nvmlShutdown(self) -> None:
        super().nvmlShutdown()
        self.was_shut.set()


def test_the_thread_asks_by_itself_and_ends_when_told_to() -> None:
    nvml = Watched((FakeGpu(),))
    chosen = find_devices(nvml, {})[:1]
    nvml.was_asked.clear()
    gauge = Gauge(chosen, nvml=nvml, every_s=0.001)
    assert nvml.was_asked.wait(PATIENCE_S)
    gauge.close()
    assert nvml.open_count == 0
    assert [thread.name for thread in threading.enumerate() if thread.name == "gauge"] == []


def test_a_driver_that_hangs_stops_neither_a_look_nor_the_end(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("heygemd.scheduler.gauge.CLOSE_S", 0.01)
    nvml = Watched((FakeGpu(),))
    chosen = find_devices(nvml, {})[:1]
    nvml.was_asked.clear()
    nvml.was_shut.clear()
    gauge = Gauge(chosen, nvml=nvml, clock=clock, every_s=0.001)
    assert nvml.was_asked.wait(PATIENCE_S)
    nvml.hang()
    assert lost(gauge.look()) == []
    clock.now_s += 31
    assert lost(gauge.look()) == ["cuda:0"]
    gauge.close()
    assert not nvml.was_shut.is_set()
    nvml.wake()
    assert nvml.was_shut.wait(PATIENCE_S)


@pytest.mark.gpu
def test_a_real_card_is_found_and_found_again() -> None:
    *cards, _ = find_devices()
    gauge = Gauge(cards, every_s=None)
    for before, after in zip(cards, polled(gauge), strict=True):
        assert (after.uuid, after.name, after.total_bytes) == (before.uuid, before.name, before.total_bytes)
        assert after.uuid
        assert 0 <= after.free_bytes <= after.total_bytes
        assert not after.is_lost
    gauge.close()
