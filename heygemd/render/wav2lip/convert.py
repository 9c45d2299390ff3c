"""Strips a checkpoint to its 352 tensors, as a process of its own: what it reads came from strangers.

    python -m heygemd.render.wav2lip.convert --source-fd 5 --output-fd 6 --name wav2lip_gan.pth [--half]

Both files come as open descriptors, so this process needs no right to any folder. On stdout it writes one JSON object:
what was made, or `{"error": {"code": …, "message": …}}`.
"""

import argparse
import hashlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from heygemd import __version__
from heygemd.errors import HeygemdError, SetupError
from heygemd.naming import printable
from heygemd.render.wav2lip.checkpoint import container_of, read_weights, refuse_too_large

MEMORY_BYTES = 3 << 30
"""Address space beyond what torch takes by itself: three times the published file, and the copies."""
FILE_BYTES = 400 << 20
CPU_S = 300
OPEN_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was made of what."""

    container: str
    source_sha256: str
    source_bytes: int
    sha256: str
    size_bytes: int
    tensors: int
    half_tensors: int
    """Stored in 16 bits; the rest holds whole numbers, or values that 16 bits cannot."""


def convert(source: BufferedReader, output: BufferedRandom, name: Path, *, half: bool) -> Converted:
    """Write the tensors of `source` as safetensors and read them back; raises SetupError E405 when they do not fit."""
    refuse_too_large(name, source)
    source_sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    tensors = {key: _lean(tensor, half=half) for key, tensor in read_weights(name, source).items()}
    container = container_of(name, source)  # of what could be read: of damaged archives it raises anything
    note = {"made_by": f"heygemd {__version__}", "source": printable(name.name), "source_sha256": source_sha256}
    # One key: their order in the file changes from run to run, and with it the sha256.
    content = save(tensors, metadata={"heygemd": json.dumps(note)})
    output.write(content)
    output.flush()
    _refuse_difference(output, tensors)
    return Converted(
        container=container.value,
        source_sha256=source_sha256,
        source_bytes=os.fstat(source.fileno()).st_size,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        tensors=len(tensors),
        half_tensors=sum(tensor.dtype == torch.float16 for tensor in tensors.values()),
    )


def _lean(tensor: Tensor, *, half: bool) -> Tensor:
    """Return the tensor in 32 bits, or in 16 where all its values fit; whole numbers stay."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    plain = tensor.to(torch.float32).contiguous()
    if not half:
        return plain
    small = plain.to(torch.float16)
    return small if bool(torch.isfinite(small).all()) else plain


def _refuse_difference(output: BufferedRandom, tensors: dict[str, Tensor]) -> None:
    """Compare what lies in the file now with what should."""
    output.seek(0)
    found = load(output.read())
    is_equal = found.keys() == tensors.keys() and all(
        found[key].dtype == tensor.dtype and torch.equal(found[key], tensor) for key, tensor in tensors.items()
    )
    if not is_equal:
        raise SetupError("E405", "the converted file does not hold what was written to it: is the disk failing?")


def limit_self() -> None:
    """Set limits for the rest of this process; torch is loaded already, and counts little by little."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        ceiling = resource.getrlimit(kind)[1]
        bound = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(kind, (bound, bound))


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, and say how it went."""
    parser = argparse.ArgumentParser(prog="heygemd.render.wav2lip.convert")
    parser.add_argument("--source-fd", type=int, required=True)
    parser.add_argument("--output-fd", type=int, required=True)
    parser.add_argument("--name", type=Path, required=True, help="what messages call the source")
    parser.add_argument("--half", action="store_true")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    limit_self()
    try:
        with os.fdopen(args.source_fd, "rb") as source, os.fdopen(args.output_fd, "r+b") as output:
            made = convert(source, output, args.name, half=args.half)
    except HeygemdError as error:
        sys.stdout.write(json.dumps({"error": {"code": error.code, "message": error.message}}) + "\n")
        return 1
    sys.stdout.write(json.dumps(asdict(made)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
