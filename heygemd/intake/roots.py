"""Make a root, open it, and tell whether it is still there.

The sentinel `.heygemd/root.json` is what tells a root from the empty folder that an unmounted share leaves behind;
without it nothing is ever inferred from what a folder holds or lacks.
"""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from heygemd.errors import ResourceError, SetupError
from heygemd.intake.disk import Disk
from heygemd.intake.writers import OPEN_FLAGS
from heygemd.jobs.roots import PROTOCOL, Root, uuid_told

_MAX_SENTINEL_BYTES = 4096
_TOLERATED = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir", "#recycle"})
"""What a fresh disk or a NAS puts into an empty folder; names with a leading dot are tolerated too."""


def init_root(path: Path) -> Root:
    """Make `path` a root: folders first, the sentinel last. Repeating it changes nothing.

    Raises SetupError E401 when the folder holds anything foreign: a root is a folder of its own.
    """
    place = path.absolute()
    _refuse_unspeakable(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        place = place.resolve()
        uuid = read_uuid(Root(place, ""))
        if uuid is None:
            _refuse_foreign(place)
        root = Root(place, uuid or str(uuid4()))
        _make_folders(root)
        if uuid is None:
            sentinel = {"uuid": root.uuid, "protocol": PROTOCOL}
            Disk().write_whole(root.sentinel, (json.dumps(sentinel) + "\n").encode())
    except OSError as error:
        raise SetupError("E401", f"{place} cannot be made a root: {error.strerror or error}") from error
    return root


def open_root(path: Path) -> Root:
    """Open a root that `init_root` made, and make folders anew that went missing; raises SetupError E401."""
    place = path.absolute()
    _refuse_unspeakable(place)
    try:
        place = place.resolve()
        uuid = read_uuid(Root(place, ""))
        if uuid is None:
            hint = f"heygemd init-root {place}" if place.is_dir() else "mount it, or create it with heygemd init-root"
            raise SetupError("E401", f"{place} is no heygemd root (it has no .heygemd/root.json): {hint}")
        root = Root(place, uuid)
        _make_folders(root)
        _refuse_loops(root)
    except OSError as error:
        raise SetupError("E401", f"the root {place} cannot be used: {error.strerror or error}") from error
    return root


def open_roots(paths: Sequence[Path]) -> tuple[Root, ...]:
    """Open every root; raises SetupError E401 also when one lies inside another or two are the same."""
    roots = tuple(open_root(path) for path in paths)
    refuse_nested(roots)
    return roots


def open_present(paths: Sequence[Path]) -> tuple[tuple[Root, ...], tuple[Path, ...]]:
    """Open every root that is there, and return those that may be mounted later; raises SetupError E401 as before.

    A folder without a sentinel is taken for a mount point, and so is one that cannot be reached at all.
    """
    present: list[Root] = []
    absent: list[Path] = []
    for path in paths:
        place = path.absolute()
        _refuse_unspeakable(place)
        try:
            is_there = read_uuid(Root(place, "")) is not None
        except OSError:
            is_there = False
        if is_there:
            present.append(open_root(path))
        else:
            absent.append(place)
    refuse_nested(present)
    return tuple(present), tuple(absent)


def refuse_nested(roots: Sequence[Root]) -> None:
    """Raise SetupError E401 when a root lies inside another (films would become inputs), or two share one sentinel."""
    for index, one in enumerate(roots):
        for other in roots[index + 1 :]:
            if one.path.is_relative_to(other.path) or other.path.is_relative_to(one.path):
                raise SetupError(
                    "E401", f"the roots {one.path} and {other.path} are the same or lie inside one another"
                )
            if one.uuid == other.uuid:
                raise SetupError(
                    "E401",
                    f"the roots {one.path} and {other.path} carry the same uuid: one folder mounted twice, or a copy; "
                    "delete .heygemd in a copy and run heygemd init-root",
                )


def check_online(root: Root) -> int:
    """Return the device number of a root that is there; raises ResourceError E201 when it is not, or is another one.

    Inbox, processing and .heygemd must lie on the root's own file system: a claim is a rename between them.
    """
    try:
        device = root.path.stat().st_dev
        uuid = read_uuid(root)
        if uuid is None:
            raise ResourceError("E201", f"{root.path} has no sentinel: the share is not mounted there")
        if uuid != root.uuid:
            raise ResourceError("E201", f"{root.path} is another root (uuid {uuid} instead of {root.uuid})")
        for folder in (root.inbox, root.processing, root.private):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise ResourceError("E201", f"{folder} is not a folder")
            if found.st_dev != device:
                raise ResourceError("E201", f"{folder} lies on another file system than {root.path}")
    except SetupError as error:
        raise ResourceError("E201", error.message) from error
    except OSError as error:
        raise ResourceError("E201", f"{root.path} cannot be reached: {error.strerror or error}") from error
    return device


def _refuse_loops(root: Root) -> None:
    """Raise SetupError E401 when what we write would come back as input."""
    inbox = root.inbox.resolve()
    for folder in (root.outbox, root.done, root.failed, root.processing, root.status):
        if folder.resolve().is_relative_to(inbox):
            raise SetupError("E401", f"{folder} leads into the inbox: results would become inputs")


def _make_folders(root: Root) -> None:
    for folder in (root.inbox, root.outbox, root.processing, root.failed, root.done, root.status, root.private):
        folder.mkdir(exist_ok=True)
    for folder in (root.claims, root.batches, root.shared, root.private / "tmp"):
        folder.mkdir(exist_ok=True, mode=0o700)
    for folder in (root.private, root.path):
        Disk().sync_folder(folder)


def read_uuid(root: Root) -> str | None:
    """Return the uuid of the sentinel, None when there is none; raises SetupError E401 when it cannot be understood."""
    try:
        number = os.open(root.sentinel, OPEN_FLAGS)
    except FileNotFoundError:
        return None
    with os.fdopen(number, "rb") as file:
        text = file.read(_MAX_SENTINEL_BYTES)
    try:
        return uuid_told(text)
    except ValueError as error:
        raise SetupError("E401", f"{root.sentinel} is damaged, or was made by a newer heygemd") from error


def _refuse_foreign(place: Path) -> None:
    names = Root(place, "")
    ours = {
        folder.name for folder in (names.inbox, names.outbox, names.processing, names.failed, names.done, names.status)
    }
    foreign = sorted(
        entry.name
        for entry in os.scandir(place)
        if not entry.name.startswith(".") and entry.name not in _TOLERATED
        and not (entry.name in ours and entry.is_dir(follow_symlinks=False))
    )  # fmt: skip
    if foreign:
        raise SetupError(
            "E401", f"{place} holds other things ({foreign[0]!r}): choose an empty or a new folder for a root"
        )


def _refuse_unspeakable(place: Path) -> None:
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        raise SetupError("E401", f"the path {str(place)!r} of a root must be UTF-8") from error
