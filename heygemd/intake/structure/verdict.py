"""What the structure of a file says about its completeness."""

from dataclasses import dataclass


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
        return f"structure incomplete: {self.reason}"


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The container cannot tell, or is not known here: decoding will judge."""

    reason: str

    @property
    def evidence(self) -> str:
        """What the report says."""
        return "structure unchecked"


Verdict = Whole | Incomplete | Unchecked
