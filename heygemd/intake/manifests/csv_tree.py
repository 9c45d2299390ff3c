"""CSV: a header of known columns, then one row a line. Pure.

A line is a row, always: no value of a manifest holds a line break. So an open quote is an error of its own line, and
swallows nothing. The delimiter (comma, semicolon or tab) is the one with which the header makes sense.

    # strict: true                                  optional; `encoding`, `strict` and `bundle` are known
    id;video;audio;output;priority;crf;sha256.audio
    ep01;anna.mp4;ep01.wav;;5;;9f…
"""

import re
from dataclasses import dataclass

from heygemd.intake.manifests.options import OPTION_NAMES
from heygemd.intake.manifests.tree import Broken, FlawError, Form, Mapping, Node, Outline, Scalar
from heygemd.intake.manifests.values import nearest, shown

DELIMITERS = (",", ";", "\t")
MAX_COLUMNS = 64
MAX_LINES_ABOVE = 200
"""Of comments before the header."""
_ROLES = ("video", "audio")
_GROUPS = {"options": OPTION_NAMES, "sha256": _ROLES, "size": _ROLES}
_LINE = re.compile(r"[^\r\n]+")
_DIRECTIVE = re.compile(r"#\s*(?P<key>\w+)\s*[:=]\s*(?P<value>\S*)[\s,;]*")
_HEAD_KEYS = ("heygem", "strict", "bundle")
_DIRECTIVES = ("encoding", "coding", *_HEAD_KEYS)
_EXCEL_HINT = re.compile(r"sep=[,;\t]", re.IGNORECASE)
_CELL = {
    delimiter: re.compile(rf' *+(?:"(?P<quoted>[^"]*+(?:""[^"]*+)*+)" *+|(?P<plain>[^"{delimiter}]*+))({delimiter}|$)')
    for delimiter in DELIMITERS
}
_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
_BLANKS = " \t\u3000"


def _paths_of_columns() -> dict[str, tuple[str, ...]]:
    """Return the place in a row of every column name: `crf` and `options.crf`, `sha256.audio` and `audio_sha256`."""
    paths: dict[str, tuple[str, ...]] = {name: (name,) for name in ("id", "video", "audio", "output", "priority")}
    for group, names in _GROUPS.items():
        for name in names:
            paths[f"{group}.{name}"] = (group, name)
    paths.update({name: ("options", name) for name in OPTION_NAMES})
    for group in ("sha256", "size"):
        for role in _ROLES:
            paths[f"{role}_{group}"] = paths[f"{group}_{role}"] = (group, role)
    return paths


COLUMNS = _paths_of_columns()


@dataclass(slots=True)
class _Header:
    delimiter: str
    paths: list[tuple[str, ...]]


def parse_csv(text: str, max_rows: int) -> Outline:
    """Return head and rows; raises FlawError E121 to E125 for what concerns every row."""
    lines = _LINE.finditer(text)
    head = Mapping({}, 0)
    header: _Header | None = None
    rows: list[Node | Broken] = []
    for count, match in enumerate(lines):
        line, at = match[0], match.start()
        if header is None:
            if count >= MAX_LINES_ABOVE:
                raise FlawError("E125", f"there is no header in the first {MAX_LINES_ABOVE} lines", at)
            header = _take_first_line(line, at, head)
            continue
        if not line.strip(_BLANKS + header.delimiter):
            continue  # spreadsheets leave rows of nothing but delimiters
        if len(rows) >= max_rows:
            raise FlawError("E125", f"there are more than {max_rows} rows (intake.max_manifest_rows)", at)
        rows.append(_row(line, at, header))
    if header is None:
        raise FlawError("E124", "the manifest is empty")
    return Outline(head, rows)


def _take_first_line(line: str, at: int, head: Mapping) -> _Header | None:
    """Read one line above the rows: a blank one, a comment, Excel's `sep=;`, or the header."""
    if not line.strip(_BLANKS + "".join(DELIMITERS)) or _EXCEL_HINT.fullmatch(line.strip()):
        return None
    if not line.startswith("#"):
        return _header(line, at)
    match = _DIRECTIVE.fullmatch(line)
    if match is None:
        return None  # words for people
    key = match["key"].casefold()
    hint = "" if key in _DIRECTIVES else nearest(key, _DIRECTIVES)
    if hint:
        raise FlawError("E123", f"there is no setting {shown(key)} above the header{hint}", at)
    if key in _HEAD_KEYS:
        head.add(key, at, Scalar(Form.CELL, match["value"].rstrip(",;"), at + match.start("value")))
    return None


def _header(line: str, at: int) -> _Header:
    delimiter = max(DELIMITERS, key=lambda one: sum(_name(cell) in COLUMNS for cell in line.split(one, MAX_COLUMNS)))
    cells = _cells(line, at, delimiter, MAX_COLUMNS)
    while cells and not cells[-1].text:
        cells.pop()
    paths: list[tuple[str, ...]] = []
    for cell in cells:
        name = _name(cell.text)
        if not name:
            raise FlawError("E123", f"column {len(paths) + 1} has no name", cell.at)
        if name not in COLUMNS:
            raise FlawError("E123", f"there is no column {shown(cell.text)}{nearest(name, COLUMNS)}", cell.at)
        if COLUMNS[name] in paths:
            raise FlawError("E122", f"the column {shown(cell.text)} stands there twice", cell.at)
        paths.append(COLUMNS[name])
    return _Header(delimiter, paths)


def _name(text: str) -> str:
    return text.strip(_BLANKS + '"').casefold()


def _row(line: str, at: int, header: _Header) -> Mapping | Broken:
    try:
        cells = _cells(line, at, header.delimiter, len(header.paths))
    except FlawError as flaw:
        return Broken(at, flaw)
    row = Mapping({}, at)
    for cell, path in zip(cells, header.paths, strict=False):
        if not cell.text:
            continue
        target = row
        for group in path[:-1]:
            if group not in row.entries:
                row.add(group, cell.at, Mapping({}, cell.at))
            inner = row.entries[group].value
            assert isinstance(inner, Mapping)
            target = inner
        target.add(path[-1], cell.at, cell)
    return row


def _cells(line: str, base: int, delimiter: str, most: int) -> list[Scalar]:
    """Take a line apart; raises FlawError E121 for quotes that do not fit, E124 for cells that no column wants."""
    cells: list[Scalar] = []
    at = 0
    while True:
        if len(cells) >= most:
            if not line[at:].strip(_BLANKS + delimiter):
                return cells
            raise FlawError("E124", f"there are more cells than the header has columns ({most})", base + at)
        match = _CELL[delimiter].match(line, at)
        if match is None:
            raise _quote_flaw(line, at, base)
        quoted = match["quoted"]
        text = quoted.replace('""', '"') if quoted is not None else match["plain"].strip(_BLANKS)
        start = match.start("quoted") - 1 if quoted is not None else match.start("plain")
        cells.append(Scalar(Form.CELL, text, base + start))
        at = match.end()
        if not match[3]:
            return cells


def _quote_flaw(line: str, at: int, base: int) -> FlawError:
    opened = line.find('"', at)
    if line[at:opened].strip(_BLANKS):
        message = 'a " inside a cell is written "", and the whole cell stands between two "'
        return FlawError("E121", message, base + opened)
    closing = _QUOTED.match(line, opened)
    if closing is None:
        return FlawError("E121", 'the " that opens this cell is not closed on its line', base + opened)
    return FlawError("E121", 'only a delimiter may follow the " that closes a cell', base + closing.end())
