"""Which file names results get. Pure: looks at no disk.

People's names are kept as written wherever Linux *and* Windows can hold them. What Windows cannot hold is
written as %XX, the bytes of its UTF-8: control and reserved characters, a leading dot, a trailing dot or
blank, the first letter of a device name (CON, NUL, COM1, …), bytes that are no UTF-8. A stem too long for
its companions is cut between two characters and ends in `~` and six hex digits of the whole name:

    anna.mp4          the film                 anna.v2.mp4           the next film of that name
    anna.mp4.json     its report               anna.v2.mp4.json
    anna.jpg          its contact sheet        anna.v2.jpg
    .anna.<id8>.part  the film while it is copied; `.json.part` and `.jpg.part` for the other two
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from itertools import count, takewhile

NAME_MAX_BYTES = 255
"""Longest name of one directory entry on every Linux file system that matters."""
ID8_CHARS = 8
MAX_STEM_BYTES = NAME_MAX_BYTES - len(".") - len(".v99999") - len(".") - ID8_CHARS - len(".json.part")
"""Longest stem with which the longest companion, `.<stem>.v99999.<id8>.json.part`, still fits."""

FILM_SUFFIX = ".mp4"
REPORT_SUFFIX = ".json"
SHEET_SUFFIX = ".jpg"
PART_SUFFIX = ".part"

_RESERVED_CHARS = frozenset('<>:"/\\|?*')
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They let a name show another suffix than it has."""
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"]
)
"""Windows takes these for devices, whatever follows the first dot (learn.microsoft.com, "Naming Files")."""
_PART = re.compile(r"\..+\.(?P<id8>[0-9A-Za-z]{8})(\.json|\.jpg)?\.part", re.DOTALL)
_ZERO_WIDTH_JOINER = "\u200d"


def film_stem(job_name: str) -> str:
    """Return the stem under which the film of `job_name` is published; a stem made here comes back unchanged."""
    return _fitted(_escaped(job_name) or "untitled", MAX_STEM_BYTES, job_name)


def film_name(job_name: str) -> str:
    """Return the file name of the first film of `job_name`."""
    return film_stem(job_name) + FILM_SUFFIX


def versions(stem: str) -> Iterator[str]:
    """Yield `stem.mp4`, `stem.v2.mp4`, `stem.v3.mp4` and so on, without end."""
    yield stem + FILM_SUFFIX
    for number in count(2):
        yield f"{stem}.v{number}{FILM_SUFFIX}"


def is_version_of(stem: str, name: str) -> bool:
    """Tell whether `versions(stem)` yields `name`."""
    middle = name.removeprefix(stem).removesuffix(FILM_SUFFIX)
    return name == stem + middle + FILM_SUFFIX and bool(re.fullmatch(r"|\.v([2-9]|[1-9][0-9]+)", middle))


def report_name(film: str) -> str:
    """Return the name of the report beside the film."""
    return film + REPORT_SUFFIX


def sheet_name(film: str) -> str:
    """Return the name of the contact sheet beside the film."""
    return _without_suffix(film) + SHEET_SUFFIX


def part_name(film: str, id8: str, companion: str = "") -> str:
    """Return the name while being written: of the film, or of its companion with suffix `.json` or `.jpg`."""
    tail = f".{id8}{companion}{PART_SUFFIX}"
    stem = _without_suffix(film)
    return "." + _fitted(stem, NAME_MAX_BYTES - 1 - len(tail), stem) + tail


def id8_of_part(name: str) -> str | None:
    """Return the job's short id that a `.part` name of ours carries, or None for any other name."""
    match = _PART.fullmatch(name)
    return match["id8"] if match else None


def id8_of(job_id: str) -> str:
    """Return the first 8 random characters of a job's id."""
    return job_id.rsplit("-", 1)[-1][:ID8_CHARS]


def job_folder(job_name: str, id8: str) -> str:
    """Return the name of a job's folder in `failed/` and `done/`."""
    return f"{film_stem(job_name)}__{id8}"


def mirrored(folder: str) -> tuple[str, ...]:
    """Split a sub-folder of the inbox into the folder names it has in the outbox; `..` and `/` cannot climb out."""
    parts = (part for part in folder.split("/") if part not in ("", "."))
    return tuple(_fitted(_escaped(part), NAME_MAX_BYTES, part) for part in parts)


def key(name: str) -> str:
    """Return what two names share that people (and Windows) take for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def printable(text: str) -> str:
    """Return `text` as one line that any terminal, log and JSON file can hold."""
    return "".join(_percent(char) if _is_invisible(char) else char for char in text)


def _escaped(name: str) -> str:
    text = "".join(_percent(c) if c in _RESERVED_CHARS or _is_invisible(c) else c for c in name)
    if text.startswith("."):
        text = _percent(".") + text[1:]
    if text.endswith((".", " ")):
        text = text[:-1] + _percent(text[-1])
    if text.split(".")[0].rstrip(" ").upper() in _DEVICES:
        text = _percent(text[0]) + text[1:]
    return text


def _is_invisible(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _percent(char: str) -> str:
    """Write one character as the %XX of its bytes; Python keeps a byte that is no UTF-8 as U+DC80…U+DCFF."""
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", errors))


def _fitted(text: str, max_bytes: int, whole: str) -> str:
    """Cut `text` to `max_bytes` when it is longer, marked with a hash of the `whole` name."""
    if _size_bytes(text) <= max_bytes:
        return text
    mark = "~" + hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return _cut(text, max_bytes - len(mark)) + mark


def _size_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _cut(text: str, max_bytes: int) -> str:
    """Return the longest start of `text` within `max_bytes` that ends between two characters as people see them."""
    longest = text.encode("utf-8", "surrogateescape")[:max_bytes].decode("utf-8", "ignore")
    end = len(longest)
    while end and _is_inside_character(text, end):
        end -= 1
    return text[:end] or longest


def _is_inside_character(text: str, at: int) -> bool:
    """Tell whether a cut before `text[at]` would split an accent, an emoji, a Hangul syllable or a %XX of ours."""
    before, after = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in (before, after) or _extends(after):
        return True
    if _is_flag_half(before) and _is_flag_half(after):
        halves = len(list(takewhile(_is_flag_half, reversed(text[:at]))))
        return halves % 2 == 1
    return any(re.match(r"%[0-9A-F]{2}", text[start:]) for start in (at - 1, at - 2) if start >= 0)


def _extends(char: str) -> bool:
    is_hangul_tail = "\u1160" <= char <= "\u11ff"
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    is_tag = "\U000e0020" <= char <= "\U000e007f"
    return unicodedata.category(char) in {"Mn", "Me", "Mc"} or is_hangul_tail or is_skin_tone or is_tag


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _without_suffix(film: str) -> str:
    stem, dot, suffix = film.rpartition(".")
    return stem if stem and dot and suffix else film
