"""What could be claimed now: a submission, and since when its files have been waiting. Pure."""

from dataclasses import dataclass

from heygemd.intake.settle import SettleRule
from heygemd.intake.submission import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One submission whose files are complete."""

    submission: Submission
    rule: SettleRule
    """How long the files must be quiet once more after the claim."""
    since_s: float
    """Monotonic time at which the last of its files was first seen: who waits longest is claimed first."""

    @property
    def watched(self) -> tuple[tuple[str, str], ...]:
        """Places of the members in the inbox; none when they lie in a claimed job folder."""
        return () if self.submission.base is not None else tuple(member.place for member in self.submission.members)
