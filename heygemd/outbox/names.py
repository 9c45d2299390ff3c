"""Which file names results get. Pure: looks at no disk.

People's names are kept as written wherever Linux *and* Windows can hold them. What Windows cannot hold is
written as %XX, the bytes of its UTF-8: control and reserved characters, a leading dot, a trailing dot or
blank, the first letter of a device name (CON, NUL, COM1, …), bytes that are no UTF-8. A stem too long for
its companions is cut between two characters and ends in `~` and six hex digits of the whole name:

    anna.mp4          the film                 anna.v2.mp4           the next film of that name
    anna.mp4.json     its report               anna.v2.mp4.json
    anna.jpg          its contact sheet        anna.v2.jpg
    .anna.<id8>.part  the film while it is copied; `.json.part` and `.jpg.part` for the other two

    lines.report.json, lines.report.csv, lines.zip   what became of a batch; `lines.v2.zip` when that is taken
    .lines.<id8>.zip.part                            the same while it is written
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import count

from heygemd.naming import NAME_MAX_BYTES, cut, is_invisible, percent

ID8_CHARS = 8
MAX_STEM_BYTES = NAME_MAX_BYTES - len(".") - len(".v99999") - len(".") - ID8_CHARS - len(".json.part")
"""Longest stem with which the longest companion, `.<stem>.v99999.<id8>.json.part`, still fits."""

FILM_SUFFIX = ".mp4"
REPORT_SUFFIX = ".json"
SHEET_SUFFIX = ".jpg"
PART_SUFFIX = ".part"
CSV_SUFFIX = ".csv"
BUNDLE_SUFFIX = ".zip"

_RESERVED_CHARS = frozenset('<>:"/\\|?*')
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"]
)
"""Windows takes these for devices, whatever follows the first dot (learn.microsoft.com, "Naming Files")."""
_PART = re.compile(r"\..+\.(?P<id8>[0-9A-Za-z]{8})(\.json|\.jpg|\.csv|\.zip)?\.part", re.DOTALL)


def film_stem(job_name: str) -> str:
    """Return the stem under which the film of `job_name` is published; a stem made here comes back unchanged."""
    return cut(_escaped(job_name) or "untitled", MAX_STEM_BYTES, whole=job_name)


def film_name(job_name: str) -> str:
    """Return the file name of the first film of `job_name`."""
    return film_stem(job_name) + FILM_SUFFIX


def versions(stem: str, suffix: str = FILM_SUFFIX) -> Iterator[str]:
    """Yield `stem.mp4`, `stem.v2.mp4`, `stem.v3.mp4` and so on, without end; or the same with another suffix."""
    yield stem + suffix
    for number in count(2):
        yield f"{stem}.v{number}{suffix}"


def is_version_of(stem: str, name: str, suffix: str = FILM_SUFFIX) -> bool:
    """Tell whether `versions(stem, suffix)` yields `name`."""
    middle = name.removeprefix(stem).removesuffix(suffix)
    return name == stem + middle + suffix and bool(re.fullmatch(r"|\.v([2-9]|[1-9][0-9]+)", middle))


def report_name(film: str) -> str:
    """Return the name of the report beside the film."""
    return film + REPORT_SUFFIX


def sheet_name(film: str) -> str:
    """Return the name of the contact sheet beside the film."""
    return _without_suffix(film) + SHEET_SUFFIX


def part_name(film: str, id8: str, companion: str = "") -> str:
    """Return the name while being written: of the film, or of what has the suffix `companion`."""
    tail = f".{id8}{companion}{PART_SUFFIX}"
    stem = _without_suffix(film)
    return "." + cut(stem, NAME_MAX_BYTES - 1 - len(tail)) + tail


def id8_of_part(name: str) -> str | None:
    """Return the job's short id that a `.part` name of ours carries, or None for any other name."""
    match = _PART.fullmatch(name)
    return match["id8"] if match else None


def mirrored(folder: str) -> tuple[str, ...]:
    """Split a sub-folder of the inbox into the folder names it has in the outbox; `..` and `/` cannot climb out."""
    parts = (part for part in folder.split("/") if part not in ("", "."))
    return tuple(cut(_escaped(part), NAME_MAX_BYTES, whole=part) for part in parts)


def key(name: str) -> str:
    """Return what two names share that people (and Windows) take for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _escaped(name: str) -> str:
    text = "".join(percent(c) if c in _RESERVED_CHARS or is_invisible(c) else c for c in name)
    if text.startswith("."):
        text = percent(".") + text[1:]
    if text.endswith((".", " ")):
        text = text[:-1] + percent(text[-1])
    if text.split(".")[0].rstrip(" ").upper() in _DEVICES:
        text = percent(text[0]) + text[1:]
    return text


def _without_suffix(film: str) -> str:
    stem, dot, suffix = film.rpartition(".")
    return stem if stem and dot and suffix else film
