"""Folders of ended jobs, and one sweep of their root."""

import json
from datetime import date
from pathlib import Path

from heygemd.outbox.retention import Swept, sweep_root

TODAY = date(2025, 3, 10)
OLD, DUE, YOUNG = "2025-01-01", "2025-02-07", "2025-02-08"
"""With 30 days: long over, over since today, kept until tomorrow."""


def sweep(root, *, today: date = TODAY, keeps: dict[str, int] | None = None, **changes) -> Swept:
    asked = {"done_days": 30, "failed_days": 90, "low_water_bytes": 0} | changes
    return sweep_root(root, today=today, keeps=keeps or {}, **asked)


def archived(root, day: str = OLD, name: str = "anna__abcdefgh", *, size: int = 10) -> Path:
    folder = root.done / day / name
    folder.mkdir(parents=True)
    (folder / "v.mp4").write_bytes(b"v" * size)
    (folder / "a.wav").write_bytes(b"a" * size)
    return folder


def failed(root, end: str = "2024-12-01", name: str = "bob__zyxwvuts", job: str | None = None) -> Path:
    folder = root.failed / name
    folder.mkdir()
    job = job or f"20241201T080000000-{name.partition('__')[2][:8]}76"
    told = {"heygemd_report": 1, "job": job, "finished_at": f"{end}T12:00:00.000Z"}
    (folder / "error.json").write_text(json.dumps(told))
    (folder / "REASON.txt").write_text("why")
    (folder / "v.mp4").write_bytes(b"v")
    return folder
