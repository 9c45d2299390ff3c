"""What every room does to a name before it becomes a file's, a folder's or a line of a log. Pure.

A name that is too long is cut between two characters as people see them, and ends in `~` and six hex digits of the
whole name, so that names which differ only behind the cut stay different.
"""

import hashlib
import re
import unicodedata
from itertools import takewhile

NAME_MAX_BYTES = 255
"""Longest name of one directory entry on every Linux file system that matters, and on SMB."""
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, lone surrogates (bytes that are not UTF-8) and the two line ends."""

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They let a name show another suffix than it has."""
_ZERO_WIDTH_JOINER = "\u200d"


def job_folder(name: str, id8: str) -> str:
    """Return the folder name `<name>__<id8>` of a job's inputs, cut so that it fits a file system."""
    tail = f"__{id8}"
    return cut(name, NAME_MAX_BYTES - len(tail)) + tail


def cut(text: str, max_bytes: int, *, whole: str | None = None) -> str:
    """Return `text`, or its beginning + `~hash6`, in at most `max_bytes` of UTF-8.

    The hash is that of `whole`: what the name was before `text` was made of it.
    """
    if len(text.encode("utf-8", "surrogateescape")) <= max_bytes:
        return text
    hashed = text if whole is None else whole
    mark = "~" + hashlib.sha256(hashed.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return _beginning(text, max_bytes - len(mark)) + mark


def printable(text: str) -> str:
    """Return `text` as one line that any terminal, log and JSON file can hold."""
    return "".join(percent(char) if is_invisible(char) else char for char in text)


def is_invisible(char: str) -> bool:
    """Tell whether the character breaks a line, cannot be encoded, or makes a text look like another one."""
    return char in _BIDI_CONTROLS or unicodedata.category(char) in UNPRINTABLE


def percent(char: str) -> str:
    """Write one character as the %XX of its bytes; Python keeps a byte that is no UTF-8 as U+DC80…U+DCFF."""
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", errors))


def _beginning(text: str, max_bytes: int) -> str:
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
