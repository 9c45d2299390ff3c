"""Roots to look at: one where nothing happens, one where everything does, one that strangers have named."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heygemd.errors import ADVICE
from heygemd.jobs.states import JobState
from heygemd.outbox.status import (
    BatchStatus,
    ConfigProblem,
    LastResult,
    QueuedJob,
    RootState,
    RootStatus,
    RunningJob,
    Snapshot,
    WaitingFile,
)

JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD//gAQTGF2YzU5LjM3LjEwMAD/2wBDAAgEBAQEBAUFBQUFBQYGBgYGBgYGBgYGBgYHBwcICAgHBwcGBgcHCAgI"
    "CAkJCQgICAgJCQoKCgwMCwsODg4RERT/xABLAAEBAAAAAAAAAAAAAAAAAAAACAEBAAAAAAAAAAAAAAAAAAAAABABAAAAAAAAAAAAAAAAAAAAABEB"
    "AAAAAAAAAAAAAAAAAAAAAP/AABEIABAAMAMBIgACEQADEQD/2gAMAwEAAhEDEQA/AJ/AB//Z"
)
"""48 × 16 pixels of grey."""
NAMES = ["anna", "安娜 第三课", "a b#c?d%20", "Ä'\"&<>", "v" * 220]


def snapshot(share: Path, **fields) -> Snapshot:
    """A root where nothing happens, told just now."""
    counts = dict.fromkeys(JobState, 0) | fields.pop("counts", {})
    base = Snapshot(
        written_at=datetime.now(UTC), pid=1, host="studio-nas", version="0.2.0",
        root=RootStatus(path=share, uuid="u", state=RootState.ONLINE), counts=counts,
    )  # fmt: skip
    return replace(base, **fields)


def films(share: Path, names=NAMES, folder="") -> tuple[LastResult, ...]:
    """Results whose films and sheets lie in the outbox."""
    (share / "outbox" / folder).mkdir(parents=True, exist_ok=True)
    now, below = datetime.now(UTC), "/".join(part for part in ("outbox", folder) if part)
    for name in names:
        for file in (f"{name}.mp4", f"{name}.jpg"):
            (share / below / file).write_bytes(JPEG)
    return tuple(
        LastResult(
            job=f"j{number}", name=name, folder=folder, state=JobState.DONE,
            finished_at=now - timedelta(minutes=number), output=f"{name}.mp4",
            film=f"{below}/{name}.mp4", sheet=f"{below}/{name}.jpg", film_s=61.2,
        )
        for number, name in enumerate(names, 1)
    )  # fmt: skip


def busy(share: Path) -> Snapshot:
    """A root where everything happens at once."""
    now = datetime.now(UTC)
    reason = "failed/interview__k3jd82ha/REASON.txt"
    (share / reason).parent.mkdir(exist_ok=True)
    (share / reason).write_text("why")
    failed = LastResult(
        job="f", name="interview", folder="lessons", state=JobState.FAILED, finished_at=now, error_code="E131",
        error_title=ADVICE["E131"].title, error_message="no face in 412 frames", reason_file=reason,
    )  # fmt: skip
    queue = tuple(
        QueuedJob(
            job=f"q{number}", name=f"lecture {number}", folder="series", queued_at=now, position=number, film_s=65,
            priority=5 if number == 1 else 0, starts_at=now + timedelta(minutes=3 * number),
        )
        for number in range(1, 24)
    )  # fmt: skip
    running = (
        RunningJob(
            job="r1", name="Neujahrsansprache", folder="客户 A", stage="render", frames_done=1075, frames_total=2150,
            device="cuda:0", film_s=86, ready_at=now + timedelta(seconds=130),
        ),
        RunningJob(job="r2", name="欢迎词", folder="", stage="analyse", device="cuda:0", attempts=2),
    )  # fmt: skip
    waiting = (
        WaitingFile(path="take.mp4, take.mov, take.wav", reason="", since=now, why="AMBIGUOUS", needs_you=True),
        WaitingFile(path="新片.mp4, 新片.wav", reason="", since=now, why="ARRIVING"),
        WaitingFile(path="later.xyz", reason="a reason of tomorrow", since=now, why="TOMORROW"),
    )
    batches = (
        BatchStatus(
            batch="b", name="lines", folder="", kind="manifest", accepted_at=now, rows=100, done=61, failed=7,
            report="status/manifests/lines.report.csv",
        ),
    )  # fmt: skip
    return snapshot(
        share, running=running, queue=queue, waiting=waiting, waiting_count=3, batches=batches, batch_count=1,
        counts={JobState.DONE: 1482, JobState.RUNNING: 2, JobState.QUEUED: 9992, JobState.FAILED: 4},
        results=(failed, *films(share, folder="客户 A")), queue_ends_at=now + timedelta(hours=2),
        problems=(ConfigProblem(path="lessons/.heygemd.toml", message="line 3: unknown key"),),
        advice={code: ADVICE[code] for code in ("E131", "E202")},
    )  # fmt: skip


def hostile(share: Path, name: str) -> Snapshot:
    """A root in which everything that strangers can name has this name."""
    told = busy(share)
    told = replace(told, host=name, root=replace(told.root, path=share / name.replace("/", "|"), reason=name))
    entries = {
        "running": {"name": name, "folder": name, "device": name},
        "queue": {"name": name, "folder": name, "waits_for": name},
        "waiting": {"path": name, "reason": name, "why": name},
        "batches": {"name": name, "folder": name, "report": f"status/manifests/{name}.csv"},
        "problems": {"path": name, "message": name},
        "results": {
            "name": name, "folder": name, "output": name, "film": f"outbox/{name}.mp4", "sheet": None,
            "error_message": name, "error_code": name, "reason_file": f"failed/{name}/REASON.txt",
        },
    }  # fmt: skip
    lists = {key: tuple(replace(entry, **fields) for entry in getattr(told, key)) for key, fields in entries.items()}
    return replace(told, **lists)
