"""The open batches of one root: which of their rows can be claimed, and the end of a batch.

    record written ─▶ manifest (or job folder) renamed into processing/        accept()
    ─▶ announced until the daemon has told which rows are jobs                  announcements(), hear()
    ─▶ each row whose files are complete is claimed like a pair                 offers()
    ─▶ the daemon says that the last row has ended ─▶ folder to done/,
       record removed                                                           close()

The record never changes: which rows are jobs already is what the store says. A record without its folder (a crash
between the first two steps, or a person who took the folder away) is removed.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from heygemd.intake import names
from heygemd.intake.batchrecord import half_written, read_batch, record_file, record_names, to_bytes
from heygemd.intake.disk import Disk
from heygemd.intake.findings import Absent, Closing, KnownRows
from heygemd.intake.inspection import sha256_of
from heygemd.intake.scan import Place
from heygemd.jobs.batch import Batch, BatchKind, Row
from heygemd.jobs.roots import Root

log = structlog.get_logger(__name__)

REST_FIRST_S = 2.0
REST_LONGEST_S = 300.0
"""A row whose claim was given up rests before the next one; doubled each time."""


@dataclass(slots=True)
class OpenBatch:
    """A batch as this process knows it."""

    batch: Batch
    uses: Counter[str]
    """How many of its rows name a member."""
    known: set[int] | None = None
    """Rows that are jobs; None until the daemon has said so."""
    is_stopped: bool = False
    missing_since_s: dict[int, float] = field(default_factory=dict)
    """Rows with a file that is not there."""
    rests: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Rows that rest: until when, and for how long."""
    mismatched_since_s: dict[int, float] = field(default_factory=dict)
    """Rows whose files were not the declared ones."""

    def pending(self) -> Iterable[Row]:
        """Rows that are no jobs yet, as far as is known."""
        known = self.known
        if known is None or self.is_stopped:
            return ()
        return (row for row in self.batch.good_rows if row.number not in known)


class Batches:
    """The open batches of one root. Methods raise OSError when the disk fails, and may be repeated."""

    def __init__(self, root: Root, disk: Disk) -> None:
        self._root, self._disk = root, disk
        self._mistrusted: set[str] = set()
        self.open: dict[str, OpenBatch] = {}
        self.uses: Counter[Place] = Counter()
        """How many rows of all open manifests name a file of the inbox."""

    def take_up(self) -> tuple[Batch, ...]:
        """Read the records of an earlier run, and return them; those without folder in `processing/` are removed."""
        found = []
        self._root.batches.mkdir(exist_ok=True, mode=0o700)
        for part in half_written(self._root):
            self._disk.remove(part)
        for batch_id in record_names(self._root):
            if batch_id in self.open or batch_id in self._mistrusted:
                continue
            try:
                batch = read_batch(self._root, batch_id)
            except ValueError as error:
                self._mistrusted.add(batch_id)
                log.warning("intake.batch_refused", root=self._root.uuid, batch=batch_id, reason=str(error))
                continue
            if _is_claimed(batch):
                self._add(batch)
                found.append(batch)
            else:
                self._drop(batch)
        return tuple(found)

    def accept(self, batch: Batch, source: Path) -> bool:
        """Take a manifest or a job folder out of the inbox; False when it is gone."""
        self._root.batches.mkdir(exist_ok=True, mode=0o700)
        self._disk.write_whole(record_file(self._root, batch.id), to_bytes(batch))
        claim = batch.claim_dir
        try:
            if batch.kind is BatchKind.MANIFEST:
                self._disk.make_folder(claim)
                self._disk.move(source, claim / source.name)
                self._disk.sync_folder(claim)
            else:
                self._disk.move(source, claim)
        except FileNotFoundError:
            self._drop(batch)
            return False
        for folder in (self._root.processing, source.parent):
            self._disk.sync_folder(folder)
        self._add(batch)
        errors = len(batch.rows) - len(batch.good_rows)
        log.info("intake.batch_accepted", batch=batch.id, name=batch.name, rows=len(batch.rows), bad_rows=errors)
        return True

    def announcements(self) -> tuple[Batch, ...]:
        """Return the batches about which the daemon has said nothing yet."""
        return tuple(open_.batch for open_ in self.open.values() if open_.known is None)

    def hear(self, told: Iterable[KnownRows]) -> None:
        """Take note of which rows are jobs, and which batches were stopped."""
        for known in told:
            open_ = self.open.get(known.batch)
            if open_ is not None:
                open_.known = (open_.known or set()) | known.rows
                open_.is_stopped = open_.is_stopped or known.is_stopped

    def note_claimed(self, batch_id: str, number: int) -> None:
        """A row has become a job."""
        open_ = self.open.get(batch_id)
        if open_ is not None and open_.known is not None:
            open_.known.add(number)

    def note_given_up(self, batch_id: str, number: int, now_s: float, *, is_mismatch: bool) -> None:
        """The claim of a row was given up: it rests, for longer each time."""
        open_ = self.open.get(batch_id)
        if open_ is None:
            return
        _, before_s = open_.rests.get(number, (0.0, REST_FIRST_S / 2))
        rest_s = min(before_s * 2, REST_LONGEST_S)
        open_.rests[number] = (now_s + rest_s, rest_s)
        if is_mismatch:
            open_.mismatched_since_s.setdefault(number, now_s)

    def reserved(self) -> Collection[Place]:
        """Return the files of the inbox that batches name: they are no loose files."""
        return self.uses.keys()

    def is_shared(self, open_: OpenBatch, path: str) -> bool:
        """Tell whether a member must stay where it is because others need it too."""
        folder, _, name = path.rpartition("/")
        if is_default(name):
            return True
        if open_.batch.kind is BatchKind.MANIFEST:
            return self.uses[folder, name] > 1
        return open_.uses[path] > 1

    def absent(self, now_s: float, notice_s: float) -> tuple[Absent, ...]:
        """Return rows with an `id` whose files have been missing for a while."""
        return tuple(
            Absent(batch=open_.batch.id, number=row.number)
            for open_ in self.open.values()
            for row in open_.pending()
            if row.row_id is not None and now_s - open_.missing_since_s.get(row.number, now_s) >= notice_s
        )

    def close(self, closing: Closing) -> None:
        """Put the folder of an ended batch away, with the members that no other batch needs; may be repeated."""
        open_ = self.open.get(closing.batch)
        if open_ is None:
            return
        batch = open_.batch
        if os.path.lexists(batch.claim_dir):
            if not open_.is_stopped:
                self._collect_members(batch, closing.used)
            day = self._root.done / closing.day
            if not os.path.lexists(day):
                self._disk.make_folder(day)
                self._disk.sync_folder(self._root.done)
            self._move_free(batch.claim_dir, day)
            for folder in (day, self._root.processing):
                self._disk.sync_folder(folder)
        self._disk.remove(record_file(self._root, batch.id))
        self._disk.sync_folder(self._root.batches)
        self._remove(batch)
        log.info("intake.batch_closed", batch=batch.id, name=batch.name)

    def _collect_members(self, batch: Batch, used: Collection[tuple[str, str]]) -> None:
        """Move what is left of a manifest's members, its shared ones, beside the manifest.

        What has come since under the name of a member that was used is no member: no film was made of it.
        """
        if batch.kind is not BatchKind.MANIFEST:
            return
        own, used_paths = Counter(_places(batch)), {path for path, _ in used}
        for folder, name in own:
            path = self._root.inbox / folder / name
            is_wanted = self.uses[folder, name] > own[folder, name] or is_default(name)
            if is_wanted or not path.is_file() or path.is_symlink():
                continue
            member = f"{folder}/{name}" if folder else name
            if member not in used_paths or (member, sha256_of(path)) in used:
                self._move_free(path, batch.claim_dir)
                self._disk.sync_folder(path.parent)
        self._disk.sync_folder(batch.claim_dir)

    def _move_free(self, source: Path, target: Path) -> None:
        number = 0
        while True:
            try:
                self._disk.move(source, target / names.numbered(source.name, number))
            except FileExistsError:
                number += 1
            else:
                return

    def _drop(self, batch: Batch) -> None:
        """Undo an acceptance that was cut short: nothing of it lies in `processing/` but perhaps an empty folder."""
        self._disk.remove_folder(batch.claim_dir)
        self._disk.remove(record_file(self._root, batch.id))
        self._disk.sync_folder(self._root.batches)

    def _add(self, batch: Batch) -> None:
        uses = Counter(member.path for row in batch.good_rows for member in row.members)
        self.open[batch.id] = OpenBatch(batch, uses)
        self.uses.update(_places(batch))

    def _remove(self, batch: Batch) -> None:
        del self.open[batch.id]
        self.uses.subtract(_places(batch))
        self.uses += Counter()  # forgets what nobody names any more

    def clear(self) -> None:
        """Forget everything: another share may be there now."""
        self.open.clear()
        self.uses.clear()
        self._mistrusted.clear()


def is_default(name: str) -> bool:
    """Tell whether the file is partner of every lone one in its folder."""
    return names.key_of(name) == names.DEFAULT_KEY


def _places(batch: Batch) -> list[Place]:
    """Every member of every good row that lies in the inbox, as often as it is named."""
    if batch.kind is not BatchKind.MANIFEST:
        return []
    found = []
    for row in batch.good_rows:
        for member in row.members:
            folder, _, name = member.path.rpartition("/")
            found.append((folder, name))
    return found


def _is_claimed(batch: Batch) -> bool:
    """Tell whether the folder is there; that of a manifest holds something."""
    try:
        held = os.listdir(batch.claim_dir)  # noqa: PTH208  # only whether there is anything
    except (FileNotFoundError, NotADirectoryError):
        return False
    return batch.kind is BatchKind.FOLDER or bool(held)
