"""Looks at one inbox with a clock that only moves when told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heygemd.intake.filesystems import is_local
from heygemd.intake.scan import scan
from heygemd.intake.settle import SettleRule
from heygemd.intake.watch import Watch, Watched

RULE = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3)
MOOV = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov"
FILM = MOOV + b"\0\0\x10\x08mdat" + b"x" * 4096
CUT_FILM = FILM[:-1000]


@dataclass
class Rig:
    """One inbox, looked at with a clock that only moves when told."""

    inbox: Path
    rules: dict[str, SettleRule] = field(default_factory=dict)
    now_s: float = 1000.0
    watch: Watch = None

    def __post_init__(self):
        self.watch = Watch(self.inbox, lambda folder: self.rules.get(folder, RULE))

    def look(self, after_s: float = 2.0, *, is_late: Callable[[], bool] = lambda: False) -> None:
        self.now_s += after_s
        self.watch.note(scan(self.inbox, self.inbox.stat().st_dev), self.now_s, is_late)

    def looks(self, count: int) -> None:
        for _ in range(count):
            self.look()

    def drop(self, name: str, content: bytes = b"content") -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def at(self, name: str) -> Watched:
        folder, _, name = name.rpartition("/")
        return self.watch.files[folder, name]


def make_rig(folder: Path) -> Rig:
    """A rig on an inbox of its own, where writers can be told."""
    if not is_local(folder):
        pytest.skip("leases need a local file system")
    (folder / "inbox").mkdir()
    return Rig(folder / "inbox")
