"""Reads generator weights that users bring, and trusts nothing in them.

Four containers are known, told apart by what they begin with and hold: the legacy torch pickle of the files published
first (436 MB, two thirds of it optimizer state), torch's zip form, the TorchScript archives that are published today,
and safetensors. Pickles go through `torch.load(weights_only=True)` only, which builds tensors and refuses every other
object unexecuted; of TorchScript nothing is run (see `torchscript`).

The file is opened once: what was hashed is what is loaded, whatever gets its name meanwhile.
"""

import hashlib
import os
import pickle
import re
import stat
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from io import BufferedReader
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from heygemd.errors import SetupError
from heygemd.naming import printable
from heygemd.render.wav2lip.network import expected_shapes
from heygemd.render.wav2lip.torchscript import DAMAGED, is_torchscript, tensors_of

DIFFERENCES_SHOWN = 4
NAME_SHOWN_CHARS = 100
REASON_SHOWN_CHARS = 300
MOST_BYTES = 2 << 30
"""Five times the largest file that was ever published; a larger one is not even hashed."""
_COUNTERS = "num_batches_tracked"
"""End of the names of the only tensors that hold whole numbers."""
_TORCHS_OWN_WORDS = re.compile(r".*?WeightsUnpickler error: ", re.DOTALL)
"""Before torch says what is wrong, it tells how to load the file all the same, with escapes for terminals."""

Shapes = Mapping[str, torch.Size]

# What torch's and Python's readers raise on bytes that are no checkpoint (found with cut and bit-flipped files).
UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, TypeError, AttributeError, LookupError,
    EOFError, AssertionError, MemoryError, OverflowError, struct.error, *DAMAGED,
)  # fmt: skip


class Container(StrEnum):
    """How the tensors are packed."""

    LEGACY = "legacy torch pickle"
    ZIP = "zipped torch pickle"
    TORCHSCRIPT = "TorchScript archive"
    SAFETENSORS = "safetensors"


def load_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read the 352 tensors of a checkpoint, floating ones as float32, on the CPU, all of them copies.

    Raises SetupError E402 when there is no such file, E405 when it is unsafe, damaged, or of another network, E409
    when its content is not the one that was asked for.
    """
    with opened_weights(path) as file:
        before = os.fstat(file.fileno())
        if sha256 is not None:
            _refuse_other_content(path, file, sha256)
        # Copied: what is still mapped would change with the file.
        plain = {
            name: tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
            for name, tensor in read_weights(path, file).items()
        }
        if sha256 is not None and _stamp(before) != _stamp(os.fstat(file.fileno())):
            _refuse_other_content(path, file, sha256)  # it was written to meanwhile, or only lost its name
    return plain


def _stamp(seen: os.stat_result) -> tuple[int, int, int]:
    return (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


@contextmanager
def opened_weights(path: Path) -> Iterator[BufferedReader]:
    """Open a file of weights; raises SetupError E402 when it is not there, E405 when it is no readable file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us
    except FileNotFoundError as error:
        raise SetupError("E402", f"the weights {path} do not exist") from error
    except OSError as error:
        raise SetupError("E405", f"the weights {path} cannot be read: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SetupError("E405", f"the weights {path} are not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        refuse_too_large(path, file)
        yield file


def refuse_too_large(path: Path, file: BufferedReader) -> None:
    """Raise SetupError E405 for a file that no weights need: reading it would take long, and be in vain."""
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > MOST_BYTES:
        raise SetupError("E405", f"the weights {path} have {size_bytes >> 20} MiB; none have more than 2 GiB")


def read_weights(path: Path, file: BufferedReader) -> dict[str, Tensor]:
    """Return the 352 tensors of the network, checked, as they are stored; `path` is for messages only.

    Raises SetupError E405 when the file is unsafe, damaged, or of another network. Tensors may be mapped from the file.
    """
    tensors = _without_prefix(_tensors(path, file))
    _refuse_odd(path, tensors)
    _refuse_other_network(path, {name: tensor.shape for name, tensor in tensors.items()})
    _refuse_unsound(path, tensors)
    return tensors


def container_of(path: Path, file: BufferedReader) -> Container:
    """Tell by its first bytes how a file is packed; raises SetupError E405, and what damaged zip files raise."""
    file.seek(0)
    head = file.read(9)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        container = Container.TORCHSCRIPT if is_torchscript(file) else Container.ZIP
        file.seek(0)
        return container
    if head.startswith(b"\x80"):
        return Container.LEGACY
    if head[8:] == b"{":
        return Container.SAFETENSORS
    raise SetupError("E405", f"{path} is neither a torch checkpoint nor a safetensors file")


def _refuse_other_content(path: Path, file: BufferedReader, sha256: str) -> None:
    file.seek(0)
    try:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SetupError("E405", f"the weights {path} cannot be read: {error}") from error
    if found != sha256:
        raise SetupError("E409", f"the weights {path} have the sha256 {found}; the job was planned with {sha256}")


def _tensors(path: Path, file: BufferedReader) -> dict[str, Tensor]:
    try:
        loaded = _read(file, container_of(path, file))
    except OSError as error:
        raise SetupError("E405", f"the weights {path} cannot be read: {error}") from error
    except UNREADABLE as error:
        reason = _reason_of(error)
        raise SetupError("E405", f"the weights {path} are damaged or unsafe: {reason}") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise SetupError("E405", f"the weights {path} hold no state dict")
    return dict(loaded)


def _reason_of(error: Exception) -> str:
    text = _TORCHS_OWN_WORDS.sub("", str(error), count=1)
    return printable(" ".join(text.split()))[:REASON_SHOWN_CHARS] or type(error).__name__


def _read(file: BufferedReader, container: Container) -> object:
    if container is Container.TORCHSCRIPT:
        return tensors_of(file)
    same_file = f"/proc/self/fd/{file.fileno()}"
    # Another user's file came as an open descriptor and cannot be opened again.
    may_map = os.access(same_file, os.R_OK)
    if container is Container.SAFETENSORS:
        return load_file(same_file, device="cpu") if may_map else load(file.read())
    with warnings.catch_warnings():
        # torch warns of odd pickles; whether one can be used is settled here, with an error or with a network.
        warnings.simplefilter("ignore")
        if container is Container.ZIP and may_map:
            # Only the zip form can be mapped; there the optimizer state is never read from the disk.
            return torch.load(same_file, map_location="cpu", weights_only=True, mmap=True)
        return torch.load(file, map_location="cpu", weights_only=True)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as without `DataParallel`, which puts `module.` before every one."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _refuse_other_network(path: Path, found: Shapes) -> None:
    expected = expected_shapes()
    if found == expected:
        return
    if _is_256_pixel(found):
        raise SetupError("E405", f"{path} holds the 256-pixel variant; only the 96-pixel network can be used")
    differences = [f"{name} is missing" for name in expected if name not in found]
    differences += [
        f"{name} is {_size(found[name])} instead of {_size(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    differences += [f"{_shown(name)} is unknown" for name in found if name not in expected]
    rest = len(differences) - DIFFERENCES_SHOWN
    shown = "; ".join(differences[:DIFFERENCES_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
    raise SetupError("E405", f"{path} holds another network: {shown}")


def _shown(name: str) -> str:
    return printable(name if len(name) <= NAME_SHOWN_CHARS else f"{name[:NAME_SHOWN_CHARS]}…")


def _size(shape: torch.Size) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _is_256_pixel(found: Shapes) -> bool:
    """One encoder stage more than ours, ended by a 4×4 convolution (LiveTalking's wav2lip256)."""
    last = found.get("face_encoder_blocks.7.0.conv_block.0.weight", torch.Size(()))
    return last[2:] == (4, 4)


def _refuse_odd(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what has no plain numbers: of such a tensor even the shape cannot always be asked."""
    for name, tensor in tensors.items():
        is_plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
        if not is_plain or tensor.is_nested or tensor.is_quantized or tensor.is_complex():
            raise SetupError("E405", f"{path}: {_shown(name)} is no plain tensor")


def _refuse_unsound(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith(_COUNTERS):
            continue
        if not tensor.is_floating_point():
            raise SetupError("E405", f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')} numbers")
        # One look at the numbers, for 36 million of them; what is not a number is both the least and the greatest.
        least, greatest = torch.aminmax(tensor.float() if tensor.element_size() == 1 else tensor)
        # The network computes in 32 bits: what these cannot hold becomes infinite.
        if not (bool(torch.isfinite(least.float())) and bool(torch.isfinite(greatest.float()))):
            raise SetupError("E405", f"{path}: {name} holds values that are not finite")
        if name.endswith("running_var") and float(least) < 0:
            raise SetupError("E405", f"{path}: {name} holds negative variances")
