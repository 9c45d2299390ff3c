"""The wav2lip network by itself: how near it comes to exact arithmetic, what it takes of a card, how fast it is.

    python scripts/bench_card.py                   the first card; the processor where there is none
    python scripts/bench_card.py --device cpu --json figures.json
    python scripts/bench_card.py --weights models/wav2lip_gan.pth --clip me.mp4 --voice me.wav

errors   every way to compute, against the published module in float64: of noise, and of faces cut from a clip. In
         levels of 0..255, and relative to how much the exact pictures vary (L2, and the largest).
speed    whole pictures and lower halves, in turns; CPU time is of all threads, and counts no card
memory   of a card: each batch in a process of its own, beside the table of planning/vram.py

Without --weights they are untrained: figures tell of arithmetic, memory and speed, and errors are exaggerated, for such
weights carry noise to the last layer. Ends with 1 when a batch took more of a card than would have been granted.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from bench.cutfaces import real_faces
from bench.machine import facts
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from heygemd.errors import HeygemdError
from heygemd.jobs.job import EngineName
from heygemd.planning.vram import Kind, Load, MemoryModel
from heygemd.render.wav2lip.calibration import Paint, sample
from heygemd.render.wav2lip.checkpoint import load_weights
from heygemd.render.wav2lip.folding import Folded, fold
from heygemd.render.wav2lip.generator import Generator, Squares, Windows
from heygemd.render.wav2lip.loading import AUTO, candidates_for, load_generator, on_card
from heygemd.render.wav2lip.network import LOWER_ROW, Wav2LipNetwork
from heygemd.render.wav2lip.processor import BATCH, numpy_of
from heygemd.render.wav2lip.shapes import multiplications
from heygemd.render.wav2lip.torchnetwork import TorchNetwork, can_pack, network_input
from heygemd.render.wav2lip.untrained import untrained_network
from heygemd.scheduler.devices import find_devices

CHECKOUT = Path(__file__).resolve().parents[1]
CLIP, VOICE = CHECKOUT / "demo/presenter.mp4", CHECKOUT / "scripts/demo/voice_en.flac"
MIB = 1 << 20
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
FACES = 4 * BATCH
"""Compared with exact arithmetic."""
ROUNDS = 7
CARD_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

Rows = list[dict[str, Any]]


def main() -> int:
    args = read_arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for figures
    torch.set_num_threads(args.threads)
    if args.take:
        print(json.dumps(taken(args.device, args.take)))
        return 0
    is_card = args.device.startswith("cuda")
    tensors = load_weights(args.weights) if args.weights else dict(untrained_network().state_dict())
    exact = published(tensors)
    network = fold(tensors)
    result: dict[str, Any] = {
        "machine": facts(),
        "errors": errors(args, exact, network),
        "speed": card_speed(network, args.device) if is_card else speed(network),
        "load": [] if is_card or not args.weights else loads(args.weights),
        "memory": [one(args.device, batch) for batch in BATCHES] if is_card else [],
    }
    for name in ("errors", "speed", "load", "memory"):
        show(name, result[name])
    print(json.dumps(result["machine"], ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 1 if any(row["measured_mib"] > row["granted_mib"] for row in result["memory"]) else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--weights", type=Path, help="a checkpoint; untrained ones without")
    parser.add_argument("--clip", type=Path, default=CLIP, help="whose face is painted (scripts/demo makes this one)")
    parser.add_argument("--voice", type=Path, default=VOICE)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--take", type=int, help=argparse.SUPPRESS)  # this script in a process of its own
    return parser.parse_args()


def ways(network: Folded, device: str, *, first_row: int = LOWER_ROW) -> dict[str, Paint]:
    """Every way to compute the network there is on a device; on the CPU in batches of BATCH. Row 0: whole pictures."""
    if device != "cpu":
        return {str(dtype).removeprefix("torch."): on_device(network, dtype, device) for dtype in CARD_DTYPES}
    if first_row == LOWER_ROW:
        found = {}
        for candidate in candidates_for(AUTO):
            try:
                found[candidate.name] = candidate.build(network)
            except HeygemdError as error:
                print(f"{candidate.name}: {error.message}", file=sys.stderr)
        return found
    packed_for = BATCH if can_pack() else None
    return {
        f"{'packed ' if packed_for else ''}torch {str(dtype).removeprefix('torch.')}": numpy_of(
            TorchNetwork(network, dtype, packed_for=packed_for, first_row=first_row)
        )
        for dtype in (torch.bfloat16, torch.float32)
    }


def on_device(network: Folded, dtype: torch.dtype, device: str) -> Paint:
    made = TorchNetwork(network, dtype, device)

    def paint(windows: Windows, faces: Squares) -> NDArray[np.float32]:
        return made.paint(*(torch.from_numpy(values).to(device) for values in (windows, faces))).cpu().numpy()

    return paint


# How near ------------------------------------------------------------------------------------------------------------


def published(tensors: dict[str, torch.Tensor]) -> Wav2LipNetwork:
    """The module as published, in float64: neither folded, nor cut, nor padded."""
    network = Wav2LipNetwork()
    network.load_state_dict(tensors)
    return network.eval().double()


def errors(args: argparse.Namespace, exact: Wav2LipNetwork, network: Folded) -> Rows:
    """Compare every way to compute with the published module in float64."""
    inputs = {"noise": sample(FACES)}
    if args.clip.exists() and args.voice.exists():
        inputs["clip"] = real_faces(args.clip, args.voice, FACES)
    painters = {**ways(network, args.device)}
    rows = []
    for kind, (windows, faces) in inputs.items():
        expected = painted_exactly(exact, windows, faces)
        varied = expected - expected.mean()
        for name, paint in painters.items():
            off = in_batches(paint, windows, faces) - expected
            levels = np.abs(off)
            rows.append(
                {
                    "faces": f"{len(faces)} of {kind}",
                    "way": name,
                    "mean": f"{levels.mean():.4g}",
                    "p99": f"{np.percentile(levels, 99):.4g}",
                    "largest": f"{levels.max():.4g}",
                    "relative L2": f"{np.linalg.norm(off) / np.linalg.norm(varied):.2g}",
                    "relative largest": f"{levels.max() / np.abs(varied).max():.2g}",
                }
            )
    return rows


def in_batches(paint: Paint, windows: Windows, faces: Squares) -> NDArray[np.float32]:
    """Paint any number of faces, the last batch filled up with its first face."""
    painted = []
    for start in range(0, len(faces), BATCH):
        places = np.arange(start, start + BATCH)
        places[places >= len(faces)] = start
        painted.append(paint(windows[places], faces[places])[: len(faces) - start])
    return np.concatenate(painted)


@torch.inference_mode()
def painted_exactly(network: Wav2LipNetwork, windows: Windows, faces: Squares) -> NDArray[np.float64]:
    """Repaint the lower halves on the processor in float64."""
    whole = [
        network(*network_input(*(torch.from_numpy(values[i : i + 4]).double() for values in (windows, faces))))
        for i in range(0, len(faces), 4)
    ]
    halves = torch.cat(whole)[:, :, LOWER_ROW:]
    return np.asarray(halves.permute(0, 2, 3, 1).numpy() * 255, np.float64)


# How fast ------------------------------------------------------------------------------------------------------------


def speed(network: Folded) -> Rows:
    """Time one batch of every way in turns; medians of CPU and wall time a face."""
    windows, faces = sample(BATCH)
    painters = {("whole", name): paint for name, paint in ways(network, "cpu", first_row=0).items()}
    painters |= {("lower half", name): paint for name, paint in ways(network, "cpu").items()}
    took = in_turns({key: lambda paint=paint: paint(windows, faces) for key, paint in painters.items()})
    gmac = {"whole": multiplications(network, first_row=0) / 1e9, "lower half": multiplications(network) / 1e9}
    return [
        {
            "picture": part,
            "way": name,
            "GMAC": f"{gmac[part]:.2f}",
            "cpu_ms_a_face": round(1000 * took[part, name][0] / BATCH, 2),
            "wall_ms_a_face": round(1000 * took[part, name][1] / BATCH, 2),
        }
        for part, name in painters
    ]


def in_turns(work: dict[Any, Callable[[], object]]) -> dict[Any, tuple[float, float]]:
    """Do everything ROUNDS times after once to warm up; medians of the CPU and wall seconds of each."""
    seconds: dict[Any, list[tuple[float, float]]] = {key: [] for key in work}
    for number in range(ROUNDS + 1):
        for key, act in work.items():
            began = time.process_time(), time.perf_counter()
            act()
            if number:
                seconds[key].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return {
        key: (statistics.median(cpu for cpu, _ in taken), statistics.median(wall for _, wall in taken))
        for key, taken in seconds.items()
    }


def card_speed(network: Folded, device: str) -> Rows:
    """Time batches on a card, one by one and four in flight, copies included; medians a face."""
    generator = Generator(on_card(network, torch.device(device)))
    rows = []
    for batch in BATCHES:
        windows, faces = sample(batch)

        def four(windows: Windows = windows, faces: Squares = faces, batch: int = batch) -> None:
            for wait in [generator.submit(windows, faces, batch_frames=batch) for _ in range(4)]:
                wait()

        def single(windows: Windows = windows, faces: Squares = faces, batch: int = batch) -> None:
            generator.paint(windows, faces, batch_frames=batch)

        took = in_turns({"alone": single, "in flight": four})
        rows.append(
            {
                "way": generator.precision,
                "batch": batch,
                "alone_ms_a_face": round(1000 * took["alone"][1] / batch, 3),
                "in_flight_ms_a_face": round(1000 * took["in flight"][1] / batch / 4, 3),
                "cpu_ms_a_face": round(1000 * took["in flight"][0] / batch / 4, 3),
            }
        )
    return rows


def loads(weights: Path) -> Rows:
    """Time the loading of a checkpoint with a calibration, and with torch's bfloat16 as it would be remembered."""
    rows = []
    for name, act in {
        "read and fold": lambda: fold(load_weights(weights)),
        "the same and calibrate": lambda: load_generator(weights, device="cpu"),
    }.items():
        cpu_s, wall_s = in_turns({name: act})[name]
        rows.append({"what": name, "cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)})
    return rows


# How much memory -----------------------------------------------------------------------------------------------------


def one(device: str, batch: int) -> dict[str, Any]:
    """Measure one batch in a process of its own, and put what was predicted beside it."""
    asked = [sys.executable, __file__, "--device", device, "--take", str(batch)]
    answer = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    found = json.loads(answer.splitlines()[-1])
    name = torch.cuda.get_device_name(device)
    kind = Kind(engine=EngineName.WAV2LIP, precision=found["format"], is_cuda=True, device_name=name)
    load = Load(batch=batch, width_px=1920, height_px=1080)
    table = MemoryModel.fit(kind, (), context_bytes=0).estimate(load)
    error = table.expected_bytes / MIB / found["measured_mib"] - 1
    predicted = {"expected_mib": table.expected_bytes // MIB, "granted_mib": table.bytes // MIB}
    return {**found, **predicted, "error": f"{error:+.0%}"}


def taken(device: str, batch: int) -> dict[str, Any]:
    """Paint with one batch and tell what torch reserved at most, and what the driver counts besides: the context."""
    generator = Generator(on_card(fold(dict(untrained_network().state_dict())), torch.device(device)))
    windows, faces = sample(batch)
    for _ in range(3):
        generator.paint(windows, faces, batch_frames=batch)
    holders = [holder for card in find_devices() for holder in card.holders if holder.pid == os.getpid()]
    held = next((holder.held_bytes for holder in holders if holder.held_bytes is not None), None)
    return {
        "format": generator.precision,
        "batch": batch,
        "measured_mib": torch.cuda.max_memory_reserved(device) // MIB,
        "used_mib": torch.cuda.max_memory_allocated(device) // MIB,
        "context_mib": None if held is None else (held - torch.cuda.memory_reserved(device)) // MIB,
    }


def show(title: str, rows: Rows) -> None:
    if not rows:
        return
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
