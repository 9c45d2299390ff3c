"""Daemons that keep what they should give back, so that a soak which measures nothing is found out."""

import os
from collections.abc import Callable

from heygemd.jobs.export import EventLog
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox import retention
from heygemd.scheduler.scheduler import Scheduler

KEPT_BYTES, NOTED_BYTES = 100_000, 16_384
_kept: list[bytearray] = []


def _beside_each_move(do: Callable[[JobState], None]) -> None:
    move = JobStore.move

    def move_and(self: JobStore, job_id: str, to: JobState, **how: object) -> Job:
        do(to)
        return move(self, job_id, to, **how)  # type: ignore[arg-type]

    JobStore.move = move_and  # type: ignore[method-assign]


def memory() -> None:
    """Every step of a job is remembered for ever."""
    _beside_each_move(lambda to: _kept.append(bytearray(os.urandom(KEPT_BYTES))))


def descriptors() -> None:
    """A file is opened for each film, and never closed."""

    def open_one(to: JobState) -> None:
        if to is JobState.DONE:
            os.open(os.devnull, os.O_RDONLY)

    _beside_each_move(open_one)


def work() -> None:
    """Nobody clears up behind a finished film."""
    Scheduler.discard_work = lambda self, job_id: None  # type: ignore[method-assign]


def originals() -> None:
    """What is older than the settings say stays."""
    retention.Endings.delete_what_is_over = lambda self, today, days: None  # type: ignore[method-assign]


def steps() -> None:
    """Each block of the event log leaves something in a file of its own, which nobody ever takes away."""
    append = EventLog._append

    def append_and_note(self: EventLog, fd: int, block: bytes) -> None:
        with self._path.with_name("steps.txt").open("ab") as file:
            file.write(b"x" * NOTED_BYTES)
        append(self, fd, block)

    EventLog._append = append_and_note  # type: ignore[method-assign]


LEAKS: dict[str, Callable[[], None]] = {
    "memory": memory,
    "descriptors": descriptors,
    "work": work,
    "originals": originals,
    "steps": steps,
}
