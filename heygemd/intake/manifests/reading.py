"""Reads a manifest of any format, strictly: bytes in, rows out, and never anything but InputError. Pure."""

import re

from heygemd.errors import InputError
from heygemd.intake.manifests.csv_tree import parse_csv
from heygemd.intake.manifests.encoding import decode
from heygemd.intake.manifests.formats import ManifestKind, kind_of_manifest
from heygemd.intake.manifests.json_tree import parse_json
from heygemd.intake.manifests.model import Manifest, ManifestLimits
from heygemd.intake.manifests.rows import Said, read_defaults, read_row
from heygemd.intake.manifests.tree import Broken, Budget, FlawError, Form, Lines, Mapping, Node, Outline, Scalar
from heygemd.intake.manifests.values import mapping_of, sequence_of, shown, truth_of
from heygemd.intake.manifests.yaml_tree import parse_yaml

__all__ = ["ManifestLimits", "read_manifest"]

PROTOCOL = "1"
_HEAD_KEYS = ("heygem", "strict", "bundle", "defaults")
_FILLED_LINE = re.compile(r"[^\r\n]*[^\r\n \t][^\r\n]*")
_HAS_COMMENTS = (ManifestKind.YAML, ManifestKind.CSV)


def read_manifest(data: bytes, name: str, limits: ManifestLimits) -> Manifest:
    """Read the manifest of file name `name`.

    Raises InputError E120 to E125 when it cannot be used as a whole; the message begins with line and column where
    they are known. What is wrong with single rows stands in their `error`.
    """
    if len(data) > limits.max_bytes:
        size_mib, most_mib = len(data) / (1 << 20), limits.max_bytes / (1 << 20)
        message = f"the manifest has {size_mib:.1f} MiB, more than {most_mib:g} MiB (intake.max_manifest_mib)"
        raise InputError("E120", message)
    lines = Lines("")
    try:
        kind = kind_of_manifest(name)
        if kind is None:
            raise FlawError("E121", f"{shown(name)} does not end in .heygem.json, .yaml, .csv or .jsonl")
        text = decode(data, may_declare=kind in _HAS_COMMENTS)
        if not text.strip():
            raise FlawError("E124", "the manifest is empty")
        lines = Lines(text)
        return _judge(_outline(text, kind, limits.max_rows), lines, limits.max_rows)
    except FlawError as flaw:
        raise InputError(flaw.code, lines.say(flaw)) from flaw


def _outline(text: str, kind: ManifestKind, max_rows: int) -> Outline:
    budget = Budget(max_rows)
    match kind:
        case ManifestKind.JSON:
            return _outline_of_tree(parse_json(text, budget))
        case ManifestKind.YAML:
            return _outline_of_tree(parse_yaml(text, budget))
        case ManifestKind.JSON_LINES:
            return _outline_of_lines(text, budget, max_rows)
        case ManifestKind.CSV:
            return parse_csv(text, max_rows)


def _outline_of_tree(root: Node) -> Outline:
    head = mapping_of(root, "the manifest", (*_HEAD_KEYS, "jobs"))
    _need_protocol(head)
    jobs = head.entries.pop("jobs", None)
    if jobs is None:
        raise FlawError("E124", "the manifest has no jobs", head.at)
    return Outline(head, list(sequence_of(jobs.value, "jobs").items))


def _outline_of_lines(text: str, budget: Budget, max_rows: int) -> Outline:
    head = Mapping({}, 0)
    rows: list[Node | Broken] = []
    for count, match in enumerate(_FILLED_LINE.finditer(text)):
        line, at = match[0], match.start()
        node: Node | Broken
        try:
            node = parse_json(line, budget, at)
        except FlawError as flaw:
            if count == 0 or flaw.code != "E121":  # the first line may have been `strict`, and bombs concern all
                raise
            node = Broken(at, flaw)
        if count == 0 and isinstance(node, Mapping) and not node.entries.keys().isdisjoint(_HEAD_KEYS):
            head = mapping_of(node, "the first line", _HEAD_KEYS)
            _need_protocol(head)
            continue
        if len(rows) >= max_rows:
            break
        rows.append(node)
    else:
        return Outline(head, rows)
    raise _too_many(max_rows, at)


def _need_protocol(head: Mapping) -> None:
    if "heygem" not in head.entries:
        raise FlawError("E124", "the key heygem with the value 1 is missing: that says how to read the rest", head.at)


def _judge(outline: Outline, lines: Lines, max_rows: int) -> Manifest:
    if not outline.rows:
        raise FlawError("E124", "the manifest has no rows", outline.head.at)
    if len(outline.rows) > max_rows:
        raise _too_many(max_rows, outline.rows[max_rows].at)
    entries = outline.head.entries
    if "heygem" in entries:
        _check_protocol(entries["heygem"].value)
    defaults = read_defaults(entries["defaults"].value) if "defaults" in entries else Said()
    return Manifest(
        strict=_flag(outline.head, "strict"),
        bundle=_flag(outline.head, "bundle"),
        rows=tuple(read_row(node, number, lines, defaults) for number, node in enumerate(outline.rows, 1)),
        max_rows=max_rows,
    )


def _check_protocol(node: Node) -> None:
    is_right = isinstance(node, Scalar) and node.form is not Form.TEXT and node.text == PROTOCOL
    if not is_right:
        raise FlawError("E124", "heygem is the number 1: no other version is known here", node.at)


def _flag(head: Mapping, name: str) -> bool:
    return name in head.entries and truth_of(head.entries[name].value, name)


def _too_many(max_rows: int, at: int | None) -> FlawError:
    return FlawError("E125", f"there are more than {max_rows} rows (intake.max_manifest_rows)", at)
