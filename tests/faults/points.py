"""What the n-th change of a run is called, so that it is found again in another run of the same scene.

    helper renameat2 R/inbox/anna.mp4 > R/processing/anna__ID/anna.mp4
    daemon pwrite64 S/jobs.sqlite-wal

Ids, hashes and dates differ from run to run and are left out; the k-th change of one name is one point.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_CHANGING = (
    (re.compile(r"\d{8}T\d{9}-[a-z0-9]{10}"), "JOB"),
    (re.compile(r"__[a-z0-9]{8}(?=[/.~]|$)"), "__ID"),
    (re.compile(r"\.[a-z0-9]{8}(\.[a-z0-9]+)?\.part"), r".ID\1.part"),
    (re.compile(r"[0-9a-f]{12,64}"), "HASH"),
    (re.compile(r"\d{4}-\d{2}-\d{2}"), "DAY"),
    (re.compile(r"(?<=[./-])\d{3,7}(?=[./-]|$)"), "N"),
)
SEGMENT = re.compile(r"(segments-[^/]*/)\d{5}")


def plain(path: str) -> str:
    """Leave out what differs from run to run."""
    path = SEGMENT.sub(r"\g<1>SEGMENT", path)
    for pattern, name in _CHANGING:
        path = pattern.sub(name, path)
    return path


def within(path: str, tops: Mapping[str, Path]) -> str | None:
    """Return the path as `<letter>/<rest>`, or None when it lies in none of the tops."""
    for letter, top in tops.items():
        if path == str(top) or path.startswith(f"{top}/"):
            return letter + path.removeprefix(str(top))
    return None
