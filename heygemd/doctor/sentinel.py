"""What proves that a folder is a root, read without making or mending anything, as opening a root would."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heygemd.jobs.roots import Root, uuid_told

MAX_BYTES = 4096
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """What was found of it."""

    state: Literal["good", "absent", "damaged", "unreadable"]
    uuid: str = ""
    reason: str = ""


def read_sentinel(folder: Path) -> Sentinel:
    """Look for it; only a dead share can keep this from returning."""
    file = Root(folder, "").sentinel
    try:
        number = os.open(file, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return Sentinel(state="absent")
    except OSError as error:
        return Sentinel(state="unreadable", reason=error.strerror or str(error))
    with os.fdopen(number, "rb") as handle:
        try:
            is_regular = stat.S_ISREG(os.fstat(number).st_mode)
            text = handle.read(MAX_BYTES) if is_regular else b""
        except OSError as error:
            return Sentinel(state="unreadable", reason=error.strerror or str(error))
    return _understood(text) if is_regular else Sentinel(state="damaged", reason="it is no regular file")


def _understood(text: bytes) -> Sentinel:
    try:
        return Sentinel(state="good", uuid=uuid_told(text))
    except ValueError as error:
        return Sentinel(state="damaged", reason=str(error))
