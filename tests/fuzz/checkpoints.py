"""Mutated weights, read as the product reads those of strangers: converted by a process of its own, with its limits.

Loading torch takes seconds, so the processes are forked off one that has loaded it; each sets its limits and reads one
file. What a pickle tries to call makes a folder: that it is not there is what is looked for.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from random import Random

from heygemd.errors import ADVICE
from heygemd.modelform import form_of
from tests.fuzz.outcome import MAX_WALL_S, Ending, Outcome, Tally
from tests.fuzz.packages import HEADER_BYTES, mutated_pickle, mutated_safetensors, mutated_zip

KINDS = ("legacy.pth", "zip.pth", "script.pt", "plain.safetensors")
CONVERTER = "heygemd.render.wav2lip.convert"
CANARY = "called"
"""Name of the folder that must never be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One input; a sparse file, so `data` alone is no more than its beginning."""

    label: str
    data: bytes
    size_bytes: int

    def lay(self, path: Path) -> None:
        """Write the file."""
        with path.open("wb") as file:
            file.write(self.data)
            file.truncate(self.size_bytes)


def make_seeds(folder: Path) -> None:
    """Write good checkpoints that take little space: tensors of one number each, and a file of nothing but zeros."""
    import torch
    from safetensors.torch import save

    from heygemd.render.wav2lip.network import expected_shapes
    from heygemd.render.wav2lip.untrained import save_published

    folder.mkdir(parents=True, exist_ok=True)
    shapes = expected_shapes()
    dtypes = {name: torch.int64 if name.endswith("num_batches_tracked") else torch.float32 for name in shapes}
    thin = {name: torch.zeros((), dtype=dtypes[name]).expand(shape) for name, shape in shapes.items()}
    save_published(thin, folder / "legacy.pth")
    save_published(thin, folder / "zip.pth", legacy=False)
    whole = save({name: tensor.contiguous() for name, tensor in thin.items()}, metadata={"format": "pt"})
    length = HEADER_BYTES + int.from_bytes(whole[:HEADER_BYTES], "little")
    with (folder / "plain.safetensors").open("wb") as file:
        file.write(whole[:length])
        file.truncate(len(whole))
    pair = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).eval()
    with warnings.catch_warnings(action="ignore"):  # torch would like to have another format one day
        torch.jit.trace(pair, torch.rand(1, 1, 9, 9)).save(str(folder / "script.pt"))


def checkpoints(seeds: Path, seed: str, target: str) -> Iterator[Checkpoint]:
    """Inputs without end; the same for the same seeds and seed."""
    change: dict[str, Callable[[bytes, Random], bytes]] = {
        "legacy.pth": lambda data, luck: mutated_pickle(data, target, luck),
        "zip.pth": lambda data, luck: mutated_zip(data, target, luck),
        "script.pt": lambda data, luck: mutated_zip(data, target, luck),
        "plain.safetensors": mutated_safetensors,
    }
    good = {kind: _beginning(seeds / kind) for kind in KINDS}
    number = 0
    while True:
        kind = KINDS[number % len(KINDS)]
        luck = Random(f"{seed}/{number}")
        content, size = good[kind]
        data = change[kind](content, luck)
        whole = size - len(content) + len(data) - (HEADER_BYTES if kind == "plain.safetensors" else 0)
        if luck.random() < 0.1:
            whole = luck.choice((len(data), max(0, whole - 1), whole + 1, whole // 2))
        yield Checkpoint(label=f"{seed}-{number}-{kind}", data=data[:whole], size_bytes=whole)
        number += 1


def _beginning(path: Path) -> tuple[bytes, int]:
    """What is to be changed, and the size of the whole file: of safetensors the header alone."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if path.suffix != ".safetensors":
            return file.read(), size
        length = int.from_bytes(file.read(HEADER_BYTES), "little")
        return file.read(length), size


def nursery() -> BaseContext:
    """Where the processes come from that read one file each: torch is loaded there, once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([CONVERTER])
    return context


def convert_alone(source: str, folder: str) -> None:
    """In a process of its own: the converter's `main`, with its output in files of `folder`."""
    from heygemd.render.wav2lip import convert

    for number, name in ((1, "said"), (2, "complaints")):
        with Path(folder, name).open("wb") as file:
            os.dup2(file.fileno(), number)
    with tempfile.TemporaryFile(dir=folder) as output:
        arguments = ["--source-fd", str(os.open(source, os.O_RDONLY)), "--output-fd", str(os.dup(output.fileno()))]
        sys.exit(convert.main([*arguments, "--name", "stranger"]))


def execute(context: BaseContext, folder: Path, checkpoint: Checkpoint, tally: Tally) -> None:
    """Look at the file as the catalogue does, then let a process convert it."""
    folder.mkdir(parents=True, exist_ok=True)
    file, canary = folder / "weights", folder / CANARY
    checkpoint.lay(file)
    began_s = time.monotonic()
    try:
        with file.open("rb") as stream:
            form_of(stream)
        ending, code, reason = _converted(context, file, folder)
    except Exception as error:  # noqa: BLE001  # of the catalogue: that runs within commands and daemon
        ending, code, reason = Ending.DEATH, "", f"{type(error).__name__}: {error}"
    if canary.exists():
        canary.rmdir()
        ending, reason = Ending.ESCAPE, "what the file names was called"
    wall_s = time.monotonic() - began_s
    tally.note(checkpoint.label, checkpoint.data, Outcome(ending=ending, code=code, reason=reason, wall_s=wall_s))
    file.unlink()


def _converted(context: BaseContext, file: Path, folder: Path) -> tuple[Ending, str, str]:
    process = context.Process(target=convert_alone, args=(str(file), str(folder)))
    process.start()
    process.join(MAX_WALL_S)
    if process.is_alive():
        process.kill()
        process.join()
        return Ending.SLOW, "", f"not read after {MAX_WALL_S:.0f} s"
    said, complaints = ((folder / name).read_bytes() for name in ("said", "complaints"))
    status = process.exitcode or 0
    if status < 0:
        return Ending.CRASH, signal.Signals(-status).name, complaints.decode("utf-8", "replace")[-500:]
    try:
        told = json.loads(said)
    except ValueError:
        return Ending.FAULT, f"status {status}", complaints.decode("utf-8", "replace")[-500:]
    if "error" not in told:
        return Ending.USED, "", ""
    code = told["error"]["code"]
    return (
        (Ending.REFUSED if code in ADVICE and code.startswith("E4") else Ending.FAULT),
        code,
        told["error"]["message"],
    )
