"""Bugs to order: daemons that break one rule each, so that a soak which catches nothing is found out.

A mutant daemon is `python mutants.py NAME run --config …`. The patch is made when this file is loaded, and children
of multiprocessing load the main file of their parent: it reaches the desks and the errands, too.
"""

import inspect
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from heygemd.filesystem import NameCalls
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.outbox import publish

SLOW_S = 0.25
"""As long as a large film or a slow share would keep the window open."""


def _is_film_commit(name: str, new: str) -> bool:
    return name.endswith(".part") and new.endswith(".mp4")


def film_copied() -> None:
    """The film gets its name by being copied to it."""
    rename = NameCalls.rename_noreplace

    def copy(self: NameCalls, name: str, from_fd: int, new: str, to_fd: int) -> None:
        if not _is_film_commit(name, new):
            return rename(self, name, from_fd, new, to_fd)
        source = os.open(name, os.O_RDONLY, dir_fd=from_fd)
        target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=to_fd)
        data = os.read(source, 1 << 24)
        os.write(target, data[: len(data) // 2])
        time.sleep(SLOW_S)
        os.write(target, data[len(data) // 2 :])
        os.unlink(name, dir_fd=from_fd)
        return None

    NameCalls.rename_noreplace = copy  # type: ignore[method-assign]


def film_first() -> None:
    """The film gets its name before its report has one."""
    rename = NameCalls.rename_noreplace
    held: list[tuple[str, int, str, int]] = []

    def reorder(self: NameCalls, name: str, from_fd: int, new: str, to_fd: int) -> None:
        if name.endswith(".part") and new.endswith(".mp4.json"):
            held.append((name, from_fd, new, to_fd))
            return
        rename(self, name, from_fd, new, to_fd)
        if _is_film_commit(name, new):
            time.sleep(SLOW_S)
            while held:
                rename(self, *held.pop())

    NameCalls.rename_noreplace = reorder  # type: ignore[method-assign]


def name_forgotten() -> None:
    """The name that was chosen is neither stored nor recognised after a crash."""
    choose, rename = publish.choose_name, NameCalls.rename_noreplace
    parameters = inspect.signature(choose)

    def choose_anew(*args: object, **more: object) -> str:
        asked = parameters.bind(*args, **more)
        asked.arguments["job_id"] = "20000101T000000000-aaaaaaaaaa"
        return choose(*asked.args, **asked.kwargs)

    def forget(self: JobStore, job_id: str, name: str) -> str:
        return name

    def linger(self: NameCalls, name: str, from_fd: int, new: str, to_fd: int) -> None:
        rename(self, name, from_fd, new, to_fd)
        if _is_film_commit(name, new):
            time.sleep(SLOW_S)

    choose_anew.__module__, choose_anew.__qualname__ = publish.__name__, "choose_name"  # it is sent to a child by name
    publish.choose_name = choose_anew  # type: ignore[assignment]
    JobStore.set_published_name = forget  # type: ignore[method-assign]
    NameCalls.rename_noreplace = linger  # type: ignore[method-assign]


def done_first() -> None:
    """The store says done when the film has a name, not when it lies there."""
    get, move, set_name, set_film = JobStore.get, JobStore.move, JobStore.set_published_name, JobStore.set_film
    early: set[str] = set()

    def say_done(self: JobStore, job_id: str, name: str) -> str:
        stored = set_name(self, job_id, name)
        move(self, job_id, JobState.DONE, at=datetime.now(UTC))
        early.add(job_id)
        time.sleep(SLOW_S)
        return stored

    def hide(self: JobStore, job_id: str) -> Job | None:
        job = get(self, job_id)
        return replace(job, state=JobState.RUNNING) if job is not None and job_id in early else job

    def skip(self: JobStore, job_id: str, to: JobState, **how: object) -> Job:
        if to is JobState.DONE and job_id in early:
            early.discard(job_id)
            job = get(self, job_id)
            assert job is not None
            return job
        return move(self, job_id, to, **how)  # type: ignore[arg-type]

    def omit(self: JobStore, job_id: str, sha256: str) -> None:
        if job_id not in early:
            set_film(self, job_id, sha256)

    JobStore.set_published_name, JobStore.get = say_done, hide  # type: ignore[method-assign]
    JobStore.move, JobStore.set_film = skip, omit  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "film-copied": film_copied,
    "film-first": film_first,
    "name-forgotten": name_forgotten,
    "done-first": done_first,
}

if __name__ in ("__main__", "__mp_main__"):
    MUTANTS[sys.argv[1]]()

if __name__ == "__main__":
    from heygemd.cli import app

    app(sys.argv[2:])
