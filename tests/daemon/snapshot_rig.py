"""What a snapshot asks of daemon and desk, and jobs to tell of."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from heygemd.intake.findings import Findings
from heygemd.jobs.ids import new_job_id
from heygemd.jobs.job import AudioInfo, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore
from heygemd.scheduler.outcome import JobProgress, Stage
from heygemd.scheduler.outlook import Outlook

SHARE = Path("/share")
MEDIA = MediaInfo(
    video=VideoInfo(
        demuxer="mov",
        codec="h264",
        stream=0,
        fps=Fraction(25),
        frame_count=1500,
        width_px=64,
        height_px=48,
        duration_s=60.0,
    ),
    audio=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=320_000),
)
"""A picture of 60 s, a sound of 20 s."""
NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Desk:
    """What a snapshot asks of a front desk."""

    root: Root = field(default_factory=lambda: Root(SHARE, "mine"))
    findings: Findings | None = None
    offline: str | None = None
    paused: str | None = None


@dataclass
class Daemon:
    """What a snapshot asks of the daemon; it is scheduler and handover, too."""

    store: JobStore
    shown: tuple[JobProgress, ...] = ()
    held: dict[str, str] = field(default_factory=dict)
    seen: Outlook = field(default_factory=Outlook)
    wants: dict = field(default_factory=dict)

    @property
    def batches(self):
        return self

    def of_root(self, uuid):
        return tuple(opened.batch for opened in self.store.open_batches(uuid))

    @property
    def scheduler(self):
        return self

    @property
    def handover(self):
        return self

    def progress(self):
        return self.shown

    def outlook(self):
        return self.seen

    @property
    def waits(self):
        return self.wants

    def pauses(self):
        return self.held


def put_job(daemon, name, *states, at=NOON, root="mine", job=None, took_s=0, **how):
    one = InputFile(name=name, path=Path("/nowhere/x"), size_bytes=1, sha256="aa")
    new = Job(
        id=new_job_id(at), root=root, name=name, folder="sub", state=JobState.QUEUED, video=one, audio=one,
        options=RenderOptions(), media=MEDIA, claim_dir=None, queued_at=at, not_before=at,
        turn=at.timestamp(),
    )  # fmt: skip
    new = replace(new, **job or {})
    daemon.store.add(new)
    for number, state in enumerate(states):
        when = at + timedelta(seconds=5 + number * took_s)
        daemon.store.move(new.id, state, at=when, **(how if state is states[-1] else {}))
    return new


def working(job, **changes):
    about = {"stage": Stage.RENDER, "frames_done": 5, "frames_total": 500, "fps": 50.0, "eta_s": 28.0, "device": "cpu"}
    return JobProgress(job_id=job.id, **{"job_left_s": 30.0} | about | changes)
