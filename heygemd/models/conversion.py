"""Makes stripped safetensors of a checkpoint: the reading is done by a child with limits, here the file gets its place.

The child gets two open descriptors and, under root, the rights of whoever owns the folder: usually the daemon's.
"""

import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from heygemd.errors import ResourceError, SetupError, error_for
from heygemd.modellist import Model, listed_sha256s, models
from heygemd.models.landing import Landing, disk_troubles, landing, made

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-P", "-m", "heygemd.render.wav2lip.convert")
WALL_S = 600.0
MAKING_SUFFIX = ".converting"
LINES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A converted file that lies in its place."""

    source: Path
    path: Path
    container: str
    """What the source was packed as."""
    source_sha256: str
    source_bytes: int
    sha256: str
    size_bytes: int
    tensors: int
    half_tensors: int
    is_listed: bool
    """The catalogue knows the source."""


def place_for(source: Path, models_dir: Path) -> Path:
    """Return where the stripped form of a file goes when nobody says: into the models directory if it is known."""
    entry = next((model for model in models() if model.file == source.name and model.converts_to), None)
    target = _converted_entry(entry)
    return source.with_suffix(".safetensors") if target is None else models_dir / target.file


def _converted_entry(model: Model | None) -> Model | None:
    return next((entry for entry in models() if model and entry.name == model.converts_to), None)


def convert(
    source: Path, target: Path, *, half: bool = False, replace: bool = False, wall_s: float = WALL_S
) -> Conversion:
    """Convert `source`; `target` appears whole, after it was read back and compared.

    Raises SetupError E402 (no source), E405 (not these weights), E407 (may not be written), E409 (the target is taken),
    ResourceError E202 or E303.
    """
    source_fd = _opened(source)
    try:
        with disk_troubles(target.parent):
            if target.exists() and not replace:
                raise SetupError("E409", f"{target} is there already; --replace puts the new one in its place")
            folder = made(target.parent)
            with landing(folder / (target.name + MAKING_SUFFIX)) as place:
                try:
                    os.ftruncate(place.fd, 0)
                    told = _ask_child(source_fd, place, source, half=half, wall_s=wall_s)
                    place.name_it(target)
                except BaseException:
                    place.discard()
                    raise
    finally:
        os.close(source_fd)
    is_listed = told["source_sha256"] in listed_sha256s()
    made_now = Conversion(source=source, path=target, is_listed=is_listed, **told)
    log.info(
        "models.converted",
        source=str(source), path=str(target), source_sha256=made_now.source_sha256, sha256=made_now.sha256,
        size_bytes=made_now.size_bytes, is_listed=is_listed,
    )  # fmt: skip
    return made_now


def _opened(source: Path) -> int:
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SetupError("E402", f"{source} does not exist") from error
    except OSError as error:
        raise SetupError("E407", f"{source} cannot be read by this user: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SetupError("E405", f"{source} is no regular file")
    return fd


def _ask_child(source_fd: int, place: Landing, source: Path, *, half: bool, wall_s: float) -> dict[str, Any]:
    """Run the child; its answer, or the error it tells."""
    command = [
        *COMMAND,
        *("--source-fd", str(source_fd), "--output-fd", str(place.fd), "--name", source.name),
        *(["--half"] if half else []),
    ]
    owner = place.part.parent.stat()
    drop: dict[str, Any] = {}
    if os.geteuid() == 0 and owner.st_uid != 0:
        drop = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(source_fd, place.fd),
            timeout=wall_s,
            check=False,
            # No card is needed, and none may be woken.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            **drop,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError("E405", f"{source} was not read within {wall_s:.0f} s") from error
    return _answer(ended, source)


def _answer(ended: subprocess.CompletedProcess[bytes], source: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        told = {}
    if "error" in told:
        raise error_for(str(told["error"]["code"]), str(told["error"]["message"]))
    if ended.returncode == -signal.SIGKILL:
        raise ResourceError("E303", f"the process that read {source} was killed, most likely for memory")
    if ended.returncode != 0 or not told:
        last = " | ".join(ended.stderr.decode("utf-8", "replace").strip().splitlines()[-LINES_SHOWN:])
        raise SetupError("E405", f"{source} could not be read (status {ended.returncode}): {last}")
    return told
