"""What can be said of the disks right after a power cut, before anybody has been at work on them.

The sights are taken without a write: SQLite looks at a copy of the store.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.judge import Account
from tests.faults.scene import Grounds


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a cut has left."""

    finished: frozenset[tuple[str, int]]
    """Job id and number of every segment that was safe."""
    wrong: tuple[str, ...]
    """What must not be, not even then."""

    @classmethod
    def look(cls, grounds: Grounds, wanted: Account) -> "Aftermath":
        """Look at the disks; `wanted` is the account of the undisturbed run."""
        wrong = (*_partial_films(grounds.root / "outbox", wanted["outbox"]), *_uncounted(grounds.state))
        return cls(_finished(grounds.state / "work"), wrong)

    def rendered_again(self, log: bytes) -> list[str]:
        """Return what the life after has rendered though it was safe; `log` is that of this life alone."""
        wrong = []
        for line in log.splitlines():
            told = json.loads(line) if line.startswith(b'{"') and line.endswith(b"}") else {}
            if told.get("event") == "task.done" and told.get("task") == "render":
                segment = (str(told["job_id"]), int(told["segment"]))
                if segment in self.finished:
                    wrong.append(f"{segment[0]}: segment {segment[1]} was rendered again")
        return wrong


def _partial_films(outbox: Path, wanted: dict[str, str]) -> list[str]:
    """What has the name of a film is that film, at every moment."""
    wrong = []
    for film in outbox.rglob("*.mp4"):
        name, data = str(film.relative_to(outbox)), film.read_bytes()
        if hashlib.sha256(data).hexdigest()[:16] != wanted.get(name):
            wrong.append(f"{name}: {len(data)} bytes that are not the film, after the cut")
    return wrong


def _finished(work: Path) -> frozenset[tuple[str, int]]:
    """A name without its bytes never was finished."""
    found = (path for path in work.rglob("segments-*/*.mp4") if path.stat().st_size)
    return frozenset((path.parts[-3], int(path.stem)) for path in found)


def _uncounted(state: Path) -> list[str]:
    """An attempt is counted before it begins: who runs has one more than what was forgiven."""
    if not (state / "jobs.sqlite").exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        for part in ("jobs.sqlite", "jobs.sqlite-wal"):
            if (state / part).exists():
                shutil.copy(state / part, folder)
        db = sqlite3.connect(Path(folder) / "jobs.sqlite")
        try:
            found = db.execute("SELECT id FROM job WHERE state = 'running' AND attempts <= forgiven").fetchall()
        except sqlite3.OperationalError:  # the cut came before there were tables
            found = []
        finally:
            db.close()
    return [f"{job}: runs, and its attempt is not counted" for (job,) in found]
