"""A root with a clock that only moves when told, and an inbox that can be restarted."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.intake import watch
from heygemd.intake.disk import Disk
from heygemd.intake.findings import Closing, KnownRows, Word
from heygemd.intake.inbox import Findings, Inbox
from heygemd.intake.roots import init_root
from heygemd.intake.settle import Writer
from heygemd.jobs.batch import Batch
from heygemd.jobs.job import AudioInfo, Job, MediaInfo, RenderOptions, VideoInfo
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
    settings: IntakeSettings = field(default_factory=lambda: IntakeSettings(reserve_mib=0))
    stored: dict[str, Job] = field(default_factory=dict)
    retried: dict[str, str] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    word: Word = field(default_factory=Word)
    inbox: Inbox | None = None

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def restart(self, disk: Disk | None = None) -> None:
        self.inbox = Inbox(
            self.root,
            self.settings,
            options=RenderOptions(),
            probe=self.probe,
            clock=lambda: self.now_s,
            wall=self.wall,
            disk=disk,
        )

    def look(self, after_s: float = 2.0) -> Findings:
        if self.inbox is None:
            self.restart(self.disk)
        self.now_s += after_s
        word, self.word = self.word, Word()
        return self.inbox.look(word)

    def store(self, findings: Findings) -> None:
        """Do what the daemon does with findings; the inbox hears of it at the next look."""
        for arrival in findings.arrivals:
            self.stored.setdefault(arrival.job.id, arrival.job)
            if arrival.retry_of:
                self.retried[arrival.job.id] = arrival.retry_of
        known = []
        for batch in findings.batches:
            self.batches.setdefault(batch.id, batch)
            known.append(KnownRows(batch=batch.id, rows=self.rows_of(batch.id)))
        self.word = Word(stored=tuple(arrival.job.id for arrival in findings.arrivals), batches=tuple(known))

    def rows_of(self, batch_id: str) -> frozenset[int]:
        return frozenset(job.row.number for job in self.stored.values() if job.row and job.row.batch == batch_id)

    def close(self, batch_id: str, used: frozenset[tuple[str, str]] = frozenset()) -> Findings:
        self.word = Word(closing=(Closing(batch=batch_id, day="2026-01-01", used=used),))
        return self.look()

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


@pytest.fixture
def unsure(monkeypatch):
    """Nobody can tell whether there is a writer, as on a mount."""
    monkeypatch.setattr(watch, "find_writer", lambda *_, **__: Writer.UNKNOWN)
