"""What a `.heygemd.toml` says about its folder and everything below it, and what a `job.toml` says about one job.

    priority = 5             # -1000 to 1000; more comes first
    concurrency = 2          # of all jobs below this folder, so many run at once
    keep_days = 7            # how long originals are kept; 0: for ever
    settle_s = 5             # quiet time before a file counts as complete; settle_unsure_s where writers are unseen
    require_commit = true    # accept only files that were committed
    orphan_timeout_s = 3600  # how long a lone file waits for its partner

    [options]                # as in a manifest
    engine = "atlas"
    crf = 16

Pure; which of the files is in force where is known to `heygemd.intake.folderconfig`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from heygemd.errors import InputError
from heygemd.intake.manifests.encoding import decode
from heygemd.intake.manifests.model import NO_CHOICE
from heygemd.intake.manifests.options import OPTION_NAMES, read_options, read_priority
from heygemd.intake.manifests.toml_tree import parse_toml
from heygemd.intake.manifests.tree import FlawError, Form, Lines, Mapping, Node, Scalar
from heygemd.intake.manifests.values import integer_of, mapping_of, truth_of
from heygemd.jobs.choice import OptionChoice

CONFIG_NAME = ".heygemd.toml"
JOB_OPTIONS_NAME = "job.toml"
MAX_CONFIG_BYTES = 64 << 10
MAX_CONCURRENCY = 1000
MAX_KEEP_DAYS = 36_500
MAX_SETTLE_S = 86_400.0
MAX_ORPHAN_TIMEOUT_S = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderConfig:
    """What one file chooses; None where it says nothing."""

    priority: int | None = None
    options: OptionChoice = NO_CHOICE
    settle_s: float | None = None
    settle_unsure_s: float | None = None
    require_commit: bool | None = None
    keep_days: int | None = None
    concurrency: int | None = None
    orphan_timeout_s: float | None = None

    def over(self, outer: "FolderConfig") -> "FolderConfig":
        """Return one config: this one where it says something, else that of the folder above."""
        own = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        return replace(outer, **own | {"options": self.options.over_choice(outer.options)})


def read_config(data: bytes) -> FolderConfig:
    """Read a `.heygemd.toml`; raises InputError E120 to E125 with the line where it is known."""
    return _read(data, CONFIG_NAME, CONFIG_KEYS)


def read_job_options(data: bytes) -> FolderConfig:
    """Read a `job.toml`: `priority`, `keep_days` and `[options]`; raises as `read_config` does."""
    return _read(data, JOB_OPTIONS_NAME, JOB_KEYS)


def _read(data: bytes, name: str, known: tuple[str, ...]) -> FolderConfig:
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError("E120", f"{name} is larger than {MAX_CONFIG_BYTES >> 10} KiB")
    text = ""
    try:
        text = decode(data, may_declare=True)
        return _judged(parse_toml(text), name, known)
    except FlawError as flaw:
        raise InputError(flaw.code, _said(flaw, text)) from flaw


def _said(flaw: FlawError, text: str) -> str:
    line, _ = Lines(text).place(flaw.at)
    return flaw.message if line is None else f"line {line}: {flaw.message}"


def _judged(tree: Mapping, name: str, known: tuple[str, ...]) -> FolderConfig:
    for key, entry in tree.entries.items():
        if key in OPTION_NAMES:
            raise FlawError("E123", f"{key} belongs below the line [options]", entry.at)
        if key in CONFIG_KEYS and key not in known:
            raise FlawError("E123", f"{key} belongs into {CONFIG_NAME}, {name} cannot have it", entry.at)
    found = {key: _READERS[key](entry.value) for key, entry in mapping_of(tree, name, known).entries.items()}
    return replace(FolderConfig(), **found)


def _seconds_of(node: Node, name: str, most_s: float) -> float:
    if isinstance(node, Scalar) and node.form is Form.NUMBER:
        seconds = float(node.text)  # `nan` compares as false
        if 0 < seconds <= most_s:
            return seconds
    raise FlawError("E124", f"{name} is a number of seconds, more than 0 and at most {most_s:.0f}", node.at)


_READERS: dict[str, Callable[[Node], Any]] = {
    "priority": read_priority,
    "concurrency": lambda node: integer_of(node, "concurrency", 1, MAX_CONCURRENCY),
    "keep_days": lambda node: integer_of(node, "keep_days", 0, MAX_KEEP_DAYS),
    "settle_s": lambda node: _seconds_of(node, "settle_s", MAX_SETTLE_S),
    "settle_unsure_s": lambda node: _seconds_of(node, "settle_unsure_s", MAX_SETTLE_S),
    "require_commit": lambda node: truth_of(node, "require_commit"),
    "orphan_timeout_s": lambda node: _seconds_of(node, "orphan_timeout_s", MAX_ORPHAN_TIMEOUT_S),
    "options": read_options,
}
"""Each gives what the field of FolderConfig of that name wants."""
CONFIG_KEYS = tuple(_READERS)
JOB_KEYS = ("priority", "keep_days", "options")
