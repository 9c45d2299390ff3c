"""Which file names are manifests, and in which format they are written. Pure."""

import re
from enum import StrEnum


class ManifestKind(StrEnum):
    """The four formats; the suffix decides, never the content."""

    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    JSON_LINES = "jsonl"


_NAME = re.compile(r"(?P<stem>.+)\.heygem\.(?P<suffix>json|yaml|yml|csv|jsonl)", re.IGNORECASE | re.DOTALL)
_OTHER_SUFFIXES = {"yml": "yaml"}


def kind_of_manifest(name: str) -> ManifestKind | None:
    """Return the format that the file name promises; None when it is no manifest."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    suffix = match["suffix"].lower()
    return ManifestKind(_OTHER_SUFFIXES.get(suffix, suffix))


def stem_of_manifest(name: str) -> str:
    """Return `lines` for `lines.heygem.csv`; a name that is no manifest's comes back unchanged."""
    match = _NAME.fullmatch(name)
    return match["stem"] if match else name
