"""Reads the tensors out of a TorchScript archive without running anything that lies in it.

The README of Wav2Lip links such archives today. `torch.jit.load` would build the module by operators that the file
names; here a pickle that knows six names gives the tree of modules, and each tensor is cut out of its member. Every
storage is checked against the length of its member before a tensor is laid over it.
"""

import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

MOST_PICKLE_BYTES = 64 << 20
DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RecursionError, zlib.error, UnicodeError)
"""What is raised on damaged archives, beside what pickle raises."""

_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
}


def is_torchscript(file: BufferedReader) -> bool:
    """Tell whether a zip file is such an archive: it carries code beside its data."""
    with zipfile.ZipFile(file) as archive:
        return any(name.split("/", 1)[-1].startswith("code/") for name in archive.namelist())


def tensors_of(file: BufferedReader) -> dict[str, Tensor]:
    """Return every tensor by its dotted name, as `state_dict` would; raises ValueError, and what zip and pickle do."""
    with zipfile.ZipFile(file) as archive:
        root = archive.namelist()[0].split("/", 1)[0]
        member = archive.getinfo(f"{root}/data.pkl")
        if member.file_size > MOST_PICKLE_BYTES:
            raise ValueError(f"its data.pkl claims {member.file_size} bytes")
        with archive.open(member) as content:
            module = _Reader(content, archive, root).load()
        return dict(_walk(module, "", set()))


class _Module:
    """Stands for whatever class the archive names; has attributes and nothing to call."""

    def __setstate__(self, state: object) -> None:
        self.__dict__["attributes"] = state if isinstance(state, dict) else {}


def _walk(module: object, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if id(module) in seen:
        raise ValueError("a module lies in two places")
    seen.add(id(module))
    attributes = module.__dict__.get("attributes", {}) if isinstance(module, _Module) else {}
    for name, value in attributes.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _walk(value, f"{prefix}{name}.", seen)


class _Reader(pickle.Unpickler):
    """Builds modules without methods, and tensors; knows no other name."""

    def __init__(self, content: Any, archive: zipfile.ZipFile, root: str) -> None:  # noqa: ANN401  # a zip member
        super().__init__(content)
        self._archive = archive
        self._root = root
        self._storages: dict[str, Tensor] = {}

    @override
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")

    @override
    def persistent_load(self, pid: Any) -> Tensor:
        """Read one storage: `("storage", type, member, device, count)`."""
        kind, dtype, name, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(count, int):
            raise pickle.UnpicklingError("it has a storage of unknown form")
        if name not in self._storages:
            member = self._archive.getinfo(f"{self._root}/data/{name}")
            if member.file_size != count * dtype.itemsize or member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its storage {name} is not {count * dtype.itemsize} plain bytes")
            self._storages[name] = torch.frombuffer(bytearray(self._archive.read(member)), dtype=dtype)
        if self._storages[name].dtype != dtype:
            raise ValueError(f"its storage {name} has two types")
        return self._storages[name]


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> Tensor:
    """Lay a tensor over its storage; strides that would need more than is there are refused."""
    if not isinstance(storage, Tensor) or not isinstance(offset, int):
        raise pickle.UnpicklingError("it has a tensor of unknown form")
    lengths, steps = _naturals(size), _naturals(stride)
    if len(lengths) != len(steps) or offset < 0:
        raise pickle.UnpicklingError("it has a tensor of unknown form")
    last = offset + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
    if math.prod(lengths) > storage.numel() or last >= storage.numel():
        raise ValueError("a tensor reaches beyond its storage")
    return storage.as_strided(lengths, steps, offset).contiguous()


def _naturals(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or any(not isinstance(number, int) or number < 0 for number in value):
        raise pickle.UnpicklingError("it has a tensor of unknown form")
    return value
