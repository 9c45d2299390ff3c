"""Files of weights as strangers offer them: each is read by the converter's own process, and by nothing else.

What loads one with `torch.load` as it was meant for years runs whatever its pickle names. Here a trap that goes off
makes a folder beside the file: `executed`.
"""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from heygemd.render.wav2lip.network import expected_shapes
from tests.corpus.case import Answer, Case, rejects, renders

GROUP = "checkpoints"
FILE = "weights.pth"
TRAP = "executed"
MIB = 1 << 20
GOOD = renders("weights.safetensors")
BAD = rejects("E405")
PROBED = "output_block.1.bias"
"""A tensor of three numbers."""


class Trap:
    """Makes a folder when a careless reader builds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.folder / TRAP),)


class ShellTrap(Trap):
    """The same by a shell."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.system, (f"mkdir '{self.folder / TRAP}'",)


class CodeTrap(Trap):
    """The same by code of Python."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return eval, (f"__import__('os').mkdir({str(self.folder / TRAP)!r})",)


@cache
def thin_state() -> OrderedDict[str, Tensor]:
    """Return the right names and shapes; zeros that take no room, until they are written as safetensors."""
    return OrderedDict(
        (name, torch.zeros((), dtype=torch.int64 if name.endswith("tracked") else torch.float32).expand(shape))
        for name, shape in expected_shapes().items()
    )


SLOW = frozenset(
    ["good-safetensors", "good-half", "good-prefix", "good-bare", "bomb-pickle-lists", "bomb-many", "safetensors-many"]
)
"""These take seconds each, and others like them are quicker."""


def cases() -> Iterator[Case]:
    """Yield every case of checkpoints."""
    for name, (story, write, answer) in _all().items():
        yield Case(
            name=f"weights-{name}", group=GROUP, story=story, answer=answer, drop=partial(_drop, write=write),
            is_slow=name in SLOW,
        )  # fmt: skip


def _drop(folder: Path, *, write: Callable[[Path], None]) -> None:
    write(folder / FILE)


def _all() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    return {**_good(), **_malicious(), **_bombs(), **_odd_tensors(), **_damaged(), **_safetensors()}


def _good() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    return {
        "good-legacy": ("as it was published first", partial(_save, legacy=True), GOOD),
        "good-zip": ("torch's zip form", _save, GOOD),
        "good-prefix": ("saved from two cards", partial(_save, prefix="module."), GOOD),
        "good-bare": ("a state dict without anything around it", _save_bare, GOOD),
        "good-safetensors": ("safetensors", _save_safetensors, GOOD),
        "good-half": ("in 16 bits", partial(_save_safetensors, dtype=torch.float16), GOOD),
    }


def _save(path: Path, *, legacy: bool = False, prefix: str = "", **changes: object) -> None:
    state = {prefix + name: tensor for name, tensor in (thin_state() | changes).items()}
    content = {"state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "global_step": 1}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def _save_bare(path: Path) -> None:
    torch.save(dict(thin_state()), path)


def _save_safetensors(path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: t.contiguous().to(dtype) if t.is_floating_point() else t.clone() for name, t in thin_state().items()},
        path,
    )


def _malicious() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    found: dict[str, tuple[str, Callable[[Path], None], Answer]] = {
        f"trap-{name}-{form}": (
            f"a pickle that runs {name}",
            partial(_save_trap, trap=trap, legacy=form == "legacy"),
            BAD,
        )
        for name, trap in (("mkdir", Trap), ("shell", ShellTrap), ("code", CodeTrap))
        for form in ("legacy", "zip")
    }
    return found | {
        "trap-bare": ("a pickle without torch", _save_bare_trap, BAD),
        "trap-behind": ("a good file with a second pickle behind it", _save_trap_behind, BAD),
        "trap-in-script": ("an archive of TorchScript whose pickle runs something", _save_script_trap, BAD),
        "trap-module": ("a pickle of a whole module", _save_module, BAD),
        "trap-protocol-0": ("a pickle as text", _save_text_trap, BAD),
    }


def _save_trap(path: Path, *, trap: type[Trap], legacy: bool) -> None:
    content = {"state_dict": dict(thin_state()), "optimizer": trap(path.parent)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def _save_bare_trap(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(path.parent)))


def _save_text_trap(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(path.parent), protocol=0))


def _save_trap_behind(path: Path) -> None:
    """The legacy form is several pickles in a row: the first ones say what the rest is."""
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Trap(path.parent)):
        pickle.dump(value, file, protocol=2)
    path.write_bytes(file.getvalue())


def _save_script_trap(path: Path) -> None:
    _write_zip(path, {"x/data.pkl": pickle.dumps(Trap(path.parent), protocol=2), "x/code/m.py": b"", "x/version": b"3"})


def _save_module(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


def _write_zip(path: Path, members: dict[str, bytes], *, is_packed: bool = False) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _bombs() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    deep = b"\x80\x02" + b"(" * 2_000_000 + b"."
    lists = b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b"."
    long_text = b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x."
    return {
        "bomb-pickle-depth": ("two million marks", partial(Path.write_bytes, data=deep), BAD),
        "bomb-pickle-lists": ("a million lists in each other", partial(Path.write_bytes, data=lists), BAD),
        "bomb-pickle-text": ("a text of an exabyte", partial(Path.write_bytes, data=long_text), BAD),
        "bomb-pickle-doubling": ("a list that doubles forty times", _save_doubling, BAD),
        "bomb-zip": ("a storage of 8 GiB in 8 MiB", _save_zip_bomb, BAD),
        "bomb-script-pickle": ("a pickle of 256 MiB in 256 KiB", _save_script_bomb, BAD),
        "bomb-shape": ("a tensor of 2 to the 60 numbers, by stride 0", partial(_save_one, make=_endless), BAD),
        "bomb-many": ("200,000 tensors", _save_many, BAD),
        "bomb-many-of-one": ("one storage of 64 MiB in a thousand tensors", _save_many_of_one, BAD),
        "bomb-long-name": ("a name of 20 MB", partial(_save_named, name="n" * 20_000_000), BAD),
        "bomb-sparse-file": ("a file of 64 GiB that has no blocks", _save_holes, BAD),
    }


def _save_doubling(path: Path) -> None:
    """Each level holds the one before twice: little to read, no end to walk through."""
    value: list[object] = []
    for _ in range(40):
        value = [value, value]
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": value}, path)


def _save_zip_bomb(path: Path) -> None:
    """A storage that is packed: torch reads those, too."""
    count = 512 * MIB
    plain = path.with_suffix(".plain")
    torch.save({"state_dict": {PROBED: torch.zeros(4)}}, plain)
    with zipfile.ZipFile(plain) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    plain.unlink()
    name = next(name for name in members if name.endswith("/data/0"))
    members[name] = bytes(count)
    _write_zip(path, members, is_packed=True)


def _save_script_bomb(path: Path) -> None:
    _write_zip(path, {"x/data.pkl": b"N0" * (128 * MIB) + b".", "x/code/m.py": b""}, is_packed=True)


def _endless() -> Tensor:
    return torch.zeros(1).expand(1 << 30, 1 << 30)


def _save_one(path: Path, *, make: Callable[[], object]) -> None:
    _save(path, **{PROBED: make()})


def _save_named(path: Path, *, name: str) -> None:
    torch.save({"state_dict": {name: torch.zeros(1)}}, path)


def _save_many(path: Path) -> None:
    one = torch.zeros(1)
    torch.save(
        {"state_dict": {str(number): one for number in range(200_000)}}, path, _use_new_zipfile_serialization=False
    )


def _save_many_of_one(path: Path) -> None:
    """An archive of TorchScript: each tensor is laid over the same storage, and copied out of it."""
    one = torch.zeros(16 * MIB)
    module = nn.Module()
    for number in range(8):
        module.register_buffer(f"b{number}", one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))


def _save_holes(path: Path) -> None:
    path.write_bytes(b"\x80\x02")
    os.truncate(path, 64 << 30)


def _odd_tensors() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    """Tensors that are none of ours; in the place of one that is."""
    shape = expected_shapes()[PROBED]
    kinds: dict[str, tuple[str, Callable[[], object]]] = {
        "sparse": ("a sparse tensor", lambda: torch.zeros(shape).to_sparse()),
        "csr": ("another sparse tensor", lambda: torch.zeros(3, 3).to_sparse_csr()),
        "meta": ("a tensor without numbers", lambda: torch.zeros(shape, device="meta")),
        "complex": ("complex numbers", lambda: torch.zeros(shape, dtype=torch.complex64)),
        "quantized": ("quantized numbers", lambda: torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8)),
        "nested": ("tensors in a tensor", lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])),
        "bool": ("truth values", lambda: torch.zeros(shape, dtype=torch.bool)),
        "integer": ("whole numbers", lambda: torch.zeros(shape, dtype=torch.int32)),
        "nan": ("no numbers", lambda: torch.full(shape, float("nan"))),
        "huge": ("numbers that 32 bits cannot hold", lambda: torch.full(shape, 1e300, dtype=torch.float64)),
        "empty": ("no number at all", lambda: torch.zeros(0)),
        "text": ("a text", lambda: "weights"),
        "number": ("a number", lambda: 5),
    }
    return {
        f"tensor-{name}": (f"{story} in the place of a tensor", partial(_save_one, make=make), BAD)
        for name, (story, make) in kinds.items()
    } | {
        "tensor-escape": ("a name that steers terminals", partial(_save_named, name="\x1b[2J\r\n<b>"), BAD),
        "tensor-surrogate": ("a name of half a character", partial(_save_named, name="a\ud800"), BAD),
        "state-is-list": ("a list where names should be", partial(_save_content, content={"state_dict": [1]}), BAD),
        "state-of-states": ("in each other", partial(_save_content, content={"state_dict": {"state_dict": {}}}), BAD),
        "state-empty": ("nothing", partial(_save_content, content={}), BAD),
    }  # fmt: skip


def _save_content(path: Path, *, content: object) -> None:
    torch.save(content, path)


def _damaged() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    plain = {
        "empty": b"",
        "html": b"<!DOCTYPE html><html>404",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 435801865\n",
        "one-byte": b"\x80",
        "zip-head": b"PK\x03\x04" + bytes(26),
        "zip-end": b"PK\x05\x06" + bytes(18),
        "random": bytes(range(256)) * 64,
    }
    return {
        f"damaged-{name}": (f"no weights: {name}", partial(Path.write_bytes, data=data), BAD)
        for name, data in plain.items()
    } | {
        f"cut-{form}-{percent}": ("cut", partial(_save_cut, legacy=form == "legacy", percent=percent), BAD)
        for form in ("legacy", "zip")
        for percent in (10, 60, 99)
    }  # fmt: skip


def _save_cut(path: Path, *, legacy: bool, percent: int) -> None:
    _save(path, legacy=legacy)
    os.truncate(path, path.stat().st_size * percent // 100)


def _safetensors() -> dict[str, tuple[str, Callable[[Path], None], Answer]]:
    one = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    heads: dict[str, tuple[str, bytes]] = {
        "length": ("a head of four exabytes", struct.pack("<Q", 1 << 62) + b"{}"),
        "depth": ("a head of 100,000 levels", _headed(b'{"a":' * 100_000)),
        "not-json": ("no JSON", _headed(b'{"a": [}}')),
        "not-text": ("no UTF-8", _headed(b'{"\xff": 1}')),
        "overlap": ("two tensors in one place", _headed(json.dumps({PROBED: one, "b": one}).encode(), 12)),
        "beyond": ("a tensor behind the end", _headed(_one_head(data_offsets=[0, 1 << 40]), 12)),
        "backwards": ("a tensor that ends before it begins", _headed(_one_head(data_offsets=[12, 0]), 12)),
        "negative": ("a length below zero", _headed(_one_head(shape=[-3]), 12)),
        "overflow": ("a shape whose product is small again", _headed(_one_head(shape=[1 << 32, 1 << 32, 3]), 12)),
        "unknown-type": ("numbers of no known kind", _headed(_one_head(dtype="F7"), 12)),
        "hole": ("bytes that no tensor has", _headed(_one_head(data_offsets=[4, 16]), 16)),
        "key-twice": ("one name twice", _headed(b'{"a":%b,"a":%b}' % ((json.dumps(one).encode(),) * 2), 12)),
    }
    return {
        f"safetensors-{name}": (story, partial(Path.write_bytes, data=data), BAD)
        for name, (story, data) in heads.items()
    } | {
        "safetensors-many": ("100,000 empty tensors", partial(_save_many_heads, count=100_000), BAD),
        "safetensors-large-head": ("a head of 120 MB", partial(_save_large_head, size_bytes=120_000_000), BAD),
    }


def _save_large_head(path: Path, *, size_bytes: int) -> None:
    path.write_bytes(_headed(b'{"__metadata__":{"a":"' + b"x" * size_bytes + b'"}}'))


def _save_many_heads(path: Path, *, count: int) -> None:
    one = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    path.write_bytes(_headed(json.dumps({str(number): one for number in range(count)}).encode()))


def _headed(head: bytes, data_bytes: int = 0) -> bytes:
    return struct.pack("<Q", len(head)) + head + bytes(data_bytes)


def _one_head(**changes: object) -> bytes:
    return json.dumps({PROBED: {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]} | changes}).encode()
