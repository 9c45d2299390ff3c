"""Job ids: sortable by time, short enough for folder names. Pure but for the random source when none is given."""

import base64
import re
import secrets
from datetime import UTC, datetime

RANDOM_CHARACTERS = 10
RANDOM_BYTES = 7
"""The fewest bytes that give ten base32 characters (5 bits each)."""

_FORM = re.compile(r"\d{8}T\d{9}-[a-z2-7]{10}", re.ASCII)


def new_job_id(now: datetime, random_bytes: bytes | None = None) -> str:
    """Make an id `YYYYMMDDTHHMMSSmmm-` (UTC) + 10 lower-case base32 characters.

    `random_bytes` (at least 7) takes the place of the system's random source; `now` must know its time zone.
    """
    if now.tzinfo is None:
        raise ValueError("a job id needs a time with a zone")
    noise = secrets.token_bytes(RANDOM_BYTES) if random_bytes is None else random_bytes
    if len(noise) < RANDOM_BYTES:
        raise ValueError(f"a job id needs {RANDOM_BYTES} random bytes, not {len(noise)}")
    moment = now.astimezone(UTC)
    tail = base64.b32encode(noise[:RANDOM_BYTES]).decode("ascii").lower()[:RANDOM_CHARACTERS]
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{tail}"


def is_job_id(text: str) -> bool:
    """Tell whether `text` has the form of a job id, and so is safe as a file name."""
    return _FORM.fullmatch(text) is not None


def id8_of(job_id: str) -> str:
    """Return the first 8 random characters: short enough for names people see."""
    return job_id.rpartition("-")[2][:8]
