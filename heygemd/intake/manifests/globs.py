"""Which of the files below an inbox does a manifest mean? By exact name, by nearly the same name, or by pattern. Pure.

Patterns know `*`, `?` and `[…]` within a part, and `**` for any number of folders. Case and normal form make no
difference, because a share may have changed them: macOS writes NFD, and Windows does not care.
"""

import fnmatch
import glob
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from heygemd.intake.manifests.paths import fits_role, is_wild

MAX_COMPARISONS = 3_000_000
"""Names compared with patterns, and found, for one manifest: some seconds."""
MAX_COMPILED = 1000
"""Distinct parts like `ep?[0-9]*.wav` in one manifest; those with a single `*` cost nothing and are not counted."""
T = TypeVar("T")
_ANY_FOLDERS = "**"
_SIMPLE = re.compile(r"(?P<head>[^*?\[]*)\*(?P<tail>[^*?\[]*)", re.DOTALL)
_ESCAPED = re.compile(r"\[([*?\[])\]")
_DIGITS = re.compile(r"([0-9]+)")


def folded(path: str) -> str:
    """Return what two ways of writing one path have in common."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def natural(path: str) -> tuple[object, ...]:
    """Return the key of the order in which people count: `ep2.wav` before `ep10.wav`, folder by folder."""
    parts = (tuple(_DIGITS.split(part)) for part in folded(path).split("/"))
    numbers = tuple(tuple((int(run), run) if odd % 2 else (0, run) for odd, run in enumerate(part)) for part in parts)
    return numbers, path


def below(folder: str, path: str) -> str:
    """Return the path relative to the inbox."""
    return f"{folder}/{path}" if folder else path


def pattern_below(folder: str, pattern: str) -> str:
    """Return the pattern relative to the inbox; wild cards in the name of the folder are none."""
    return below(glob.escape(folder), pattern)


def fits(pattern: str, path: str) -> bool:
    """Tell whether a path fits a pattern (both relative to the inbox), or is literally what the pattern says."""
    return bool(Files((path,)).fitting(pattern))


@dataclass(slots=True)
class _Folder:
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    """By folded name."""
    files: dict[str, list[str]] = field(default_factory=dict)
    """Folded name → paths as they are written."""


class Files:
    """All media files below an inbox, as `/`-paths relative to it."""

    def __init__(self, paths: Collection[str]) -> None:
        self._exact = frozenset(paths)
        self._paths = paths
        self._by_fold: dict[str, list[str]] | None = None
        self._root: _Folder | None = None
        self._found: dict[tuple[str, str | None], list[str]] = {}
        self._tests: dict[str, Callable[[str], bool]] = {}
        self._compiled = 0
        self._left = MAX_COMPARISONS

    def named(self, path: str) -> str | None:
        """Return the file as the share writes it: exactly `path`, or the only one that differs in case or form."""
        if path in self._exact:
            return path
        if self._by_fold is None:
            self._by_fold = {}
            for known in self._paths:
                self._by_fold.setdefault(folded(known), []).append(known)
        found = self._by_fold.get(folded(path), ())
        return found[0] if len(found) == 1 else None

    def fitting(self, pattern: str, role: str | None = None) -> list[str]:
        """Return the files that fit, in no order; a file whose name is what the pattern says comes alone.

        With a role (`video` or `audio`), only those whose suffix is one of it.

        Nothing, and `is_exhausted`, when looking for them would cost too much.
        """
        literal = self.named(_ESCAPED.sub(r"\1", pattern))
        if literal is not None:
            return [literal]
        if (pattern, role) not in self._found:
            found = self._fitting(pattern)
            self._found[pattern, role] = [path for path in found if role is None or fits_role(path, role)]
        return [] if self.is_exhausted else self._found[pattern, role]

    def _fitting(self, pattern: str) -> list[str]:
        if self._root is None:
            self._root = self._tree()
        parts = folded(pattern).split("/")
        if parts[-1] == _ANY_FOLDERS:
            parts.append("*")
        found = list(dict.fromkeys(self._walk(parts)))
        self._left -= len(found)
        return found

    @property
    def is_exhausted(self) -> bool:
        """Too many names were compared with too many patterns: what is found from now on is not all."""
        return self._left < 0 or self._compiled > MAX_COMPILED

    def _tree(self) -> _Folder:
        root = _Folder()
        for path in self._paths:
            *folders, name = folded(path).split("/")
            folder = root
            for part in folders:
                folder = folder.folders.setdefault(part, _Folder())
            folder.files.setdefault(name, []).append(path)
        return root

    def _walk(self, parts: list[str]) -> Iterator[str]:
        """Yield what fits, part by part; each folder is visited once for each part."""
        assert self._root is not None
        todo = [(self._root, 0)]
        seen: set[tuple[int, int]] = set()
        while todo and not self.is_exhausted:
            folder, index = todo.pop()
            if (id(folder), index) in seen:
                continue
            seen.add((id(folder), index))
            part = parts[index]
            if part == _ANY_FOLDERS:
                self._left -= 1 + len(folder.folders)
                todo.append((folder, index + 1))
                todo.extend((inner, index) for inner in folder.folders.values())
            elif index + 1 < len(parts):
                todo.extend((inner, index + 1) for inner in self._matching(folder.folders, part))
            else:
                for written in self._matching(folder.files, part):
                    yield from written

    def _matching(self, entries: dict[str, T], part: str) -> list[T]:
        if not is_wild(part):
            self._left -= 1
            return [entries[part]] if part in entries else []
        self._left -= 1 + len(entries)
        test = self._tests.get(part)
        if test is None:
            test = self._tests[part] = self._test_of(part)
        return [value for name, value in entries.items() if test(name)]

    def _test_of(self, part: str) -> Callable[[str], bool]:
        simple = _SIMPLE.fullmatch(part)
        if simple:
            return _between(simple["head"], simple["tail"])
        self._compiled += 1
        if self._compiled > MAX_COMPILED:
            return lambda name: False
        match = re.compile(fnmatch.translate(part)).match
        return lambda name: match(name) is not None


def _between(head: str, tail: str) -> Callable[[str], bool]:
    shortest = len(head) + len(tail)
    return lambda name: len(name) >= shortest and name.startswith(head) and name.endswith(tail)
