"""The drop protocol as a few pure functions: what may still lie in an inbox when everything is at rest, and the names
of films. Written from docs/drop-protocol.md and not from the code that it judges.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

PICTURE, SOUND = "picture", "sound"
SUFFIXES = {"mp4": PICTURE, "mov": PICTURE, "wav": SOUND, "ogg": SOUND}
MANIFEST = ".heygem.json"
DEFAULT = "_default"

Place = tuple[str, str]
"""Folder below the inbox, and name."""


def stem_of(name: str) -> str:
    return name.rpartition(".")[0] or name


def kind_of(name: str) -> str | None:
    return None if is_ignored(name) else SUFFIXES.get(name.rpartition(".")[2].casefold())


def key_of(name: str) -> str:
    """Case, accents' encoding, and blanks and dots at the end make no difference."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem_of(name)).casefold()).rstrip(" .")


def is_ignored(name: str) -> bool:
    return name.startswith((".", "~")) or name.endswith((".part", ".tmp"))


def is_manifest(name: str) -> bool:
    return not is_ignored(name) and name.endswith(MANIFEST)


def join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a manifest as people wrote it."""

    video: str
    audio: str
    row_id: str | None = None
    output: str | None = None

    @property
    def leads_out(self) -> bool:
        return any(".." in path for path in (self.video, self.audio, self.output or ""))


@dataclass(frozen=True)
class GoodRow:
    """A row that can be made: where its files lie, and where its film goes."""

    number: int
    members: tuple[Place, Place]
    film: Place
    row_id: str | None

    def is_like(self, earlier: "GoodRow") -> bool:
        """An earlier row has this film or this id already."""
        return earlier.film == self.film or (self.row_id is not None and earlier.row_id == self.row_id)


def manifest_text(rows: Collection[Row], *, strict: bool, bundle: bool) -> str:
    told = []
    for row in rows:
        one = {"video": row.video, "audio": row.audio, "id": row.row_id, "output": row.output}
        told.append({key: value for key, value in one.items() if value is not None})
    return json.dumps({"heygem": 1, "strict": strict, "bundle": bundle, "jobs": told})


def good_rows(text: str, folder: str, stem: str) -> list[GoodRow]:
    """Read a manifest that lies in `folder`: bad rows are left out, of a strict one all if one is bad."""
    told = json.loads(text)
    rows = [
        Row(video=one["video"], audio=one["audio"], row_id=one.get("id"), output=one.get("output"))
        for one in told["jobs"]
    ]
    uses = Counter(key_of(row.audio.rpartition("/")[2]) for row in rows if ".." not in row.audio)
    readable = [
        GoodRow(
            number,
            (_place(folder, row.video), _place(folder, row.audio)),
            _film_of(row, folder, stem, uses),
            row.row_id,
        )
        for number, row in enumerate(rows, 1)
        if not row.leads_out
    ]
    good = [row for index, row in enumerate(readable) if not any(row.is_like(one) for one in readable[:index])]
    return [] if told["strict"] and len(good) < len(rows) else good


def _film_of(row: Row, folder: str, stem: str, uses: Mapping[str, int]) -> Place:
    if row.output:
        return _place(folder, stem_of(row.output) if row.output.endswith(".mp4") else row.output)
    name = stem_of(row.audio.rpartition("/")[2])
    if row.row_id:
        name = row.row_id
    elif uses[key_of(row.audio.rpartition("/")[2])] > 1:
        name = f"{name}-{stem_of(row.video.rpartition('/')[2])}"
    return join(folder, stem), name


def _place(folder: str, path: str) -> Place:
    above, _, name = path.rpartition("/")
    return join(folder, above), name


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """What lies in an inbox at rest."""

    files: Mapping[Place, str]
    """With the sha256 of each."""
    tickets: Collection[str] = ()
    """Folders with an `error.json` of ours."""
    held: Collection[Place] = ()
    """Files that are open for writing, or empty: they do not count as there yet."""
    reserved: Collection[Place] = ()
    """Files that open manifests name."""
    tops: frozenset[str] = field(init=False)
    """Job folders that lie in no other one."""

    def __post_init__(self) -> None:
        with_manifest = {folder for folder, name in self.files if is_manifest(name)}
        found = {
            above
            for folder, _ in self.files
            for above in _ways(folder)
            if (above.casefold().endswith(".job") or above in self.tickets) and above not in with_manifest
        }
        outer = frozenset(top for top in found if not any(above in found for above in _ways(top) if above != top))
        object.__setattr__(self, "tops", outer)

    def claimable(self) -> list[tuple[Place, ...]]:
        """What must not be there any more."""
        found = [tuple(self._media(top)) for top in self.tops if self._verdict(self._media(top)) == "whole"]
        found += [(place,) for place in self.files if is_manifest(place[1])]
        for (folder, key), group in self._groups().items():
            partners = self._defaults(folder, group)
            verdict = self._verdict(group)
            if key == DEFAULT or verdict in ("ambiguous", "held"):
                continue
            if verdict == "whole":
                found.append(tuple(group))
            elif len(partners) == 1 and partners[0] not in self.held:
                found.append((*group, *partners))
        return found

    def leavable(self, *, is_late: bool) -> set[Place]:
        """What a look may take away, also what has waited for a day if `is_late`: all else stays where it is."""
        found = {place for group in (*self.claimable(), *(self.lone() if is_late else ())) for place in group}
        stay = {place for place in found if place[0] not in self.tops and key_of(place[1]) == DEFAULT}
        whole = {top for top in self.tops if found.intersection(self._media(top))}
        found |= {place for place in self.files if any(above in whole for above in _ways(place[0]))}
        return found - stay

    def lone(self) -> list[tuple[Place, ...]]:
        """What is given up after a day."""
        found = [tuple(self._media(top)) for top in self.tops if self._verdict(self._media(top)) == "lone"]
        for (folder, key), group in self._groups().items():
            if key != DEFAULT and self._verdict(group) == "lone" and not self._defaults(folder, group):
                found.append(tuple(group))
        return found

    def _verdict(self, group: Collection[Place]) -> str:
        kinds = Counter(kind_of(name) for _, name in group)
        is_top = any(folder in self.tops for folder, _ in group)
        if (kinds[PICTURE] > 1 and kinds[SOUND] > 1) or (not is_top and max(kinds.values(), default=0) > 1):
            return "ambiguous"
        if any(place in self.held for place in group):
            return "held"
        if not group:
            return "empty"
        return "whole" if kinds[PICTURE] and kinds[SOUND] else "lone"

    def _media(self, folder: str) -> list[Place]:
        return sorted(place for place in self.files if place[0] == folder and kind_of(place[1]))

    def _groups(self) -> dict[tuple[str, str], list[Place]]:
        """The loose files by folder and key."""
        groups: dict[tuple[str, str], list[Place]] = {}
        for place in sorted(self.files):
            is_inside = any(above in self.tops for above in _ways(place[0]))
            if kind_of(place[1]) and not is_inside and place not in self.reserved:
                groups.setdefault((place[0], key_of(place[1])), []).append(place)
        return groups

    def _defaults(self, folder: str, group: Collection[Place]) -> list[Place]:
        kinds = {kind_of(name) for _, name in group}
        return [place for place in self._groups().get((folder, DEFAULT), []) if kind_of(place[1]) not in kinds]


def _ways(folder: str) -> Iterator[str]:
    """Yield a folder and those above it, without the inbox itself."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
