"""What a person wants made: from files, folders or a manifest on this machine to one list of films."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.manifests.expansion import expand
from heygemd.intake.manifests.formats import kind_of_manifest, stem_of_manifest
from heygemd.intake.manifests.model import NO_CHOICE, Manifest, ManifestLimits
from heygemd.intake.manifests.reading import read_manifest
from heygemd.intake.names import Kind
from heygemd.intake.pairing import Candidate, Why, group
from heygemd.intake.smallfile import read_small
from heygemd.jobs.batch import Row
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions, SilenceRule
from heygemd.naming import NAME_MAX_BYTES, cut, printable

MOST_TOLD = 10
"""Rows of a manifest that are told with their mistakes."""
_FILM_SUFFIX = ".mp4"
_NAME_BYTES = NAME_MAX_BYTES - len(".mp4.json") - len(".v99999")
_ONE = RenderOptions(
    engine=EngineName.ATLAS, length=LengthPolicy.AUTO, silence=SilenceRule.CLOSE, audio_offset_ms=0, crf=1,
    preset="fast", face="left", idle_motion=False, detail=False,
)  # fmt: skip
_OTHER = RenderOptions(
    engine=EngineName.WAV2LIP, length=LengthPolicy.LOOP, silence=SilenceRule.SOURCE, audio_offset_ms=1, crf=2,
    preset="slow", face="right", idle_motion=True, detail=True,
)  # fmt: skip
"""Two sets that differ in every field: laid under the same manifest, they show what it says itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One film."""

    video: Path
    audio: Path
    output: str
    """Below the folder of the outbox, with suffix."""
    options: OptionChoice = NO_CHOICE
    priority: int | None = None
    row_id: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    """By role, as a manifest declares it."""
    size: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Films that are ordered together."""

    name: str
    """Of the manifest to be written, without suffix."""
    is_named: bool
    """The name was chosen by a person, and is kept; else it gets something to tell it from others."""
    wishes: tuple[Wish, ...]
    strict: bool = False
    bundle: bool = False
    warnings: tuple[str, ...] = ()
    """What was left out, and why."""


def of_pairs(
    files: Sequence[Path], *, name: str | None = None, options: OptionChoice, priority: int | None = None
) -> Order:
    """Order films of pictures and sounds given in turn; raises InputError E101 or E103.

    `name`: of the film when there is one pair, else of the order.
    """
    if not files or len(files) % 2:
        raise InputError("E103", "give a picture and a sound for each film: VIDEO AUDIO [VIDEO AUDIO …]")
    pairs = list(zip(files[::2], files[1::2], strict=True))
    for video, audio in pairs:
        if names.kind_of(video.name) is Kind.AUDIO and names.kind_of(audio.name) not in (None, Kind.AUDIO):
            raise InputError("E103", f"{video.name} is a sound and {audio.name} a picture: give the picture first")
    films = [(video, audio, "", film_name(names.stem_of(audio.name))) for video, audio in pairs]
    if len(films) == 1 and name:
        films = [(*pairs[0], "", film_name(name))]
    first = clean_name(name or films[0][3])
    wishes = _wishes(films, options, priority)
    return Order(name=first, is_named=False, wishes=wishes)


def of_folders(
    folders: Sequence[Path], *, name: str | None = None, options: OptionChoice, priority: int | None = None
) -> Order:
    """Order the pairs in folders and those below them, as an inbox would pair them; raises InputError E102 or E103.

    Sub-folders are mirrored in the outbox. Files that make no pair are told, and left where they are.
    """
    films: list[tuple[Path, Path, str, str]] = []
    warnings: list[str] = []
    for top in folders:
        for found in group(_candidates(top)):
            place = top / found.folder
            if found.pair is not None:
                pair = found.pair
                named_by = pair.picture if pair.sound in pair.shared else pair.sound
                stem = film_name(names.stem_of(named_by))
                films.append((place / pair.picture, place / pair.sound, found.folder, stem))
            elif found.why is not None and found.why is not Why.DEFAULT:  # that belongs to whom it serves
                warnings.append(f"{place}/{' '.join(found.names)}: {found.why.value}")
    if not films:
        raise InputError("E102", "no picture and sound of the same name are there: " + ("; ".join(warnings) or "empty"))
    films.sort(key=lambda film: (film[2], film[3]))
    wishes = _wishes(films, options, priority)
    return Order(
        name=clean_name(name or folders[0].absolute().name or "films"), is_named=False, wishes=wishes,
        warnings=tuple(warnings),
    )  # fmt: skip


def of_manifest(file: Path, limits: ManifestLimits) -> Order:
    """Order what a manifest on this machine says, patterns resolved now; raises InputError E120 to E129.

    One row that cannot be used, and nothing is ordered: here a person looks on who can mend it.
    """
    name = file.name if kind_of_manifest(file.name) else f"{file.stem}.heygem{file.suffix}"
    try:
        manifest = read_manifest(read_small(file, limits.max_bytes), name, limits)
    except ValueError as error:
        raise InputError("E120", str(error)) from error
    stem, files = stem_of_manifest(name), _files_below(file.parent)
    one, other = (
        expand(manifest, stem=stem, folder="", files=files, options=options, priority=priority)
        for options, priority in ((_ONE, 0), (_OTHER, 1))
    )
    _refuse_bad(one)
    wishes = tuple(_wish(row, twin, file.parent) for row, twin in zip(one, other, strict=True))
    return _order_of(manifest, stem, wishes)


def clean_name(name: str) -> str:
    """Return a name that a manifest may name and every share can hold; a good one comes back unchanged."""
    return _clean(name, r"/\*?[]:")


def film_name(name: str) -> str:
    """Return what `output` may call a film, without suffix; what Windows cannot hold is the outbox's to write."""
    return _clean(name, "/\\")


def _clean(name: str, forbidden: str) -> str:
    text = "".join("_" if char in forbidden else char for char in printable(name)).strip()
    if text.startswith((".", "~")):
        text = "_" + text[1:]
    if not text.replace(".", "").replace("_", "").strip():
        text = "film"
    return cut(text, _NAME_BYTES)


def _wishes(
    films: Sequence[tuple[Path, Path, str, str]], options: OptionChoice, priority: int | None
) -> tuple[Wish, ...]:
    """Name the films after their sounds; those that would be called the same are told apart by their pictures."""
    uses = Counter(f"{folder}/{stem}".casefold() for _, _, folder, stem in films)
    taken: Counter[str] = Counter()
    wishes = []
    for video, audio, folder, stem in films:
        twin = film_name(f"{stem}-{names.stem_of(video.name)}") if uses[f"{folder}/{stem}".casefold()] > 1 else stem
        output = "/".join(part for part in (*map(film_name, filter(None, folder.split("/"))), twin) if part)
        taken[output.casefold()] += 1
        again = taken[output.casefold()]
        number = f"-{again}" if again > 1 else ""
        wishes.append(
            Wish(video=video, audio=audio, output=output + number + _FILM_SUFFIX, options=options, priority=priority)
        )
    return tuple(wishes)


def _candidates(top: Path) -> Iterator[Candidate]:
    for place in sorted(_files_below(top)):
        folder, _, name = place.rpartition("/")
        kind = names.kind_of(name)
        if kind is not None:
            yield Candidate(folder=folder, name=name, key=names.key_of(name), kind=kind, is_settled=True)


def _files_below(top: Path) -> list[str]:
    """List the media files of a folder and of those below it, as `/`-paths; what an inbox ignores is not there."""
    found: list[str] = []
    for folder, inner, files in os.walk(top):
        inner[:] = sorted(name for name in inner if not names.is_ignored(name))
        below = Path(folder).relative_to(top).as_posix()
        found.extend(
            name if below == "." else f"{below}/{name}"
            for name in files
            if names.kind_of(name) is not None and not names.is_ignored(name) and not names.is_blank(name)
        )
    return found


def _refuse_bad(rows: tuple[Row, ...]) -> None:
    bad = [(row, row.error) for row in rows if row.error is not None]
    if not bad:
        return
    told = "; ".join(
        f"line {error.line or row.line}: {error.code} {error.message}" for row, error in bad[:MOST_TOLD]
    )  # fmt: skip
    more = f"; and {len(bad) - MOST_TOLD} more" if len(bad) > MOST_TOLD else ""
    first = bad[0][1]
    raise InputError(first.code, f"{len(bad)} of {len(rows)} rows cannot be used: {told}{more}")


def _wish(row: Row, twin: Row, base: Path) -> Wish:
    """Turn a row into a wish; what it says itself is what is the same over other options."""
    if row.video is None or row.audio is None:
        raise AssertionError("a row without error has both files")
    said = {
        one.name: getattr(row.options, one.name)
        for one in dataclasses.fields(RenderOptions)
        if getattr(row.options, one.name) == getattr(twin.options, one.name)
    }
    members = {"video": row.video, "audio": row.audio}
    return Wish(
        video=base / row.video.path,
        audio=base / row.audio.path,
        output="/".join(part for part in (row.film_folder, row.film_name) if part) + _FILM_SUFFIX,
        options=OptionChoice(**said),
        priority=row.priority if row.priority == twin.priority else None,
        row_id=row.row_id.replace("/", "-") if row.row_id else None,
        sha256={role: member.sha256 for role, member in members.items() if member.sha256},
        size={role: member.size_bytes for role, member in members.items() if member.size_bytes},
    )


def _order_of(manifest: Manifest, stem: str, wishes: tuple[Wish, ...]) -> Order:
    return Order(name=stem, is_named=True, wishes=wishes, strict=manifest.strict, bundle=manifest.bundle)
