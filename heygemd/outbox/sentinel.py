"""Proof that a root is there and is the right one, before anything is changed or inferred from what is missing."""

import json

from heygemd.errors import ResourceError
from heygemd.jobs.roots import Root
from heygemd.naming import printable
from heygemd.outbox.disk import share_faults


def require_root(root: Root) -> None:
    """Raise ResourceError E201 unless the root's sentinel is readable and carries the root's uuid."""
    with share_faults(root.path):
        text = root.sentinel.read_bytes()
    try:
        uuid = json.loads(text)["uuid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        uuid = None
    if uuid != root.uuid:
        raise ResourceError(
            "E201", f"{printable(str(root.path))} is not the root it was: another share is mounted there"
        )
