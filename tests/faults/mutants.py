"""Bugs to order: daemons that break one rule each, so that a harness which catches nothing is found out.

`MUTANT=name python mutants.py run --config …` is a daemon with that bug. The patch is made when this file is loaded,
and children of multiprocessing load the main file of their parent: it reaches the desks and the errands, too.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "scripts")]

from soak import mutants as soaked  # noqa: E402

from heygemd.daemon.handover import Handover  # noqa: E402
from heygemd.intake.claim import Claims  # noqa: E402
from heygemd.intake.custody import Custody  # noqa: E402
from heygemd.intake.disk import Disk as InboxDisk  # noqa: E402
from heygemd.intake.record import record_file  # noqa: E402
from heygemd.jobs import database  # noqa: E402
from heygemd.jobs.export import EventLog  # noqa: E402
from heygemd.jobs.states import JobState  # noqa: E402
from heygemd.jobs.store import JobStore  # noqa: E402
from heygemd.outbox.disk import Disk as OutboxDisk  # noqa: E402
from heygemd.scheduler.workdir import WorkDir  # noqa: E402
from tests.faults.gate import MISDEED  # noqa: E402
from tests.faults.patient_daemon import be_patient  # noqa: E402

CHOICE = "MUTANT"
"""Environment variable: the name of the bug."""


def confess() -> None:
    """Mark the moment for whoever watches the system calls; nothing else comes of it."""
    with suppress(OSError):
        os.fdatasync(MISDEED)


def film_not_synced() -> None:
    """What is written into the outbox is not brought to the disk."""
    sync = OutboxDisk.sync

    def skip(self: OutboxDisk, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            sync(self, fd)
        else:
            confess()

    OutboxDisk.sync = skip  # type: ignore[method-assign]
    os.posix_fadvise = lambda *_: None  # the advice alone would begin to write it


def folder_not_synced() -> None:
    """Names of the share are not brought to the disk by whoever publishes and archives."""
    sync = OutboxDisk.sync

    def skip(self: OutboxDisk, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            confess()
        else:
            sync(self, fd)

    OutboxDisk.sync = skip  # type: ignore[method-assign]


def store_not_synced() -> None:
    """A commit of the store is told before it is safe."""
    connect = database._connect_to_write

    def connect_carelessly(path: Path) -> object:
        db = connect(path)
        db.execute("PRAGMA synchronous = OFF")
        confess()
        return db

    database._connect_to_write = connect_carelessly  # type: ignore[assignment]


def claim_not_synced() -> None:
    """The record of a claim is written, but not brought to the disk before files move."""

    def write(self: InboxDisk, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        confess()

    InboxDisk.write_whole = write  # type: ignore[method-assign]


def claim_forgotten_early() -> None:
    """The record of a claim goes when the job is announced, not when the store has it."""
    complete = Claims._complete

    def forget(self: Claims, record: object) -> object:
        done = complete(self, record)  # type: ignore[arg-type]
        self._disk.remove(record_file(self._root, done.job_id))
        confess()
        return done

    Claims._complete = forget  # type: ignore[method-assign, assignment]


def unclaim_lost() -> None:
    """A claim that cannot be finished is forgotten, and what was moved already stays where it is."""

    def forget(self: Custody, record: object) -> dict[object, object]:
        self._disk.remove(record_file(self._root, record.job_id))  # type: ignore[attr-defined]
        return {}

    take, move = Custody.take, InboxDisk.move

    def confess_move(self: InboxDisk, source: Path, target: Path) -> None:
        move(self, source, target)
        confess()

    def take_slowly(self: Custody, record: object) -> None:
        InboxDisk.move = confess_move  # type: ignore[method-assign]
        try:
            take(self, record)  # type: ignore[arg-type]
        finally:
            InboxDisk.move = move  # type: ignore[method-assign]

    Custody.put_back, Custody.take = forget, take_slowly  # type: ignore[method-assign, assignment]


def state_before_rename() -> None:
    """The store says that the inputs are put away before anybody has moved them."""
    begin = Handover._begin_putting_away

    def say_first(self: Handover, ending: object, job: object, root: object) -> None:
        self._store.set_claim_dir(job.id, None)  # type: ignore[attr-defined]
        confess()
        begin(self, ending, job, root)  # type: ignore[arg-type]

    Handover._begin_putting_away = say_first  # type: ignore[method-assign, assignment]


def attempts_counted_after() -> None:
    """An attempt is counted when it has ended: one that a crash ends never is."""
    move = JobStore.move

    def count_late(self: JobStore, job_id: str, to: JobState, **how: object) -> object:
        job = move(self, job_id, to, **how)  # type: ignore[arg-type]
        more = {JobState.RUNNING: -1, JobState.DONE: 1, JobState.FAILED: 1}.get(to, 0)
        self._db.execute("UPDATE job SET attempts = max(0, attempts + ?) WHERE id = ?", (more, job_id))
        if to is JobState.RUNNING:
            confess()
        return job

    JobStore.move = count_late  # type: ignore[method-assign, assignment]


def events_noted_first() -> None:
    """The store says that a transition is in the log before it is written."""
    append = EventLog._append

    def note_first(self: EventLog, fd: int, block: bytes) -> None:
        self._store.set_event_offset(self._seq + block.count(b"\n"))
        confess()
        append(self, fd, block)

    EventLog._append = note_first  # type: ignore[method-assign]


def segments_forgotten() -> None:
    """Whoever takes up a job begins it anew: what an earlier run has finished is made once more."""
    begin, met = WorkDir.open_for, set()

    def begin_anew(self: WorkDir, order: object) -> None:
        if self.path not in met:
            self.discard()
        met.add(self.path)
        begin(self, order)  # type: ignore[arg-type]

    WorkDir.open_for = begin_anew  # type: ignore[method-assign, assignment]


MUTANTS = {
    "record-before-output": soaked.done_first,
    "no-temp-name": soaked.film_copied,
    "film-before-report": soaked.film_first,
    "double-publish": soaked.name_forgotten,
    "film-not-synced": film_not_synced,
    "folder-not-synced": folder_not_synced,
    "store-not-synced": store_not_synced,
    "claim-not-synced": claim_not_synced,
    "claim-forgotten-early": claim_forgotten_early,
    "unclaim-lost": unclaim_lost,
    "state-before-rename": state_before_rename,
    "attempts-counted-after": attempts_counted_after,
    "events-noted-first": events_noted_first,
    "segments-forgotten": segments_forgotten,
}


class _Confessing:
    """In place of `time` in the borrowed bugs: where they linger, these confess."""

    @staticmethod
    def sleep(_seconds: float) -> None:
        confess()


if __name__ in ("__main__", "__mp_main__"):
    soaked.time = _Confessing  # type: ignore[assignment, misc]
    MUTANTS[os.environ[CHOICE]]()

if __name__ == "__main__":
    be_patient()
