"""Who has said that a file is complete? Renamed from an ignored name, marked with a `.ready` file, or declared.

A sign vouches for a file as it stood when the sign was first seen: what changes afterwards has to be quiet again.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from heygemd.intake import names
from heygemd.intake.filesystems import handle_of
from heygemd.intake.scan import Place, Scan
from heygemd.intake.settle import Commit

_REMEMBERED = 1024
"""Declarations of files that were claimed: some of them come back."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One word about one file; another token: said anew."""

    commit: Commit
    token: tuple[object, ...]
    is_enough: bool = True
    """It was given after the last byte, or can be checked. Else a writer must be out of the question, too: a size is
    declared beforehand, and a client that sets it first makes it true at once."""
    is_old: bool = field(default=False, compare=False)
    """It was there at the look before: it cannot mean a file that has come since."""


@dataclass(frozen=True, slots=True)
class _Declared:
    size_bytes: int | None
    sha256: str | None


class Commits:
    """The signs of one inbox."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = str(inbox)
        self._declared: dict[Place, _Declared] = {}
        self._claimed: dict[Place, _Declared] = {}
        self._markers: dict[tuple[str, str], tuple[object, ...]] = {}
        self._old_tokens: frozenset[tuple[object, ...]] = frozenset()
        self._copies: dict[int, bytes] = {}
        """Files that had an ignored name at the look before and have none now."""
        self._hidden: dict[int, bytes] = {}

    def clear(self) -> None:
        """Forget everything."""
        for known in (self._declared, self._claimed, self._markers, self._copies, self._hidden):
            known.clear()
        self._old_tokens = frozenset()

    def declare(self, place: Place, size_bytes: int | None, sha256: str | None) -> None:
        """Take note of what a manifest says about a file that may not be here yet; to name it is to say nothing."""
        if size_bytes is not None or sha256 is not None:
            self._declared[place] = _Declared(size_bytes, sha256)

    def forget(self, place: Place) -> None:
        """The file was claimed: what was declared of it does not hold for the next of that name."""
        declared = self._declared.pop(place, None)
        if declared is not None:
            self._claimed[place] = declared
            if len(self._claimed) > _REMEMBERED:
                del self._claimed[next(iter(self._claimed))]

    def reinstate(self, place: Place) -> None:
        """The file came back from its claim."""
        declared = self._claimed.pop(place, None)
        if declared is not None:
            self._declared[place] = declared

    def note(self, seen: Scan) -> None:
        """Take in what one look has found."""
        self._copies = {number: handle for number, handle in self._hidden.items() if number not in seen.hidden}
        self._hidden = seen.handles
        self._old_tokens = frozenset(self._markers.values())
        self._markers = {
            (folder, names.key_of(name)): (status.st_ino, status.st_mtime_ns)
            for (folder, name), status in seen.markers.items()
        }

    def sign_of(self, place: Place, status: os.stat_result, known: Sign | None) -> Sign | None:
        """Return what is said about a file now; `known` is what was said about the same inode at the look before."""
        folder, name = place
        if known is None and self._was_copy(place, status.st_ino):
            return Sign(Commit.RENAME, (status.st_ino,))
        if self._markers:
            for key in (names.key_of(name), names.key_of(f"{name}.")):
                if (token := self._markers.get((folder, key))) is not None:
                    return Sign(Commit.MARKER, token, is_old=token in self._old_tokens)
        declared = self._declared.get(place) if self._declared else None
        if declared is not None and declared.size_bytes in (None, status.st_size):
            is_enough = declared.sha256 is not None
            return Sign(Commit.MANIFEST, (declared.size_bytes, declared.sha256), is_enough=is_enough)
        return known if known is not None and known.commit is Commit.RENAME else None

    def _was_copy(self, place: Place, number: int) -> bool:
        """Only the file's handle proves it: the number alone may have been given to another file by now."""
        handle = self._copies.get(number)
        return handle is not None and handle == handle_of(f"{self._inbox}/{place[0]}/{place[1]}")
