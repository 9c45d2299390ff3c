"""The claim folder of an ended job, and a job whose picture is shared."""

import hashlib
from dataclasses import replace
from pathlib import Path

from heygemd.jobs.job import InputFile, Job
from heygemd.jobs.states import JobState
from heygemd.outbox.reason import reason_text

DAY = "2025-01-31"
CLAIM = "anna__abcdefgh"
INPUTS = {"v.mp4": b"vvv", "a.wav": b"aaa"}


def refill(root) -> Path:
    """Put the claim folder back as it was before any of it was touched."""
    for top in (root.processing, root.done, root.failed, root.private / "tmp"):
        for path in sorted(top.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    folder = root.processing / CLAIM
    folder.mkdir()
    for name, data in INPUTS.items():
        (folder / name).write_bytes(data)
    return folder


def told(samples) -> tuple[str, str]:
    report = samples.failure(state=JobState.FAILED)
    return report.to_json(), reason_text(report)


SHARED = b"the presenter" * 300


def with_shared(samples, root, claim: Path | None, *, name: str = "_default.mp4", data: bytes | None = SHARED) -> Job:
    """A job whose picture is shared with others."""
    sha256 = hashlib.sha256(SHARED).hexdigest()
    root.shared.mkdir(exist_ok=True)
    if data is not None:
        (root.shared / sha256).write_bytes(data)
    video = InputFile(name=name, path=root.shared / sha256, size_bytes=len(SHARED), sha256=sha256)
    job = samples.job(claim, video=video, state=JobState.FAILED, error_code="E131")
    return job if claim else replace(job, audio=replace(video, name="voice.wav"))
