"""JSON, strictly (RFC 8259), with the place of every value. Pure.

The `json` of the standard library knows no places, keeps the last of two equal keys, and takes NaN and half a
surrogate pair.
"""

import json
import re

from heygemd.intake.manifests.tree import Budget, FlawError, Form, Mapping, Node, Scalar, Sequence

_BLANKS = re.compile(r"[ \t\n\r]*+")
_COLON = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_COMMA = re.compile(r"[ \t\n\r]*+,[ \t\n\r]*+")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_WORD = re.compile(r"true|false|null")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_NOT_JSON = re.compile(r"[-+]?(?:NaN|Infinity)\b")


def parse_json(text: str, budget: Budget, base: int = 0) -> Node:
    """Return the one value that `text` holds; raises FlawError E121 or E125.

    `base` is added to every place: `text` may be one line of a longer one.
    """
    return _Parser(text, budget, base).parse()


class _Parser:
    def __init__(self, text: str, budget: Budget, base: int) -> None:
        self._text, self._budget, self._base = text, budget, base

    def parse(self) -> Node:
        value, at = self._value(self._skip(0), 1)
        at = self._skip(at)
        if at < len(self._text):
            raise self._flaw("something stands after the end of the JSON value", at)
        return value

    def _value(self, at: int, depth: int) -> tuple[Node, int]:
        self._budget.spend(self._base + at, depth)
        first = self._text[at : at + 1]
        if first == '"':
            return self._string(at)
        if first == "{":
            return self._mapping(at, depth)
        if first == "[":
            return self._sequence(at, depth)
        for form, pattern in ((Form.NUMBER, _NUMBER), (Form.WORD, _WORD)):
            match = pattern.match(self._text, at)
            if match:
                return Scalar(form, match[0], self._base + at), match.end()
        raise self._unexpected(at, "a value is expected here")

    def _string(self, at: int) -> tuple[Scalar, int]:
        match = _STRING.match(self._text, at)
        if match is None:
            raise self._broken_string(at)
        token = match[0]
        if "\\" not in token:
            return Scalar(Form.TEXT, token[1:-1], self._base + at), match.end()
        value = json.loads(token)
        if _HALF_CHARACTER.search(value):
            raise self._flaw("this text holds half a character (a lone surrogate)", at)
        return Scalar(Form.TEXT, value, self._base + at), match.end()

    def _mapping(self, at: int, depth: int) -> tuple[Mapping, int]:
        mapping = Mapping({}, self._base + at)
        at = self._skip(at + 1)
        if self._text.startswith("}", at):
            return mapping, at + 1
        while True:
            if not self._text.startswith('"', at):
                raise self._unexpected(at, "a key in double quotes is expected here")
            self._budget.spend(self._base + at, depth)
            key, end = self._string(at)
            colon = _COLON.match(self._text, end)
            if colon is None:
                raise self._unexpected(self._skip(end), "a : is expected after the key")
            value, end = self._value(colon.end(), depth + 1)
            mapping.add(key.text, key.at, value)
            at, is_end = self._after_item(end, "}")
            if is_end:
                return mapping, at

    def _sequence(self, at: int, depth: int) -> tuple[Sequence, int]:
        sequence = Sequence([], self._base + at)
        at = self._skip(at + 1)
        if self._text.startswith("]", at):
            return sequence, at + 1
        while True:
            value, end = self._value(at, depth + 1)
            sequence.items.append(value)
            at, is_end = self._after_item(end, "]")
            if is_end:
                return sequence, at

    def _after_item(self, at: int, closing: str) -> tuple[int, bool]:
        """Return where the next item begins, or where the whole ends."""
        comma = _COMMA.match(self._text, at)
        if comma:
            if self._text.startswith(closing, comma.end()):
                raise self._flaw(f"JSON has no comma before {closing}", at)
            return comma.end(), False
        at = self._skip(at)
        if self._text.startswith(closing, at):
            return at + 1, True
        raise self._unexpected(at, f"a comma or {closing} is expected here")

    def _skip(self, at: int) -> int:
        match = _BLANKS.match(self._text, at)
        return match.end() if match else at

    def _flaw(self, message: str, at: int) -> FlawError:
        return FlawError("E121", message, self._base + at)

    def _unexpected(self, at: int, message: str) -> FlawError:
        rest = self._text[at : at + 10]
        if not rest:
            message = "the file ends too early: a bracket or a quote is not closed"
        elif rest.startswith(("//", "/*", "#")):
            message = "JSON has no comments"
        elif rest[0] in "'‘’“”":
            message = 'texts and keys stand between two " in JSON'
        elif _NOT_JSON.match(rest):
            message = "NaN and Infinity are no numbers in JSON"
        return self._flaw(message, at)

    def _broken_string(self, at: int) -> FlawError:
        end = _STRING_BEGINNING.match(self._text, at)
        stop = end.end() if end else at + 1
        if self._text.startswith("\\", stop):
            return self._flaw(r"\ is written \\ in JSON (and / stands between folders)", stop)
        if stop < len(self._text) and self._text[stop] not in "\r\n":
            return self._flaw("this text holds a control character", stop)
        return self._flaw('the " that opens this text is not closed on its line', at)


_STRING_BEGINNING = re.compile(_STRING.pattern.removesuffix('"'))
