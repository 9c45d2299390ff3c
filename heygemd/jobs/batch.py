"""Many films that were ordered together: by a manifest, or by a job folder with several pictures or sounds.

A batch is accepted once and never changed afterwards; how far it has come is what the store says about its jobs.
Every row that could be read becomes exactly one job, a failed one when its files never came.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from heygemd.jobs.job import RenderOptions


class BatchKind(StrEnum):
    """Who ordered it."""

    MANIFEST = "manifest"
    """A `*.heygem.{json,yaml,csv,jsonl}`; its members lie in the inbox."""
    FOLDER = "folder"
    """A job folder; it was claimed whole, and its members lie in `claim_dir`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """Why a row cannot become a job."""

    code: str
    message: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One member that a row names."""

    path: str
    """`/` between parts; relative to the inbox (manifest) or to `claim_dir` (job folder)."""
    size_bytes: int | None = None
    sha256: str | None = None
    """Declared by the row: then the file is complete when it agrees, without any waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One film to be made."""

    number: int
    """From 1, in the order of the manifest; globs are resolved, so one line may give several rows."""
    line: int | None = None
    """Where the manifest says it."""
    row_id: str | None = None
    video: Wanted | None = None
    audio: Wanted | None = None
    """Both are there when there is no error."""
    film_folder: str = ""
    """Sub-folder of the outbox."""
    film_name: str = ""
    """Name of the film without suffix."""
    options: RenderOptions = field(default_factory=RenderOptions)
    priority: int = 0
    error: RowError | None = None

    @property
    def members(self) -> tuple[Wanted, ...]:
        """Picture, then sound; only what is there."""
        return tuple(wanted for wanted in (self.video, self.audio) if wanted is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One manifest or job folder, as it was accepted."""

    id: str
    """Has the form of a job id."""
    root: str
    kind: BatchKind
    name: str
    """`lines` for `lines.heygem.csv`; the folder's name without `.job`."""
    folder: str
    """Sub-folder of the inbox it was dropped into."""
    claim_dir: Path
    """Folder in `processing/` that holds the manifest, or is the job folder."""
    accepted_at: datetime
    strict: bool = False
    bundle: bool = False
    """A ZIP of all results is wanted."""
    rows: tuple[Row, ...] = ()

    @property
    def id8(self) -> str:
        """The first 8 random characters of the id."""
        return self.id.rsplit("-", 1)[-1][:8]

    @property
    def good_rows(self) -> tuple[Row, ...]:
        """Rows that become jobs."""
        return tuple(row for row in self.rows if row.error is None)
