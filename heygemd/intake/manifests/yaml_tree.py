"""YAML, as much of it as a manifest needs, with the place of every value. Pure.

Only the events of PyYAML are used, never its constructors: a plain scalar stays the text that was written. Aliases,
anchors, tags, merge keys, directives and further documents are refused, and with them every bomb.
"""

import re

import yaml
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from heygemd.intake.manifests.tree import Budget, FlawError, Form, Mapping, Node, Scalar, Sequence
from heygemd.intake.manifests.values import shown

_Loader: type[yaml.CSafeLoader] | type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_CHARS_WITHOUT_LIBYAML = 512 << 10
"""PyYAML without its C library reads about 500 KiB/s."""
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
"""libyaml compares each %TAG with all before it."""


def parse_yaml(text: str, budget: Budget) -> Node:
    """Return the one document that `text` holds; raises FlawError E121 or E125."""
    directive = _DIRECTIVE.search(text)
    if directive:
        raise FlawError("E125", "no line may begin with % (directives are not used here)", directive.start())
    if _Loader is yaml.SafeLoader and len(text) > MAX_CHARS_WITHOUT_LIBYAML:
        raise FlawError("E125", "YAML of this size needs PyYAML with libyaml on this machine; use JSON or CSV")
    loader = None
    try:
        loader = _Loader(text)
        return _Builder(loader, budget).document()
    except yaml.YAMLError as error:
        raise _as_flaw(error, text) from error
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode, where libyaml is missing
        raise FlawError("E121", f"this is no valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Builder:
    def __init__(self, loader: "yaml.CSafeLoader | yaml.SafeLoader", budget: Budget) -> None:
        self._loader, self._budget = loader, budget

    def document(self) -> Node:
        self._next()  # the stream starts
        start = self._next()
        if isinstance(start, StreamEndEvent):
            raise FlawError("E124", "the manifest is empty")
        root = self._node(self._next(), 1)
        self._next()  # the document ends
        following = self._next()
        if not isinstance(following, StreamEndEvent):
            raise FlawError("E125", "a manifest is one document: no second --- here", _at(following))
        return root

    def _next(self) -> Event:
        event = self._loader.get_event()
        assert event is not None  # comes only after the end of the stream
        return event

    def _node(self, event: Event, depth: int) -> Node:
        self._budget.spend(_at(event), depth)
        _refuse_reuse(event)
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event, depth)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, depth)
        raise FlawError("E121", "a value is expected here", _at(event))

    def _sequence(self, start: Event, depth: int) -> Sequence:
        sequence = Sequence([], _at(start))
        while not isinstance(event := self._next(), SequenceEndEvent):
            sequence.items.append(self._node(event, depth + 1))
        return sequence

    def _mapping(self, start: Event, depth: int) -> Mapping:
        mapping = Mapping({}, _at(start))
        while not isinstance(event := self._next(), MappingEndEvent):
            self._budget.spend(_at(event), depth)
            _refuse_reuse(event)
            if not isinstance(event, ScalarEvent):
                raise FlawError("E121", "a key must be a single word", _at(event))
            if event.value == "<<" and not event.style:
                raise FlawError("E125", "the merge key << is not used here", _at(event))
            mapping.add(event.value, _at(event), self._node(self._next(), depth + 1))
        return mapping


def _refuse_reuse(event: Event) -> None:
    if isinstance(event, AliasEvent):
        raise FlawError("E125", f"the alias {shown(f'*{event.anchor}')} is not allowed: write it out", _at(event))
    if isinstance(event, NodeEvent) and event.anchor is not None:
        raise FlawError("E125", f"the anchor {shown(f'&{event.anchor}')} is not allowed", _at(event))
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise FlawError("E125", f"the tag {shown(tag)} is not allowed", _at(event))


def _scalar(event: ScalarEvent) -> Scalar:
    if not event.value.isascii() and any("\ud800" <= char <= "\udfff" for char in event.value):
        raise FlawError("E121", "this text holds half a character (a lone surrogate)", _at(event))
    return Scalar(Form.PLAIN if not event.style else Form.TEXT, event.value, _at(event))


def _at(event: Event) -> int:
    assert event.start_mark is not None
    at: int = event.start_mark.index
    return at


def _as_flaw(error: yaml.YAMLError, text: str) -> FlawError:
    at = getattr(getattr(error, "problem_mark", None), "index", None)
    if at is None:
        at = getattr(error, "position", None)  # of a character that YAML does not allow
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    if at is not None and text.startswith("\t", at):
        return FlawError("E121", "YAML is indented with blanks, never with tabs", at)
    return FlawError("E121", f"this is no valid YAML: {problem}", None if at is None else min(at, len(text)))
