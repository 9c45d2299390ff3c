"""What do cutting a face out and putting a mouth back cost? By size of the face, on one core, without any network.

    python scripts/bench_paste.py [--eyes 60 120 200 400 800] [--frames 40]

The face is the model's own in a picture of noise that is as large as such a face needs; the painted mouth is the
source's own, blurred, moved down and darkened, so that the texture has somewhere to go. Columns: distance of the outer
eye corners and width of the square in pixels; milliseconds of processor time per frame, medians: cutting and
converting, the mask, putting back without detail and with it, and the two sums.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import ColourTags
from heygemd.render.colour import coding_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES
from heygemd.render.faces.track import FaceTrack
from heygemd.render.wav2lip.crops import crops_of
from heygemd.render.wav2lip.network import LOWER_ROW
from heygemd.render.wav2lip.paste import cut_face, lower_face_mask, put_mouth, window
from heygemd.render.wav2lip.resample import smoothed

EYES_PX = (60, 120, 200, 400, 800)


def track_of(eyes_px: int, width_px: int, height_px: int) -> FaceTrack:
    """One frame with the model's mean face in the middle."""
    points = load_face_model().mean_face[list(MESH_INDEXES), :2] * eyes_px + (width_px / 2, height_px * 0.42)
    return FaceTrack(
        pts_s=np.zeros(1),
        points=points[None].astype(np.float32),
        confidence=np.ones(1, np.float32),
        lips_visible=np.ones(1, np.float32),
        skin=np.zeros((1, 16, 3), np.uint8),
        scene=np.zeros(1, np.int32),
    )


def picture(width_px: int, height_px: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    coarse = rng.integers(90, 180, (height_px * 3 // 2 // 12, width_px // 12), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width_px, height_px * 3 // 2), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth + rng.normal(0, 4, smooth.shape), 16, 235), np.uint8)


def median_ms(work: Callable[[], object], frames: int) -> float:
    """Median processor time, with frames of 1080p coming and going as they do in a worker."""
    times = []
    for _ in range(frames + 3):
        frame = np.ones((1620, 1920), np.uint8)
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
        del frame
    return float(np.median(times[3:])) * 1e3


def bench(eyes_px: int, frames: int) -> list[float]:
    width_px, height_px = max(640, round(3.0 * eyes_px) // 2 * 2), max(480, round(3.4 * eyes_px) // 2 * 2)
    planes = picture(width_px, height_px)
    coding = coding_of(ColourTags(), width_px=width_px, height_px=height_px)
    crops = crops_of(track_of(eyes_px, width_px, height_px), width_px=width_px, height_px=height_px)
    box, jaw = crops.boxes[0], crops.jaws[0]
    place = window(box, width_px=width_px, height_px=height_px)
    if place is None:
        raise SystemExit(f"a face of {eyes_px} px lies outside the picture")
    mask = lower_face_mask(jaw, box)
    half = smoothed(cut_face(planes, place, coding), 0.8)[LOWER_ROW - 2 : -2].copy()
    half[14:24, 36:60] *= np.float32(0.4)
    cut = median_ms(lambda: cut_face(planes, place, coding), frames)
    masked = median_ms(lambda: lower_face_mask(jaw, box), frames)
    plain, detailed = (
        median_ms(lambda: put_mouth(planes.copy(), box, coding, half, mask, strength=1.0, detail=detail), frames)  # noqa: B023
        - median_ms(planes.copy, frames)
        for detail in (False, True)
    )
    return [float(box[2] - box[0]), cut, masked, plain, detailed, cut + masked + plain, cut + masked + detailed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eyes", type=int, nargs="+", default=EYES_PX, metavar="PX")
    parser.add_argument("--frames", type=int, default=40)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("eye px  box px   cut ms  mask ms   put ms  put detail ms    sum   sum with detail")
    for eyes_px in arguments.eyes:
        box, *times = bench(eyes_px, arguments.frames)
        columns = zip(times, (8, 8, 8, 14, 6, 17), strict=True)
        print(f"{eyes_px:6d} {box:7.0f} " + " ".join(f"{ms:{width}.2f}" for ms, width in columns), flush=True)


if __name__ == "__main__":
    main()
