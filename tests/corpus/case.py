"""
What one case of the corpus is: what a stranger drops, what must become of it, and what became of it.

A case owns one folder. `drop` writes into it whatever a stranger would; that folder may be a folder of a real inbox
(`tests/corpus/inbox.py` puts many of them into one root and runs one daemon), or a scratch folder for a runner of its
own (checkpoints, single measured films). What is expected is judged by `disagreement` alone, so every runner and every
kind of case answers to the same rules. Good inputs that are refused count as failures, like bad ones that get through.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

MAX_WALL_S = 60.0
"""Longest that any one case may take, from the drop (or the start of its run) to its end."""
MAX_RSS_BYTES = 2 << 30
"""Most memory that all processes of one case may hold together."""


class Ending(StrEnum):
    """What becomes of what was dropped."""

    RENDER = "render"
    """A film per name of `Answer.films`; rows with codes of `Answer.codes` may fail beside them."""
    REJECT = "reject"
    """Every job fails, each with one of `Answer.codes`; nothing is published."""
    WAIT = "wait"
    """It stays where it is, is named in the status, and nothing is made of it."""
    IGNORE = "ignore"
    """It stays where it is, and nobody speaks of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is right. Made by `renders`, `rejects`, `survives`, `waits` and `ignores`."""

    ending: Ending
    codes: frozenset[str] = frozenset()
    """Codes of which each failure must have one; of a waiting file: of its notice, where it has one."""
    films: frozenset[str] | None = None
    """Names of the films, relative to the case's folder of the outbox; None: exactly one, of any name."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the report of the one film must say: `width_px`, `height_px`, `fps`, `frames` …"""
    may_render: bool = False
    """Of a refusal: making one film of what can be decoded is as right (bits were flipped somewhere)."""


def renders(*films: str, codes: tuple[str, ...] = (), **facts: object) -> Answer:
    """Expect these films, or one of any name; `codes` are those of rows that fail beside them."""
    return Answer(ending=Ending.RENDER, films=frozenset(films) or None, codes=frozenset(codes), facts=facts)


def rejects(*codes: str) -> Answer:
    """Expect that it fails with one of the codes: more than one only where each of them is true."""
    return Answer(ending=Ending.REJECT, codes=frozenset(codes))


def survives(*codes: str) -> Answer:
    """Expect one film or one of the codes: nobody can say how much of a damaged file a decoder makes out."""
    return Answer(ending=Ending.REJECT, codes=frozenset(codes), may_render=True)


def waits(*codes: str) -> Answer:
    """Expect that it stays and is spoken of, with one of the codes where any are given."""
    return Answer(ending=Ending.WAIT, codes=frozenset(codes))


def ignores() -> Answer:
    """Expect that it stays and that nothing is said."""
    return Answer(ending=Ending.IGNORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that people or attackers drop."""

    name: str
    """Unique in the whole corpus, `[a-z0-9-]+`: the name of its folder, of its test and of its row in the table."""
    group: str
    """Which part of the table it belongs to: `playlists`, `bombs`, `odd but good`, `names` …"""
    story: str
    """What it is, in one line; what it did to other programs where that is known."""
    drop: Callable[[Path], None]
    """Writes it into an empty folder. Bytes must differ from case to case, or the second counts as a duplicate."""
    answer: Answer
    is_slow: bool = False
    """Takes more than a few seconds to make or to judge: not part of the quick test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of a case."""

    ending: Ending
    codes: frozenset[str] = frozenset()
    """Of everything that failed; of a waiting file: of its notice."""
    films: frozenset[str] = frozenset()
    """Relative to the case's folder of the outbox."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """The report of the one film."""
    message: str = ""
    """What was said about it, in one line."""
    troubles: tuple[str, ...] = ()
    """What must never happen, whatever the answer: a fault in the log, a secret in a film, a file left behind."""
    wall_s: float | None = None
    rss_bytes: int | None = None
    """All processes of the case together; None where it was not measured."""


def disagreement(case: Case, seen: Seen) -> str | None:
    """Say in one line how what was seen differs from what is right; None when all is well."""
    answer = case.answer
    if seen.troubles:
        return "; ".join(seen.troubles)
    if answer.may_render and seen.ending is Ending.RENDER:
        answer = renders()
    if seen.ending is not answer.ending:
        return f"{seen.ending} instead of {answer.ending}: {' '.join(sorted(seen.codes))} {seen.message}".rstrip()
    wrong = _wrong_codes(answer, seen)
    if wrong is not None:
        return f"{wrong}: {seen.message}".rstrip(": ")
    return _wrong_films(answer, seen) or _wrong_facts(answer, seen) or _too_dear(seen)


def _too_dear(seen: Seen) -> str | None:
    if seen.wall_s is not None and seen.wall_s > MAX_WALL_S:
        return f"{seen.wall_s:.0f} s"
    if seen.rss_bytes is not None and seen.rss_bytes > MAX_RSS_BYTES:
        return f"{seen.rss_bytes >> 20} MiB"
    return None


def _wrong_codes(answer: Answer, seen: Seen) -> str | None:
    if answer.ending is Ending.REJECT and not seen.codes:
        return "refused without a code"
    if answer.ending is Ending.WAIT and not answer.codes:
        return None  # whatever the notice says
    if strange := seen.codes - answer.codes:
        return f"{' '.join(sorted(strange))} instead of {' or '.join(sorted(answer.codes)) or 'no code'}"
    if answer.ending is Ending.RENDER and answer.codes != seen.codes:
        return f"no {' '.join(sorted(answer.codes - seen.codes))}"
    return None


def _wrong_films(answer: Answer, seen: Seen) -> str | None:
    if answer.ending is not Ending.RENDER:
        return f"films: {' '.join(sorted(seen.films))}" if seen.films else None
    if answer.films is None and len(seen.films) != 1:
        return f"{len(seen.films)} films instead of one"
    if answer.films is not None and seen.films != answer.films:
        return f"films {sorted(seen.films)} instead of {sorted(answer.films)}"
    return None


def _wrong_facts(answer: Answer, seen: Seen) -> str | None:
    wrong = [f"{name} {seen.facts.get(name)} instead of {right}" for name, right in answer.facts.items()
             if seen.facts.get(name) != right]  # fmt: skip
    return ", ".join(wrong) or None
