"""A manifest as it was read: every row with what it says, where it says it, and what is wrong with it. Pure."""

from dataclasses import dataclass

from heygemd.jobs.batch import RowError
from heygemd.jobs.choice import OptionChoice

DEFAULT_MAX_ROWS = 10_000
NO_CHOICE = OptionChoice()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestLimits:
    """What a manifest may cost."""

    max_bytes: int
    max_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a row promises about one of its files."""

    size_bytes: int | None = None
    sha256: str | None = None
    """64 hexadecimal digits, small letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One row with the defaults already laid under it; globs are not resolved yet."""

    number: int
    """From 1, in the order of the manifest."""
    line: int | None = None
    column: int | None = None
    row_id: str | None = None
    video: str | None = None
    """Relative to the manifest, as written; may be a glob."""
    audio: str | None = None
    output: str | None = None
    priority: int | None = None
    options: OptionChoice = NO_CHOICE
    video_declared: Declared = Declared()
    audio_declared: Declared = Declared()
    error: RowError | None = None
    """The first thing wrong with it; what could be read is there nevertheless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that could be read as a whole; single rows may be wrong."""

    strict: bool = False
    """One bad row, and none is made."""
    bundle: bool = False
    """A ZIP of all results is wanted."""
    rows: tuple[ManifestRow, ...] = ()
    max_rows: int = DEFAULT_MAX_ROWS
    """How many rows there may be when the globs are resolved."""
