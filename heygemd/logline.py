"""One entry of the log as every place shows it: values made plain, printable and bounded; as JSON, and as a sentence.

Names come from strangers. A character that could break a line, steer a terminal or turn a text round is written as
the %XX of its bytes, in every sink alike; what is too long is cut and ends in `…`. Only a block of text (a traceback,
what a program printed) keeps its line ends. Pure.
"""

import json
import math
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from itertools import islice

from heygemd.errors import ADVICE
from heygemd.naming import printable

VALUE_CHARACTERS = 4096
"""A longer text is cut; as in events.jsonl."""
BLOCK_CHARACTERS = 16_384
"""The same for a block of text, of which the end is kept: there stands what happened."""
ENTRY_CHARACTERS = 32_768
"""All texts of an entry together; what comes after them is left out."""
ITEMS = 200
"""Of a list or a mapping."""
DEPTH = 5
KEY_CHARACTERS = 64
NUMBER_CHARACTERS = 8
"""What anything that is no text counts for."""
NUMBER_BITS = 64
BLOCKS = frozenset({"traceback", "printed"})
"""Keys whose text keeps its line ends."""
SENTENCE_CHARACTERS = 600
SHOWN_CHARACTERS = 160
"""Of one value in the sentence."""
_FIRST = ("timestamp", "level", "event", "job_id")
_UNTOLD = frozenset({"timestamp", "level", "event", "process", *BLOCKS})
"""Keys that the sentence leaves out: they are said otherwise."""

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
Entry = dict[str, Plain]


class _Budget:
    """Characters that are left for the texts of one entry."""

    def __init__(self) -> None:
        self.left = ENTRY_CHARACTERS

    def take(self, text: str) -> str:
        self.left -= len(text)
        return text


def plain_entry(values: Mapping[str, object]) -> Entry:
    """Return the entry with plain values: what any sink may write as it is."""
    budget = _Budget()
    entry: Entry = {}
    first = {key: values[key] for key in _FIRST if key in values}
    for key, value in (first | dict(values)).items():
        name = "traceback" if key == "exception" else key
        if name in BLOCKS and isinstance(value, str):
            entry[name] = budget.take(_block(value, budget.left))
        elif len(entry) < ITEMS:
            entry[_key(name)] = _plain(value, budget, DEPTH)
    return entry


def json_line(entry: Entry) -> bytes:
    """Return the entry as one line of JSON, with its line end."""
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def sentence(entry: Entry) -> str:
    """Return the entry as one readable line: the event, what its error code means, then key=value."""
    parts = [str(entry.get("event", ""))]
    if title := title_of(entry):
        parts[0] += f": {title}"
    for key, value in entry.items():
        if key not in _UNTOLD and value is not None and value not in ("", [], {}):
            parts.append(f"{key}={_shown(value)}")
    parts += [f"{key}={_shown(_rim(str(entry[key])))}" for key in sorted(BLOCKS & entry.keys())]
    return _cut(" ".join(parts), SENTENCE_CHARACTERS)


def title_of(entry: Entry) -> str:
    """Return what the entry's error code means; empty when it has none."""
    advice = ADVICE.get(str(entry.get("error_code")))
    return advice.title if advice else ""


def text_of(value: Plain) -> str:
    """Return one plain value as text: None as nothing, nested values as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _plain(value: object, budget: _Budget, depth: int) -> Plain:
    if isinstance(value, str):
        return budget.take(_line(str.__str__(value.value if isinstance(value, Enum) else value), budget.left))
    budget.left -= NUMBER_CHARACTERS
    if value is None or isinstance(value, bool | int | float):
        return _number(value)
    if isinstance(value, Mapping):
        items = ((_key(str(key)), item) for key, item in islice(value.items(), ITEMS if depth else 0))
        return {budget.take(key): _plain(item, budget, depth - 1) for key, item in items if budget.left > 0}
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray | memoryview):
        some = islice(value, ITEMS if depth else 0)
        return [_plain(item, budget, depth - 1) for item in some if budget.left > 0]
    return budget.take(_line(str(value), budget.left))


def _number(value: float | None) -> Plain:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool):
        return value
    return int(value) if value.bit_length() <= NUMBER_BITS else hex(value)[:KEY_CHARACTERS]


def _key(key: str) -> str:
    return _line(key, KEY_CHARACTERS)


def _line(text: str, most: int) -> str:
    most = max(0, min(most, VALUE_CHARACTERS))
    if len(text) <= most and text.isprintable():
        return text
    # Cut before as well: a text of many megabytes is not looked at to its end.
    return _cut(printable(text[: most + 1]), most)


def _block(text: str, most: int) -> str:
    most = max(0, min(most, BLOCK_CHARACTERS))
    lines = (line if line.isprintable() else printable(line) for line in text[-most - 1 :].split("\n"))
    whole = "\n".join(lines)
    return whole if len(whole) <= most else "…" + whole[len(whole) - most + 1 :] if most else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…" if most else ""


def _rim(block: str) -> str:
    """Return the first and the last line of a block: one of them says what happened."""
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    return " … ".join(_cut(line, SHOWN_CHARACTERS // 2 - 2) for line in lines[:: max(1, len(lines) - 1)])


def _shown(value: Plain) -> str:
    text = _cut(text_of(value), SHOWN_CHARACTERS)
    return f"'{text}'" if not text or " " in text else text
