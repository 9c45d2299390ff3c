"""What is to leave the inbox as one job: a pair, a row of a batch, a job folder, or something that fails. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from heygemd.jobs.job import BatchRow, Lane, RenderOptions


class Role(StrEnum):
    """What a member is for."""

    VIDEO = "video"
    """The picture, moving or still."""
    AUDIO = "audio"
    OTHER = "other"
    """A manifest that cannot be used: it has no role in any film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file that a job needs."""

    role: Role
    folder: str
    """Below the base of the submission; `` for the top."""
    name: str
    is_shared: bool = False
    """It stays where it is (others need it too), and the job gets a private copy."""
    size_bytes: int | None = None
    sha256: str | None = None
    """Declared by a manifest; must agree."""
    evidence: tuple[str, ...] = ()
    """Rungs of the readiness ladder reached before the claim."""

    @property
    def place(self) -> tuple[str, str]:
        """Folder and name."""
        return self.folder, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One job to be."""

    members: tuple[Member, ...]
    """Picture, then sound; a single one for an orphan or a bad manifest; none for a row whose files never came."""
    film_folder: str
    """Sub-folder of the outbox."""
    film_name: str
    """Without suffix."""
    options: RenderOptions
    priority: int = 0
    lane: Lane | None = None
    keep_days: int | None = None
    row: BatchRow | None = None
    base: str | None = None
    """Name of the folder in `processing/` in which the members lie; None: they lie in the inbox."""
    whole: str | None = None
    """Place of the job folder in the inbox that is claimed by one rename; all members lie directly in it."""
    markers: tuple[tuple[str, str], ...] = ()
    """`.ready` files that committed members: they go with the claim."""
    retry_of: str | None = None
    """Id of the failed job whose folder was put back."""
    error: tuple[str, str] | None = None
    """Code and message: the job is failed as soon as its members are claimed."""
