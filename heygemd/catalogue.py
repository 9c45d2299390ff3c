"""Which of the catalogued models lie in the operator's models directory, and which engine a job gets by them.

The facts stand in `catalog.toml` (read by `modellist`). Nothing here opens a model; a plan carries the path and the
sha256, so the workers need no look of their own.
"""

import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog

from heygemd.errors import SetupError
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName
from heygemd.modelform import Form, form_of
from heygemd.modellist import CATALOGUE_FILE, Model, listed_sha256s, models, models_of, tracker_models
from heygemd.planning.plan import EngineChoice, TrackerChoice
from heygemd.settings import RenderSettings

__all__ = [
    "CATALOGUE_FILE", "FoundWeights", "Model", "choose_engine", "choose_tracker", "find_weights", "models",
    "require_weights",
]  # fmt: skip

log = structlog.get_logger(__name__)

LEAST_WEIGHTS_BYTES = 70_000_000
"""36.3 million parameters take 72.6 MB even in half precision: anything smaller is an error page or a cut download."""
MOST_WEIGHTS_BYTES = 2_000_000_000


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


def find_weights(models_dir: Path) -> FoundWeights | None:
    """First catalogued Wav2Lip checkpoint in the directory that can be read and has a plausible size, or None.

    The first look at a file reads it whole (0.5 s for the published one); later looks are free until it changes.
    A file that is cut, or no model at all, is passed over. Links are followed: the directory is the operator's.
    """
    for model in models_of("wav2lip"):
        path = models_dir / model.file
        try:
            found = identify(path, model)
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
        names = ", ".join(model.file for model in models_of("wav2lip"))
        raise SetupError("E402", f"{models_dir} holds no usable Wav2Lip weights (looked for {names})")
    return EngineChoice(name=EngineName.ATLAS)


def choose_tracker(engine: EngineName, device: str, render: RenderSettings, *, models_dir: Path) -> TrackerChoice:
    """Settle who follows the faces for an engine that will probably run on `device` (`cpu`, `cuda:0`).

    `auto` is face-alignment for wav2lip alone, whose checkpoints were trained on its boxes, and only on a card: on a
    CPU it takes a hundred times as long as the built-in tracker. Atlas knows faces by the built-in tracker's points.
    Raises SetupError E402 when face-alignment is asked for by name and has not all its weights, as they are listed.
    """
    wish = render.tracker
    if wish == "built-in":
        return TrackerChoice(reason="render.tracker")
    if wish == "auto":
        if engine is not EngineName.WAV2LIP:
            return TrackerChoice(reason=f"auto, for {engine}")
        if device == "cpu":
            return TrackerChoice(reason="auto, on a CPU")
    lacking = lacking_for_tracker(render, models_dir)
    if not lacking:
        reason = "render.tracker" if wish == "face-alignment" else f"auto, on {device}"
        return TrackerChoice(detector=render.detector, models_dir=models_dir.absolute(), reason=reason)
    if wish == "auto":
        return TrackerChoice(reason=f"auto, without {', '.join(lacking)}")
    raise SetupError("E402", f"render.tracker: {models_dir} does not hold {', '.join(lacking)} as the catalogue lists")


def lacking_for_tracker(render: RenderSettings, models_dir: Path) -> list[str]:
    """Name the files of face-alignment that are missing, or are not those that the catalogue lists."""
    lacking = []
    for model in tracker_models(render.detector):
        try:
            found = identify(models_dir / model.file, model)
        except OSError:
            found = None
        if found is None or not found.is_listed:
            lacking.append(model.file)
    return lacking


def require_weights(engine: EngineName, render: RenderSettings, models_dir: Path) -> None:
    """Raise SetupError E402 unless engine and tracker have what was asked for; it is hashed here, once."""
    choice = choose_engine(engine, models_dir)
    if render.tracker == "face-alignment":
        choose_tracker(choice.name, "cpu", render, models_dir=models_dir)


def identify(path: Path, model: Model) -> FoundWeights | None:
    """Tell what the file at `path`, which has this entry's name, is; None when it cannot be used.

    Raises OSError when it cannot be read or is no regular file.
    """
    seen = path.stat()
    if not stat.S_ISREG(seen.st_mode):  # a FIFO would be waited for
        raise OSError(f"{path} is not a regular file")
    return _identify(path, model, _Stamp.of(seen))


@dataclass(frozen=True, slots=True)
class _Stamp:
    """While it is the same, so is the content. `ctime` too: nobody can set it back."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, seen: os.stat_result) -> "_Stamp":
        return cls(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


@lru_cache(maxsize=32)
def _identify(path: Path, model: Model, stamp: _Stamp) -> FoundWeights | None:
    """Hash a file that looks like weights; the arguments are the key under which the answer stays true."""
    with path.open("rb") as file:
        form = form_of(file)
    # A file that somebody copies just now is long enough some time before it is whole.
    fault = fault_in(model, stamp.size_bytes, None, form)
    sha256 = "" if fault else sha256_of(path)
    if fault := fault or fault_in(model, stamp.size_bytes, sha256, form):
        log.warning("catalogue.weights_skipped", path=str(path), reason=fault.reason)
        return None
    is_listed = sha256 in listed_sha256s()
    if model.sha256 is not None and not is_listed:
        log.warning("catalogue.weights_unlisted", path=str(path), sha256=sha256, listed_sha256=model.sha256)
    else:
        log.info("catalogue.weights_found", path=str(path), sha256=sha256, is_listed=is_listed, licence=model.licence)
    return FoundWeights(path=path, sha256=sha256, size_bytes=stamp.size_bytes, model=model, is_listed=is_listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a file that somebody brought is not used."""

    reason: str
    is_cut: bool = False


def fault_in(model: Model, size_bytes: int, sha256: str | None, form: Form) -> Fault | None:
    """Judge a file that somebody brought by its size, its form and, once it is known, its sha256."""
    if sha256 is not None and sha256 in {model.sha256, *listed_sha256s()}:
        return None
    if form.flaw:
        return Fault(reason=form.flaw, is_cut=form.is_cut)
    if form.kind == "pickle" and model.size_bytes is not None and size_bytes < model.size_bytes:
        return Fault(reason=f"it has {size_bytes} of {model.size_bytes} bytes", is_cut=True)
    if model.engine == "wav2lip" and not LEAST_WEIGHTS_BYTES <= size_bytes <= MOST_WEIGHTS_BYTES:
        return Fault(reason=f"{size_bytes} bytes cannot be these weights")
    if None not in (sha256, model.sha256) and size_bytes == model.size_bytes:
        # Nobody's own training has just that length.
        return Fault(reason="as long as the listed file, but other bytes: damaged?")
    return None
