"""The manifest of an order: under which names its files lie in the inbox, and what is to be made of them."""

import json
import secrets
from base64 import b32encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.folderconfig import read_config
from heygemd.intake.manifests.expansion import expand
from heygemd.intake.manifests.foldertoml import CONFIG_NAME, MAX_CONFIG_BYTES
from heygemd.intake.manifests.formats import kind_of_manifest, stem_of_manifest
from heygemd.intake.manifests.model import ManifestLimits
from heygemd.intake.manifests.paths import check_path
from heygemd.intake.manifests.reading import read_manifest
from heygemd.intake.manifests.tree import FlawError
from heygemd.intake.smallfile import read_small
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import RenderOptions
from heygemd.jobs.roots import Root
from heygemd.naming import cut
from heygemd.submitting.inputs import InputLook
from heygemd.submitting.order import Order, Wish, clean_name

MANIFEST_SUFFIX = ".heygem.json"
_STEM_BYTES = 120
_RANDOM_CHARS = 6
_FOLDED_DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an order goes."""

    root: Root
    folder: str
    """Below the inbox; `` for the top."""

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root.inbox.joinpath(*self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """Folder by folder."""
        return tuple(self.folder.split("/")) if self.folder else ()


def target_of(root: Root, folder: str | None, looks: Collection[InputLook]) -> Target:
    """Return where the manifest goes: the folder asked for, else the one that holds all files of the inbox.

    Raises InputError E126 when that is no folder of an inbox, or files that lie in the inbox are not below it.
    """
    there = [place for look in looks if (place := place_in_inbox(root, look.path)) is not None]
    if folder is None:
        return Target(root=root, folder=_common_folder(there))
    wanted = folder.strip("/")
    try:
        if wanted:
            check_path(wanted, "--folder", None)
    except FlawError as flaw:
        raise InputError(flaw.code, flaw.message) from flaw
    if any(part.casefold().endswith(".job") for part in wanted.split("/")):
        raise InputError("E126", f"--folder {wanted}: a job folder takes no manifests")
    for place in there:
        if wanted and not place.startswith(f"{wanted}/"):
            raise InputError("E126", f"{place} lies in the inbox, but not below --folder {wanted}")
    return Target(root=root, folder=wanted)


def place_in_inbox(root: Root, path: Path) -> str | None:
    """Return where a file lies below the inbox; None when it lies elsewhere."""
    inbox = root.inbox.resolve()
    return path.relative_to(inbox).as_posix() if path.is_relative_to(inbox) else None


def free_stem(order: Order, listed: Collection[str]) -> str:
    """Return the name of the manifest; raises InputError E106 when a person has chosen one that is there already."""
    taken = {stem_of_manifest(name).casefold() for name in listed if kind_of_manifest(name)}
    if order.is_named:
        if order.name.casefold() in taken:
            raise InputError("E106", f"a manifest {order.name} lies in that folder of the inbox already")
        return order.name
    while True:
        noise = b32encode(secrets.token_bytes(5)).decode().lower()[:_RANDOM_CHARS]
        stem = f"{cut(order.name, _STEM_BYTES)}-{noise}"
        if stem not in taken:
            return stem


def free_names(looks: Collection[InputLook], listed: Collection[str]) -> dict[Path, str]:
    """Give each file a name that nothing in the folder has, whatever its case, and that a manifest can name."""
    taken = {name.casefold() for name in listed}
    given: dict[Path, str] = {}
    for look in looks:
        suffix = look.path.name[len(names.stem_of(look.path.name)) :]
        stem = clean_name(names.stem_of(look.path.name))
        if names.key_of(stem + suffix) == names.DEFAULT_KEY:
            stem = _FOLDED_DEFAULT  # a `_default` stays in its folder for ever, as partner of every lone file
        number = 0
        while (name := names.numbered(stem + suffix, number)).casefold() in taken:
            number += 1
        taken.add(name.casefold())
        given[look.path] = name
    return given


def manifest_of(
    order: Order, names_of: Mapping[Path, str], sums: Mapping[Path, str], sizes: Mapping[Path, int]
) -> bytes:
    """Write the manifest; files by the paths of the wishes. Sums and sizes of files are declared where given."""
    head: dict[str, Any] = {"heygem": 1}
    if order.strict:
        head["strict"] = True
    if order.bundle:
        head["bundle"] = True
    head["jobs"] = [_row(wish, names_of, sums, sizes) for wish in order.wishes]
    return (json.dumps(head, ensure_ascii=False, indent=1) + "\n").encode()


def judge(text: bytes, name: str, target: Target, members: Collection[str], limits: ManifestLimits) -> None:
    """Read the manifest as the daemon will; raises InputError E120 to E129 when it could not use every row."""
    manifest = read_manifest(text, name, limits)
    files = ["/".join((*target.parts, member)) for member in members]
    rows = expand(
        manifest, stem=stem_of_manifest(name), folder=target.folder, files=files, options=RenderOptions(), priority=0
    )  # fmt: skip
    for row in rows:
        if row.error is not None:
            raise InputError(row.error.code, f"film {row.number}: {row.error.message}")


def needs_commit(target: Target, by_default: bool) -> bool:
    """Tell whether the folder accepts only what was committed (`require_commit`)."""
    needed, folder = by_default, target.root.inbox
    for part in (None, *target.parts):
        folder = folder if part is None else folder / part
        try:
            config = read_config(read_small(folder / CONFIG_NAME, MAX_CONFIG_BYTES))
        except (OSError, ValueError, InputError):
            continue  # none, or one that cannot be used: what holds above stays in force
        needed = needed if config.require_commit is None else config.require_commit
    return needed


def _row(
    wish: Wish, names_of: Mapping[Path, str], sums: Mapping[Path, str], sizes: Mapping[Path, int]
) -> dict[str, Any]:
    files = {"video": wish.video, "audio": wish.audio}
    row: dict[str, Any] = {"id": wish.row_id} if wish.row_id else {}
    row |= {role: names_of[path] for role, path in files.items()} | {"output": wish.output}
    if wish.priority is not None:
        row["priority"] = wish.priority
    if chosen := _chosen(wish.options):
        row["options"] = chosen
    declared_sums = wish.sha256 | {role: sums[path] for role, path in files.items() if path in sums}
    declared_sizes = wish.size | {role: sizes[path] for role, path in files.items() if path in sizes}
    return (
        row
        | ({"sha256": declared_sums} if declared_sums else {})
        | ({"size": declared_sizes} if declared_sizes else {})
    )


def _chosen(options: OptionChoice) -> dict[str, Any]:
    return {one.name: value for one in fields(options) if (value := getattr(options, one.name)) is not None}


def _common_folder(places: list[str]) -> str:
    folders = [place.split("/")[:-1] for place in places]
    common: list[str] = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common)
