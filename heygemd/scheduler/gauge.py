"""Watches the chosen devices while the daemon runs, in a thread of its own: a driver that hangs stops nothing else.

    thread ── poll() every 2 s ──▶ sights ──▶ look() ── daemon's loop

The sights are replaced as a whole, so that neither side waits for the other.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import structlog

from heygemd.scheduler.devices import (
    NVML,
    Device,
    Handle,
    Nvml,
    find_handles,
    is_card_gone,
    read_card,
    read_cpu,
)
from heygemd.scheduler.machine import Machine

log = structlog.get_logger(__name__)

EVERY_S = 2.0
STALE_S = 30.0
CPU_EVERY_S = 1.0
CALM_S = 60.0
"""A power cap comes and goes many times a minute: only one that has been away for so long is reported as over."""
CLOSE_S = 1.0
"""How long `close` waits for the thread, which may hang in the driver; it ends with the process then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What was seen of one card."""

    device: Device
    """As it stood when it answered last."""
    at_s: float
    """When that was."""
    is_lost: bool = False
    """NVML says that it is not there."""


class Gauge:
    """Newest facts about the chosen devices; only `look` is for the daemon's loop.

    `every_s=None` starts no thread: whoever made the gauge calls `poll`.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        nvml: Nvml = NVML,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
        every_s: float | None = EVERY_S,
        stale_s: float = STALE_S,
    ) -> None:
        self._chosen = tuple(devices)
        self._nvml, self._clock, self._stale_s = nvml, clock, stale_s
        self._machine = machine or Machine()
        now_s = clock()
        self._cards = tuple(device for device in devices if device.kind == "cuda")
        self._sights: Mapping[str, _Sight] = MappingProxyType(
            {card.label: _Sight(device=card, at_s=now_s) for card in self._cards}
        )
        self._cpu: tuple[float, Device] | None = None
        self._lost: set[str] = set()
        self._slow: dict[str, dict[str, float]] = {card.label: {} for card in self._cards}
        """What a card was reported to be throttled by, and when it last was."""
        self._handles: dict[str, Handle] | None = None
        """None: NVML is closed."""
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        if self._cards and every_s is not None:
            self._thread = threading.Thread(target=self._run, args=(every_s,), name="gauge", daemon=True)
            self._thread.start()

    def look(self) -> tuple[Device, ...]:
        """The chosen devices, in their order, as they stand; never waits, and logs what has changed."""
        now_s, sights = self._clock(), self._sights
        devices = tuple(
            self._look_at_cpu(now_s) if device.kind == "cpu" else self._judged(sights[device.label], now_s)
            for device in self._chosen
        )
        for device in devices:
            self._tell(device, now_s)
        return devices

    def poll(self) -> None:
        """Ask NVML once about every card; takes as long as the driver takes, and survives whatever it says."""
        nvml, before = self._nvml, self._sights
        try:
            if self._handles is None:
                nvml.nvmlInit()
                self._handles = {}
                self._handles = find_handles(nvml, self._cards)
            sights = {label: self._sight(sight, self._handles.get(label)) for label, sight in before.items()}
        except (nvml.NVMLError, OSError, ValueError):  # a broken driver may also answer with bytes that are no text
            self._shut()
            return
        self._sights = MappingProxyType(sights)
        # A card that comes back is only seen by a new session, and an open one would keep it from being reset.
        if any(sight.is_lost or sight is before[label] for label, sight in sights.items()):
            self._shut()

    def close(self) -> None:
        """End the thread and let go of NVML."""
        self._is_over.set()
        if self._thread is None:
            self._shut()
        else:
            self._thread.join(CLOSE_S)

    def _run(self, every_s: float) -> None:
        while not self._is_over.wait(every_s):
            self.poll()
        self._shut()

    def _sight(self, before: _Sight, handle: Handle | None) -> _Sight:
        """Look at one card, which stays as it was seen before when it does not answer."""
        if handle is None:
            return before
        try:
            device = read_card(self._nvml, handle, before.device.index)
        except self._nvml.NVMLError as error:
            return replace(before, is_lost=True) if is_card_gone(self._nvml, error) else before
        known = replace(device, uuid=device.uuid or before.device.uuid)
        return _Sight(device=known, at_s=self._clock())

    def _shut(self) -> None:
        if self._handles is None:
            return
        self._handles = None
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            log.debug("device.nvml_failed", reason=str(error))

    def _judged(self, sight: _Sight, now_s: float) -> Device:
        return replace(sight.device, is_lost=sight.is_lost or now_s - sight.at_s > self._stale_s)

    def _look_at_cpu(self, now_s: float) -> Device:
        if self._cpu is None or now_s - self._cpu[0] >= CPU_EVERY_S:
            self._cpu = now_s, read_cpu(self._machine)
        return self._cpu[1]

    def _tell(self, device: Device, now_s: float) -> None:
        """Log what is new about a device."""
        if device.is_lost and device.label not in self._lost:
            self._lost.add(device.label)
            log.error("device.lost", device=device.label, name=device.name, uuid=device.uuid)
        elif not device.is_lost and device.label in self._lost:
            self._lost.remove(device.label)
            log.info("device.returned", device=device.label, name=device.name, uuid=device.uuid)
        if device.kind == "cuda" and not device.is_lost:
            self._tell_throttle(device, self._slow[device.label], now_s)

    def _tell_throttle(self, device: Device, reported: dict[str, float], now_s: float) -> None:
        if not reported.keys() >= set(device.throttle):
            facts = {"reasons": list(device.throttle), "temperature_c": device.temperature_c}
            log.warning("device.throttled", device=device.label, **facts)
        was_slow = bool(reported)
        reported.update(dict.fromkeys(device.throttle, now_s))
        for reason in [reason for reason, last_s in reported.items() if now_s - last_s >= CALM_S]:
            del reported[reason]
        if was_slow and not reported:
            log.info("device.unthrottled", device=device.label, temperature_c=device.temperature_c)
