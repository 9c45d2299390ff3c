"""Our parsers against those that everybody uses: they take the same, less what is dangerous."""

import csv
import io
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.intake.manifests.csv_tree import DELIMITERS, parse_csv
from heygemd.intake.manifests.json_tree import parse_json
from heygemd.intake.manifests.tree import Budget, FlawError, Form, Lines, Mapping, Node, Scalar, Sequence
from heygemd.intake.manifests.yaml_tree import parse_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
JSON_WORDS = ["\\n", "\\u00e9", "\\ud83d", "-0.5e3", "true", "null", '"k"', '"k":', *'"a\\{}[]:,10 \n\té\x0b\x7f']
JSON_SOUPS = st.lists(st.sampled_from(JSON_WORDS), max_size=12).map("".join)
YAML_TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.just("\n"), max_size=12)
"""PyYAML folds U+0085, U+2028 and U+2029 as line ends; no name may hold them."""


class Refused(Exception):
    """What `json` takes and we do not."""


def plain(node: Node) -> Any:
    """What the standard library would have made of it."""
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    if node.form in (Form.NUMBER, Form.WORD):
        return json.loads(node.text)
    return node.text


def by_json(text: str) -> Any:
    """Read with the standard library; Refused for what is no JSON or must not be taken."""

    def refuse(_: str) -> None:
        raise Refused

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise Refused
        return dict(pairs)

    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused from error
    return value


def has_twice(node: Node) -> bool:
    if isinstance(node, Mapping):
        return node.twice is not None or any(has_twice(entry.value) for entry in node.entries.values())
    return isinstance(node, Sequence) and any(has_twice(item) for item in node.items)


@settings(deadline=None)
@given(JSON_VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_json_that_python_writes_is_read_as_it_was(value, indent, is_ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert plain(parse_json(text, Budget(100))) == value


@settings(max_examples=1000, deadline=None)
@given(JSON_SOUPS)
def test_we_take_the_same_json_as_python_less_what_is_dangerous(text):
    try:
        expected = by_json(text)
    except Refused:
        expected = Refused
    try:
        node = parse_json(text, Budget(100))
        ours = Refused if has_twice(node) else plain(node)
    except FlawError:
        ours = Refused
    assert ours == expected


@settings(deadline=None)
@given(
    st.dictionaries(YAML_TEXTS, YAML_TEXTS | st.lists(YAML_TEXTS, max_size=3), max_size=4), st.sampled_from(["'", '"'])
)
def test_texts_that_yaml_writes_are_read_as_they_were(value, quote):
    text = yaml.safe_dump(value, allow_unicode=True, default_style=quote).replace("!!null", "")
    assert plain(parse_yaml(text, Budget(100))) == value


@settings(deadline=None)
@given(st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=5), st.sampled_from(DELIMITERS), st.booleans())
def test_cells_that_python_writes_are_read_as_they_were(rows, delimiter, is_quoted):
    rows = [[cell.replace("\r", "").replace("\n", "") for cell in cells] for cells in rows]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL)
    writer.writerow(["id", "video", "audio"])
    writer.writerows(rows)
    read = [plain(row) for row in parse_csv(out.getvalue(), 100).rows if isinstance(row, Mapping)]
    kept = [dict(zip(("id", "video", "audio"), cells, strict=True)) for cells in rows]
    if not is_quoted:  # blanks around a cell without quotes do not count
        kept = [{key: cell.strip(" \t\u3000") for key, cell in row.items()} for row in kept]
        read = [{key: cell.strip(" \t\u3000") for key, cell in row.items()} for row in read]
    filled = [{key: cell for key, cell in row.items() if cell} for row in kept]
    assert [row for row in read if row] == [row for row in filled if row]


@given(st.text(st.sampled_from("ab\r\n"), max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_places_are_those_that_counting_gives(text, offsets):
    lines = Lines(text)
    for at in (min(offset, len(text)) for offset in offsets):
        if text[at - 1 : at + 1] == "\r\n" and at:
            continue  # nothing begins within a line end
        before = text[:at].replace("\r\n", "\n").replace("\r", "\n")
        expected = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        assert lines.place(at) == expected


def test_a_scalar_keeps_how_it_was_written():
    tree = parse_yaml("a: no\nb: 'no'\nc: |\n  no\n", Budget(10))
    assert isinstance(tree, Mapping)
    forms = [entry.value.form for entry in tree.entries.values() if isinstance(entry.value, Scalar)]
    assert forms == [Form.PLAIN, Form.TEXT, Form.TEXT]
