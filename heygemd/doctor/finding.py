"""What an examination consists of: findings, each about one thing, with the way to mend it."""

from dataclasses import dataclass
from enum import StrEnum

from heygemd.errors import ADVICE, HeygemdError
from heygemd.language import said


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    """Films are made, but not as well or as safely as they could be."""
    BAD = "bad"
    """The daemon does not start, or what it makes is not what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. Texts without a Chinese twin read the same in both languages (commands, versions)."""

    subject: str
    """What was looked at: `ffmpeg`, `root /srv/heygemd`."""
    level: Level
    message: str
    message_zh: str = ""
    code: str | None = None
    """A key of `ADVICE`."""
    fix: str = ""
    """What to type, or to write where; empty when nothing is to be done."""
    fix_zh: str = ""
    group: str = ""
    """The part of the examination, for headings."""

    @property
    def told_message(self) -> str:
        """The message in the person's language."""
        return said(self.message, self.message_zh or self.message)

    @property
    def told_fix(self) -> str:
        """The fix in the person's language."""
        return said(self.fix, self.fix_zh or self.fix)

    def as_dict(self) -> dict[str, str | None]:
        """For `--json`: always English."""
        return {
            "group": self.group,
            "subject": self.subject,
            "level": self.level.value,
            "message": self.message,
            "code": self.code,
            "fix": self.fix or None,
        }


def good(subject: str, message: str, message_zh: str = "") -> Finding:
    """Say that a thing is as it should be, or only what it is."""
    return Finding(subject=subject, level=Level.OK, message=message, message_zh=message_zh)


def warning(
    subject: str, message: str, message_zh: str = "", *, code: str | None = None, fix: str = "", fix_zh: str = ""
) -> Finding:
    """Say that a thing should be looked after."""
    return Finding(
        subject=subject, level=Level.WARNING, message=message, message_zh=message_zh,
        code=code, fix=fix, fix_zh=fix_zh,
    )  # fmt: skip


def bad(subject: str, message: str, message_zh: str = "", *, code: str, fix: str, fix_zh: str = "") -> Finding:
    """Say that a thing is broken, and how to mend it."""
    return Finding(
        subject=subject, level=Level.BAD, message=message, message_zh=message_zh, code=code, fix=fix, fix_zh=fix_zh
    )


def from_error(subject: str, error: HeygemdError, *, fix: str = "", fix_zh: str = "") -> Finding:
    """Make a finding of an error of ours; without a better fix its advice is told."""
    advice = ADVICE[error.code]
    return bad(
        subject, error.message, f"{advice.title_zh} {error.message}",
        code=error.code, fix=fix or advice.todo, fix_zh=fix_zh or ("" if fix else advice.todo_zh),
    )  # fmt: skip
