"""Proof that a root is there and is the right one, before anything is changed or inferred from what is missing."""

import json
import os
import stat

from heygemd.errors import ResourceError
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox.disk import share_faults

MAX_BYTES = 4096
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""People may write there: never through a link, never waiting for the other end of a FIFO."""


def require_root(root: Root) -> None:
    """Raise ResourceError E201 unless the root's sentinel is readable and carries the root's uuid."""
    with share_faults(root.path):
        text = _read(root)
    try:
        uuid = json.loads(text)["uuid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        uuid = None
    if uuid != root.uuid:
        raise ResourceError(
            "E201", f"{printable(str(root.path))} is not the root it was: another share is mounted there"
        )


def _read(root: Root) -> bytes:
    fd = os.open(root.sentinel, _FLAGS)
    try:
        return os.read(fd, MAX_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
