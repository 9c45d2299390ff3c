"""Files that save work and may vanish at any time: read when good, made again when not."""

import os
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

log = structlog.get_logger(__name__)

Kept = TypeVar("Kept")

DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise on a file with any byte changed; RuntimeError covers NotImplementedError."""


def recall(path: Path, load: Callable[[Path], Kept]) -> Kept | None:
    """What the cache holds under `path`, or None when it is absent or damaged (then removed)."""
    try:
        kept = load(path)
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        log.warning("cache.entry_dropped", path=str(path), reason=str(error))
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # the cache is swept by last use, and many file systems note that only once a day
        os.utime(path)
    log.debug("cache.entry_used", path=str(path))
    return kept


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as `.npz`, whole or not at all, and on the disk when this returns."""
    # A name of its own: two workers may fill the same cache entry.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with whole_file(path, part=part) as fd, os.fdopen(os.dup(fd), "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy types the keywords as its own option


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote."""
    # Opened here: numpy leaves the descriptor of a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
