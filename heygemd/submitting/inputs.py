"""Looks at every file before anything is written: is it there, may it be read, is it what its name says?"""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.names import Kind
from heygemd.media.sniff import HEAD_BYTES, STILLS, missing_bytes, sniff
from heygemd.naming import printable
from heygemd.submitting.order import Order

_SOUND_ONLY = frozenset({"wav", "w64", "flac", "mp3", "aac", "aiff", "caf"})
"""Demuxers of containers in which there is no picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLook:
    """One file as it was seen."""

    path: Path
    """Absolute, links resolved."""
    size_bytes: int
    device: int
    face: tuple[int, int, int]
    """Inode, size, time of change: equal faces are the same contents."""


def look_at_all(order: Order) -> dict[Path, InputLook]:
    """Look at every file of an order once; raises InputError E101, E110 or E112 for the first that cannot be used."""
    looks: dict[Path, InputLook] = {}
    for wish in order.wishes:
        for role, path in (("video", wish.video), ("audio", wish.audio)):
            look = looks.get(path) or look_at(path, role)
            looks[path] = look
            declared = wish.size.get(role)
            if declared is not None and declared != look.size_bytes:
                shown = printable(path.name)
                raise InputError("E112", f"{shown} has {look.size_bytes} bytes, the manifest says {declared}")
    return looks


def look_at(path: Path, role: str) -> InputLook:
    """Look at one file; `role` is `video` (moving or still) or `audio`."""
    shown = printable(str(path))
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        what = "is not there" if error.errno == errno.ENOENT else f"cannot be read: {error.strerror}"
        raise InputError("E101", f"{shown} {what}") from error
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise InputError("E101", f"{shown} is not a file")
        head = file.read(HEAD_BYTES)
    _judge(path, role, head, found.st_size)
    return InputLook(path=path.resolve(), size_bytes=found.st_size, device=found.st_dev, face=face_of(found))


def face_of(found: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when somebody writes to a file."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def total_bytes(looks: Iterable[InputLook]) -> int:
    """Return the size of all files together."""
    return sum(look.size_bytes for look in looks)


def _judge(path: Path, role: str, head: bytes, size_bytes: int) -> None:
    shown = printable(str(path))
    kind = names.kind_of(path.name)
    if kind is None:
        raise InputError("E101", f"{shown}: the suffix is that of neither a picture nor a sound")
    if (kind is Kind.AUDIO) != (role == "audio"):
        wanted = "sound" if role == "audio" else "picture"
        raise InputError("E103", f"{shown} stands where a {wanted} is wanted: give picture and sound in turn")
    try:
        demuxer = sniff(head)
    except InputError as error:
        raise InputError(error.code, f"{shown}: {error.message}") from error
    if role == "audio" and demuxer in STILLS:
        raise InputError("E101", f"{shown} is a picture, not a sound")
    if role == "video" and demuxer in _SOUND_ONLY:
        raise InputError("E101", f"{shown} is a sound, not a picture")
    if missing := missing_bytes(head, size_bytes):
        raise InputError("E110", f"{shown} lacks {missing} bytes: it is still being copied, or was cut off")
