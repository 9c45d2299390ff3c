"""TOML as a tree, with the line of every key as far as it can be told. Pure.

`tomllib` reads it, but tells no places: those are looked for in the usual ways of writing, `crf = 1`, `[options]`,
`options.crf = 1`.
"""

import re
import tomllib

from heygemd.intake.manifests.tree import FlawError, Form, Mapping, Node, Scalar, Sequence
from heygemd.intake.manifests.values import shown

_MAX_SHOWN_INTEGER = 10**18
_FORMS = {str: Form.TEXT, int: Form.NUMBER, float: Form.NUMBER}
_MANY_DOTS = re.compile(r"^(?:[^.\n]*+\.){40}", re.MULTILINE)
"""`tomllib` takes half a minute for a key of 30,000 parts."""
_HEADER = re.compile(r"[ \t]*\[[ \t]*[\"']?([\w-]+)[\"']?[ \t]*\]")
_KEY = re.compile(r"[ \t]*(?:[\"']?([\w-]+)[\"']?[ \t]*\.[ \t]*)?[\"']?([\w-]+)[\"']?[ \t]*=")
_PLACE = re.compile(r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL)
_TWICE = re.compile(r"overwrite|twice|mutate", re.IGNORECASE)


def parse_toml(text: str) -> Mapping:
    """Return the tables, one level deep: what lies deeper is of no use. Raises FlawError E121, E122 or E125."""
    for dots in _MANY_DOTS.finditer(text):
        raise FlawError("E125", "this is nested too deeply", dots.start())
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise FlawError("E125", "this is nested too deeply") from error
    except ValueError as error:
        raise _as_flaw(error, text) from error
    return _mapping(table, _places(text), "", None)


def _mapping(table: dict[str, object], places: dict[str, int], path: str, at: int | None) -> Mapping:
    mapping = Mapping({}, at)
    for key, value in table.items():
        whole = f"{path}{key}"
        key_at = places.get(whole, at)
        if isinstance(value, dict) and not path:
            mapping.add(key, key_at, _mapping(value, places, f"{whole}.", key_at))
        else:
            mapping.add(key, key_at, _leaf(value, key_at))
    return mapping


def _leaf(value: object, at: int | None) -> Node:
    if isinstance(value, dict):
        return Mapping({}, at)
    if isinstance(value, list):
        return Sequence([], at)
    if isinstance(value, bool):
        return Scalar(Form.WORD, "true" if value else "false", at)
    if isinstance(value, int) and abs(value) >= _MAX_SHOWN_INTEGER:
        return Scalar(Form.NUMBER, "inf", at)  # hexadecimal ones may be too long to be written in decimal
    form = next((form for kind, form in _FORMS.items() if isinstance(value, kind)), Form.OTHER)
    return Scalar(form, str(value), at)


def _places(text: str) -> dict[str, int]:
    """Return key, or table and key with a dot → offset."""
    places: dict[str, int] = {}
    table = ""
    at = 0
    for line in text.split("\n"):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = f"{header[1]}."
            places.setdefault(header[1], at)
        elif key:
            group = f"{key[1]}." if key[1] else ""
            places.setdefault(f"{table}{group}{key[2]}", at)
        at += len(line) + 1
    return places


def _as_flaw(error: ValueError, text: str) -> FlawError:
    match = _PLACE.fullmatch(str(error))
    problem = match["problem"] if match else str(error)
    at = None
    if match:
        at = _start_of_line(text, int(match["line"])) if match["line"] else len(text.rstrip())
    if _TWICE.search(problem):
        return FlawError("E122", "this key or table stands there twice", at)
    return FlawError("E121", f"this is no valid TOML: {shown(problem)}", at)


def _start_of_line(text: str, line: int) -> int:
    return sum(len(one) + 1 for one in text.split("\n")[: line - 1])
