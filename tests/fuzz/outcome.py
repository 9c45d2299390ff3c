"""What became of one execution, and the count of many; inputs that did harm are kept."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

MAX_WALL_S = 60.0
"""Longest that one input may keep anybody busy."""


class Ending(StrEnum):
    """What became of an input."""

    USED = "used"
    """A film was made of it and verified; or it was read."""
    REFUSED = "refused"
    """With a code that tells people what is wrong with it."""
    CRASH = "worker crash"
    """It ended a process whose end was expected: one job was lost, nothing else."""
    FAULT = "fault"
    """It was taken for a bug of ours (E500, E502): people are told to write to the developers."""
    PAUSE = "pause"
    """It was taken for a fault of the share, the disk or the memory, for which a daemon waits for ever."""
    SLOW = "slow"
    """It took too long."""
    ESCAPE = "escape"
    """Something was done that no input may do: a file was made, code was run."""
    DEATH = "daemon death"
    """What serves everybody raised something that nobody expects."""


HARMLESS = frozenset({Ending.USED, Ending.REFUSED, Ending.CRASH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one execution."""

    ending: Ending
    code: str = ""
    reason: str = ""
    wall_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts executions; `kept` is the folder for inputs that were not harmless, or crashed a worker."""

    kept: Path
    endings: Counter[Ending] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    harm: list[str] = field(default_factory=list)
    """One line for each harmful input."""
    slowest_s: float = 0.0

    @property
    def executions(self) -> int:
        """All of them."""
        return sum(self.endings.values())

    def note(self, label: str, data: bytes, outcome: Outcome) -> None:
        """Count one; `label` says how it was made, and ends in the suffix of the file."""
        if outcome.wall_s > MAX_WALL_S and outcome.ending in HARMLESS:
            outcome = Outcome(ending=Ending.SLOW, code=outcome.code, wall_s=outcome.wall_s, reason=outcome.reason)
        self.endings[outcome.ending] += 1
        self.codes[outcome.code or "-"] += 1
        self.slowest_s = max(self.slowest_s, outcome.wall_s)
        if outcome.ending is Ending.CRASH or outcome.ending not in HARMLESS:
            self.kept.mkdir(parents=True, exist_ok=True)
            file = self.kept / f"{hashlib.sha256(data).hexdigest()[:12]}-{label}"
            file.write_bytes(data)
            line = f"{outcome.ending}: {file}: {outcome.code} {outcome.reason}"
            file.with_name(file.name + ".txt").write_text(line + "\n", encoding="utf-8", errors="backslashreplace")
            if outcome.ending not in HARMLESS:
                self.harm.append(line)

    def lines(self) -> list[str]:
        """The count, for people."""
        endings = ", ".join(f"{self.endings[ending]} {ending}" for ending in Ending)
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items()))
        return [
            f"{self.executions} executions: {endings}",
            f"codes: {codes}; slowest {self.slowest_s:.1f} s",
            *self.harm,
        ]
