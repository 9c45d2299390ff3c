"""From a row as it was written to a row that says what it wants, with what is wrong with it. Pure."""

import re
from dataclasses import dataclass, field, fields, replace

from heygemd.intake import names
from heygemd.intake.manifests.films import check_placeholders, film_of_output
from heygemd.intake.manifests.model import NO_CHOICE, Declared, ManifestRow
from heygemd.intake.manifests.options import read_options, read_priority
from heygemd.intake.manifests.paths import check_member, is_pattern, is_surely_pattern
from heygemd.intake.manifests.tree import Broken, FlawError, Lines, Mapping, Node
from heygemd.intake.manifests.values import integer_of, mapping_of, shown, text_of, unknown_key
from heygemd.jobs.batch import RowError
from heygemd.jobs.choice import OptionChoice

ROLES = ("video", "audio")
ROW_KEYS = ("id", "video", "audio", "output", "priority", "options", "sha256", "size")
DEFAULT_KEYS = tuple(key for key in ROW_KEYS if key != "id")
MAX_ID_BYTES = 200
_MAX_SIZE_BYTES = 1 << 60
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Said:
    """What a row, or the defaults, say themselves."""

    row_id: str | None = None
    video: str | None = None
    audio: str | None = None
    output: str | None = None
    priority: int | None = None
    options: OptionChoice = NO_CHOICE
    sha256: dict[str, str] = field(default_factory=dict)
    """By role."""
    size: dict[str, int] = field(default_factory=dict)

    def declared(self, role: str) -> Declared:
        """Return what is promised about the file of one role."""
        return Declared(size_bytes=self.size.get(role), sha256=self.sha256.get(role))


def read_defaults(node: Node) -> Said:
    """Read the `defaults`; raises FlawError, because every row would suffer from what is wrong there."""
    said = Said()
    for key, entry in mapping_of(node, "defaults", DEFAULT_KEYS).entries.items():
        _take(said, key, entry.value)
    return said


def read_row(node: Node | Broken, number: int, lines: Lines, defaults: Said) -> ManifestRow:
    """Read one row; what is wrong with it goes into its `error`, and what could be read is kept."""
    line, column = lines.place(node.at)
    said = Said()
    flaw = node.flaw if isinstance(node, Broken) else _read(node, said)
    row = _with_defaults(said, defaults, number, line, column)
    if flaw is None:
        flaw = _missing_or_contradictory(row)
    if flaw is None:
        return row
    flaw_line, flaw_column = (line, column) if flaw.at is None else lines.place(flaw.at)
    return replace(row, error=RowError(code=flaw.code, message=flaw.message, line=flaw_line, column=flaw_column))


def _read(node: Node, said: Said) -> FlawError | None:
    """Fill in what the row says; returns the first thing that is wrong."""
    try:
        mapping = mapping_of(node, "a row", node.entries if isinstance(node, Mapping) else ())
    except FlawError as flaw:
        return flaw
    first: FlawError | None = None
    for key, entry in mapping.entries.items():
        try:
            if key not in ROW_KEYS:
                raise unknown_key(key, "a row", ROW_KEYS, entry.at)
            _take(said, key, entry.value)
        except FlawError as flaw:
            first = first or flaw
    return first


def _take(said: Said, key: str, node: Node) -> None:
    """Read the value of one key of ROW_KEYS."""
    match key:
        case "id":
            said.row_id = _row_id(node)
        case "video" | "audio":
            path = text_of(node, key)
            check_member(path, key, node.at)
            setattr(said, key, path)
        case "output":
            output = text_of(node, key)
            film_of_output(output, "", node.at)
            said.output = output
        case "priority":
            said.priority = read_priority(node)
        case "options":
            said.options = read_options(node)
        case "sha256":
            said.sha256 = {role: _sha256(value, role) for role, value in _by_role(node, key)}
        case _:
            said.size = {
                role: integer_of(value, f"size of {role}", 1, _MAX_SIZE_BYTES) for role, value in _by_role(node, key)
            }


def _row_id(node: Node) -> str:
    """Return the id; it becomes the name of a film and of a folder."""
    text = text_of(node, "id")
    if "/" in text or "\\" in text or names.is_refused(text):
        raise FlawError("E124", f"id {shown(text)} is a plain name, without / \\ and control characters", node.at)
    if text.startswith(".") or not text.replace(".", "").strip():
        raise FlawError("E124", f"id {shown(text)} has a name to it, and does not begin with a dot", node.at)
    if len(text.encode()) > MAX_ID_BYTES:
        raise FlawError("E124", f"id {shown(text)} is longer than {MAX_ID_BYTES} bytes", node.at)
    return text


def _by_role(node: Node, key: str) -> list[tuple[str, Node]]:
    return [(role, entry.value) for role, entry in mapping_of(node, key, ROLES).entries.items()]


def _sha256(node: Node, role: str) -> str:
    text = text_of(node, f"sha256 of {role}").lower()
    if not _SHA256.fullmatch(text):
        raise FlawError("E124", f"sha256 of {role} has 64 hexadecimal digits, not {shown(text)}", node.at)
    return text


def _with_defaults(said: Said, defaults: Said, number: int, line: int | None, column: int | None) -> ManifestRow:
    """Lay the row over the defaults; what these declare holds only for files that come from there."""
    return ManifestRow(
        number=number,
        line=line,
        column=column,
        row_id=said.row_id,
        video=said.video or defaults.video,
        audio=said.audio or defaults.audio,
        output=said.output or defaults.output,
        priority=defaults.priority if said.priority is None else said.priority,
        options=said.options.over_choice(defaults.options),
        video_declared=_declared(said, defaults, "video"),
        audio_declared=_declared(said, defaults, "audio"),
    )


def _declared(said: Said, defaults: Said, role: str) -> Declared:
    own, inherited = said.declared(role), defaults.declared(role)
    if getattr(said, role) is not None:
        return own
    return Declared(size_bytes=own.size_bytes or inherited.size_bytes, sha256=own.sha256 or inherited.sha256)


def _missing_or_contradictory(row: ManifestRow) -> FlawError | None:
    """Look at the whole row; places are not known any more, so the row itself is the place."""
    for role, path in (("video", row.video), ("audio", row.audio)):
        if path is None:
            return FlawError("E124", f"the row names no {role}, and the defaults name none")
    if row.video is None or row.audio is None:
        return None
    if is_surely_pattern(row.video) and is_surely_pattern(row.audio):
        return FlawError("E124", "only one of video and audio may be a pattern")
    return pattern_flaw(row) if is_surely_pattern(row.video) or is_surely_pattern(row.audio) else None


def pattern_flaw(row: ManifestRow) -> FlawError | None:
    """Return what a row must not say when one of its paths is a pattern."""
    for role, path, declared in (("video", row.video, row.video_declared), ("audio", row.audio, row.audio_declared)):
        if path and is_pattern(path) and any(getattr(declared, one.name) is not None for one in fields(declared)):
            return FlawError("E124", f"size and sha256 belong to one file, but {role} is the pattern {shown(path)}")
    output = row.output or ""
    try:
        check_placeholders(output)
    except FlawError as flaw:
        return flaw
    if "{id}" in output and row.row_id is None:
        return FlawError("E124", "output has {id}, but the row has no id")
    return None
