"""From a file of weights to a generator that paints: read, fold, choose what computes it."""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
import torch

from heygemd.errors import SetupError
from heygemd.render.wav2lip.aside import chosen_aside
from heygemd.render.wav2lip.calibration import Candidate, Paint, Trial, Yardstick, calibrated
from heygemd.render.wav2lip.card import Card
from heygemd.render.wav2lip.checkpoint import load_weights
from heygemd.render.wav2lip.choice import ChoiceFile, choice_file
from heygemd.render.wav2lip.folding import Folded, fold
from heygemd.render.wav2lip.generator import Device, Generator
from heygemd.render.wav2lip.openvinonetwork import is_installed
from heygemd.render.wav2lip.processor import BATCH, Processor, by_openvino, by_packed_torch, by_torch
from heygemd.render.wav2lip.torchnetwork import TorchNetwork, can_pack

log = structlog.get_logger(__name__)

AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
CARD_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
"""Tried in this order on a card."""
CPU_DTYPES = ("bfloat16", "float32")
CHECKED_FACES = 2
"""Painted on a card and in plain float32 on the CPU, for comparison: 0.1 s."""


def load_generator(
    weights: Path,
    *,
    device: str,
    sha256: str | None = None,
    backend: str = AUTO,
    cache_dir: Path | None = None,
) -> Generator:
    """Load the weights, which must have this sha256, for a torch device.

    `backend`: `auto`, `torch` or `openvino`; what of it is the cheapest on a CPU is measured (1.5 s of CPU time), and
    remembered in `cache_dir` for weights whose sha256 is given. A card is always torch's. Raises SetupError E401 (no
    such back end here), E402, E405 or E409.
    """
    if device != "cpu":
        made: Device = on_card(fold(load_weights(weights, sha256)), torch.device(device))
    elif cache_dir is None or sha256 is None:
        candidates = candidates_for(backend)
        best = calibrated(fold(load_weights(weights, sha256)), candidates, count=BATCH)
        made = Processor(best.paint, best.candidate.precision)
    else:
        made = _remembering(weights, sha256, backend, choice_file(cache_dir, sha256, backend))
    ctypes.CDLL(None).malloc_trim(0)  # what was only needed to get here: up to three copies of the weights
    log.info("wav2lip.generator_loaded", device=device, precision=made.precision)
    return Generator(made)


def candidates_for(backend: str) -> Sequence[Candidate]:
    """List what may be tried on the CPU; raises SetupError E401 when the one that is asked for is not installed."""
    has_openvino = backend != TORCH and is_installed()
    if backend == OPENVINO and not has_openvino:
        raise SetupError("E401", "render.backend = openvino, but OpenVINO is not installed: install heygemd[openvino]")
    by_openvino_only = [_candidate("openvino", by_openvino, dtype, shown="openvino ") for dtype in CPU_DTYPES]
    if backend == OPENVINO:
        return by_openvino_only
    packable = (dtype for dtype in CPU_DTYPES if can_pack(getattr(torch, dtype)))
    packed = [_candidate("packed torch", by_packed_torch, dtype) for dtype in packable]
    plain = [_candidate("torch", by_torch, dtype, unless=f"packed torch {dtype}") for dtype in CPU_DTYPES]
    return [*packed, *plain, *(by_openvino_only if has_openvino else ())]


def _candidate(way: str, build: Callable[..., Paint], dtype: str, *, shown: str = "", unless: str = "") -> Candidate:
    return Candidate(
        name=f"{way} {dtype}",
        precision=f"{shown}{dtype}",
        dtype=dtype,
        build=partial(build, dtype=dtype),
        unless=unless,
    )


def _remembering(weights: Path, sha256: str, backend: str, remembered: ChoiceFile) -> Processor:
    """Take the candidate that is remembered, or the one that proves best, which is then remembered."""
    candidates = candidates_for(backend)
    with remembered.locked():
        name = remembered.read()
        if not name and _leaves_much(candidates):
            name, batch_cpu_ms = chosen_aside(weights, sha256, backend)
            if name:
                remembered.write(name, batch_cpu_ms)
        network = fold(load_weights(weights, sha256))
        if (best := _built(network, candidates, name)) is None:
            best = calibrated(network, candidates, count=BATCH)
            remembered.write(best.candidate.name, best.batch_cpu_ms)
    return Processor(best.paint, best.candidate.precision)


def _leaves_much(candidates: Sequence[Candidate]) -> bool:
    """Whether trying them loads a library that may not be needed afterwards."""
    return len({candidate.name.startswith(OPENVINO) for candidate in candidates}) > 1


def _built(network: Folded, candidates: Sequence[Candidate], name: str) -> Trial | None:
    """Build the candidate of this name, without a trial; None when there is none, or no longer."""
    for candidate in candidates:
        if candidate.name == name:
            try:
                paint = candidate.build(network)
            except SetupError as error:
                log.info("wav2lip.candidate_left_out", candidate=name, reason=error.message)
                return None
            log.debug("wav2lip.choice_used", chosen=name)
            return Trial(candidate=candidate, paint=paint)
    return None


def on_card(network: Folded, device: torch.device) -> Card:
    """Compute in the shortest number format that is near enough; a card is always faster in that."""
    yardstick = Yardstick(network, CHECKED_FACES)
    windows, faces = (torch.from_numpy(values).to(device) for values in (yardstick.windows, yardstick.faces))
    for dtype in CARD_DTYPES[:-1]:
        made = TorchNetwork(network, dtype, device)
        name = str(dtype).removeprefix("torch.")
        reason = yardstick.objection(made.paint(windows, faces).cpu().numpy(), name)
        if not reason:
            return Card(made, device)
        log.info("wav2lip.candidate_left_out", candidate=name, reason=reason)
    return Card(TorchNetwork(network, CARD_DTYPES[-1], device), device)
