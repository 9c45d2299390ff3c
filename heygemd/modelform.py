"""Tells by its first and last bytes what a file is: a whole model, a cut one, or what a server sent instead of one.

Needs no torch and builds nothing of what the file holds.
"""

import json
import os
import re
import struct
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

from heygemd.naming import printable

HEAD_BYTES = 4096
"""As much of the beginning as is looked at."""
LFS_BEGINNING = b"version https://git-lfs.github.com/spec/"
PAGE_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
TITLE = re.compile(r"<title[^>]*>([^<]{1,120})", re.IGNORECASE)
TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")
SHOWN_CHARS = 120
MOST_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format."""
SHA256 = re.compile(r"[0-9a-f]{64}")
MADE_BY_KEY = "heygemd"
"""Key of our note in the metadata of a converted file; one key, for their order changes from run to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a file looks like from outside."""

    kind: str
    """`safetensors`, `zip`, `pickle` or `other`."""
    is_cut: bool = False
    flaw: str = ""
    """Why it cannot be a model; empty: nothing speaks against it."""
    source_sha256: str | None = None
    """What a converted file says it was made from."""


def form_of(file: BinaryIO) -> Form:
    """Look at beginning and end of a file."""
    size_bytes = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if flaw := impostor(head):
        return Form(kind="other", flaw=flaw)
    if head.startswith(b"PK\x03\x04"):
        is_whole = zipfile.is_zipfile(file)  # the directory lies at the end
        return Form(kind="zip", is_cut=not is_whole, flaw="" if is_whole else "the end of the archive is missing")
    if head[8:9] == b"{":
        return _safetensors_form(file, size_bytes)
    return Form(kind="pickle" if head.startswith(b"\x80") else "other")


def _safetensors_form(file: BinaryIO, size_bytes: int) -> Form:
    file.seek(0)
    (header_bytes,) = struct.unpack("<Q", file.read(8))
    if header_bytes > MOST_HEADER_BYTES:
        return Form(kind="safetensors", flaw=f"its header claims {header_bytes} bytes")
    header = file.read(header_bytes)
    if len(header) < header_bytes:
        return Form(kind="safetensors", is_cut=True, flaw="its header is cut")
    try:
        entries = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        needed_bytes = 8 + header_bytes + max(ends, default=0)
        source_sha256 = _source_sha256(entries.get("__metadata__"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return Form(kind="safetensors", flaw=f"its header cannot be read: {type(error).__name__}")
    if size_bytes < needed_bytes:
        return Form(kind="safetensors", is_cut=True, flaw=f"it has {size_bytes} of {needed_bytes} bytes")
    if size_bytes > needed_bytes:
        return Form(kind="safetensors", flaw=f"it has {size_bytes - needed_bytes} bytes too many")
    return Form(kind="safetensors", source_sha256=source_sha256)


def _source_sha256(metadata: Any) -> str | None:  # noqa: ANN401  # from a file
    try:
        said = json.loads(metadata[MADE_BY_KEY])["source_sha256"]
    except (ValueError, LookupError, TypeError):
        return None
    return said if isinstance(said, str) and SHA256.fullmatch(said) else None


def impostor(head: bytes) -> str:
    """Say what a file really is by its first bytes; empty: nothing speaks against a model."""
    if not head:
        return "the file is empty"
    if head.startswith(LFS_BEGINNING):
        return (
            "a git-lfs pointer came instead of the file; ask for the file itself "
            "(on GitHub: media.githubusercontent.com, on Hugging Face: /resolve/ instead of /raw/)"
        )
    text = head.decode("utf-8", "replace")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGE_BEGINNINGS):
        title = TITLE.search(text)
        named = f" ({printable(' '.join(title[1].split()))})" if title else ""
        return f"a web page came instead of the file{named}: a login, a question or a limit; fetch it with a browser"
    if _is_text(head):
        return f"a text came instead of the file: {printable(' '.join(text.split())[:SHOWN_CHARS])}"
    return ""


def _is_text(head: bytes) -> bool:
    """Every container of models has bytes that no text has within its first few hundred."""
    return all(byte >= ord(" ") or byte in TEXT_CONTROLS for byte in head) and _decodes(head)


def _decodes(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"  # only a character that the cut went through
    return True
