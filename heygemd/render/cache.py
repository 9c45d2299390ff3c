"""Files that save work and may vanish at any time: read when good, made again when not.

    cache/faces/<sha256 of the picture>-<version of the tracker>-ffmpeg<version>-<digest>.npz
          likeness/<sha256 of the picture>-<engine>-<version of the engine>-…
          stamps/<sha256 of the picture>-…      time stamps only, for an engine that needs no face
          speech/<sha256 of the sound>-<engine>-<version of the engine>-…

A job never lives on an entry: it has a name of its own for the same file, or a copy.
"""

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.filesystem import whole_file
from heygemd.media.ffmpeg import require_tools
from heygemd.render.arrays import write_arrays

log = structlog.get_logger(__name__)

Kept = TypeVar("Kept")

DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise on a file with any byte changed; RuntimeError covers NotImplementedError."""
READING_VERSION = "1"
"""Changes whenever `media/` would give other frames or samples of the same file."""
LONGEST_VERSION = 80
"""Characters; a build of ffmpeg from git may name itself at any length. The digest has all of it."""
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._+-]+")


def entry_name(sha256: str, version: str, *choices: object) -> str:
    """Name the entry of what `version` makes of a file; `choices` are what else changes it, by their repr.

    Versions stand in the name, so that an upgrade, of ffmpeg too, never meets what the one before has made.
    """
    made_by = f"{version}-ffmpeg{require_tools().version}"
    digest = hashlib.sha256(repr((made_by, READING_VERSION, choices)).encode()).hexdigest()[:8]
    return f"{sha256}-{NOT_PLAIN.sub('_', made_by)[:LONGEST_VERSION]}-{digest}.npz"


def obtain(
    entry: Path,
    file: Path,
    *,
    make: Callable[[], Kept],
    load: Callable[[Path], Kept],
    save: Callable[[Kept, Path], None],
) -> tuple[Kept, bool]:
    """Take what the cache holds under `entry`, or make and keep it; returns it, and whether it was there.

    Either way it lies in `file` when this returns, so that the entry may be deleted. A cache that cannot be written
    is done without; a `file` that cannot be written raises OSError.
    """
    kept = recall(entry, load)
    if kept is not None:
        if not _linked(entry, file):
            save(kept, file)
        return kept, True
    made = make()
    save(made, file)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        if not _linked(file, entry):
            save(made, entry)
    except OSError as error:
        log.warning("cache.entry_not_kept", path=str(entry), reason=error.strerror or str(error))
    return made, False


def recall(path: Path, load: Callable[[Path], Kept]) -> Kept | None:
    """What the cache holds under `path`, or None when it is absent or damaged (then removed)."""
    try:
        kept = load(path)
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        log.warning("cache.entry_dropped", path=str(path), reason=str(error))
        with suppress(OSError):  # on a disk that cannot be written it is made again each time
            path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # the cache is swept by last use, and nobody else notes that
        os.utime(path)
    log.debug("cache.entry_used", path=str(path))
    return kept


def _linked(file: Path, name: Path) -> bool:
    """Give `file` a second name, in place of what has that; False where this cannot be, and nothing is changed then.

    Every file here is replaced as a whole and never written into, so two names are as good as two copies.
    """
    part = _part_of(name)
    try:
        part.unlink(missing_ok=True)
        os.link(file, part)
        part.replace(name)
        part.unlink(missing_ok=True)  # still there when `name` was this very file already
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as `.npz`, whole or not at all, and on the disk when this returns."""
    with whole_file(path, part=_part_of(path)) as fd, os.fdopen(os.dup(fd), "wb") as file:
        write_arrays(file, arrays)


def _part_of(path: Path) -> Path:
    """A name of its own for each process: two workers may fill the same entry."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote."""
    # Opened here: numpy leaves the descriptor of a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
