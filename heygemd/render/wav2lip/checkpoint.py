"""Reads generator weights that users bring, and trusts nothing in them.

Three containers are known, told apart by their first bytes: the legacy torch pickle of the published files
(436 MB, two thirds of it optimizer state), torch's zip form, and safetensors. Pickles go through
`torch.load(weights_only=True)` only, which builds tensors and refuses every other object unexecuted.
"""

import pickle
import struct
import warnings
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from heygemd.errors import SetupError
from heygemd.render.wav2lip.network import Wav2LipNetwork, expected_shapes

DIFFERENCES_SHOWN = 4

Shapes = Mapping[str, torch.Size]

# What torch's and Python's readers raise on bytes that are no checkpoint (found with cut and bit-flipped files).
UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, TypeError, AttributeError, LookupError,
    EOFError, AssertionError, MemoryError, OverflowError, struct.error,
)  # fmt: skip


class Container(StrEnum):
    """How the tensors are packed."""

    LEGACY = "legacy torch pickle"
    ZIP = "zipped torch pickle"
    SAFETENSORS = "safetensors"


def load_generator(path: Path) -> Wav2LipNetwork:
    """Build the network from a checkpoint, in evaluation mode, float32, on the CPU.

    Raises SetupError E402 when there is no such file, E405 when it is unsafe, damaged, or of another network.
    """
    tensors = _without_prefix(_tensors(path))
    _refuse_other_network(path, {name: tensor.shape for name, tensor in tensors.items()})
    _refuse_unsound(path, tensors)
    with torch.device("meta"):
        network = Wav2LipNetwork()
    plain = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    network.load_state_dict(plain, strict=True, assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            container = _container(path, file)
        loaded = _read(path, container)
    except FileNotFoundError as error:
        raise SetupError("E402", f"the weights {path} do not exist") from error
    except OSError as error:
        raise SetupError("E405", f"the weights {path} cannot be read: {error}") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SetupError("E405", f"the weights {path} are damaged or unsafe: {reason}") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise SetupError("E405", f"the weights {path} hold no state dict")
    return dict(loaded)


def _container(path: Path, file: BinaryIO) -> Container:
    head = file.read(9)
    if head.startswith(b"PK\x03\x04"):
        return Container.ZIP
    if head.startswith(b"\x80"):
        return Container.LEGACY
    if head[8:] == b"{":
        return Container.SAFETENSORS
    raise SetupError("E405", f"{path} is neither a torch checkpoint nor a safetensors file")


def _read(path: Path, container: Container) -> object:
    if container is Container.SAFETENSORS:
        return load_file(path, device="cpu")
    with warnings.catch_warnings():
        # torch warns of odd pickles; whether one can be used is settled here, with an error or with a network.
        warnings.simplefilter("ignore")
        # Only the zip form can be mapped; there the optimizer state is never read from the disk.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=container is Container.ZIP)


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
    differences += [f"{name} is unknown" for name in found if name not in expected]
    rest = len(differences) - DIFFERENCES_SHOWN
    shown = "; ".join(differences[:DIFFERENCES_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
    raise SetupError("E405", f"{path} holds another network: {shown}")


def _size(shape: torch.Size) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _is_256_pixel(found: Shapes) -> bool:
    """One encoder stage more than ours, ended by a 4×4 convolution (LiveTalking's wav2lip256)."""
    last = found.get("face_encoder_blocks.7.0.conv_block.0.weight", torch.Size(()))
    return last[2:] == (4, 4)


def _refuse_unsound(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_complex():
            raise SetupError("E405", f"{path}: {name} is no plain tensor")
        if not bool(torch.isfinite(tensor).all()):
            raise SetupError("E405", f"{path}: {name} holds values that are not finite")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise SetupError("E405", f"{path}: {name} holds negative variances")
