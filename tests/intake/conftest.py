"""A root with a clock that only moves when told, and an inbox that can be restarted."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.intake.disk import Disk
from heygemd.intake.inbox import Findings, Inbox
from heygemd.intake.roots import init_root
from heygemd.jobs.job import AudioInfo, Job, MediaInfo, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.settings import IntakeSettings

MEDIA = MediaInfo(
    video=VideoInfo(demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=50, width_px=64, height_px=64),
    audio=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000),
)


def good_probe(video: Path, audio: Path) -> MediaInfo:
    assert video.is_file()
    assert audio.is_file()
    return MEDIA


@dataclass
class Rig:
    """Drives one inbox; what it stores stands for the job store."""

    root: Root
    now_s: float = 1000.0
    probe: object = good_probe
    media: MediaInfo = MEDIA
    disk: Disk | None = None
    stored: dict[str, Job] = field(default_factory=dict)
    inbox: Inbox | None = None

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def restart(self, disk: Disk | None = None) -> None:
        self.inbox = Inbox(self.root, IntakeSettings(), self.probe, lambda: self.now_s, self.wall, disk=disk)

    def look(self, after_s: float = 2.0) -> Findings:
        if self.inbox is None:
            self.restart(self.disk)
        self.now_s += after_s
        return self.inbox.look()

    def store(self, findings: Findings) -> None:
        for job in findings.arrivals:
            self.stored.setdefault(job.id, job)
        self.inbox.acknowledge([job.id for job in findings.arrivals])

    def run(self, looks: int = 8) -> Findings:
        for _ in range(looks):
            findings = self.look()
            self.store(findings)
        return findings

    def drop(self, name: str, content: bytes = b"content") -> Path:
        path = self.root.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def drop_pair(self, stem: str = "anna") -> None:
        self.drop(f"{stem}.mp4", b"picture")
        self.drop(f"{stem}.wav", b"sound")

    def files(self) -> dict[str, bytes]:
        """Every file people can see, below the root, by path."""
        return {
            str(path.relative_to(self.root.path)): path.read_bytes()
            for path in sorted(self.root.path.rglob("*"))
            if path.is_file() and not path.is_relative_to(self.root.private)
        }

    def records(self) -> list[str]:
        return sorted(path.name for path in self.root.claims.iterdir())


@pytest.fixture
def rig(tmp_path):
    return Rig(init_root(tmp_path / "root"))


@pytest.fixture
def make_rig():
    return lambda folder: Rig(init_root(folder / "root"))
