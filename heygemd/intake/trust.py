"""What a submission may say. Asked before it is written into a claim record, and again when a record is read.

Users may write into the share, so a record proves nothing: every name must be a plain name that stays in its place,
and every value must be one that the front door would have let in. Pure.
"""

import re
from pathlib import PurePosixPath

from heygemd.errors import ADVICE
from heygemd.intake import names
from heygemd.intake.names import Kind
from heygemd.intake.submission import Member, Role, Submission
from heygemd.jobs.ids import is_job_id
from heygemd.jobs.job import is_face_rule

MAX_CRF = 40
MAX_AUDIO_OFFSET_MS = 60_000
MAX_PRIORITY = 1000
MARKER_SUFFIX = ".ready"

_BASE = re.compile(r".+__[a-z2-7]{8}", re.ASCII | re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)
_KINDS = {Role.VIDEO: {Kind.VIDEO, Kind.STILL}, Role.AUDIO: {Kind.AUDIO}}


def refuse_unfit(submission: Submission) -> None:
    """Raise ValueError for a submission that the front door would never make."""
    _refuse_unfit_members(submission)
    _refuse_unfit_places(submission)
    _refuse_unfit_values(submission)


def is_plain(name: str) -> bool:
    """Tell whether the name stays in its folder, and can be written into a log line."""
    return bool(name) and name not in (".", "..") and PurePosixPath(name).name == name and not names.is_refused(name)


def _refuse_unfit_members(submission: Submission) -> None:
    roles = [member.role for member in submission.members]
    if len(set(roles)) != len(roles) or len({member.place for member in submission.members}) != len(roles):
        raise ValueError("two members have one role or one place")
    if submission.error is None and set(roles) != {Role.VIDEO, Role.AUDIO}:
        raise ValueError("the files are not a pair")
    for member in submission.members:
        if member.role is Role.OTHER and member.is_shared:
            raise ValueError("only a picture or a sound is shared")
        if member.role is not Role.OTHER and names.kind_of(member.name) not in _KINDS[member.role]:
            raise ValueError("a file is not of the kind that its role asks for")
        if not _is_declared_well(member) or any(names.is_refused(rung) for rung in member.evidence):
            raise ValueError("impossible values of a member")


def _is_declared_well(member: Member) -> bool:
    is_sum = member.sha256 is None or _SHA256.fullmatch(member.sha256) is not None
    return is_sum and (member.size_bytes is None or member.size_bytes >= 0)


def _refuse_unfit_places(submission: Submission) -> None:
    places = [*(member.place for member in submission.members), *submission.markers]
    if not all(_is_way(folder) and _is_inner(name) for folder, name in places):
        raise ValueError("a name leads out of its folder")
    if not all(name.casefold().endswith(MARKER_SUFFIX) for _, name in submission.markers):
        raise ValueError("a marker has another name")
    if not is_plain(submission.film_name) or not all(is_plain(part) for part in _parts(submission.film_folder)):
        raise ValueError("the name of the film leads out of the outbox")
    if submission.base is not None and not (is_plain(submission.base) and _BASE.fullmatch(submission.base)):
        raise ValueError("the base is no claim folder")
    if submission.whole is not None:
        is_alone = submission.base is None and submission.whole != "" and _is_way(submission.whole)
        if not is_alone or any(m.folder != submission.whole or m.is_shared for m in submission.members):
            raise ValueError("the members do not lie in the job folder")


def _refuse_unfit_values(submission: Submission) -> None:
    options, lane, row = submission.options, submission.lane, submission.row
    is_sane = (
        0 <= options.crf <= MAX_CRF
        and abs(options.audio_offset_ms) <= MAX_AUDIO_OFFSET_MS
        and is_face_rule(options.face)
        and abs(submission.priority) <= MAX_PRIORITY
        and (submission.keep_days is None or submission.keep_days >= 0)
        and (lane is None or (lane.most >= 1 and all(is_plain(part) for part in _parts(lane.folder))))
        and (submission.retry_of is None or is_job_id(submission.retry_of))
    )
    if row is not None:
        is_named = row.row_id is None or not names.is_refused(row.row_id)
        is_sane = is_sane and is_job_id(row.batch) and row.number >= 1 and is_named
    if submission.error is not None:
        is_sane = is_sane and submission.error[0] in ADVICE and submission.error[0].startswith("E1")
    if not is_sane:
        raise ValueError("impossible values")


def _is_inner(name: str) -> bool:
    return is_plain(name) and not names.is_ignored(name)


def _is_way(folder: str) -> bool:
    """Tell whether it leads down from the base through folders that are looked at, or is the base itself."""
    return all(_is_inner(part) for part in _parts(folder))


def _parts(folder: str) -> list[str]:
    return folder.split("/") if folder else []
