"""When has a file arrived whole? The ladder. Pure: the caller brings the clock, the stat and what the probes say.

An SMB client sets the full size first and writes afterwards, and any client sets the mtime to any year. So nothing
is compared with a clock but our own monotonic looks, and time stamps are compared for equality only.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_WAIT_S = 600.0
"""A file that pauses again and again is never made to wait longer than this."""


class Writer(StrEnum):
    """Whether somebody has the file open for writing."""

    FREE = "free"
    """Certain: nobody."""
    BUSY = "busy"
    """Certain: somebody."""
    UNKNOWN = "unknown"
    """The file system cannot say (a mount, a foreign owner)."""


class Holes(StrEnum):
    """Whether parts of the file have never been written."""

    NONE = "no holes"
    SOME = "holes"
    UNKNOWN = "holes unknown"
    """The file system cannot say, or makes holes of zeros by itself."""


class Commit(StrEnum):
    """How somebody has said that the file is complete."""

    RENAME = "rename"
    """It got its name when it was."""
    MARKER = "marker"
    """A `.ready` file lies beside it."""
    MANIFEST = "manifest"
    """A row declares size or sha256, and the size agrees."""


class Hindrance(StrEnum):
    """Why a file does not count as complete: the rung it stands before."""

    EMPTY = "empty"
    WRITER = "held open by a writer"
    COMMIT = "not committed"
    """Only committed files are accepted, and nobody has said that this one is complete."""
    QUIET = "not quiet for long enough"
    """Or not read yet."""
    HOLES = "has holes"
    INCOMPLETE = "structure incomplete"


Face = tuple[int, int, int, int, int]
"""What must stay equal while a file is quiet: inode, size, mtime, ctime, blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at one file."""

    ino: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    blocks: int
    at_s: float
    """Monotonic."""
    writer: Writer

    @property
    def face(self) -> Face:
        """What must stay equal while the file is quiet."""
        return self.ino, self.size_bytes, self.mtime_ns, self.ctime_ns, self.blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRule:
    """How long a file must be quiet."""

    settle_s: float
    """When nobody has it open, for certain."""
    settle_unsure_s: float
    """When that cannot be known."""
    settle_scans: int
    """Equal looks that are needed at least."""
    grace_s: float = 600.0
    """A file with holes, or cut off as it seems, counts all the same when nothing has changed for so long."""
    require_commit: bool = False
    """Accept only what was committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """What is remembered of the looks at one file."""

    last: Sighting
    since_s: float
    """Time of the first look of the present pause."""
    looks: int
    """Equal looks in the present pause; 0 while somebody writes."""
    is_sure: bool
    """Every look of the pause was certain that nobody writes."""
    patience: int = 1
    """Factor on the wait; doubled each time a pause was seen and then broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What reading a file with one face has shown."""

    holes: Holes
    structure: str
    """As evidence: `structure mp4`, say."""
    is_incomplete: bool


def follow(before: Settling | None, now: Sighting) -> Settling:
    """Add one look to what is known."""
    if before is not None and before.looks and now.face == before.last.face and now.writer is not Writer.BUSY:
        is_sure = before.is_sure and now.writer is Writer.FREE
        return replace(before, last=now, looks=before.looks + 1, is_sure=is_sure)
    return Settling(
        last=now,
        since_s=now.at_s,
        looks=0 if now.writer is Writer.BUSY else 1,
        is_sure=now.writer is Writer.FREE,
        patience=1 if before is None else lose_patience(before),
    )


def lose_patience(settling: Settling) -> int:
    """Return the factor for a pause that ends now: doubled when it had been seen as one, that is twice."""
    was_seen = settling.looks > 1
    return min(settling.patience * 2, 1 << 16) if was_seen else settling.patience


def broken(settling: Settling) -> Settling:
    """Return what is known after a pause that turned out to be none; the next look starts a new one."""
    return replace(settling, looks=0, patience=lose_patience(settling))


def pass_over(before: Settling | None, now: Sighting) -> Settling:
    """Return what is known when there was no time to ask for a writer: the same while the face is, else nothing."""
    if before is not None and now.face == before.last.face:
        return before
    patience = 1 if before is None else lose_patience(before)
    return Settling(last=now, since_s=now.at_s, looks=0, is_sure=False, patience=patience)


def wait_s(settling: Settling, rule: SettleRule) -> float:
    """Return how long the present pause must last."""
    base_s = rule.settle_s if settling.is_sure else rule.settle_unsure_s
    return min(base_s * settling.patience, max(base_s, MAX_WAIT_S))


def is_settled(settling: Settling, rule: SettleRule) -> bool:
    """Tell whether the file counts as complete."""
    last = settling.last
    return (
        last.size_bytes > 0
        and last.writer is not Writer.BUSY
        and settling.looks >= rule.settle_scans
        and last.at_s - settling.since_s >= wait_s(settling, rule)
    )


def find_outer_hindrance(
    settling: Settling, rule: SettleRule, *, commit: Commit | None, is_vouched: bool
) -> Hindrance | None:
    """Climb the ladder as far as one can without reading the file; None: it is worth reading now.

    `is_vouched`: who committed it can be trusted, so its quiet need not be awaited (but a writer always must).
    """
    if settling.last.size_bytes == 0:
        return Hindrance.EMPTY
    if settling.last.writer is Writer.BUSY:
        return Hindrance.WRITER
    if rule.require_commit and commit is None:
        return Hindrance.COMMIT
    is_quiet = is_vouched or is_settled(settling, rule)
    return None if is_quiet and settling.looks > 0 else Hindrance.QUIET


def find_hindrance(
    settling: Settling, rule: SettleRule, *, commit: Commit | None, is_vouched: bool, content: Content | None
) -> Hindrance | None:
    """Climb the whole ladder (its names are behind us); None: complete. `content` is None: not read yet."""
    outer = find_outer_hindrance(settling, rule, commit=commit, is_vouched=is_vouched)
    if outer is not None:
        return outer
    if content is None:
        return Hindrance.QUIET
    if settling.last.at_s - settling.since_s >= rule.grace_s:
        return None
    if content.is_incomplete:
        return Hindrance.INCOMPLETE
    return Hindrance.HOLES if content.holes is Holes.SOME and not is_vouched else None


def evidence_of(settling: Settling, commit: Commit | None, content: Content) -> tuple[str, ...]:
    """Say which rungs a complete file has reached; `commit` only when the quiet was skipped for it."""
    quiet_s = settling.last.at_s - settling.since_s
    return (
        "name",
        "no writer" if settling.is_sure else "writer unknown",
        f"committed by {commit}" if commit else f"quiet {quiet_s:.1f} s in {settling.looks} looks",
        content.holes.value,
        content.structure,
    )
