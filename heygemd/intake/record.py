"""The claim record `.heygemd/claims/<job id>.json`: what a restart needs to finish or undo a claim.

Users may write into the share, so a record is never trusted: what it says must be what the front door could have
written (`trust.py`), and the job in it must be the one that this record would make.
"""

import errno
import json
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from heygemd.errors import ADVICE
from heygemd.intake import names
from heygemd.intake.disk import Disk
from heygemd.intake.findings import Arrival
from heygemd.intake.shared import copy_file
from heygemd.intake.submission import Member, Role, Submission
from heygemd.intake.trust import is_plain, refuse_unfit
from heygemd.intake.writers import OPEN_FLAGS
from heygemd.jobs.ids import id8_of, is_job_id
from heygemd.jobs.job import InputFile, Job, MediaInfo
from heygemd.jobs.roots import Root
from heygemd.jobs.states import JobState

MAX_RECORD_BYTES = 1 << 20
SUFFIX = ".json"

Place = tuple[str, str]
"""Folder below the base of a submission (`` for the base itself), and name."""

_SHA256_IN_TEXT = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One file that a claim renames by itself."""

    place: Place
    """Where it was dropped."""
    held: str
    """Its name in the claim folder."""
    is_marker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """One claim. Written before the first rename, completed with the job, removed when the store has it."""

    protocol: Literal[2] = 2
    job_id: str
    root: str
    """uuid of the root."""
    submission: Submission
    claim_name: str
    """Folder in `processing/`."""
    claimed_at: datetime
    returning: int | None = None
    """Set before the first file goes back: the number all names get (0: their own names)."""
    job: Job | None = None
    is_tidy: bool = True
    """False while a complete claim still holds markers and reasons of an earlier run; only then is it announced."""

    @property
    def arrival(self) -> Arrival:
        """What the daemon is told; raises ValueError before the job is made."""
        if self.job is None:
            raise ValueError(f"claim {self.job_id} is not complete")
        return Arrival(job=self.job, retry_of=self.submission.retry_of)

    @property
    def members(self) -> tuple[Member, ...]:
        """The files that the job needs."""
        return self.submission.members

    @property
    def moved(self) -> tuple[Moved, ...]:
        """What is renamed one by one: members that are not shared, then markers; not what lies in a whole folder.

        The record alone decides the names in the claim folder, so a restart finds them again. A second member of
        equal name is numbered; markers are hidden, for they are ours from now on.
        """
        taken: set[str] = set()
        alone = [member for member in self.members if not member.is_shared and self.submission.whole is None]
        moved = [Moved(place=member.place, held=_free(member.name, taken)) for member in alone]
        for number, place in enumerate(self.submission.markers):
            if self.submission.whole is None or place[0] != self.submission.whole:
                held = f".{id8_of(self.job_id)}-{number}.ready"
                moved.append(Moved(place=place, held=held, is_marker=True))
        return tuple(moved)

    @property
    def markers_inside(self) -> tuple[str, ...]:
        """Names of all markers in the claim folder."""
        inside = [name for folder, name in self.submission.markers if folder == self.submission.whole]
        return (*inside, *(item.held for item in self.moved if item.is_marker))

    def claim_dir(self, root: Root) -> Path:
        """Where the files lie once they are claimed."""
        return root.processing / self.claim_name

    def base_dir(self, root: Root) -> Path:
        """The folder that all places are below: the inbox, or the folder of a batch that was claimed whole."""
        return root.inbox if self.submission.base is None else root.processing / self.submission.base

    def home(self, root: Root, place: Place) -> Path:
        """Where something was dropped."""
        return self.base_dir(root) / place[0] / place[1]

    def path_of(self, root: Root, member: Member) -> Path:
        """Where a member lies while it is claimed: in the claim folder, or at home when it is shared."""
        if member.is_shared:
            return self.home(root, member.place)
        held = {item.place: item.held for item in self.moved}.get(member.place, member.name)
        return self.claim_dir(root) / held

    def job_with(
        self,
        root: Root,
        files: dict[Role, InputFile],
        media: MediaInfo | None,
        refusal: tuple[str, str] | None = None,
    ) -> Job:
        """Make the job of this claim: queued, or failed with the error of the submission or the probe's refusal."""
        wanted, error = self.submission, self.submission.error or refusal
        code, message = error or (None, None)
        return Job(
            id=self.job_id,
            root=self.root,
            name=wanted.film_name,
            folder=wanted.film_folder,
            state=JobState.QUEUED if error is None else JobState.FAILED,
            video=files.get(Role.VIDEO),
            audio=files.get(Role.AUDIO),
            options=wanted.options,
            media=media,
            claim_dir=self.claim_dir(root),
            queued_at=self.claimed_at,
            not_before=self.claimed_at,
            priority=wanted.priority,
            lane=wanted.lane,
            keep_days=wanted.keep_days,
            row=wanted.row,
            error_code=code,
            error_message=message,
        )


_RECORD = TypeAdapter(ClaimRecord)


def record_file(root: Root, job_id: str) -> Path:
    """Return where the record of a job lies."""
    return root.claims / f"{job_id}{SUFFIX}"


def write_record(disk: Disk, root: Root, record: ClaimRecord) -> None:
    """Write a record, whole or not at all."""
    disk.write_whole(record_file(root, record.job_id), _RECORD.dump_json(record) + b"\n")


def read_record(root: Root, job_id: str) -> ClaimRecord:
    """Read a record; raises ValueError for one that is not ours, OSError when it cannot be read."""
    text = _read(record_file(root, job_id))
    if len(text) > MAX_RECORD_BYTES:
        raise ValueError("too large")
    record = _parse(text)
    refuse_forged(record, root, job_id)
    if record.job is not None and not _is_honest(record, record.job, root):
        return replace(record, job=None)
    return record


def recorded_sums(root: Root) -> set[str]:
    """Return every sha256 that stands in any record.

    No record is understood or trusted for that, so too much is found rather than too little.
    """
    found: set[str] = set()
    for path in list(root.claims.iterdir()):
        if path.name.endswith(SUFFIX):
            try:
                text = _read(path)
            except (ValueError, FileNotFoundError):
                continue
            found.update(match.decode() for match in _SHA256_IN_TEXT.findall(text))
    return found


def refuse_forged(record: ClaimRecord, root: Root, job_id: str) -> None:
    """Raise ValueError for a record that this program would not write."""
    if record.job_id != job_id or not is_job_id(job_id) or record.root != root.uuid:
        raise ValueError("the record belongs to another job or root")
    if record.claimed_at.tzinfo is None or (record.returning is not None and record.returning < 0):
        raise ValueError("impossible values")
    if not is_plain(record.claim_name) or not record.claim_name.endswith(f"__{id8_of(job_id)}"):
        raise ValueError("the folder in processing/ is not that of this job")
    if record.claim_name == record.submission.base:
        raise ValueError("a claim cannot be its own base")
    refuse_unfit(record.submission)


def _read(path: Path) -> bytes:
    try:
        number = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("a link") from error
        raise
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError("not a regular file")
        return file.read(MAX_RECORD_BYTES + 1)


def _parse(text: bytes) -> ClaimRecord:
    """Read a record; a job in it that another version wrote may not fit, and is made anew."""
    try:
        fields = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("not a record")
    if fields.get("protocol") == 1:
        fields = _from_protocol_1(fields)
    try:
        return _RECORD.validate_json(json.dumps(fields))
    except ValidationError:
        if fields.get("job") is None:
            raise
        return _RECORD.validate_json(json.dumps({**fields, "job": None}))


def _from_protocol_1(fields: dict[str, Any]) -> dict[str, Any]:
    """Say what a record of the first version said: a pair of one folder, with nothing chosen."""
    folder, video, audio = (fields.get(key) for key in ("folder", "video", "audio"))
    if not isinstance(folder, str) or not isinstance(video, str) or not isinstance(audio, str):
        raise ValueError("not a record of protocol 1")
    submission = {
        "members": [
            {"role": Role.VIDEO, "folder": folder, "name": video},
            {"role": Role.AUDIO, "folder": folder, "name": audio},
        ],
        "film_folder": folder,
        "film_name": names.stem_of(audio),
        "options": {},
    }
    return {**fields, "protocol": 2, "submission": submission}


def _is_honest(record: ClaimRecord, job: Job, root: Root) -> bool:
    """Tell whether the job says what was measured and nothing else, with the right size of files that lie there."""
    files: dict[Role, InputFile] = {
        role: file for role, file in ((Role.VIDEO, job.video), (Role.AUDIO, job.audio)) if file is not None
    }
    refusal = None if job.error_code is None else (job.error_code, job.error_message or "")
    if record.job_with(root, files, job.media, refusal) != job:
        return False
    if (job.media is None) != (job.state is JobState.FAILED) or (refusal is not None and refusal[0] not in ADVICE):
        return False
    wanted: dict[Role, Member] = {member.role: member for member in record.members if member.role is not Role.OTHER}
    return wanted.keys() == files.keys() and all(
        _is_honest_file(file, wanted[role], record, root) for role, file in files.items()
    )


def _is_honest_file(file: InputFile, member: Member, record: ClaimRecord, root: Root) -> bool:
    path = copy_file(root, file.sha256, member.name) if member.is_shared else record.path_of(root, member)
    if (file.name, file.path) != (member.name, path) or re.fullmatch(r"[0-9a-f]{64}", file.sha256) is None:
        return False
    if member.size_bytes not in (None, file.size_bytes) or (member.sha256 or file.sha256).lower() != file.sha256:
        return False
    if file.evidence[: len(member.evidence)] != member.evidence or any(map(names.is_refused, file.evidence)):
        return False
    try:
        return file.path.lstat().st_size == file.size_bytes
    except FileNotFoundError:
        return True  # the store has the job, and its files have been put away


def _free(name: str, taken: set[str]) -> str:
    """Return the name, numbered until it is none of `taken` on any file system, and take it."""
    number = 0
    while (key := unicodedata.normalize("NFC", names.numbered(name, number)).casefold()) in taken:
        number += 1
    taken.add(key)
    return names.numbered(name, number)
