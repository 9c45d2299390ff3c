"""What does it cost to follow the faces of a clip? Milliseconds of CPU per frame, on one core, without decoding.

    OMP_NUM_THREADS=1 python scripts/bench_tracker.py [CLIP ...] [--frames 250] [--device cpu] [--repeat 3]

Without clips a portrait free of rights is moved about at 700 x 700 and at 1920 x 1080 (needs scikit-image). Of
several repeats the cheapest counts: other work on the machine makes every one dearer, and none cheaper. `first_ms`
is the first frame alone, with the nets loaded and the whole picture searched; `ms` is the mean of the others.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_video
from heygemd.render.faces.choice import choose
from heygemd.render.faces.tracker import track_crowd

Frames = Iterator[tuple[float, NDArray[np.uint8]]]
LIMITS = Limits()
SIZES_PX = ((700, 700), (1920, 1080))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sources = {clip.name: list(islice(of_file(clip), args.frames)) for clip in args.clips}
    if not sources:
        sources = {f"portrait {width}x{height}": list(drawn(width, height, args.frames)) for width, height in SIZES_PX}
    for name, frames in sources.items():
        runs = [measured(frames, args.device) for _ in range(args.repeat)]
        print(json.dumps({"clip": name, **min(runs, key=lambda run: run["ms"])}))
    return 0


def of_file(clip: Path) -> Frames:
    video = SourceVideo(clip, probe_video(clip, LIMITS), LIMITS)
    return ((frame.pts_s, frame.planes) for frame in video.decode())


def drawn(width_px: int, height_px: int, count: int) -> Frames:
    """Let a portrait sway, so that its face is a third as high as the picture."""
    from skimage import data  # noqa: PLC0415  # only for those who name no clip

    portrait = np.ascontiguousarray(data.astronaut()[..., ::-1])
    generator = np.random.default_rng(0)
    for number in range(count):
        zoom = height_px / 330 * (1 + 0.03 * np.sin(number / 17))
        affine = cv2.getRotationMatrix2D((225.0, 130.0), 5 * np.sin(number / 23), zoom)
        affine[:, 2] += [width_px / 2 - 225 + 20 * np.sin(number / 11), height_px * 0.4 - 130]
        picture = cv2.warpAffine(portrait, affine, (width_px, height_px), borderMode=cv2.BORDER_REFLECT)
        noisy = np.clip(picture + generator.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        yield number / 25, cv2.cvtColor(noisy, cv2.COLOR_BGR2YUV_I420)


def measured(frames: list[tuple[float, NDArray[np.uint8]]], device: str) -> dict[str, float | int | str]:
    first_s = spent_s(frames[:1], device)[0]
    all_s, crowd = spent_s(frames, device)
    track = choose(crowd, "main")
    height, width = frames[0][1].shape
    return {
        "size": f"{width}x{height * 2 // 3}",
        "frames": len(frames),
        "ms": round(1e3 * (all_s - first_s) / max(len(frames) - 1, 1), 2),
        "first_ms": round(1e3 * first_s, 1),
        "people": crowd.person_count,
        "with_face": int(track.present.sum()),
        "lips_covered": int((track.present & (track.lips_visible < 0.85)).sum()),
    }


def spent_s(frames: list[tuple[float, NDArray[np.uint8]]], device: str):  # noqa: ANN201
    clock = time.process_time if device == "cpu" else time.perf_counter
    since = clock()
    crowd = track_crowd(iter(frames), device=device)
    return clock() - since, crowd


if __name__ == "__main__":
    sys.exit(main())
