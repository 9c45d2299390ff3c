"""When has a file arrived whole? Pure: the caller brings the clock, the stat and the writer's probe.

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
    def face(self) -> tuple[int, int, int, int, int]:
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
