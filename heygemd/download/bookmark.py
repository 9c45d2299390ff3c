"""What is noted beside a part of a download, so that only the rest of the same thing is added to it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from heygemd.filesystem import write_text

RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
NO_RANGE = re.compile(r"bytes \*/(\d{1,18})")
LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """Of which thing a part is."""

    address_sha256: str
    """Not the address itself: it may hold a token."""
    validator: str = ""
    """Strong ETag or date of change, as the server named it; empty: it names none."""
    total_bytes: int | None = None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> "Bookmark":
        """Take it from an answer."""
        etag = headers.get("ETag", "")
        is_strong = bool(etag) and not etag.startswith("W/")  # a weak one may stay while bytes change
        return cls(
            address_sha256=hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest(),
            validator=etag if is_strong else headers.get("Last-Modified", ""),
            total_bytes=_total_bytes(headers),
        )

    @classmethod
    def read(cls, file: Path) -> "Bookmark | None":
        """Return what was noted; a note that is missing or damaged is no loss."""
        try:
            noted = json.loads(file.read_text(encoding="utf-8"))
            total = noted["total_bytes"]
            return cls(
                address_sha256=str(noted["address_sha256"]),
                validator=str(noted["validator"]),
                total_bytes=None if total is None else int(total),
            )
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Note it."""
        write_text(file, json.dumps(asdict(self)))

    def is_same(self, found: "Bookmark") -> bool:
        """Tell whether an answer is about the same thing, as far as both say."""
        is_same_length = None in (self.total_bytes, found.total_bytes) or self.total_bytes == found.total_bytes
        return is_same_length and (not self.validator or found.validator in ("", self.validator))


def range_begin(headers: Mapping[str, str]) -> int | None:
    """Return the first byte that an answer to a range request carries."""
    match = RANGE.fullmatch(headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def length_past_end(headers: Mapping[str, str]) -> int | None:
    """Return the length that a server names when it refuses a range beyond it."""
    match = NO_RANGE.fullmatch(headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total_bytes(headers: Mapping[str, str]) -> int | None:
    if "Content-Range" in headers:
        match = RANGE.fullmatch(headers["Content-Range"])
        return int(match[3]) if match and match[3] != "*" else None
    length = headers.get("Content-Length", "")
    return int(length) if LENGTH.fullmatch(length) else None
