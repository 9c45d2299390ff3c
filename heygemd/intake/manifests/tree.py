"""What every format is turned into before anybody asks what it means: values that know where they stand. Pure.

    JSON, YAML, CSV, TOML  →  Mapping / Sequence / Scalar  →  rows.py, folderconfig.py

A scalar keeps its text and says how sure the format is about its type, so that nothing becomes a truth value, a
number or a time of day without somebody having asked for one: YAML's `output: no` stays the text `no`.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

MAX_DEPTH = 16
"""Levels of nesting; a manifest has four."""
VALUES_PER_ROW = 40
"""Keys and values that a row may have on average; one that says everything has 39."""
SPARE_VALUES = 1000


class Form(Enum):
    """How a scalar was written."""

    TEXT = auto()
    """In quotes: certainly a text."""
    PLAIN = auto()
    """YAML without quotes: whoever reads the key decides; `null`, `true` and `false` are no texts."""
    CELL = auto()
    """CSV: whoever reads the column decides."""
    NUMBER = auto()
    WORD = auto()
    """`true`, `false` or `null`."""
    OTHER = auto()
    """Something no key wants: a date of TOML."""


@dataclass(slots=True)
class Scalar:
    """A single value."""

    form: Form
    text: str
    """As written, without quotes and escapes."""
    at: int | None
    """Offset in the text in characters; None when it is not known."""


class Entry(NamedTuple):
    """One key of a mapping."""

    at: int | None
    """Where the key stands."""
    value: "Node"


@dataclass(slots=True)
class Mapping:
    """Keys with values, in the order of the text."""

    entries: dict[str, Entry]
    at: int | None
    twice: tuple[str, int | None] | None = None
    """The first key that stands there again; whoever reads the mapping refuses it."""

    def add(self, key: str, at: int | None, value: "Node") -> None:
        """Add a key, or remember that it was there already."""
        if key not in self.entries:
            self.entries[key] = Entry(at, value)
        elif self.twice is None:
            self.twice = key, at


@dataclass(slots=True)
class Sequence:
    """Values in order."""

    items: list["Node"]
    at: int | None


Node = Scalar | Mapping | Sequence


class FlawError(Exception):
    """Something is wrong at one place; becomes the error of a row or of the whole file."""

    def __init__(self, code: str, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.at = code, message, at


class Budget:
    """How many keys and values are still allowed: what bounds time and memory."""

    def __init__(self, max_rows: int) -> None:
        self._left = max_rows * VALUES_PER_ROW + SPARE_VALUES

    def spend(self, at: int | None, depth: int) -> None:
        """Count one value; raises FlawError E125 when there are too many or they are nested too deeply."""
        self._left -= 1
        if depth <= MAX_DEPTH and self._left >= 0:
            return
        if depth > MAX_DEPTH:
            raise FlawError("E125", f"this is nested more than {MAX_DEPTH} levels deep", at)
        raise FlawError("E125", "from here on there are more values than so many rows can need", at)


class Lines:
    """Turns offsets into lines and columns, from 1. Fast when the offsets asked for rise."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at, self._line, self._line_start = 0, 1, 0

    def place(self, at: int | None) -> tuple[int | None, int | None]:
        """Return line and column of an offset; None for an unknown one."""
        if at is None:
            return None, None
        if at < self._at:
            self._at, self._line, self._line_start = 0, 1, 0
        text, start = self._text, self._at
        breaks = text.count("\n", start, at) + text.count("\r", start, at) - text.count("\r\n", start, at)
        if breaks:
            self._line += breaks
            self._line_start = max(text.rfind("\n", start, at), text.rfind("\r", start, at)) + 1
        self._at = at
        return self._line, at - self._line_start + 1

    def say(self, flaw: FlawError) -> str:
        """Return the message with its place in front."""
        line, column = self.place(flaw.at)
        return flaw.message if line is None else f"line {line}, column {column}: {flaw.message}"


@dataclass(slots=True)
class Broken:
    """A row that could not even be taken apart; the rows around it could."""

    at: int
    flaw: FlawError


@dataclass(slots=True)
class Outline:
    """A manifest of any format, before anybody asked what its values mean."""

    head: Mapping
    """`heygem`, `strict`, `bundle`, `defaults`."""
    rows: list[Node | Broken]
