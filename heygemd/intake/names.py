"""What a name says about a file: ignored, refused, picture or sound, and whose partner it is. Pure."""

import re
import unicodedata
from enum import StrEnum

from heygemd.naming import NAME_MAX_BYTES, UNPRINTABLE, cut

_IGNORED_STARTS = (".", "~")
"""Covers `._*`, `.DS_Store`, `.stfolder` and `.nfs*`."""
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "@eadir", "#recycle"})
_IGNORED_SUFFIXES = frozenset({
    "part", "partial", "filepart", "crdownload", "tmp", "temp", "download", "!sync", "aspx",
})  # fmt: skip
_MANIFEST = re.compile(r".*\.heygem\.(json|ya?ml|csv|jsonl)", re.IGNORECASE | re.DOTALL)


class Kind(StrEnum):
    """What a file is by its suffix; the probe has the last word."""

    VIDEO = "video"
    STILL = "still"
    AUDIO = "audio"


_SUFFIXES = {
    Kind.VIDEO: "mp4 m4v mov mkv webm avi mpg mpeg ts mts m2ts wmv flv ogv 3gp mxf",
    Kind.STILL: "jpg jpeg png webp",
    Kind.AUDIO: "wav mp3 m4a aac flac ogg oga opus aif aiff aifc wma caf amr",
}
_ASCII_BLANKS = ". \t\n\r\v\f\x1c\x1d\x1e\x1f"
DEFAULT_KEY = "_default"
"""Files of this key are partners of every lone file of the other kind in their folder, and stay."""
_KIND_OF = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def is_ignored(name: str) -> bool:
    """Tell whether the file or folder belongs to a program, or is a copy under way."""
    if name.startswith(_IGNORED_STARTS):
        return True
    small = name.lower()
    return (small.rpartition(".")[2] in _IGNORED_SUFFIXES and "." in small) or small in _IGNORED_NAMES


def is_refused(name: str) -> bool:
    """Tell whether the name could not be written into a log line or a report."""
    if name.isprintable():
        return False
    return any(unicodedata.category(character) in UNPRINTABLE for character in name)


def is_manifest(name: str) -> bool:
    """Tell whether the name is that of a manifest: `*.heygem.{json,yaml,yml,csv,jsonl}` in any case."""
    return ".heygem." in name.lower() and _MANIFEST.fullmatch(name) is not None


def is_blank(name: str) -> bool:
    """Tell whether nothing but blanks and dots stands before the suffix, so that `key_of` is empty."""
    stem = stem_of(stem_of(name)) if is_manifest(name) else stem_of(name)
    return not stem.replace(".", "").strip()


def stem_of(name: str) -> str:
    """Return the name without its last suffix."""
    stem, dot, _ = name.rpartition(".")
    return stem if dot else name


def kind_of(name: str) -> Kind | None:
    """Return what the suffix says; None when it is neither picture nor sound."""
    _, dot, suffix = name.rpartition(".")
    return _KIND_OF.get(suffix.casefold()) if dot else None


def key_of(name: str) -> str:
    """Return what two partners have in common: the stem, whatever the case, the normal form and the trailing blanks.

    macOS writes NFD, Windows NFC; Windows drops trailing dots and blanks.
    """
    stem = stem_of(name)
    if stem.isascii():
        return stem.lower().rstrip(_ASCII_BLANKS)
    key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
    while key and (key[-1] == "." or key[-1].isspace()):
        key = key[:-1]
    return key


def numbered(name: str, number: int) -> str:
    """Return `stem (number).suffix`, cut to fit; number 0 is the name itself."""
    if number == 0:
        return name
    stem = stem_of(name)
    tail = f" ({number}){name[len(stem) :]}"
    return cut(stem, NAME_MAX_BYTES - len(tail.encode())) + tail


def shown(name: str) -> str:
    """Return a refused name in a form that logs and pages can hold."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if unicodedata.category(c) not in UNPRINTABLE else f"\\u{ord(c):04x}" for c in text)
