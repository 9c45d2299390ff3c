"""Which files of a folder belong together? Pure: sees names and whether each file has settled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from heygemd.intake.names import DEFAULT_KEY, Kind
from heygemd.intake.settle import Hindrance


class Why(StrEnum):
    """Why files of an inbox are not a job yet."""

    ARRIVING = "arriving"
    """Something about them still changes, or has not been quiet for long enough."""
    HOLES = "has holes"
    """Quiet, but parts of it have never been written."""
    INCOMPLETE = "incomplete"
    """Quiet, but its container is not closed: it seems cut off."""
    COMMIT = "waiting for its commit"
    """Quiet, but only files that were committed are accepted here."""
    PARTNER = "waiting for partner"
    """A picture without sound, or sound without a picture."""
    DEFAULT = "partner of every lone file"
    """A `_default` picture or sound: it stays, and waits for nobody."""
    MEMBERS = "waiting for the files it names"
    """A manifest whose patterns match nothing complete yet."""
    RESERVED = "named by a manifest"
    """The manifest decides about them, not their names."""
    JOB_FOLDER = "waiting for its members"
    """A job folder that lacks its picture or its sound."""
    AMBIGUOUS = "ambiguous"
    """Two pictures or two sounds of one name: left in place, never guessed."""
    REFUSED_NAME = "refused name"
    """The name is not UTF-8, holds control characters, or is nothing but blanks."""
    UNREADABLE = "unreadable"
    """The daemon may not read the file or enter the folder."""
    CHECKING = "being checked"
    """Claimed; looked at once more, hashed and probed before it is queued."""


_WHY_OF = {Hindrance.INCOMPLETE: Why.INCOMPLETE, Hindrance.HOLES: Why.HOLES, Hindrance.COMMIT: Why.COMMIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One picture or sound file of the inbox."""

    folder: str
    name: str
    key: str
    kind: Kind
    is_settled: bool
    hindrance: Hindrance | None = None
    """Why it has not settled, as far as that is known."""

    @property
    def is_sound(self) -> bool:
        """Sound; else a picture, moving or still."""
        return self.kind is Kind.AUDIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two partners in one folder."""

    folder: str
    picture: str
    sound: str
    shared: frozenset[str] = frozenset()
    """The one of them, if any, that stays because others need it, too: `_default.*`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All files of one key in one folder: either a pair that is ready, or a reason why not."""

    folder: str
    key: str
    names: tuple[str, ...]
    why: Why | None
    pair: Pair | None = None
    lone: str | None = None
    """The one complete file that waits for its partner."""


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The `_default.*` files of one folder."""

    pictures: Sequence[Candidate] = ()
    sounds: Sequence[Candidate] = ()


def why_of(hindrances: Iterable[Hindrance | None]) -> Why:
    """Say in one word why these files have not settled: what somebody should know, if there is such."""
    found = set(hindrances)
    return next((why for hindrance, why in _WHY_OF.items() if hindrance in found), Why.ARRIVING)


def group(candidates: Iterable[Candidate]) -> list[Group]:
    """Sort the files of an inbox into groups; a pair is ready only when both have settled and nobody else is there.

    A lone file whose folder holds a `_default` of the other kind makes a pair with it, each lone file one.
    """
    members: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        members.setdefault((candidate.folder, candidate.key), []).append(candidate)
    defaults = {folder: _defaults(found) for (folder, key), found in members.items() if key == DEFAULT_KEY}
    nobody = _Defaults()
    return [_judge(folder, key, found, defaults.get(folder, nobody)) for (folder, key), found in members.items()]


def _judge(folder: str, key: str, found: list[Candidate], defaults: _Defaults) -> Group:
    if len(found) == 1:
        names: tuple[str, ...] = (found[0].name,)
    else:
        names = tuple(sorted(candidate.name for candidate in found))
    sounds = [candidate for candidate in found if candidate.is_sound]
    pictures = [candidate for candidate in found if not candidate.is_sound]
    if len(sounds) > 1 or len(pictures) > 1:
        return Group(folder=folder, key=key, names=names, why=Why.AMBIGUOUS)
    if not all(candidate.is_settled for candidate in found):
        return Group(folder=folder, key=key, names=names, why=_why(found))
    if key == DEFAULT_KEY:
        return Group(folder=folder, key=key, names=names, why=Why.DEFAULT)
    if sounds and pictures:
        pair = Pair(folder=folder, picture=pictures[0].name, sound=sounds[0].name)
        return Group(folder=folder, key=key, names=names, why=None, pair=pair)
    return _judge_lone(key, found[0], defaults.pictures if sounds else defaults.sounds)


def _judge_lone(key: str, lone: Candidate, partners: Sequence[Candidate]) -> Group:
    folder, names = lone.folder, (lone.name,)
    if not partners:
        return Group(folder=folder, key=key, names=names, why=Why.PARTNER, lone=lone.name)
    partner = partners[0]
    if len(partners) > 1:
        return Group(folder=folder, key=key, names=names, why=Why.AMBIGUOUS)
    if not partner.is_settled:
        return Group(folder=folder, key=key, names=names, why=_why(partners))
    picture, sound = (partner.name, lone.name) if lone.is_sound else (lone.name, partner.name)
    pair = Pair(folder=folder, picture=picture, sound=sound, shared=frozenset({partner.name}))
    return Group(folder=folder, key=key, names=names, why=None, pair=pair)


def _defaults(found: list[Candidate]) -> _Defaults:
    return _Defaults(
        pictures=[candidate for candidate in found if not candidate.is_sound],
        sounds=[candidate for candidate in found if candidate.is_sound],
    )


def _why(found: Iterable[Candidate]) -> Why:
    return why_of(candidate.hindrance for candidate in found if not candidate.is_settled)
