"""Which files of a folder belong together? Pure: sees names and whether each file has settled."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from heygemd.intake.names import Kind


class Why(StrEnum):
    """Why files of an inbox are not a job yet."""

    ARRIVING = "arriving"
    """Something about them still changes, or has not been quiet for long enough."""
    PARTNER = "waiting for partner"
    """A picture without sound, or sound without a picture."""
    AMBIGUOUS = "ambiguous"
    """Two pictures or two sounds of one name: left in place, never guessed."""
    REFUSED_NAME = "refused name"
    """The name is not UTF-8, holds control characters, or is nothing but blanks."""
    UNREADABLE = "unreadable"
    """The daemon may not read the file or enter the folder."""
    CHECKING = "being checked"
    """Claimed; looked at once more, hashed and probed before it is queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One picture or sound file of the inbox."""

    folder: str
    name: str
    key: str
    kind: Kind
    is_settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two partners in one folder."""

    folder: str
    picture: str
    sound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All files of one key in one folder: either a pair that is ready, or a reason why not."""

    folder: str
    key: str
    names: tuple[str, ...]
    why: Why | None
    pair: Pair | None = None


def group(candidates: Iterable[Candidate]) -> list[Group]:
    """Sort the files of an inbox into groups; a pair is ready only when both have settled and nobody else is there."""
    members: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        members.setdefault((candidate.folder, candidate.key), []).append(candidate)
    return [_judge(folder, key, found) for (folder, key), found in members.items()]


def _judge(folder: str, key: str, found: list[Candidate]) -> Group:
    names = tuple(sorted(candidate.name for candidate in found))
    sounds = [candidate for candidate in found if candidate.kind is Kind.AUDIO]
    pictures = [candidate for candidate in found if candidate.kind is not Kind.AUDIO]
    if len(sounds) > 1 or len(pictures) > 1:
        return Group(folder=folder, key=key, names=names, why=Why.AMBIGUOUS)
    if not all(candidate.is_settled for candidate in found):
        return Group(folder=folder, key=key, names=names, why=Why.ARRIVING)
    if not sounds or not pictures:
        return Group(folder=folder, key=key, names=names, why=Why.PARTNER)
    pair = Pair(folder=folder, picture=pictures[0].name, sound=sounds[0].name)
    return Group(folder=folder, key=key, names=names, why=None, pair=pair)
