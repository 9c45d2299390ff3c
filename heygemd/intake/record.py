"""The claim record `.heygemd/claims/<job id>.json`: what a restart needs to finish or undo a claim.

Users may write into the share, so a record is never trusted: every name must be a plain name in its place, and the
job in it must be the one that this record would make.
"""

import json
import os
import stat
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from heygemd.intake import names
from heygemd.intake.names import Kind
from heygemd.intake.writers import OPEN_FLAGS
from heygemd.jobs.ids import id8_of, is_job_id
from heygemd.jobs.job import InputFile, Job, MediaInfo, RenderOptions
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState

MAX_RECORD_BYTES = 1 << 20
SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """One claimed pair. Written before the first rename, completed with the job, removed when the store has it."""

    protocol: Literal[1] = 1
    job_id: str
    root: str
    """uuid of the root."""
    folder: str
    """Sub-folder of the inbox the files came from."""
    video: str
    """Name of the picture, moving or still."""
    audio: str
    claim_name: str
    """Folder in `processing/`."""
    claimed_at: datetime
    returning: int | None = None
    """Set before the first file goes back to the inbox: the number both names get (0: their own names)."""
    job: Job | None = None

    @property
    def members(self) -> tuple[str, str]:
        """Both file names."""
        return self.video, self.audio

    def claim_dir(self, root: Root) -> Path:
        """Where the files lie once they are claimed."""
        return root.processing / self.claim_name

    def home(self, root: Root) -> Path:
        """Where they came from."""
        return root.inbox / self.folder

    def job_with(
        self,
        root: Root,
        files: tuple[InputFile, InputFile],
        media: MediaInfo | None,
        error: tuple[str, str] | None = None,
    ) -> Job:
        """Make the job of this claim: queued, or failed with `error` (code, message) of the probe."""
        code, message = error or (None, None)
        return Job(
            id=self.job_id,
            root=self.root,
            name=names.stem_of(self.audio),
            folder=self.folder,
            state=JobState.QUEUED if error is None else JobState.FAILED,
            video=files[0],
            audio=files[1],
            options=RenderOptions(),
            media=media,
            claim_dir=self.claim_dir(root),
            queued_at=self.claimed_at,
            not_before=self.claimed_at,
            error_code=code,
            error_message=message,
        )


_RECORD = TypeAdapter(ClaimRecord)


def record_file(root: Root, job_id: str) -> Path:
    """Return where the record of a job lies."""
    return root.claims / f"{job_id}{SUFFIX}"


def to_bytes(record: ClaimRecord) -> bytes:
    """Write a record."""
    return _RECORD.dump_json(record) + b"\n"


def read_record(root: Root, job_id: str) -> ClaimRecord:
    """Read a record; raises ValueError for one that is not ours, OSError when it cannot be read."""
    number = os.open(record_file(root, job_id), OPEN_FLAGS)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError("not a regular file")
        text = file.read(MAX_RECORD_BYTES + 1)
    if len(text) > MAX_RECORD_BYTES:
        raise ValueError("too large")
    record = _parse(text)
    _refuse_forged(record, root, job_id)
    if record.job is not None and not _is_honest(record, record.job, root):
        return replace(record, job=None)
    return record


def _parse(text: bytes) -> ClaimRecord:
    """Read a record; a job in it that another version wrote may not fit, and is made anew."""
    try:
        return _RECORD.validate_json(text)
    except ValidationError:
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.get("job") is None:
            raise
        return _RECORD.validate_json(json.dumps({**fields, "job": None}))


def _refuse_forged(record: ClaimRecord, root: Root, job_id: str) -> None:
    if record.job_id != job_id or not is_job_id(job_id) or record.root != root.uuid:
        raise ValueError("the record belongs to another job or root")
    if record.claimed_at.tzinfo is None or (record.returning is not None and record.returning < 0):
        raise ValueError("impossible values")
    if not _is_plain(record.claim_name) or not record.claim_name.endswith(f"__{id8_of(job_id)}"):
        raise ValueError("the folder in processing/ is not that of this job")
    if names.kind_of(record.audio) is not Kind.AUDIO or names.kind_of(record.video) not in (Kind.VIDEO, Kind.STILL):
        raise ValueError("the files are not a pair")
    parts = record.folder.split("/") if record.folder else []
    if not all(_is_plain(name) and not names.is_ignored(name) for name in (*record.members, *parts)):
        raise ValueError("a name leads out of its folder")


def _is_plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and PurePosixPath(name).name == name and not names.is_refused(name)


def _is_honest(record: ClaimRecord, job: Job, root: Root) -> bool:
    """Tell whether the job says what was measured and nothing else, with the right size of files that lie there."""
    error = None if job.error_code is None else (job.error_code, job.error_message or "")
    rebuilt = record.job_with(root, (job.video, job.audio), job.media, error)
    claim_dir = record.claim_dir(root)
    named = [(file.name, file.path) for file in (job.video, job.audio)]
    if rebuilt != job or named != [(name, claim_dir / name) for name in record.members]:
        return False
    if (job.media is None) != (job.state is JobState.FAILED):
        return False
    for file in (job.video, job.audio):
        try:
            if file.path.lstat().st_size != file.size_bytes:
                return False
        except FileNotFoundError:
            continue
    return True
