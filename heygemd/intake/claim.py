"""The claim: two settled files leave the inbox, both or neither, and become one job, once.

    record written ─▶ folder in processing/ made ─▶ picture renamed ─▶ sound renamed      begin()
    ─▶ quiet once more, with a new baseline (a rename does not stop a live writer)         look()
    ─▶ sha256, stat equal before and after ─▶ probe ─▶ record completed with the job       inspect()
    ─▶ announced until the daemon has stored it ─▶ record removed                          acknowledge()

What a restart finds on the disk says what to do (`take_up`), and every fault of the disk is treated like a restart:

    record holds a job                    announce it again, the same id
    both files in the claim folder        look at them anew, go on
    anything else                         put back what lies in the claim folder, remove the record
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.disk import Disk
from heygemd.intake.inspection import Digest, look_at
from heygemd.intake.pairing import Pair
from heygemd.intake.record import SUFFIX, ClaimRecord, read_record, record_file, to_bytes
from heygemd.intake.settle import SettleRule, Settling, Sighting, Writer, follow, is_settled
from heygemd.jobs.ids import id8_of, is_job_id, new_job_id
from heygemd.jobs.job import InputFile, MediaInfo
from heygemd.jobs.roots import Root
from heygemd.naming import job_folder

log = structlog.get_logger(__name__)

Probe = Callable[[Path, Path], MediaInfo]


@dataclass(slots=True, kw_only=True)
class OpenClaim:
    """A claim as this process knows it; the record on disk is what counts after it."""

    record: ClaimRecord
    origin: dict[str, Settling] = field(default_factory=dict)
    """What was known of the files in the inbox; empty after a restart."""
    settling: dict[str, Settling] = field(default_factory=dict)
    digests: dict[str, Digest] = field(default_factory=dict)

    def is_quiet(self, rule: SettleRule) -> bool:
        """Both files have settled in their new place."""
        return len(self.settling) == len(self.record.members) and all(
            is_settled(settling, rule) for settling in self.settling.values()
        )


class Claims:
    """The open claims of one root. Methods raise OSError when the disk fails; `take_up` then finds the way on."""

    def __init__(self, root: Root, rule: SettleRule, probe: Probe, wall: Callable[[], datetime], disk: Disk) -> None:
        self._root, self._rule, self._probe, self._wall, self._disk = root, rule, probe, wall, disk
        self._mistrusted: set[str] = set()
        self.is_local = False
        self.open: dict[str, OpenClaim] = {}

    def find_records(self) -> list[str]:
        """Return the ids of the records on disk that this process does not hold; removes half-written ones."""
        self._root.claims.mkdir(exist_ok=True, mode=0o700)
        found = []
        for name in sorted(path.name for path in self._root.claims.iterdir()):
            job_id = name.removesuffix(SUFFIX)
            if name.endswith(".part"):
                self._disk.remove(self._root.claims / name)
            elif name.endswith(SUFFIX) and is_job_id(job_id) and not {job_id} & (self.open.keys() | self._mistrusted):
                found.append(job_id)
        return found

    def take_up(self, job_id: str) -> None:
        """Go on with a claim found on disk, announce it, or undo it; a record that is not ours is left alone."""
        try:
            record = read_record(self._root, job_id)
        except ValueError as error:
            self._mistrusted.add(job_id)
            reason = str(error).splitlines()[0]
            log.warning("intake.record_refused", root=self._root.uuid, job_id=job_id, reason=reason)
            return
        claim_dir = record.claim_dir(self._root)
        is_whole = _is_folder(claim_dir) and all(os.path.lexists(claim_dir / name) for name in record.members)
        if record.job is None and (record.returning is not None or not is_whole):
            self._undo(record, "interrupted")
            return
        if record.job is None:
            for name in record.members:
                self._drop_second_name(record.home(self._root) / name, claim_dir / name)
            for folder in (claim_dir, self._root.processing):
                self._disk.sync_folder(folder)
        self.open[job_id] = OpenClaim(record=record)
        log.info("intake.claim_resumed", job_id=job_id, folder=record.folder, is_complete=record.job is not None)

    def begin(self, pair: Pair, origin: dict[str, Settling], at_s: float) -> bool:
        """Claim a pair whose files are still as last seen; False when they are not (then they lie in the inbox).

        Raises PermissionError when a file may not be read or moved.
        """
        home = self._root.inbox / pair.folder
        if not all(self._is_as_seen(home / name, settling.last) for name, settling in origin.items()):
            return False
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(home))
        record = self._new_record(pair)
        self._write(record)
        try:
            self._rename_all(record, home)
        except FileNotFoundError:
            # One of them was taken away between look and rename: neither is claimed.
            self._undo(record, "gone")
            return False
        claim_dir = record.claim_dir(self._root)
        claim = OpenClaim(record=record, origin=origin)
        reason = self.look(claim, at_s)
        if reason is None and any(
            _is_other((claim_dir / name).lstat(), settling.last) for name, settling in origin.items()
        ):
            reason = "exchanged"
        if reason is not None:
            self._undo(record, reason)
            return False
        self.open[record.job_id] = claim
        log.info("intake.pair_taken", job_id=record.job_id, folder=pair.folder, video=pair.picture, audio=pair.sound)
        return True

    def look(self, claim: OpenClaim, at_s: float) -> str | None:
        """Look at both files in their new place; returns why the claim must be given up, if it must."""
        claim_dir = claim.record.claim_dir(self._root)
        for name in claim.record.members:
            try:
                now = look_at(claim_dir / name, at_s=at_s, is_local=self.is_local)
            except FileNotFoundError:
                return "gone"
            except InputError:
                return "exchanged"
            before = claim.settling.get(name)
            if now.writer is Writer.BUSY:
                return "has a writer"
            if before is not None and before.last.face != now.face:
                return "changed"
            claim.settling[name] = follow(before, now)
        return None

    def is_quiet(self, claim: OpenClaim) -> bool:
        """Tell whether the claim waits for nothing but its inspection."""
        return claim.record.job is None and claim.is_quiet(self._rule)

    def inspect(self, claim: OpenClaim, is_late: Callable[[], bool]) -> bool:
        """Hash and probe a quiet claim and complete its record; False when `is_late()` came first: ask again.

        Raises InputError E111 when a file changed meanwhile. What the probe refuses becomes a failed job.
        """
        record = claim.record
        paths = [record.claim_dir(self._root) / name for name in record.members]
        for path in paths:
            digest = claim.digests.setdefault(path.name, Digest(path, claim.settling[path.name].last))
            if not digest.go_on(is_late):
                return False
        files = tuple(self._input(claim, path) for path in paths)
        media, refusal = self._ask_probe(*paths)
        for path in paths:
            if not self._is_as_seen(path, claim.settling[path.name].last):
                raise InputError("E111", f"{path.name} changed while it was inspected")
        job = record.job_with(self._root, (files[0], files[1]), media, refusal)
        complete = replace(record, job=job)
        self._write(complete)
        claim.record = complete
        log.info("intake.pair_inspected", job_id=job.id, state=job.state, error_code=job.error_code)
        return True

    def give_up(self, claim: OpenClaim, reason: str) -> dict[str, str]:
        """Put the files back into the inbox under a free name; returns old → new names of those that were there."""
        del self.open[claim.record.job_id]
        return self._undo(claim.record, reason)

    def acknowledge(self, job_ids: Iterable[str]) -> None:
        """Remove the records of jobs that the store has; one that cannot be removed is announced again."""
        known = [job_id for job_id in job_ids if is_job_id(job_id)]
        for job_id in known:
            self._disk.remove(record_file(self._root, job_id))
        if known:
            self._disk.sync_folder(self._root.claims)
        for job_id in known:
            self.open.pop(job_id, None)

    def _new_record(self, pair: Pair) -> ClaimRecord:
        now = self._wall()
        job_id = new_job_id(now)
        claim_name = job_folder(names.stem_of(pair.sound), id8_of(job_id))
        return ClaimRecord(
            job_id=job_id, root=self._root.uuid, folder=pair.folder, video=pair.picture, audio=pair.sound,
            claim_name=claim_name, claimed_at=now,
        )  # fmt: skip

    def _rename_all(self, record: ClaimRecord, home: Path) -> None:
        claim_dir = record.claim_dir(self._root)
        self._disk.make_folder(claim_dir)
        for name in record.members:
            self._disk.move(home / name, claim_dir / name)
        for folder in (claim_dir, self._root.processing, home):
            self._disk.sync_folder(folder)

    def _undo(self, record: ClaimRecord, reason: str) -> dict[str, str]:
        """Repeatable: each step looks at what the one before has left."""
        claim_dir = record.claim_dir(self._root)
        here = [name for name in record.members if _is_folder(claim_dir) and os.path.lexists(claim_dir / name)]
        put_back: dict[str, str] = {}
        if here:
            home = self._reopen_home(record)
            if record.returning is None:
                record = replace(record, returning=_free_number(home, here))
                self._write(record)
            for name in here:
                put_back[name] = self._put_back(claim_dir / name, home, record.returning or 0)
            self._disk.sync_folder(home)
        self._disk.remove_folder(claim_dir)
        self._disk.sync_folder(self._root.processing)
        self._disk.remove(record_file(self._root, record.job_id))
        self._disk.sync_folder(self._root.claims)
        log.info("intake.pair_put_back", job_id=record.job_id, folder=record.folder, reason=reason, files=put_back)
        return put_back

    def _put_back(self, source: Path, home: Path, number: int) -> str:
        while True:
            name = names.numbered(source.name, number)
            try:
                self._disk.move(source, home / name)
            except FileExistsError:
                number += 1
            else:
                return name

    def _reopen_home(self, record: ClaimRecord) -> Path:
        """Return the folder they came from, made again if need be; the top when something else is there now."""
        place = self._root.inbox
        for part in record.folder.split("/") if record.folder else ():
            place = place / part
            if not os.path.lexists(place):
                self._disk.make_folder(place)
            elif not _is_folder(place):
                return self._root.inbox
        return place

    def _drop_second_name(self, old: Path, claimed: Path) -> None:
        """Finish a rename made of link and unlink that was cut in the middle: the inbox still holds the same file."""
        if os.path.lexists(old) and os.path.samestat(old.lstat(), claimed.lstat()):
            self._disk.remove(old)

    def _is_as_seen(self, path: Path, seen: Sighting) -> bool:
        try:
            now = look_at(path, at_s=seen.at_s, is_local=self.is_local)
        except (FileNotFoundError, InputError):
            return False
        return now.face == seen.face and now.writer is not Writer.BUSY

    def _ask_probe(self, video: Path, audio: Path) -> tuple[MediaInfo | None, tuple[str, str] | None]:
        try:
            return self._probe(video, audio), None
        except InputError as error:
            if error.code == "E111":
                raise
            return None, (error.code, error.message)

    def _input(self, claim: OpenClaim, path: Path) -> InputFile:
        settling, sha256 = claim.settling[path.name], claim.digests[path.name].sha256
        if sha256 is None:
            raise ValueError(f"{path.name} has not been hashed")
        writer = "no writer" if settling.is_sure else "writer unknown"
        return InputFile(
            name=path.name, path=path, size_bytes=settling.last.size_bytes, sha256=sha256,
            evidence=("name", writer, "quiet", "claimed", "hashed"),
        )  # fmt: skip

    def _write(self, record: ClaimRecord) -> None:
        self._disk.write_whole(record_file(self._root, record.job_id), to_bytes(record))


def _free_number(home: Path, members: list[str]) -> int:
    """Return the smallest number under which all names are free, so that a pair stays a pair."""
    number = 0
    while any(os.path.lexists(home / names.numbered(name, number)) for name in members):
        number += 1
    return number


def _is_other(status: os.stat_result, seen: Sighting) -> bool:
    """Tell whether more has changed than a rename changes (ctime)."""
    return (status.st_ino, status.st_size, status.st_mtime_ns) != (seen.ino, seen.size_bytes, seen.mtime_ns)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
