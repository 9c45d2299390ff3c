"""Looks at a running daemon once a second: memory of its tree, the graphics cards, and when it says it will be done."""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
from bench_memory import tree_pss

from heygemd.scheduler.devices import Device, find_devices

INTERVAL_S = 1.0


def _machine_s() -> tuple[float, float]:
    times = psutil.cpu_times()
    total = sum(times) - times.guest - times.guest_nice  # these are in user and nice already
    return total - times.idle - times.iowait, total


@dataclass(slots=True)
class Watch:
    """What was seen so far. Memory that others held on the cards before the start is not ours."""

    pss_bytes: int = 0
    """Most at one look; a peak between two looks is missed."""
    pss_by_process: dict[str, int] = field(default_factory=dict)
    """At that look."""
    vram_bytes: dict[str, int] = field(default_factory=dict)
    """Most on each card, by its label."""
    gpu_busy: list[float] = field(default_factory=list)
    """Share of the cards that were busy, at each look."""
    promises: list[tuple[float, float]] = field(default_factory=list)
    """(time of a status file, end of the queue that it foresaw), POSIX seconds."""
    _machine: tuple[float, float] = field(default_factory=_machine_s)
    """Busy and all seconds of all cores, at the start."""
    _foreign: dict[str, int] = field(default_factory=lambda: {card.label: _used_bytes(card) for card in _cards()})

    def until_end_of(self, daemon: "psutil.Popen", status_file: Path) -> None:
        """Look until the process ends."""
        while daemon.poll() is None:
            began_s = time.monotonic()
            self._look_at_memory(daemon)
            self._look_at_cards()
            self._read(status_file)
            time.sleep(max(0.0, INTERVAL_S - (time.monotonic() - began_s)))

    @property
    def machine_busy(self) -> float:
        """Share of all cores that was busy since the start, whoever it was."""
        busy_s, all_s = (now - then for now, then in zip(_machine_s(), self._machine, strict=True))
        return busy_s / max(all_s, 1e-9)

    def _look_at_memory(self, daemon: "psutil.Popen") -> None:
        now = tree_pss(daemon)
        if now.total() > self.pss_bytes:
            self.pss_bytes, self.pss_by_process = now.total(), dict(now.most_common())

    def _look_at_cards(self) -> None:
        cards = _cards()
        for card in cards:
            ours = _used_bytes(card) - self._foreign.get(card.label, 0)
            self.vram_bytes[card.label] = max(ours, self.vram_bytes.get(card.label, 0))
        measured = [card.utilisation for card in cards if card.utilisation is not None]
        if measured:
            self.gpu_busy.append(sum(measured) / len(measured))

    def _read(self, status_file: Path) -> None:
        try:
            told = json.loads(status_file.read_bytes())
        except (OSError, ValueError):
            return
        if told.get("queue_ends_at"):
            promise = (_posix_s(told["written_at"]), _posix_s(told["queue_ends_at"]))
            if promise not in self.promises[-1:]:
                self.promises.append(promise)


def _cards() -> list[Device]:
    return [device for device in find_devices() if device.kind == "cuda"]


def _used_bytes(card: Device) -> int:
    return card.total_bytes - card.free_bytes


def _posix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
