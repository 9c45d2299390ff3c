"""The claim: what belongs to one job leaves the inbox, all of it or nothing, and becomes that job, once.

    record written ─▶ folder in processing/ made ─▶ files renamed into it, one by one       begin()
                  └─▶ or the whole job folder renamed at once
    ─▶ quiet once more, with a new baseline (a rename does not stop a live writer)          look()
    ─▶ sha256, stat equal before and after ─▶ probe ─▶ record completed with the job        inspect()
       shared members stay where they are: they are copied, and the copy is hashed
    ─▶ markers and old reasons removed ─▶ announced until the daemon has stored it
    ─▶ record removed                                                                       acknowledge()

What a restart finds on the disk says what to do (`take_up`), and every fault of the disk is treated like a restart:

    record holds a job                       tidy up if that was cut, announce it again, the same id
    all that is renamed lies in its folder   look at it anew, go on
    anything else                            put back what lies in the claim folder, remove the record
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from heygemd.errors import InputError
from heygemd.intake.custody import Custody
from heygemd.intake.disk import Disk
from heygemd.intake.inspection import Digest, is_as_seen
from heygemd.intake.open_claim import OpenClaim, is_there, look_at_members, what_was_exchanged
from heygemd.intake.record import (
    SUFFIX,
    ClaimRecord,
    Place,
    read_record,
    record_file,
    recorded_sums,
    refuse_forged,
    write_record,
)
from heygemd.intake.settle import SettleRule, Settling
from heygemd.intake.shared import PrivateCopy, SharedCopies
from heygemd.intake.structure.verdict import find_cut
from heygemd.intake.submission import Member, Role, Submission
from heygemd.jobs.ids import id8_of, is_job_id, new_job_id
from heygemd.jobs.job import InputFile, MediaInfo
from heygemd.jobs.roots import Root
from heygemd.naming import job_folder

__all__ = ["Claims", "OpenClaim", "Place", "Probe"]

log = structlog.get_logger(__name__)

Probe = Callable[[Path, Path], MediaInfo]

NOT_THE_DECLARED_SHA256 = "not the declared sha256"


class Claims:
    """The open claims of one root. Methods raise OSError when the disk fails; `take_up` then finds the way on."""

    def __init__(
        self, root: Root, probe: Probe, wall: Callable[[], datetime], disk: Disk, default_rule: SettleRule
    ) -> None:
        self._root, self._probe, self._wall, self._disk = root, probe, wall, disk
        self._default_rule = default_rule
        self._custody = Custody(root, disk)
        self._copies = SharedCopies(root, disk)
        self._mistrusted: set[str] = set()
        self.is_local = False
        self.open: dict[str, OpenClaim] = {}

    def find_records(self) -> list[str]:
        """Return the ids of the records on disk that this process does not hold; removes half-written things."""
        self._root.claims.mkdir(exist_ok=True, mode=0o700)
        self._copies.prepare(self.open.keys())
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
        if record.job is not None:
            record = record if record.is_tidy else self._tidy(record)
        elif record.returning is not None or not self._custody.holds(record):
            self._undo(record, "interrupted")
            return
        else:
            self._custody.secure(record)
        self.open[job_id] = OpenClaim(record=record, rule=self._default_rule)
        log.info("intake.claim_resumed", job_id=job_id, is_complete=record.job is not None)

    def begin(self, submission: Submission, origin: Mapping[Place, Settling], rule: SettleRule, at_s: float) -> bool:
        """Claim what is still as last seen; False when it is not (then everything lies where it was).

        Members that `origin` lacks only have to be there. Raises PermissionError when something may not be read or
        moved. A submission that no restart would believe is refused here already.
        """
        record = self._new_record(submission)
        try:
            refuse_forged(record, self._root, record.job_id)
        except ValueError as error:
            log.error("intake.submission_refused", root=self._root.uuid, film=submission.film_name, reason=str(error))
            return False
        if not is_there(record, self._root, origin, at_s, is_local=self.is_local):
            return False
        self._require_access(record)
        write_record(self._disk, self._root, record)
        try:
            self._custody.take(record)
        except (FileNotFoundError, NotADirectoryError):
            # Something was taken away between look and rename: nothing is claimed.
            self._undo(record, "gone")
            return False
        except PermissionError:
            self._undo(record, "not permitted")
            raise
        claim = OpenClaim(record=record, rule=rule, origin=dict(origin))
        reason = self.look(claim, at_s) or what_was_exchanged(claim)
        if reason is not None:
            self._undo(record, reason)
            return False
        self.open[record.job_id] = claim
        log.info("intake.claim_begun", job_id=record.job_id, members=_shown(record.members), whole=submission.whole)
        return True

    def look(self, claim: OpenClaim, at_s: float) -> str | None:
        """Look at every member where it lies now; returns why the claim must be given up, if it must."""
        return look_at_members(claim, self._root, at_s, is_local=self.is_local)

    def is_quiet(self, claim: OpenClaim) -> bool:
        """Tell whether the claim waits for nothing but its inspection."""
        return claim.record.job is None and claim.is_quiet

    def inspect(self, claim: OpenClaim, is_late: Callable[[], bool]) -> bool:
        """Copy, hash and probe a quiet claim and complete its record; False when `is_late()` came first: ask again.

        Raises InputError when a file changed meanwhile (E111) or is not the declared one (E112): give the claim up
        then. What the probe refuses becomes a failed job.
        """
        record = claim.record
        for member in record.members:
            total = self._sum_of(claim, member)
            if not total.go_on(is_late):
                return False
            if member.sha256 is not None and member.sha256.lower() != total.sha256:
                raise InputError("E112", NOT_THE_DECLARED_SHA256)
        files: dict[Role, InputFile] = {
            member.role: claim.input_of(member) for member in record.members if member.role is not Role.OTHER
        }
        media, refusal = (None, None) if record.submission.error else self._ask_probe(files)
        for member in record.members:
            seen = claim.settling[member.place].last
            if not is_as_seen(record.path_of(self._root, member), seen, is_local=self.is_local):
                raise InputError("E111", f"{member.name} changed while it was inspected")
        claim.record = self._complete(replace(record, job=record.job_with(self._root, files, media, refusal)))
        return True

    def give_up(self, claim: OpenClaim, reason: str) -> dict[Place, Place]:
        """Put everything back under free names; returns old → new places of the members that went back."""
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

    def sweep_shared(self, in_use: frozenset[str]) -> int:
        """Remove private copies that no job (names `in_use`), no open claim and no record needs; returns how many."""
        at_work = {total.path.name for claim in self.open.values() for total in claim.sums.values()}
        return self._copies.sweep(in_use | at_work, recorded_sums(self._root))

    def _new_record(self, submission: Submission) -> ClaimRecord:
        while True:
            now = self._wall()
            job_id = new_job_id(now)
            record = ClaimRecord(
                job_id=job_id, root=self._root.uuid, submission=submission, claimed_at=now,
                claim_name=job_folder(submission.film_name, id8_of(job_id)),
            )  # fmt: skip
            places = (record_file(self._root, job_id), record.claim_dir(self._root))
            if job_id not in self.open and not any(map(os.path.lexists, places)):
                return record

    def _require_access(self, record: ClaimRecord) -> None:
        folders = {record.home(self._root, item.place).parent for item in record.moved}
        if record.submission.whole is not None:
            whole = self._root.inbox / record.submission.whole
            folders |= {whole, whole.parent}
        for folder in sorted(folders):
            if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
                # A share that is read-only is a fault of the machine, and no fault of these files.
                number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
                raise OSError(number, os.strerror(number), str(folder))

    def _sum_of(self, claim: OpenClaim, member: Member) -> Digest | PrivateCopy:
        if member.place not in claim.sums:
            path, seen = claim.record.path_of(self._root, member), claim.settling[member.place].last
            claim.sums[member.place] = (
                self._copies.begin(path, seen, claim.record.job_id, member.role, is_local=self.is_local)
                if member.is_shared
                else Digest(path, seen)
            )
        return claim.sums[member.place]

    def _ask_probe(self, files: Mapping[Role, InputFile]) -> tuple[MediaInfo | None, tuple[str, str] | None]:
        for file in files.values():
            if gap := find_cut(file.evidence):  # half of an Opus file, or of a JPEG, decodes without a word
                return None, ("E110", f"{file.name}: {gap}")
        try:
            return self._probe(files[Role.VIDEO].path, files[Role.AUDIO].path), None
        except InputError as error:
            if error.code == "E111":
                raise
            return None, (error.code, error.message)

    def _complete(self, record: ClaimRecord) -> ClaimRecord:
        """Write the job into the record; only then, and before it is announced, remove what is stale."""
        is_tidy = not self._custody.needs_tidying(record)
        complete = replace(record, is_tidy=is_tidy)
        write_record(self._disk, self._root, complete)
        if record.job is not None:
            log.info(
                "intake.claim_inspected", job_id=record.job_id, state=record.job.state, error_code=record.job.error_code
            )
        return complete if is_tidy else self._tidy(complete)

    def _tidy(self, record: ClaimRecord) -> ClaimRecord:
        """Remove what is stale, then say so: once announced, new reasons may lie there, which must stay."""
        self._custody.tidy(record)
        tidy = replace(record, is_tidy=True)
        write_record(self._disk, self._root, tidy)
        return tidy

    def _undo(self, record: ClaimRecord, reason: str) -> dict[Place, Place]:
        places = self._custody.put_back(record)
        files = {"/".join(old): "/".join(new) for old, new in places.items()}
        log.info("intake.claim_put_back", job_id=record.job_id, reason=reason, files=files)
        return places


def _shown(members: Iterable[Member]) -> list[str]:
    return ["/".join(part for part in member.place if part) for member in members]
