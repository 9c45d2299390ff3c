"""What a run of the queue came to: from the films' reports, from the daemon's log, and from what was seen meanwhile."""

import json
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.machine import cores
from bench.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run came to. A cache hit is a film whose face or voice an earlier one had brought."""

    workers: int
    """As set; 0: as many as the machine carries."""
    most_workers: int
    """At one time, as the log tells."""
    at_once: dict[str, dict[str, float]]
    """By kind of device: tasks that workers had at the same time, most and mean; a worker may also wait for one."""
    exit_status: int
    """Of the daemon."""
    films: int
    failed: int
    errors: dict[str, int]
    """Failed films by code."""
    film_s: float
    """Seconds of all films together."""
    work_s: float
    """From the first job to the last film in the outbox."""
    wall_s: float
    """From the start of the daemon to its end."""
    films_per_hour: float
    realtime_factor: float
    """Seconds of film made in a second."""
    cpu_s: float
    """Processor time of the daemon and all its children."""
    cpu_busy: float
    """Share of all cores, user and system, over the wall time."""
    machine_busy: float
    """The same of everybody on the machine: what is more than `cpu_busy` was somebody else's."""
    gpu_busy: float | None
    peak_pss_mb: float
    peak_pss_by_process_mb: dict[str, float]
    peak_vram_mb: dict[str, float]
    """By card, what others held before left out."""
    memory: dict[str, dict[str, float]]
    """By kind of device: what tasks were predicted to take and took (MB, the largest), and the mean and the largest
    error of a prediction as a share of what was measured."""
    face_hits: int
    voice_hits: int
    stage_s: dict[str, float] = field(default_factory=dict)
    """Seconds of workers, by stage."""
    foreseen: dict[str, float] = field(default_factory=dict)
    """Error of the foreseen end, after a quarter, a half and three quarters of the work: share of what was left."""


@dataclass(frozen=True, slots=True)
class Log:
    """The daemon's own lines."""

    lines: list[dict[str, Any]]

    @classmethod
    def of(cls, file: Path) -> "Log":
        """Read what a daemon wrote to its standard error; anything else in it is left out."""
        lines = []
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                lines.append(line)
        return cls(lines)

    def of_event(self, *events: str) -> list[dict[str, Any]]:
        """Return the lines of these events."""
        return [line for line in self.lines if line.get("event") in events]

    def times_s(self, *events: str) -> list[float]:
        """Return when they were, POSIX seconds."""
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in self.of_event(*events)]

    def memory(self) -> dict[str, dict[str, float]]:
        """Compare predicted and measured peaks of the tasks."""
        by_kind: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for line in self.of_event("task.done"):
            if line.get("peak_bytes") and line.get("predicted_bytes"):
                by_kind[line["device"].partition(":")[0]].append((line["predicted_bytes"], line["peak_bytes"]))
        return {kind: _compared(pairs) for kind, pairs in by_kind.items()}

    def at_once(self) -> dict[str, dict[str, float]]:
        """Count the tasks that were under way together; those that failed are left out."""
        by_kind: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for line, end_s in zip(self.of_event("task.done"), self.times_s("task.done"), strict=True):
            by_kind[line["device"].partition(":")[0]] += [(end_s - line["took_s"], 1), (end_s, -1)]
        return {kind: _together(steps) for kind, steps in by_kind.items()}

    @property
    def most_workers(self) -> int:
        """Workers that were there at one time."""
        most = now = 0
        for line in self.of_event("worker.started", "worker.ended"):
            now += 1 if line["event"] == "worker.started" else -1
            most = max(most, now)
        return most


def figures(
    root: Path, log: Log, watch: Watch, *, workers: int, exit_status: int, wall_s: float, cpu_s: float
) -> Figures:
    """Put together what reports, log and watch say."""
    reports = [json.loads(path.read_bytes()) for path in sorted((root / "outbox").glob("*.mp4.json"))]
    done = [report for report in reports if report["state"] == "done" and not report["duplicate_of"]]
    errors = Counter(json.loads(path.read_bytes())["error"]["code"] for path in (root / "failed").glob("*/error.json"))
    failed = errors.total()
    film_s = sum(report["film_s"] for report in done)
    begin_s, end_s = min(log.times_s("job.added"), default=0.0), max(log.times_s("outbox.published"), default=0.0)
    work_s = max(end_s - begin_s, 1e-9)
    stage_s: Counter[str] = Counter()
    for report in done:
        stage_s.update(report["stage_s"])
    return Figures(
        workers=workers,
        most_workers=log.most_workers,
        at_once=log.at_once(),
        exit_status=exit_status,
        films=len(done) + failed,
        failed=failed,
        errors=dict(errors),
        film_s=round(film_s, 2),
        work_s=round(work_s, 2),
        wall_s=round(wall_s, 2),
        films_per_hour=round(3600 * len(done) / work_s, 1),
        realtime_factor=round(film_s / work_s, 3),
        cpu_s=round(cpu_s, 2),
        cpu_busy=round(cpu_s / (wall_s * cores()), 3),
        machine_busy=round(watch.machine_busy, 3),
        gpu_busy=round(statistics.fmean(watch.gpu_busy), 3) if watch.gpu_busy else None,
        peak_pss_mb=round(watch.pss_bytes / 1e6),
        peak_pss_by_process_mb={name: round(size / 1e6) for name, size in watch.pss_by_process.items()},
        peak_vram_mb={card: round(size / 1e6) for card, size in watch.vram_bytes.items()},
        memory=log.memory(),
        face_hits=sum("track" in report.get("cached", ()) for report in done),
        voice_hits=sum("speech" in report.get("cached", ()) for report in done),
        stage_s={stage: round(seconds, 2) for stage, seconds in sorted(stage_s.items())},
        foreseen=_foreseen(watch.promises, begin_s, end_s),
    )


def _together(steps: list[tuple[float, int]]) -> dict[str, float]:
    """Most and mean of a count that changes by so much at each time."""
    most = now = 0
    area, last_s = 0.0, min(steps)[0]
    for at_s, change in sorted(steps):
        area, last_s, now = area + now * (at_s - last_s), at_s, now + change
        most = max(most, now)
    return {"most": most, "mean": round(area / max(last_s - min(steps)[0], 1e-9), 2)}


def _compared(pairs: list[tuple[int, int]]) -> dict[str, float]:
    errors = [abs(predicted / measured - 1) for predicted, measured in pairs]
    return {
        "predicted_mb": round(max(predicted for predicted, _ in pairs) / 1e6),
        "measured_mb": round(max(measured for _, measured in pairs) / 1e6),
        "mean_error": round(statistics.fmean(errors), 3),
        "largest_error": round(max(errors), 3),
    }


def _foreseen(promises: list[tuple[float, float]], begin_s: float, end_s: float) -> dict[str, float]:
    """Compare what the status said of the end with the end; positive: it was said too late."""
    errors = {}
    for share in (0.25, 0.5, 0.75):
        at_s = begin_s + share * (end_s - begin_s)
        said = [promise for promise in promises if promise[0] <= at_s]
        if said:
            errors[f"{share:.0%}"] = round((said[-1][1] - end_s) / (end_s - said[-1][0]), 3)
    return errors
