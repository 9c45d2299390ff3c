"""Drives the claims of one root directly: submissions are handed in, the clock moves only when told, and the claims
can be restarted with another disk at any moment."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from heygemd.errors import InputError
from heygemd.intake.claim import Claims, OpenClaim, Place
from heygemd.intake.disk import Disk, PowerCut, StoppingDisk
from heygemd.intake.filesystems import is_local
from heygemd.intake.inspection import look_at
from heygemd.intake.record import ClaimRecord
from heygemd.intake.roots import init_root
from heygemd.intake.settle import SettleRule, Settling, follow
from heygemd.intake.submission import Member, Role, Submission
from heygemd.jobs.job import AudioInfo, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.roots import Root

MEDIA = MediaInfo(
    video=VideoInfo(demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=50, width_px=64, height_px=64),
    audio=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000),
)
RULE = SettleRule(settle_s=3.0, settle_unsure_s=20.0, settle_scans=3)
AT_ONCE = SettleRule(settle_s=0.0, settle_unsure_s=0.0, settle_scans=0)


def good_probe(video: Path, audio: Path) -> MediaInfo:
    assert video.is_file()
    assert audio.is_file()
    return MEDIA


def video(name: str = "anna.mp4", folder: str = "", **more: object) -> Member:
    return Member(role=Role.VIDEO, folder=folder, name=name, **more)


def audio(name: str = "anna.wav", folder: str = "", **more: object) -> Member:
    return Member(role=Role.AUDIO, folder=folder, name=name, **more)


def submission(*members: Member, **more: object) -> Submission:
    wanted = {"film_folder": "", "film_name": "anna", "options": RenderOptions(), **more}
    return Submission(members=members, **wanted)


PAIR = submission(video(), audio())


@dataclass
class ClaimsRig:
    """What it stores stands for the job store."""

    root: Root
    now_s: float = 1000.0
    probe: Callable[[Path, Path], MediaInfo] = good_probe
    disk: Disk = field(default_factory=Disk)
    stored: dict[str, Job] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    went_back: dict[Place, Place] = field(default_factory=dict)
    is_late: Callable[[], bool] = lambda: False
    claims: Claims | None = None

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def restart(self, disk: Disk | None = None) -> None:
        """A new process: nothing is known but what lies on the disk."""
        self.disk = disk or Disk()
        self.claims = Claims(self.root, self.probe, self.wall, self.disk, RULE)
        self.claims.is_local = is_local(self.root.inbox)

    def drop(self, place: str, content: bytes) -> Path:
        """Put a file into the inbox."""
        return self.put(f"inbox/{place}", content)

    def put(self, place: str, content: bytes) -> Path:
        """Put a file anywhere below the root."""
        path = self.root.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def seen(self, *places: str) -> dict[Place, Settling]:
        """What the look at these files of the inbox before the claim has shown."""
        found = {}
        for place in places:
            folder, _, name = place.rpartition("/")
            path = self.root.inbox / place
            found[folder, name] = follow(None, look_at(path, at_s=self.now_s, is_local=self.claims.is_local))
        return found

    def begin(self, wanted: Submission, rule: SettleRule = RULE) -> bool:
        """Claim, with what is to be seen now as what was seen."""
        if self.claims is None:
            self.restart(self.disk)
        places = ["/".join(filter(None, member.place)) for member in wanted.members] if wanted.base is None else []
        origin = self.seen(*(place for place in places if (self.root.inbox / place).is_file()))
        return self.claims.begin(wanted, origin, rule, self.now_s)

    def look(self, after_s: float = 2.0) -> None:
        """One look: take up what lies on the disk, take every claim a step further, store what is complete."""
        if self.claims is None:
            self.restart(self.disk)
        self.now_s += after_s
        for job_id in self.claims.find_records():
            self.claims.take_up(job_id)
        for claim in [claim for claim in self.claims.open.values() if claim.record.job is None]:
            self._step(claim)
        arrived = [claim.record.arrival.job for claim in self.claims.open.values() if claim.record.job is not None]
        for job in arrived:
            known = self.stored.setdefault(job.id, job)
            assert known == job, "a job that was announced has changed"
        self.claims.acknowledge([job.id for job in arrived])

    def _step(self, claim: OpenClaim) -> None:
        reason = self.claims.look(claim, self.now_s)
        if reason is None and self.claims.is_quiet(claim):
            try:
                self.claims.inspect(claim, self.is_late)
            except InputError as error:
                reason = error.message
        if reason is not None:
            self.reasons.append(reason)
            self.went_back |= self.claims.give_up(claim, reason)

    def run(self, looks: int = 5) -> None:
        for _ in range(looks):
            self.look()

    def job(self) -> Job:
        """The only job that was stored."""
        (job,) = self.stored.values()
        return job

    def claim_dir(self, wanted: Submission = PAIR) -> Path:
        """The folder of the only claim of this film."""
        (folder,) = self.root.processing.glob(f"{wanted.film_name}__*")
        return folder

    def files(self) -> dict[str, bytes]:
        """Every file below the root by path, but for private ones; random parts of names are written as `ID`."""
        return {
            without_ids(str(path.relative_to(self.root.path))): path.read_bytes()
            for path in sorted(self.root.path.rglob("*"))
            if path.is_file() and not path.is_relative_to(self.root.private)
        }

    def copies(self) -> dict[str, bytes]:
        """Every private copy."""
        return {path.name: path.read_bytes() for path in sorted(self.root.shared.iterdir())}

    def leftovers(self) -> list[str]:
        """Records and parts: nothing of that may stay."""
        private = [*self.root.claims.iterdir(), *(self.root.private / "tmp").iterdir()]
        return sorted(path.name for path in private)

    def check_untouched(self, files: dict[str, bytes]) -> None:
        """Everything lies where it was, and nothing of a claim is left."""
        assert (self.files(), self.folders(), self.leftovers(), self.stored) == (files, [], [], {})
        assert self.claims.open == {}

    def folders(self) -> list[str]:
        """What lies in `processing/`."""
        return sorted(without_ids(path.name) for path in self.root.processing.iterdir())


def make_rig(folder: Path) -> ClaimsRig:
    """A rig on a root of its own."""
    return ClaimsRig(init_root(folder / "root"))


def record_of(wanted: Submission, root: Root, **more: object) -> ClaimRecord:
    """A record as the claim of this submission would write it."""
    fields = {
        "job_id": "20260304T120506789-aaaaaaaaaa", "root": root.uuid, "claim_name": f"{wanted.film_name}__aaaaaaaa",
        "claimed_at": datetime(2026, 1, 1, tzinfo=UTC), "submission": wanted, **more,
    }  # fmt: skip
    return ClaimRecord(**fields)


def portrait(job: Job) -> Job:
    """The job without what chance and clock have put into it, for comparing two runs."""
    aside = Path("/claim")
    inputs = [
        None if file is None else replace(file, path=aside / file.path.name, evidence=())
        for file in (job.video, job.audio)
    ]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return replace(
        job, id="-", video=inputs[0], audio=inputs[1], claim_dir=aside, queued_at=moment, not_before=moment, root=""
    )


def run_until_cut(rig: ClaimsRig, disk: StoppingDisk, act: Callable[[ClaimsRig], None]) -> bool:
    """Let `act` work on a disk that stops; True when it did stop."""
    rig.restart(disk)
    try:
        act(rig)
    except PowerCut:
        return True
    return False


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def without_ids(path: str) -> str:
    """Write `ID` for the random part of a claim folder's name."""
    return re.sub(r"__[a-z2-7]{8}(?=/|$)", "__ID", path)
