"""Which models exist, under which licence, and which of them lie in the operator's models directory.

The facts stand in `catalog.toml` beside this module (`models/catalog.toml` points at it). Nothing here opens a
model; a plan carries the path and the sha256, so the workers need no catalogue.
"""

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import structlog

from heygemd.errors import SetupError
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName
from heygemd.planning.plan import EngineChoice

log = structlog.get_logger(__name__)

CATALOGUE_FILE = Path(__file__).with_name("catalog.toml")
LEAST_WEIGHTS_BYTES = 70_000_000
"""36.3 million parameters take 72.6 MB even in half precision: anything smaller is an error page or a cut download."""
MOST_WEIGHTS_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry of the catalogue."""

    name: str
    engine: str
    """The part of heygemd that uses it."""
    file: str
    """File name in the models directory; for a shipped model its path inside the package."""
    licence: str
    commercial_use: Literal["yes", "no", "unconfirmed"]
    source: str
    """One sentence: where it comes from."""
    size_bytes: int | None = None
    sha256: str | None = None
    shipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundWeights:
    """Weights that lie in the models directory."""

    path: Path
    sha256: str
    size_bytes: int
    model: Model
    """The entry with its file name."""
    is_listed: bool
    """The catalogue knows exactly these bytes."""


@cache
def models() -> tuple[Model, ...]:
    """Every entry, in order of preference; raises ValueError or TypeError when the shipped file is wrong."""
    text = CATALOGUE_FILE.read_text(encoding="utf-8")
    return tuple(Model(**entry) for entry in tomllib.loads(text)["model"])


def find_weights(models_dir: Path) -> FoundWeights | None:
    """First catalogued Wav2Lip checkpoint in the directory that can be read and has a plausible size, or None.

    The first look at a file reads it whole (0.5 s for the published one); later looks are free until it changes.
    Links are followed: the directory is the operator's.
    """
    for model in models():
        if model.shipped or model.engine != EngineName.WAV2LIP:
            continue
        path = models_dir / model.file
        try:
            seen = path.stat()
            found = _identify(path, model, seen.st_size, seen.st_mtime_ns, seen.st_ino)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("catalogue.weights_skipped", path=str(path), reason=str(error))
            continue
        if found is not None:
            return found
    return None


def choose_engine(wanted: EngineName, models_dir: Path) -> EngineChoice:
    """Settle which engine a job gets: `auto` is wav2lip when its weights are there, else atlas.

    Raises SetupError E402 when wav2lip is asked for by name and has no weights.
    """
    if wanted in (EngineName.ATLAS, EngineName.PASSTHROUGH):
        return EngineChoice(name=wanted)
    found = find_weights(models_dir)
    if found is not None:
        return EngineChoice(name=EngineName.WAV2LIP, weights=found.path.absolute(), weights_sha256=found.sha256)
    if wanted is EngineName.WAV2LIP:
        names = ", ".join(model.file for model in models() if model.engine == EngineName.WAV2LIP)
        raise SetupError("E402", f"{models_dir} holds no usable Wav2Lip weights (looked for {names})")
    return EngineChoice(name=EngineName.ATLAS)


@lru_cache(maxsize=32)
def _identify(path: Path, model: Model, size_bytes: int, mtime_ns: int, inode: int) -> FoundWeights | None:
    """Hash a file that looks like weights; the arguments are the key under which the answer stays true."""
    del mtime_ns, inode
    if not LEAST_WEIGHTS_BYTES <= size_bytes <= MOST_WEIGHTS_BYTES:
        log.warning("catalogue.weights_skipped", path=str(path), reason=f"{size_bytes} bytes cannot be these weights")
        return None
    sha256 = sha256_of(path)
    is_listed = sha256 in {entry.sha256 for entry in models()}
    if model.sha256 is not None and not is_listed:
        log.warning("catalogue.weights_unlisted", path=str(path), sha256=sha256, listed_sha256=model.sha256)
    else:
        log.info("catalogue.weights_found", path=str(path), sha256=sha256, is_listed=is_listed, licence=model.licence)
    return FoundWeights(path=path, sha256=sha256, size_bytes=size_bytes, model=model, is_listed=is_listed)
