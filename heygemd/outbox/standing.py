"""Whose film is it? Read from the folder alone: the report beside a film names its job and the film's sha256.

A film without a report of ours is foreign, and so is a film whose bytes are not those that its report names.
"""

import errno
import json
import os
from dataclasses import dataclass
from typing import Literal

from heygemd.outbox import disk as disks
from heygemd.outbox import names

Rule = Literal["keep", "replace_ours", "replace_any"]
"""What a job may replace: nothing, films of heygemd, or whatever has the name (asked for on the command line)."""
Verdict = Literal["free", "done", "replace", "taken"]
"""The name may be taken; the job's film lies there already; what lies there may be replaced; hands off."""

REPORT_MAX_BYTES = 4 << 20
"""A larger file beside a film is no report of ours."""
_MARKS = ("sha256", "sheet_sha256", "replaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a report of ours in an outbox proves about the files beside it."""

    job: str
    sha256: str | None
    sheet_sha256: str | None
    replaces: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What lies under a film's name and beside it."""

    film_sha256: str | None
    """None: no film. Empty: something that has no report of ours, or is no regular file."""
    mark: Mark | None
    has_foreign_report: bool

    @property
    def is_consistent(self) -> bool:
        """The film is the one that the report names, or the one which that report's film was about to replace."""
        return self.mark is not None and bool(self.film_sha256) and self.film_sha256 in (
            self.mark.sha256, self.mark.replaces,
        )  # fmt: skip

    def verdict(self, job_id: str, sha256: str, rule: Rule) -> Verdict:
        """Judge whether job `job_id` may put the film with `sha256` here."""
        mine = self.mark is not None and self.mark.job == job_id
        if self.has_foreign_report:
            return "taken"
        if self.film_sha256 is None:
            return "free" if mine or self.mark is None or rule != "keep" else "taken"
        if mine and self.mark and self.film_sha256 and self.film_sha256 in (sha256, self.mark.sha256):
            return "done"
        if rule == "replace_any" or (rule == "replace_ours" and self.is_consistent):
            return "replace"
        return "taken"


def read_mark(text: str | bytes) -> Mark | None:
    """Recognise a report of ours; None for any other text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or "heygemd_report" not in data or not isinstance(data.get("job"), str):
        return None
    texts = {name: data[name] if isinstance(data.get(name), str) else None for name in _MARKS}
    return Mark(job=data["job"], **texts)


def standing_at(fd: int, film_name: str) -> Standing:
    """Look at a film's name. Bytes are hashed only beside a report of ours, where they decide."""
    report_name = names.report_name(film_name)
    mark = mark_at(fd, report_name)
    film_sha256 = disks.sha256_of(fd, film_name) if mark is not None else _presence(fd, film_name)
    has_foreign_report = mark is None and disks.exists(fd, report_name)
    return Standing(film_sha256=film_sha256, mark=mark, has_foreign_report=has_foreign_report)


def mark_at(fd: int, report_name: str) -> Mark | None:
    """Read a report of ours; None when there is none or it is foreign."""
    text = disks.read_at_most(fd, report_name, REPORT_MAX_BYTES)
    return read_mark(text) if text is not None else None


def mark_in(above_fd: int, folder: str, report_name: str) -> Mark | None:
    """Read the report of ours in a folder; None when there is none, or the folder cannot be entered (a link, gone)."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above_fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES):
            raise
        return None
    try:
        return mark_at(fd, report_name)
    finally:
        os.close(fd)


def _presence(fd: int, film_name: str) -> str | None:
    return "" if disks.exists(fd, film_name) else None
