"""Whatever a value is, its entry is plain, printable and bounded."""

import json
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heygemd.errors import ADVICE
from heygemd.logline import (
    BLOCK_CHARACTERS,
    ENTRY_CHARACTERS,
    SENTENCE_CHARACTERS,
    VALUE_CHARACTERS,
    json_line,
    plain_entry,
    sentence,
)

TEXTS = st.text(st.characters(), max_size=60)
"""Any characters: control characters, line separators, lone surrogates, overrides."""
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats() | st.booleans() | st.none() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NASTY = "a\nb\r\x1b[31m\x9b\x7f\u2028\u2029\u202e\x00\x85"


class Colour(StrEnum):
    RED = "red"


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= c <= "\u202e" for c in text)


@given(st.dictionaries(TEXTS, VALUES, max_size=6), TEXTS, st.text(max_size=80))
def test_any_entry_is_one_valid_line_that_harms_no_terminal(values: dict[str, Any], name: str, trace: str) -> None:
    entry = plain_entry({"event": "room.thing_done", "level": "info", "name": name, **values, "exception": trace})
    line = json_line(entry)
    text = line.decode()
    assert line.count(b"\n") == 1
    assert text.endswith("\n")
    assert is_harmless(text[:-1])
    assert json.loads(line) == entry
    assert all(map(is_harmless, texts_in({k: v for k, v in entry.items() if k not in ("traceback", "printed")})))
    assert is_harmless(sentence(entry))
    assert len(sentence(entry)) <= SENTENCE_CHARACTERS


def test_what_could_harm_is_written_as_its_bytes() -> None:
    entry = plain_entry({"event": "room.seen", "name": NASTY, "file": "caf\udce9.mp4", "plain": "文件 a%b.mp4"})
    assert entry["name"] == "a%0Ab%0D%1B[31m%C2%9B%7F%E2%80%A8%E2%80%A9%E2%80%AE%00%C2%85"
    assert entry["file"] == "caf%E9.mp4"
    assert entry["plain"] == "文件 a%b.mp4"


def test_values_become_what_json_knows() -> None:
    values = {
        "path": Path("/a b"), "colour": Colour.RED, "at": datetime(2026, 1, 2, tzinfo=UTC), "rate": Fraction(25, 2),
        "nan": float("nan"), "big": 10**5000, "raw": b"\xff", "roots": ("a", {"b": None}), "n": 3, "is_it": True,
    }  # fmt: skip
    entry = plain_entry(values)
    assert entry == {
        "path": "/a b", "colour": "red", "at": "2026-01-02 00:00:00+00:00", "rate": "25/2", "nan": "nan",
        "big": hex(10**5000)[:64], "raw": "b'\\xff'", "roots": ["a", {"b": None}], "n": 3, "is_it": True,
    }  # fmt: skip


def test_long_values_are_cut_and_a_block_keeps_its_end() -> None:
    entry = plain_entry({"event": "e", "name": "x" * 10**7, "printed": "y\n" * 10**6 + "the end"})
    assert entry["name"] == "x" * (VALUE_CHARACTERS - 1) + "…"
    printed = entry["printed"]
    assert isinstance(printed, str)
    assert len(printed) == BLOCK_CHARACTERS
    assert printed.startswith("…")
    assert printed.endswith("y\nthe end")


def test_an_entry_is_bounded_however_much_is_in_it() -> None:
    nested: Any = "z" * 1000
    for _ in range(8):
        nested = [nested] * 30
    entry = plain_entry({"event": "e", "nested": nested, "names": {f"k{i}": i for i in range(10**5)}, "last": "w" * 99})
    assert sum(map(len, texts_in(entry))) < ENTRY_CHARACTERS + 1000
    assert len(json_line(entry)) < 2 * ENTRY_CHARACTERS
    circle: list[Any] = []
    circle.append(circle)
    assert plain_entry({"circle": circle}) == {"circle": [[[[[[]]]]]]}


def test_the_sentence_says_what_the_code_means_and_leaves_out_what_is_empty() -> None:
    entry = plain_entry(
        {"event": "job.given_up", "level": "warning", "timestamp": "t", "job_id": "j", "error_code": "E131",
         "reason": "no face", "batch": None, "cached": [], "exception": "Traceback:\n  File x\nValueError: no\n"}
    )  # fmt: skip
    assert sentence(entry) == (
        f"job.given_up: {ADVICE['E131'].title} job_id=j error_code=E131 reason='no face' "
        "traceback='Traceback: … ValueError: no'"
    )


def test_an_entry_begins_with_what_one_looks_for() -> None:
    entry = plain_entry({"n": 1, "job_id": "j", "event": "e", "timestamp": "t", "level": "info"})
    assert list(entry) == ["timestamp", "level", "event", "job_id", "n"]
