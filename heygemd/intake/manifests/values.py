"""Asks a value for what its key wants, and says in a sentence what is wrong when it is something else. Pure."""

import difflib
import re
from collections.abc import Collection

from heygemd.intake.manifests.tree import FlawError, Form, Mapping, Node, Scalar, Sequence
from heygemd.jobs.job import FACE_RULES, is_face_rule
from heygemd.naming import percent

MAX_SHOWN_CHARS = 60
_MAX_GUESSED_CHARS = 32
_YAML_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_YAML_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
"""Of YAML 1.2; `yes`, `no`, `on` and `off` are texts."""
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)


def shown(text: str) -> str:
    """Return the text in quotes, as it stands in messages: cut, and everything visible that is not a plain blank."""
    cut = text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
    return f"'{''.join(char if char.isprintable() else percent(char) for char in cut)}'"


def nearest(word: str, known: Collection[str]) -> str:
    """Return ` (did you mean …?)`, or nothing when no known word is near."""
    if len(word) > _MAX_GUESSED_CHARS:
        return ""
    close = difflib.get_close_matches(word.casefold(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def mapping_of(node: Node, name: str, known: Collection[str]) -> Mapping:
    """Return the mapping when every key is known and none stands twice; raises FlawError E122, E123 or E124."""
    if not isinstance(node, Mapping):
        raise FlawError("E124", f"{name} has keys and values, not {_what(node)}", node.at)
    if node.twice is not None:
        key, at = node.twice
        raise FlawError("E122", f"the key {shown(key)} stands there twice", at)
    for key, entry in node.entries.items():
        if key not in known:
            raise unknown_key(key, name, known, entry.at)
    return node


def unknown_key(key: str, name: str, known: Collection[str], at: int | None) -> FlawError:
    """Return the flaw of a key that `name` does not have."""
    return FlawError("E123", f"{name} has no key {shown(key)}{nearest(key, known)}", at)


def sequence_of(node: Node, name: str) -> Sequence:
    """Return the list; raises FlawError E124."""
    if not isinstance(node, Sequence):
        raise FlawError("E124", f"{name} is a list, not {_what(node)}", node.at)
    return node


def text_of(node: Node, name: str) -> str:
    """Return a text that is not empty, exactly as written; raises FlawError E124.

    YAML and CSV: `no`, `12:30`, `007` and `2024-05-01` without quotes are the texts that they look like.
    """
    scalar = _scalar_of(node, name, "a text")
    if scalar.form in (Form.NUMBER, Form.OTHER):
        raise FlawError("E124", f"{name} is a text: put {shown(scalar.text)} into quotes", node.at)
    if scalar.form is Form.WORD or (scalar.form is Form.PLAIN and _is_yaml_word(scalar.text)):
        hint = "leave the key out" if scalar.text in _YAML_NULLS else f"put {scalar.text} into quotes if it is one"
        raise FlawError("E124", f"{name} has no text as its value: {hint}", node.at)
    if not scalar.text:
        raise FlawError("E124", f"{name} is empty", node.at)
    return scalar.text


def integer_of(node: Node, name: str, least: int, most: int) -> int:
    """Return a whole number of the range, both ends included; raises FlawError E124."""
    wanted = f"a whole number from {least} to {most}"
    scalar = _scalar_of(node, name, wanted)
    if scalar.form is Form.TEXT and _INTEGER.fullmatch(scalar.text):
        raise FlawError("E124", f"{name} is {wanted}: take the quotes away", node.at)
    is_candidate = scalar.form in (Form.NUMBER, Form.PLAIN, Form.CELL) and _INTEGER.fullmatch(scalar.text)
    if not is_candidate or not least <= int(scalar.text) <= most:
        raise FlawError("E124", f"{name} is {wanted}, not {_what(scalar)}", node.at)
    return int(scalar.text)


def truth_of(node: Node, name: str) -> bool:
    """Return `true` or `false`, which are the only two words for it; raises FlawError E124."""
    scalar = _scalar_of(node, name, "true or false")
    known = _YAML_TRUTHS if scalar.form is not Form.CELL else {"true": True, "false": False}
    text = scalar.text.lower() if scalar.form is Form.CELL else scalar.text
    if scalar.form in (Form.WORD, Form.PLAIN, Form.CELL) and text in known:
        return known[text]
    raise FlawError("E124", f"{name} is true or false, not {_what(scalar)}", node.at)


def word_of(node: Node, name: str, known: Collection[str]) -> str:
    """Return one of the known words; raises FlawError E124."""
    text = text_of(node, name)
    if text not in known:
        listed = ", ".join(known)
        raise FlawError("E124", f"{name} is one of {listed}, not {shown(text)}{nearest(text, known)}", node.at)
    return text


def face_of(node: Node, name: str) -> str:
    """Return whose mouth moves; raises FlawError E124."""
    text = text_of(node, name)
    if not is_face_rule(text):
        listed = ", ".join(FACE_RULES)
        message = f"{name} is one of {listed}, or index:1 to index:99, not {shown(text)}{nearest(text, FACE_RULES)}"
        raise FlawError("E124", message, node.at)
    return text


def _scalar_of(node: Node, name: str, wanted: str) -> Scalar:
    if not isinstance(node, Scalar):
        raise FlawError("E124", f"{name} is {wanted}, not {_what(node)}", node.at)
    return node


def _is_yaml_word(text: str) -> bool:
    return text in _YAML_NULLS or text in _YAML_TRUTHS


def _what(node: Node) -> str:
    if isinstance(node, Mapping):
        return "keys and values"
    if isinstance(node, Sequence):
        return "a list"
    if node.form is Form.TEXT:
        return f"the text {shown(node.text)}"
    return shown(node.text) if node.text else "nothing"
