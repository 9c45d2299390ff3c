"""A store and its event log, with everything that can happen to the two."""

import contextlib
import itertools
import json
import os
from pathlib import Path

from heygemd.jobs.export import EventLog, LogCalls
from heygemd.jobs.job import BatchRow
from heygemd.jobs.states import JobState
from tests.jobs.conftest import NOW, make_job, open_store

STEPS = (JobState.RUNNING, JobState.QUEUED)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it."""


class FakeCalls(LogCalls):
    """Counts steps and stops at one of them; keeps in mind which bytes a power cut would spare."""

    def __init__(self) -> None:
        self.left: int | None = None
        """Steps until the kill; None: it never comes."""
        self.taken_bytes = 1 << 30
        """How much of its data the last append before a kill takes."""
        self.fault: int | None = None
        """errno of the next append or sync."""
        self.synced: dict[int, int] = {}

    def _step(self, act, *args):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KilledError
        return act(*args)

    def append(self, fd, data):
        if self.left == 0:
            os.write(fd, data[: self.taken_bytes])
        return self._step(self._write, fd, data)

    def _write(self, fd, data):
        self._refuse("append")
        return os.write(fd, data[: max(1, len(data) // 2)])

    def sync(self, fd):
        self._step(self._refuse, "sync")
        self.synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    def cut(self, fd, size_bytes):
        self._step(os.ftruncate, fd, size_bytes)

    def _refuse(self, call):
        if self.fault is not None:
            number, self.fault = self.fault, None
            raise OSError(number, os.strerror(number))


class House:
    """A store, its log, and everything that can happen to the two."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        self.store = open_store(folder)
        self.store.add(make_job(row=BatchRow(batch="b1", number=4, row_id="ep04")))
        self.calls = FakeCalls()
        self.rotated: list[Path] = []
        self.states = itertools.cycle(STEPS)
        self.start()
        set_offset = self.store.set_event_offset
        self.store.set_event_offset = lambda seq: self.calls._step(set_offset, seq)  # type: ignore[method-assign]

    def start(self) -> None:
        self.calls.left = None
        self.log = EventLog(self.path, self.store, calls=self.calls)

    def happen(self, times: int = 1) -> None:
        for _ in range(times):
            self.store.move("a", next(self.states), at=NOW)

    def write(self) -> int:
        return self.log.write_new()

    def write_and_die(self, steps: int, taken_bytes: int = 1 << 30) -> None:
        self.calls.left, self.calls.taken_bytes = steps, taken_bytes
        with contextlib.suppress(KilledError):
            self.log.write_new()
        self.log.close()
        self.start()

    def rotate(self) -> None:
        if self.path.exists() and b"\0" not in self.path.read_bytes():  # after a power cut we start before logrotate
            self.rotated.append(self.path.with_name(f"events.jsonl.{len(self.rotated) + 1}"))
            self.path.rename(self.rotated[-1])
            # Coarse clocks give equal times to files of one moment, which days lie between in the world.
            os.utime(self.rotated[-1], ns=(len(self.rotated), len(self.rotated)))

    def cut_power(self, spared: float, zeros: bool) -> None:
        """Lose what was not synced, from anywhere on: it is gone, or it has become zeros."""
        self.log.close()
        if self.path.exists():
            data = self.path.read_bytes()
            safe = self.calls.synced.get(self.path.stat().st_ino, 0)
            kept = safe + int((len(data) - safe) * spared)
            middle = kept + (len(data) - kept) // 2
            self.path.write_bytes(data[:kept] + (bytes(middle - kept) + data[middle:] if zeros else b""))
        self.start()

    def told(self) -> list[dict[str, object]]:
        lines = []
        for path in (*self.rotated, self.path):
            whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
            lines += [json.loads(line) for line in whole.splitlines()]
        return lines

    def check(self) -> None:
        assert [line["seq"] for line in self.told()] == [event.seq for event in self.store.events()]
        assert self.path.read_bytes().endswith(b"\n")
        assert self.store.event_offset() == self.told()[-1]["seq"]
