"""What a daemon has written on a share, and what a person reads of it."""

import io
import json
from datetime import UTC, datetime

from rich.console import Console

from heygemd.status.showing import show_status

NOW = datetime.now(UTC)


def tell(place, /, **fields):
    """What the daemon wrote on the share."""
    words = {
        "schema": 1, "written_at": NOW.isoformat().replace("+00:00", "Z"), "pid": 1, "host": "here", "version": "0",
        "root": {"path": str(place.path), "uuid": place.uuid, "state": "online"}, "counts": {}, "running": [],
        "queue": [], "waiting": [], "results": [],
    } | fields  # fmt: skip
    (place.status / "status.json").write_text(json.dumps(words))


def running(job):
    where = {"job": job.id, "name": job.name, "folder": job.folder}
    return where | {"stage": "render", "frames_done": 5, "frames_total": 50}


def shown(found, width=200):
    out = io.StringIO()
    show_status(found, Console(file=out, width=width))
    return out.getvalue()
