"""One part of a film by itself, in a process of its own: prints what a frame of it costs, as one line of JSON.

    python scripts/bench/alone.py follow CLIP FRAMES
    python scripts/bench/alone.py forward DEVICE FRAMES

Used by `floors.py`. Threads are limited as in a worker. A cost per frame is the difference between many frames and a
fifth of them, so that whatever is done once is left out.
"""

import argparse
import copy
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_video
from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES
from heygemd.render.worker import limit_threads

CPU_BATCH, CARD_BATCH = 8, 64
ROUNDS = 20
"""Of what a card is timed with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("follow", "forward"))
    parser.add_argument("what", help="clip or device")
    parser.add_argument("frames", type=int)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    limit_threads()
    is_follow = asked.part == "follow"
    print(json.dumps(follow(Path(asked.what), asked.frames) if is_follow else forward(asked.what, asked.frames)))


def marginal_s(work: Callable[[int], object], frames: int) -> float:
    """CPU seconds of one more frame; `work` does so many, and has been done once before."""
    few = max(1, frames // 5)
    costs = []
    for count in (few, frames):
        began_s = time.process_time()
        work(count)
        costs.append(time.process_time() - began_s)
    return (costs[1] - costs[0]) / (frames - few)


def follow(clip: Path, frames: int) -> dict[str, Any]:
    """Follow every face through frames that lie in memory already."""
    from heygemd.render.faces.tracker import track_crowd  # noqa: PLC0415  # beside its only use

    source = SourceVideo(clip, probe_video(clip, Limits()), Limits())
    stream = source.decode()
    kept = [(frame.pts_s, frame.planes) for frame in islice(stream, frames)]
    del stream  # and with it the decoder
    with tempfile.TemporaryDirectory() as folder:

        def work(count: int) -> None:
            track_crowd(iter(kept[:count]), lambda done: None, scratch=Path(folder), device="cpu")

        work(2)
        return {"cpu_s": marginal_s(work, len(kept)), "frames": len(kept)}


# The network --------------------------------------------------------------------------------------------------------


def forward(device: str, frames: int) -> dict[str, Any]:
    """Run the whole published network, normalisations merged, in every way that this machine has; the cheapest counts.

    None of the product's own back ends is used, nor its shortcut of the rows that nobody looks at: a floor that moves
    with what is measured against it would be none.
    """
    network = merged()
    if device.startswith("cuda"):
        return on_card(network, device)
    ways = {"torch float32": in_torch(network, torch.float32)}
    if "bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"):
        ways["torch bfloat16"] = in_torch(network, torch.bfloat16)
    ways |= in_openvino(network)
    costs = {}
    for name, run in ways.items():
        run()
        costs[name] = marginal_s(lambda count, run=run: [run() for _ in range(count // CPU_BATCH)], frames)
    best = min(costs, key=lambda name: costs[name])
    return {"cpu_s": costs[best], "way": best, "ways": costs, "batch": CPU_BATCH}


def merged() -> torch.nn.Module:
    """The published network with each normalisation merged into the convolution before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval  # noqa: PLC0415  # with its only use

    from heygemd.render.wav2lip.untrained import untrained_network  # noqa: PLC0415

    network = untrained_network()
    for layer in network.eval().modules():
        block = getattr(layer, "conv_block", None)
        if block is not None:
            transposed = isinstance(block[0], torch.nn.ConvTranspose2d)
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1], transpose=transposed), torch.nn.Identity()
    return network.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)


def some_input(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mel windows and masked pairs of faces: noise, for a network costs the same whatever it sees."""
    torch.manual_seed(7)
    mel, faces = 4 * torch.rand(batch, 1, MEL_BANDS, MEL_FRAMES) - 4, torch.rand(batch, 6, FACE_PX, FACE_PX)
    return mel, faces.to(memory_format=torch.channels_last)


def in_torch(network: torch.nn.Module, dtype: torch.dtype) -> Callable[[], object]:
    ready = copy.deepcopy(network).to(dtype)
    mel, faces = (values.to(dtype) for values in some_input(CPU_BATCH))
    return torch.inference_mode()(lambda: ready(mel, faces))


def in_openvino(network: torch.nn.Module) -> dict[str, Callable[[], object]]:
    """Nothing where the optional package is absent."""
    try:
        import openvino  # noqa: PLC0415  # optional
    except ImportError:
        return {}
    mel, faces = some_input(CPU_BATCH)
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    model = openvino.convert_model(plain, example_input=(mel, faces))
    model.reshape({model.inputs[0]: list(mel.shape), model.inputs[1]: list(faces.shape)})
    given: list[NDArray[np.float32]] = [mel.numpy(), faces.contiguous().numpy()]
    ways: dict[str, Callable[[], object]] = {}
    for precision in ("f32", "bf16"):
        asked = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        request = openvino.Core().compile_model(model, "CPU", asked).create_infer_request()
        ways[f"openvino {precision}"] = lambda request=request: request.infer(given)
    return ways


@torch.inference_mode()
def on_card(network: torch.nn.Module, device: str) -> dict[str, Any]:
    """Time float16 on a card with the card's own clock: the network, and the copies there and back."""
    ready = copy.deepcopy(network).half().to(device)
    mel, faces = (values.pin_memory() for values in some_input(CARD_BATCH))
    back = torch.empty(CARD_BATCH, 3, FACE_PX, FACE_PX).pin_memory()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
    rows, began_s = [], 0.0
    for number in range(ROUNDS + 3):
        if number == 3:  # kernels are chosen by now
            began_s = time.process_time()
        marks[0].record()
        near = [values.to(device, non_blocking=True).half() for values in (mel, faces)]
        marks[1].record()
        painted = ready(*near)
        marks[2].record()
        back.copy_(painted.float(), non_blocking=True)
        marks[3].record()
        torch.cuda.synchronize(device)
        rows.append([marks[i].elapsed_time(marks[i + 1]) / CARD_BATCH for i in range(3)])
    there, network_ms, here = (statistics.median(column) for column in zip(*rows[3:], strict=True))
    cpu_s = (time.process_time() - began_s) / ROUNDS / CARD_BATCH
    copies = {"gpu_ms": network_ms, "copy_there_ms": there, "copy_back_ms": here}
    way = f"torch float16, {torch.cuda.get_device_name(device)}"
    return {"cpu_s": cpu_s, "way": way, "batch": CARD_BATCH, **copies}


if __name__ == "__main__":
    main()
