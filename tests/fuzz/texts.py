"""Changes to texts that strangers write: manifests, settings of folders, records and reports."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

WORDS = (
    *("heygem", "strict", "bundle", "defaults", "jobs", "id", "video", "audio", "output", "priority", "options"),
    *("sha256", "size", "crf", "engine", "a.mp4", "b.wav", "*.wav", "**", "1", "true", "null", "..", "/"),
    *("張", "é", "😀", "{stem}", "{id}", "{number}", "{", "CON", "a:b", ".part", "~", "<script>", "%s", "\x1b[2J"),
    *"\"'{}[]:,;|>\\=.\t\n \x07\ufeff\u2028\u202e",
    *("\r\n", "  ", "- ", "? ", "# encoding: gb18030", "&a ", "*a", "!!x ", "<<", "---", "\\u", "\\ud800"),
    *("NaN", "Infinity", "no", "12:30", "0x1f", "\\N", "\x85", "'''", '"""', "[[", "]]", "2024-05-01", "=cmd|' /C'"),
    *("9" * 30, "-0", "1e400"),
)
LONG = ("a" * 300, "é" * 130, "[" * 1100, "{" * 1100, '{"a":' * 1100, "../" * 100, "a/" * 300, "**/" * 50, "9" * 5000)
"""Longer than a name may be, deeper than a parser may go."""
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "gb18030", "utf-32", "latin-1")
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1 << 31, 1 << 63, 1 << 64, 1 << 200, 0.5, 1e308, float("inf"), float("nan")),
    *("", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", "\ud800", "\u202e", "x" * 300, "é" * 200),
    *("2024-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00+23:59", "queued", "E110", "=1+1"),
    *([], {}, [[]], [None], {"": ""}),
)
MAX_CHANGES = 4
MAX_DEPTH = 50
"""Deeper values are left as they are."""


def strange(luck: Random) -> Any:
    """One of the strange values; a list of its own, for others are put into it."""
    return copy.deepcopy(luck.choice(STRANGE))


def mutated_text(content: bytes, other: bytes, luck: Random) -> bytes:
    """Words put in or for others, lines moved, another text grafted, another encoding, or bytes broken."""
    data = content
    for _ in range(luck.randrange(1, MAX_CHANGES + 1)):
        data = luck.choice(_CHANGES)(data, other, luck)
    if luck.random() < 0.1:
        data = data.decode("utf-8", "replace").encode(luck.choice(ENCODINGS), "replace")
    return data


def _word(data: bytes, _: bytes, luck: Random) -> bytes:
    at = luck.randrange(len(data) + 1)
    word = luck.choice(WORDS if luck.random() < 0.9 else LONG).encode("utf-8")
    return data[:at] + word + data[at + luck.choice((0, 1, len(word), 10)) :]


def _byte(data: bytes, _: bytes, luck: Random) -> bytes:
    at = luck.randrange(len(data) + 1)
    return data[:at] + bytes([luck.randrange(256)]) + data[at + 1 :]


def _line(data: bytes, _: bytes, luck: Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = luck.randrange(len(lines))
    lines[at : at + luck.randrange(2)] = [luck.choice(lines)] * luck.choice((0, 1, 2, 200))
    return b"".join(lines)


def _value(data: bytes, _: bytes, luck: Random) -> bytes:
    """Put a strange value for one in double quotes, or for a number behind a colon."""
    starts = [at for at, byte in enumerate(data) if byte in b'":']
    if not starts:
        return data
    start = luck.choice(starts) + 1
    stop = next((at for at in range(start, len(data)) if data[at] in b'",}\n'), len(data))
    return data[:start] + json.dumps(strange(luck)).encode() + data[stop:]


def _graft(data: bytes, other: bytes, luck: Random) -> bytes:
    start = luck.randrange(len(other) + 1)
    at = luck.randrange(len(data) + 1)
    return data[:at] + other[start : start + luck.choice((5, 20, 100))] + data[at:]


def _cut(data: bytes, _: bytes, luck: Random) -> bytes:
    return data[: luck.randrange(len(data) + 1)]


_CHANGES: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    _word,
    _word,
    _word,
    _value,
    _value,
    _line,
    _byte,
    _graft,
    _cut,
)


def mutated_json(content: bytes, luck: Random) -> bytes:
    """Other values, and keys that are missing, foreign or twice, in a text that stays JSON mostly."""
    tree = json.loads(content)
    for _ in range(luck.randrange(1, MAX_CHANGES + 1)):
        holder, key = luck.choice(_places(tree))
        change = luck.randrange(4)
        if change == 0 and isinstance(holder, dict):
            holder[luck.choice(("", "x", str(key) + " ", "job_id", "name"))] = strange(luck)
        elif change == 1:
            del holder[key]
        elif change == 2:
            other, from_key = luck.choice(_places(tree))
            holder[key] = json.loads(json.dumps(other[from_key]))
        else:
            holder[key] = _deep(luck) if luck.random() < 0.05 else strange(luck)
        if not _places(tree):
            break
    text = json.dumps(tree).encode()
    return mutated_text(text, content, luck) if luck.random() < 0.15 else text


def _places(tree: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    """Every value with what holds it, but for those that lie very deep."""
    found: list[tuple[Any, Any]] = []
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys if depth < MAX_DEPTH else ():
        found.append((tree, key))
        found += _places(tree[key], depth + 1)
    return found


def _deep(luck: Random) -> Any:
    """Nested as deeply as some parsers just take, and others do not."""
    value: Any = 0
    for _ in range(luck.choice((50, 200, 400, 600))):
        value = [value] if luck.random() < 0.5 else {"a": value}
    return value
