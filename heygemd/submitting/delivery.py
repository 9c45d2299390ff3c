"""Brings an order into an inbox: everything or nothing, and no file before the manifest that speaks for it.

    copies ─▶ <folder>/.heygemd-submit-<random>/     hidden: no look of the daemon sees them
    manifest renamed to its name                     it reserves its files, and holds back the pairs of its folder
    files renamed to their names                     each row is claimed once, with its options

The manifest comes first: a picture and a sound of one name that lie there before it would be taken for a pair. It
declares size and sha256 of every copy, so the daemon need not wait for them to be quiet. Between the first rename and
the last, only a kill or a power cut can come; the rows then wait for their files, and are failed with E102 after a
day. What a kill leaves in the hidden folder may be deleted.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from heygemd.errors import InputError, ResourceError
from heygemd.intake.manifests.model import ManifestLimits
from heygemd.intake.reserve import Reserve
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.submitting import staging
from heygemd.submitting.inputs import InputLook
from heygemd.submitting.order import Order
from heygemd.submitting.writing import (
    MANIFEST_SUFFIX,
    Target,
    free_names,
    free_stem,
    judge,
    manifest_of,
    place_in_inbox,
)

_OTHERS_READ = 0o004


class Way(StrEnum):
    """How a file comes into the inbox."""

    COPY = "copy"
    LINK = "link"
    """A hard link where that can be, else a copy."""
    MOVE = "move"
    """A rename where that can be, else a copy whose original is deleted at the end."""
    THERE = "there"
    """Not at all: it lies in the inbox already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of the order, as it lies in the inbox now."""

    source: Path
    name: str
    """Below the folder of the manifest."""
    way: Way
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What has been brought."""

    manifest: Path
    stem: str
    """Name of the batch that the daemon makes of it."""
    members: tuple[Member, ...]
    left: tuple[Path, ...] = ()
    """Originals that were to be moved, but could only be copied and not be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an inbox asks of those who bring something."""

    limits: ManifestLimits
    reserve_bytes: int
    """Stays free on the share."""
    needs_commit: bool = False
    """The folder takes only what was committed, so a marker is put beside the manifest."""


def deliver(
    order: Order,
    looks: dict[Path, InputLook],
    target: Target,
    rules: Rules,
    *,
    way: Way = Way.COPY,
    on_copy: Callable[[int], None] = lambda count: None,
) -> Delivered:
    """Bring the files of an order into the inbox, and a manifest that says what is to be made of them.

    `on_copy` is told the bytes of each piece that was copied. Raises InputError, ResourceError E201 or E202; then,
    and when it is interrupted, everything is as it was.
    """
    with (
        disks.share_faults(target.path),
        staging.folders_made(target.root.inbox, target.parts),
        disks.open_folder(target.root.inbox, *target.parts, follow=True) as fd,
    ):
        load = _load(order, looks, target, way, fd)
        _need_room(order, looks, load, rules)
        with staging.hidden_folder(fd) as stage:
            _bring(load, fd, stage, on_copy)
            manifest = load.stem + MANIFEST_SUFFIX
            disks.write_new(disks.DISK, stage, manifest, _manifest(order, looks, load, rules))
            staging.own(stage, manifest, fd)
            moves = {load.names[path]: path for path, how in load.ways.items() if how is Way.MOVE}
            staged = [load.names[path] for path, how in load.ways.items() if how in (Way.COPY, Way.LINK)]
            with staging.undisturbed():
                staging.commit(fd, stage, manifest, staged=staged, moves=moves, needs_commit=rules.needs_commit)
    left = tuple(path for path in load.sums if not _delete(path)) if way is Way.MOVE else ()
    return Delivered(manifest=target.path / manifest, stem=load.stem, members=load.members(), left=left)


@dataclass(slots=True, kw_only=True)
class _Load:
    """What is brought, by the path of each file."""

    target: Target
    stem: str
    looks: dict[Path, InputLook]
    names: dict[Path, str]
    ways: dict[Path, Way]
    sums: dict[Path, str] = field(default_factory=dict)
    """Of what was copied."""

    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(source=path, name=self.names[path], way=self.ways[path], size_bytes=look.size_bytes)
            for path, look in self.looks.items()
        )


def _load(order: Order, looks: dict[Path, InputLook], target: Target, way: Way, fd: int) -> _Load:
    """Give every file its name and its way, each once however often it is named."""
    listed = disks.names_in(fd)
    by_path = {look.path: look for look in looks.values()}
    above = f"{target.folder}/" if target.folder else ""
    there = {path: place for path in by_path if (place := place_in_inbox(target.root, path)) is not None}
    brought = [look for path, look in by_path.items() if path not in there]
    return _Load(
        target=target,
        stem=free_stem(order, listed),
        looks=by_path,
        names={path: place.removeprefix(above) for path, place in there.items()} | free_names(brought, listed),
        ways=dict.fromkeys(there, Way.THERE) | {look.path: _way_of(look, way, fd) for look in brought},
    )


def _way_of(look: InputLook, way: Way, fd: int) -> Way:
    """Return how one file comes in: linked and renamed is only what lies on the same file system and can be read."""
    folder = os.fstat(fd)
    if way is Way.COPY or look.device != folder.st_dev:
        return Way.COPY
    status = look.path.stat()
    if way is Way.LINK:
        is_readable = bool(status.st_mode & _OTHERS_READ) or status.st_uid == folder.st_uid
        return Way.LINK if is_readable else Way.COPY
    is_ours = os.geteuid() in (0, status.st_uid) and os.access(look.path.parent, os.W_OK | os.X_OK)
    return Way.MOVE if is_ours else Way.COPY


def _need_room(order: Order, looks: dict[Path, InputLook], load: _Load, rules: Rules) -> None:
    """Raise ResourceError E202 unless the copies fit, and the daemon could then still claim the largest film."""
    copied_bytes = sum(load.looks[path].size_bytes for path, way in load.ways.items() if way is Way.COPY)
    largest = max(looks[wish.video].size_bytes + looks[wish.audio].size_bytes for wish in order.wishes)
    reserve = Reserve(load.target.root.inbox, None, rules.reserve_bytes)
    if (shortage := reserve.shortage(copied_bytes + largest)) is not None:
        raise ResourceError("E202", shortage)


def _bring(load: _Load, fd: int, stage: int, on_copy: Callable[[int], None]) -> None:
    """Copy and link into the hidden folder; what is moved stays where it is until the end."""
    for path, look in load.looks.items():
        if load.ways[path] is Way.LINK and not staging.link(look, stage, load.names[path]):
            load.ways[path] = Way.COPY
        if load.ways[path] is Way.COPY:
            load.sums[path] = staging.copy(look, stage, load.names[path], like_fd=fd, on_copy=on_copy)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _manifest(order: Order, looks: dict[Path, InputLook], load: _Load, rules: Rules) -> bytes:
    """Return the manifest when the daemon could use every row of it."""
    for wish in order.wishes:
        for role, path in (("video", wish.video), ("audio", wish.audio)):
            found, declared = load.sums.get(looks[path].path), wish.sha256.get(role)
            if found is not None and declared not in (None, found):
                raise InputError("E112", f"{printable(path.name)} has the sha256 {found}, not the declared one")
    text = manifest_of(
        order,
        {path: load.names[look.path] for path, look in looks.items()},
        {path: load.sums[look.path] for path, look in looks.items() if look.path in load.sums},
        {path: look.size_bytes for path, look in looks.items() if load.ways[look.path] is not Way.THERE},
    )
    judge(text, load.stem + MANIFEST_SUFFIX, load.target, load.names.values(), rules.limits)
    return text
