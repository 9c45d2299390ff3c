"""Which daemon's store a command means, and the roots that belong to it; nothing is made or changed here.

What the daemon has told in `vitals.json` is preferred to a look at a share, which may hang.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heygemd import places
from heygemd.commands.options import INSTALLED_CONFIG, settings_of
from heygemd.errors import SetupError
from heygemd.intake.roots import read_uuid
from heygemd.jobs.roots import Root
from heygemd.settings import Settings
from heygemd.vitals import Vitals, read_vitals

if TYPE_CHECKING:
    from heygemd.jobs.store import JobStore

STORE_NAME = "jobs.sqlite"
_CANDIDATES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """One daemon, running or not, as seen from a command."""

    settings: Settings
    state_dir: Path
    roots: tuple[Root, ...]
    """Those of the configuration, and those that the daemon serves, whose uuid could be told."""
    chosen: tuple[Root, ...] = ()
    """Those that were named with `--root`."""
    vitals: Vitals | None = None
    """What the daemon has told last; mind `written_at`."""

    @property
    def store(self) -> Path:
        """Where the job store lies."""
        return self.state_dir / STORE_NAME

    @property
    def lock(self) -> Path:
        """Held by the daemon while it runs."""
        return self.state_dir / "lock"

    def root_of(self, uuid: str) -> Root | None:
        """Return the root with this uuid, if it is known."""
        return next((root for root in self.roots if root.uuid == uuid), None)


def find_store(config: Path | None, root: list[Path] | None = None, state_dir: Path | None = None) -> Whereabouts:
    """Find the daemon that is meant; raises SetupError E401 when nothing says which one.

    A root that the configuration serves only narrows what is shown; any other root stands for the daemon that
    somebody has started by hand with it.
    """
    named = tuple(folder.absolute() for folder in root or ())
    settings = settings_of(config, None, state_dir)
    is_placed = settings.state_dir is not None or bool(settings.roots) or "STATE_DIRECTORY" in os.environ
    if named and state_dir is None and not (is_placed and _serves(settings, named)):
        settings = settings_of(config, list(named), None)
    if settings.state_dir is None and not settings.roots and "STATE_DIRECTORY" not in os.environ:
        raise SetupError("E401", _what_to_give())
    sighted: tuple[Root, ...] = ()
    if settings.state_dir is None and "STATE_DIRECTORY" not in os.environ:
        sighted = (need_root(settings.roots[0]),)
    place = places.state_dir(settings, sighted)
    vitals = read_vitals(place)
    told = {Path(one.path): one.uuid for one in vitals.roots if one.uuid} if vitals is not None else {}
    known = {one.path: one for one in (*sighted, *(Root(path, uuid) for path, uuid in told.items()))}
    for path in (*settings.roots, *named):
        if path.absolute() not in known and (found := find_root(path)) is not None:
            known[found.path] = found
    chosen = tuple(known.get(path) or known.get(path.resolve()) or need_root(path) for path in named)
    return Whereabouts(settings=settings, state_dir=place, roots=tuple(known.values()), chosen=chosen, vitals=vitals)


def opened(where: Whereabouts) -> "JobStore":
    """Open the store for reading, beside a daemon or without one; raises SetupError E401, E407, ResourceError E202."""
    from heygemd.jobs.store import JobStore  # noqa: PLC0415

    return JobStore.open_readonly(where.store)


def find_root(path: Path) -> Root | None:
    """Look whether a root is there, without touching it; None when it is not, or is not for this user to read."""
    try:
        place = path.absolute().resolve()
        uuid = read_uuid(Root(place, ""))
    except (OSError, ValueError, SetupError):
        return None
    return None if uuid is None else Root(place, uuid)


def _serves(settings: Settings, named: tuple[Path, ...]) -> bool:
    """Tell whether the configuration has these roots; one that names only a state directory may have any."""
    configured = {path.absolute().resolve() for path in settings.roots}
    return not settings.roots or all(path.resolve() in configured for path in named)


def need_root(path: Path) -> Root:
    """Return the root at a path; raises SetupError E401, or E407 when it is not for this user to read."""
    root = find_root(path)
    if root is not None:
        return root
    sentinel = Root(path.absolute(), "").sentinel
    if not path.is_dir():
        raise SetupError("E401", f"{path} does not exist: mount it, or create it with heygemd init-root {path}")
    try:
        is_there = sentinel.exists()
    except PermissionError:
        is_there = True
    if is_there and not os.access(sentinel, os.R_OK):
        raise SetupError("E407", f"{sentinel} may not be read by this user, who is not in the group of its owner")
    raise SetupError("E401", f"{path} is no heygemd root (its .heygemd/root.json): heygemd init-root {path}")


def _what_to_give() -> str:
    """Say what to type when nothing says which daemon is meant."""
    text = f"which daemon? give --root DIR, --config FILE or --state-dir DIR ({INSTALLED_CONFIG} does not exist)"
    home = places.state_home()
    try:
        stores = [folder for folder in home.iterdir() if (folder / STORE_NAME).is_file()]
        stores.sort(key=lambda folder: (folder / STORE_NAME).stat().st_mtime, reverse=True)
    except OSError:
        return text
    if not stores:
        return text
    return f"{text}; of this user: " + ", ".join(f"--state-dir {folder}" for folder in stores[:_CANDIDATES_SHOWN])
