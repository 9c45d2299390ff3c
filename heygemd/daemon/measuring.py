"""Puts together how the whole daemon stands, for operators: `vitals.json`, the metrics, systemd's status line."""

import os
import shutil
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

import psutil

from heygemd import __version__
from heygemd.daemon.snapshot import needs_you, pause_of, state_of
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.vitals import Counts, JobVitals, RootVitals, Vitals

if TYPE_CHECKING:
    from heygemd.daemon.frontdesk import FrontDesk
    from heygemd.daemon.loop import Daemon

HOUR_S = 3600.0
NEVER_THERE = "it has not been there since the start"
MOST_REMEMBERED = 20_000
"""Films of the last hour; more are not made by one machine."""


class _Costs(TypedDict, total=False):
    rss_bytes: int
    cpu_s: float
    open_fds: int


@dataclass(slots=True)
class Ledger:
    """What has ended since the start."""

    clock: Callable[[], float] = time.monotonic
    ended: dict[str, int] = field(default_factory=lambda: {"done": 0, "failed": 0, "cancelled": 0})
    failures: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    film_s: float = 0.0
    _recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))

    def note(self, job: Job) -> None:
        """Count a job that has been put away."""
        if job.state.value not in self.ended:
            return
        self.ended[job.state.value] += 1
        if job.state is JobState.FAILED:
            code = job.error_code or "E500"
            self.failures[code] = self.failures.get(code, 0) + 1
        elif job.state is JobState.DONE and job.duplicate_of is not None:
            self.duplicates += 1
        elif job.state is JobState.DONE:
            self.film_s += job.film_s or 0.0
            self._recent.append((self.clock(), job.film_s or 0.0))

    def last_hour(self) -> tuple[int, float]:
        """Return how many films were made within the last hour, and their length; copies do not count."""
        while self._recent and self.clock() - self._recent[0][0] > HOUR_S:
            self._recent.popleft()
        return len(self._recent), sum(film_s for _, film_s in self._recent)


def take_vitals(daemon: "Daemon") -> Vitals:
    """Everything of this moment but the sentence."""
    return Vitals(
        written_at=datetime.now(UTC),
        started_at=daemon.started_at,
        pid=os.getpid(),
        host=socket.gethostname(),
        version=__version__,
        status="",
        config=str(daemon.reloader.file or ""),
        reloaded_at=daemon.reloader.reloaded_at,
        reload_error=daemon.reloader.error,
        needs_restart=daemon.reloader.needs_restart,
        paused=daemon.paused,
        roots=(*(_root(daemon, desk) for desk in daemon.desks), *_absent(daemon)),
        devices=daemon.scheduler.devices_seen(),
        workers=daemon.scheduler.workers_seen(),
        jobs=_jobs(daemon),
        counts=_counts(daemon),
        queue_ends_at=daemon.queue_ends_at,
        tally=daemon.scheduler.tally.as_dict(),
        beats={loop: round(age_s, 1) for loop, age_s in daemon.heart.ages().items()},
        cache_bytes=daemon.sweeper.cache_bytes,
        state_free_bytes=_free_bytes(daemon),
        unwritten=daemon.unwritten(),
        **_own_costs(),
    )


def _own_costs() -> _Costs:
    """Return what the daemon's own process takes; nothing when that cannot be read (no free descriptor, say)."""
    try:
        process = psutil.Process()
        with process.oneshot():
            times = process.cpu_times()
            return {
                "rss_bytes": process.memory_info().rss,
                "cpu_s": round(times.user + times.system, 2),
                "open_fds": process.num_fds(),
            }
    except (OSError, psutil.Error):
        return {}


def _counts(daemon: "Daemon") -> Counts:
    store, ledger = daemon.store, daemon.ledger
    stands = store.counts()
    oldest = store.oldest_waiting()
    films, film_s = ledger.last_hour()
    return Counts(
        queued=stands[JobState.QUEUED],
        running=stands[JobState.RUNNING],
        done=stands[JobState.DONE],
        failed=stands[JobState.FAILED],
        cancelled=stands[JobState.CANCELLED],
        oldest_queued_s=None if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds()),
        ended=dict(ledger.ended),
        failures=dict(sorted(ledger.failures.items())),
        duplicates=ledger.duplicates,
        film_s=ledger.film_s,
        films_last_hour=films,
        film_s_last_hour=film_s,
    )


def _jobs(daemon: "Daemon") -> tuple[JobVitals, ...]:
    found = []
    for told in daemon.scheduler.progress():
        job = daemon.store.get(told.job_id)
        if job is None or job.state is not JobState.RUNNING:
            continue
        found.append(
            JobVitals(
                job=job.id,
                name=job.name,
                folder=job.folder,
                root=job.root,
                stage=told.stage.value,
                frames_done=told.frames_done,
                frames_total=told.frames_total,
                fps=told.fps,
                eta_s=told.eta_s,
                left_s=told.job_left_s,
                device=told.device,
                attempts=job.attempts,
                film_s=job.film_s,
            )
        )
    return tuple(found)


def _root(daemon: "Daemon", desk: "FrontDesk") -> RootVitals:
    found, now_s, wall = desk.findings, time.monotonic(), datetime.now(UTC)
    reason = pause_of(daemon, desk)
    stuck = sum(needs_you(group, wall) for group in found.waiting) + len(found.misconfigured) if found else 0
    return RootVitals(
        path=str(desk.root.path),
        uuid=desk.root.uuid,
        state=state_of(desk.offline, reason).value,
        reason=reason or "",
        waiting_files=found.waiting_count if found else 0,
        needs_you=stuck,
        batches=len(daemon.batches.of_root(desk.root.uuid)),
        watcher=desk.watcher.state,
        watcher_rebuilds=desk.watcher.rebuilds,
        watcher_overflows=desk.watcher.overflows,
        look_age_s=None if desk.look_ended_s is None else round(now_s - desk.look_ended_s, 1),
        look_s=None if desk.look_s is None else round(desk.look_s, 3),
    )


def _absent(daemon: "Daemon") -> tuple[RootVitals, ...]:
    served, late = {desk.root.path for desk in daemon.desks}, daemon.latecomers
    return tuple(
        RootVitals(path=str(path), uuid="", state="offline", reason=late.reasons.get(path, NEVER_THERE))
        for path in dict.fromkeys((*late.paths, *late.reasons))
        if path not in served
    )


def _free_bytes(daemon: "Daemon") -> int | None:
    try:
        return shutil.disk_usage(daemon.state_dir).free
    except OSError:
        return None
