"""What the structure of a file says about its completeness."""

from collections.abc import Sequence
from dataclasses import dataclass

INCOMPLETE = "structure incomplete: "
CUT = ("box lacks", "element lacks", "page lacks", "chunk lacks", "samples lie after the end", "its end is missing")
"""Of the gaps those that are no matter of taste: the container counts what is not there. Frames at the end of an MP3
or FLAC, and what stands behind the end, are judged by decoding: players cut and add there."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The container is closed: nothing is missing at its end."""

    kind: str

    @property
    def evidence(self) -> str:
        """What the report says."""
        return f"structure {self.kind}"


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Something that the container promises is not there (yet)."""

    kind: str
    reason: str

    @property
    def evidence(self) -> str:
        """What the report says."""
        return INCOMPLETE + self.reason


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The container cannot tell, or is not known here: decoding will judge."""

    reason: str

    @property
    def evidence(self) -> str:
        """What the report says."""
        return "structure unchecked"


Verdict = Whole | Incomplete | Unchecked


def find_cut(evidence: Sequence[str]) -> str | None:
    """Say what a file certainly lacks that was taken all the same, because it had lain so for long; None: nothing."""
    gaps = (rung.removeprefix(INCOMPLETE) for rung in evidence if rung.startswith(INCOMPLETE))
    return next((gap for gap in gaps if any(words in gap for words in CUT)), None)
