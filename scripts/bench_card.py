"""The wav2lip network by itself: how near it comes to exact arithmetic, what it takes of a card, how fast it is.

    python scripts/bench_card.py                   the first card; the processor where there is none
    python scripts/bench_card.py --device cpu --json figures.json

The weights are untrained, so figures tell of arithmetic, memory and speed, and nothing of quality. Memory is measured
with every batch in a process of its own, as in a worker that is given just that batch, and compared with the table of
planning/vram.py before it has learnt anything. Ends with 1 when a batch took more than would have been granted.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import structlog
import torch
from bench.machine import facts
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from heygemd.jobs.job import EngineName
from heygemd.planning.vram import Kind, Load, MemoryModel
from heygemd.render.wav2lip.generator import Generator
from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES, Wav2LipNetwork
from heygemd.render.wav2lip.untrained import untrained_network
from heygemd.scheduler.devices import find_devices

Floats = NDArray[np.float32]
MIB = 1 << 20
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
FACES = 32
"""Compared with exact arithmetic."""
DTYPES = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "float16", "bfloat16")}


def main() -> int:
    args = read_arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for figures
    if args.take:
        print(json.dumps(taken(args.device, args.take)))
        return 0
    result: dict[str, Any] = {
        "machine": facts(),
        "errors": errors(args.device),
        "speed": speed(args.device),
        "memory": [one(args.device, batch) for batch in BATCHES] if args.device.startswith("cuda") else [],
    }
    for name in ("errors", "speed", "memory"):
        show(name, result[name])
    print(json.dumps(result["machine"], ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 1 if any(row["measured_mib"] > row["granted_mib"] for row in result["memory"]) else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--take", type=int, help=argparse.SUPPRESS)  # this script in a process of its own
    return parser.parse_args()


def some_input(count: int) -> tuple[Floats, Floats]:
    """Return mel windows and faces of noise, the hardest picture there is."""
    rng = np.random.default_rng(7)
    windows = rng.uniform(-4, 0, (count, MEL_FRAMES, MEL_BANDS)).astype(np.float32)
    return windows, rng.uniform(0, 255, (count, FACE_PX, FACE_PX, 3)).astype(np.float32)


# How near ------------------------------------------------------------------------------------------------------------


def errors(device: str) -> list[dict[str, Any]]:
    """Compare each number format with the published network in float64, in levels of 0..255."""
    windows, faces = some_input(FACES)
    exact = painted_exactly(untrained_network(), windows, faces)
    rows = []
    for name in DTYPES[device.partition(":")[0]]:
        with patch("heygemd.render.wav2lip.generator.fastest_dtype", lambda _, name=name: getattr(torch, name)):
            painted = Generator(untrained_network(), device).paint(windows, faces, batch_frames=FACES)
        off = np.abs(painted - exact)
        rows.append({"format": name, "mean": round(float(off.mean()), 4), "largest": round(float(off.max()), 3)})
    return rows


@torch.inference_mode()
def painted_exactly(network: Wav2LipNetwork, windows: Floats, faces: Floats) -> NDArray[np.float64]:
    """Repaint on the processor, in float64, neither folded nor padded."""
    whole = torch.from_numpy(faces).double().permute(0, 3, 1, 2) / 255
    masked = whole.clone()
    masked[:, :, FACE_PX // 2 :] = 0
    mel = torch.from_numpy(windows).double().transpose(1, 2).unsqueeze(1)
    painted = network.double()(mel, torch.cat((masked, whole), dim=1))
    return np.asarray(painted.permute(0, 2, 3, 1).numpy() * 255, np.float64)


# How fast ------------------------------------------------------------------------------------------------------------


def speed(device: str, rounds: int = 20) -> list[dict[str, Any]]:
    """Time `paint`, copies to the device and back included; medians."""
    generator = Generator(untrained_network(), device)
    rows = []
    for batch in BATCHES if device.startswith("cuda") else BATCHES[:4]:
        windows, faces = some_input(batch)
        took_s = []
        for _ in range(rounds + 3):
            began_s = time.perf_counter()
            generator.paint(windows, faces, batch_frames=batch)
            took_s.append(time.perf_counter() - began_s)
        frame_s = statistics.median(took_s[3:]) / batch
        rows.append({"format": generator.precision, "batch": batch, "ms_a_frame": round(1000 * frame_s, 3)})
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
    generator = Generator(untrained_network(), device)
    windows, faces = some_input(batch)
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


def show(title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
