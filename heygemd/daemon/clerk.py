"""What the second child of one root does: see what people cancel, and write what they read.

A child of its own, so that the hash of a long film never makes them wait.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from heygemd.errors import ResourceError
from heygemd.jobs.batch import Batch
from heygemd.jobs.roots import Root
from heygemd.outbox.batchfiles import write_batch_reports
from heygemd.outbox.batchreport import BatchReport
from heygemd.outbox.disk import share_faults
from heygemd.outbox.note import write_note
from heygemd.outbox.sentinel import require_root
from heygemd.outbox.status import Snapshot, write_status

log = structlog.get_logger(__name__)

CANCEL_NAMES = frozenset({"cancel", "cancel.txt"})
"""Whatever the case; Notepad adds the suffix, and Windows hides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What the clerk is to do now."""

    folders: dict[str, str]
    """Job or batch id → its folder in `processing/`, as long as it may be cancelled."""
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Job id → names of the files in that folder without which there is no film."""
    snapshot: Snapshot | None = None
    notes: tuple[tuple[str, str], ...] = ()
    """Folder in `processing/` and the text of its `STATUS.txt`."""
    reports: tuple[tuple[Batch, BatchReport], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What people did in `processing/`."""

    cancelled: tuple[str, ...] = ()
    """Ids of jobs and batches whose folder holds `CANCEL`."""
    taken_away: tuple[str, ...] = ()
    """Ids of those whose folder, or a file that they are made of, is not there any more."""


class Clerk:
    """Lives in a `Resident`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._trouble: str | None = None
        """Said once, and again when it is another one."""

    def go_round(self, round_: Round) -> Noticed:
        """Look first, then write; raises ResourceError E201 when the root is away."""
        noticed = self._look(round_.folders, round_.inputs)
        try:
            for claim_name, text in round_.notes:
                write_note(self._root, claim_name, text)
            for batch, report in round_.reports:
                write_batch_reports(self._root, batch, report)
            if round_.snapshot is not None:
                write_status(self._root.status, round_.snapshot)
        except ResourceError as error:  # what people did counts more than telling them
            if error.message != self._trouble:
                root, reason = str(self._root.path), error.message
                log.warning("status.not_written", root=root, error_code=error.code, reason=reason)
            self._trouble = error.message
        else:
            self._trouble = None
        return noticed

    def _look(self, folders: dict[str, str], inputs: dict[str, tuple[str, ...]]) -> Noticed:
        require_root(self._root)
        if not folders:
            return Noticed()
        cancelled, gone = [], []
        with share_faults(self._root.processing):
            present = set(os.listdir(self._root.processing))  # noqa: PTH208  # names are wanted, not paths
            for one, name in folders.items():
                entries = _listed(self._root.processing / name) if name in present else None
                if name not in present or (entries is not None and self._lacks(name, inputs.get(one, ()), entries)):
                    gone.append(one)
                if entries is not None and any(entry.casefold() in CANCEL_NAMES for entry in entries):
                    cancelled.append(one)
        if gone:
            # Nothing may be inferred from a folder that is empty because the share went away a moment ago.
            require_root(self._root)
        return Noticed(cancelled=tuple(cancelled), taken_away=tuple(gone))

    def _lacks(self, folder: str, names: tuple[str, ...], entries: frozenset[str]) -> bool:
        """Tell whether a file is gone for certain: a share may list a name otherwise than it was written."""
        return any(_is_gone(self._root.processing / folder / name) for name in names if name not in entries)


def _is_gone(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    return False


def _listed(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return None
