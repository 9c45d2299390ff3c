"""A claim that is under way, and the looks at its members: are they there, and do they keep still?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from heygemd.errors import InputError
from heygemd.intake.inspection import Digest, is_folder, leads_straight, look_at
from heygemd.intake.record import ClaimRecord, Place
from heygemd.intake.settle import SettleRule, Settling, Sighting, Writer, follow, is_settled
from heygemd.intake.shared import PrivateCopy
from heygemd.intake.submission import Member
from heygemd.jobs.job import InputFile
from heygemd.jobs.roots import Root

NOT_THE_DECLARED_SIZE = "not the declared size"


@dataclass(slots=True, kw_only=True)
class OpenClaim:
    """A claim as this process knows it; the record on disk is what counts after it."""

    record: ClaimRecord
    rule: SettleRule
    """How long the members must be quiet once more."""
    origin: dict[Place, Settling] = field(default_factory=dict)
    """What was known of the members before the claim; empty after a restart."""
    settling: dict[Place, Settling] = field(default_factory=dict)
    sums: dict[Place, Digest | PrivateCopy] = field(default_factory=dict)

    @property
    def is_quiet(self) -> bool:
        """Every member has settled where it lies now."""
        settled = [is_settled(settling, self.rule) for settling in self.settling.values()]
        return len(settled) == len(self.record.members) and all(settled)

    def input_of(self, member: Member) -> InputFile:
        """Describe a member that has been hashed."""
        settling, total = self.settling[member.place], self.sums[member.place]
        if total.sha256 is None:
            raise ValueError(f"{member.name} has not been hashed")
        quiet_s = settling.last.at_s - settling.since_s
        rungs = ("copied", "hashed") if member.is_shared else (f"claimed quiet {quiet_s:.1f} s", "hashed")
        return InputFile(
            name=member.name, path=total.path, size_bytes=settling.last.size_bytes, sha256=total.sha256,
            evidence=member.evidence + rungs,
        )  # fmt: skip


def is_there(record: ClaimRecord, root: Root, origin: Mapping[Place, Settling], at_s: float, *, is_local: bool) -> bool:
    """Tell whether all members lie where they were dropped, as they were last seen where that is known."""
    base, whole = record.base_dir(root), record.submission.whole
    if whole is not None and not leads_straight(base, whole):
        return False
    for member in record.members:
        try:
            if not leads_straight(base, member.folder):
                return False
            now = look_at(record.home(root, member.place), at_s=at_s, is_local=is_local)
        except (FileNotFoundError, NotADirectoryError, InputError):
            return False
        known = origin.get(member.place)
        if _objection(member, known.last if known else None, now) is not None:
            return False
    return True


def look_at_members(claim: OpenClaim, root: Root, at_s: float, *, is_local: bool) -> str | None:
    """Look at every member where it lies now; returns why the claim must be given up, if it must."""
    record = claim.record
    if not is_folder(record.claim_dir(root)):
        return "gone"
    for member in record.members:
        if member.is_shared and not leads_straight(record.base_dir(root), member.folder):
            return "gone"
        try:
            now = look_at(record.path_of(root, member), at_s=at_s, is_local=is_local)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except InputError:
            return "exchanged"
        before = claim.settling.get(member.place)
        reason = _objection(member, before.last if before else None, now)
        if reason is not None:
            return reason
        claim.settling[member.place] = follow(before, now)
    return None


def what_was_exchanged(claim: OpenClaim) -> str | None:
    """Compare what was renamed with what had been seen: another file may have taken its name just before."""
    for member in claim.record.members:
        known, now = claim.origin.get(member.place), claim.settling[member.place].last
        if known is not None and _is_other(now, known.last):
            return "exchanged"
    return None


def _objection(member: Member, before: Sighting | None, now: Sighting) -> str | None:
    if now.writer is Writer.BUSY:
        return "has a writer"
    if before is not None and before.face != now.face:
        return "changed"
    if member.size_bytes not in (None, now.size_bytes):
        return NOT_THE_DECLARED_SIZE
    return None


def _is_other(now: Sighting, seen: Sighting) -> bool:
    """Tell whether more has changed than a rename changes (ctime)."""
    return (now.ino, now.size_bytes, now.mtime_ns) != (seen.ino, seen.size_bytes, seen.mtime_ns)
