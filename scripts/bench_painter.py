"""How long does atlas take to paint one frame? By size of the face, on one core.

    python scripts/bench_painter.py [--eyes 40 100 200 400 800] [--frames 20]

The face is the model's own, with a texture; the mouth goes through the openings of speech. Columns: the frame's own
mouth, one of another frame, a cross-fade of two under another light; milliseconds of processor time per frame, median,
and frames per second of the second column.
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
from heygemd.render.atlas.mesh import LIP_OUTLINE, LOWER_INNER, LOWER_LIP_MIDDLE, UPPER_INNER, UPPER_LIP_MIDDLE
from heygemd.render.atlas.mouth import MouthSource
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.painter import Painter
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import face_of
from heygemd.render.atlas.tint import Tint
from heygemd.render.colour import coding_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

EYES_PX = (40, 100, 200, 400, 800)
OPENINGS = (0.0, 0.04, 0.12, 0.2, 0.08)


def face_points(eye_px: int, *, opening: float) -> NDArray[np.float32]:
    model = load_face_model()
    mean = model.mean_face[:468].astype(np.float64)
    more = opening - (mean[LOWER_LIP_MIDDLE, 1] - mean[UPPER_LIP_MIDDLE, 1])
    shape = mean + model.opening_mode.astype(np.float64) * more
    return np.asarray(shape[list(MESH_INDEXES), :2] * eye_px + (1.5 * eye_px, 0.9 * eye_px), np.float32)


def picture(points: NDArray[np.float32], eye_px: int) -> NDArray[np.uint8]:
    side = round(3 * eye_px) // 4 * 4
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.integers(90, 200, (side // 4, side // 4, 3), dtype=np.uint8), (side, side))
    vertices = face_of(points).vertices
    inside = np.concatenate([vertices[UPPER_INNER], vertices[LOWER_INNER][::-1]])
    for outline, colour in ((vertices[LIP_OUTLINE], (110, 95, 190)), (inside, (60, 50, 90))):
        cv2.fillPoly(texture, [np.round(outline).astype(np.int32)], colour)
    return np.asarray(cv2.cvtColor(texture, cv2.COLOR_BGR2YUV_I420), np.uint8)


def source(eye_px: int, opening: float) -> MouthSource:
    points = face_points(eye_px, opening=opening)
    bgr = cv2.cvtColor(picture(points, eye_px), cv2.COLOR_YUV2BGR_I420).astype(np.float32)
    return MouthSource(picture=bgr, face=face_of(points))


def median_ms(paint: Callable[[NDArray[np.uint8], float], object], planes: NDArray[np.uint8], frames: int) -> float:
    times = []
    for k in range(frames + 2):
        canvas = planes.copy()
        start = time.process_time()
        paint(canvas, OPENINGS[k % len(OPENINGS)])
        times.append(time.process_time() - start)
    return float(np.median(times[2:])) * 1e3


def bench(eye_px: int, frames: int) -> list[float]:
    model = load_face_model()
    person = Person(
        widest_opening=0.2,
        opening_limit=0.25,
        rest_width=0.55,
        width_swing=0.03,
        opening_mode=model.opening_mode.astype(np.float64),
        width_mode=model.width_mode.astype(np.float64),
    )
    points = face_points(eye_px, opening=0.05)
    planes = picture(points, eye_px)
    size = coding_of(ColourTags(), width_px=planes.shape[1], height_px=planes.shape[0] * 2 // 3)
    painter = Painter(person=person, coding=size)
    lent = [(source(eye_px, opening), share) for opening, share in ((0.1, 0.6), (0.0, 0.4))]
    alone = [(lent[0][0], 1.0)]
    tint = Tint(change=np.full((2, 16, 3), 0.1))

    def mouth(opening: float) -> Mouth:
        return Mouth(opening=opening, width=0.55)

    return [
        median_ms(lambda canvas, o: painter.paint(canvas, points, wanted=mouth(o)), planes, frames),
        median_ms(lambda canvas, o: painter.paint(canvas, points, wanted=mouth(o), sources=alone), planes, frames),
        median_ms(
            lambda canvas, o: painter.paint(canvas, points, wanted=mouth(o), sources=lent, tint=tint), planes, frames
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eyes", type=int, nargs="+", default=EYES_PX, metavar="PX")
    parser.add_argument("--frames", type=int, default=20)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("eye px   own ms   other ms   fade ms   other fps")
    for eye_px in arguments.eyes:
        own, other, fade = bench(eye_px, arguments.frames)
        print(f"{eye_px:6d} {own:8.2f} {other:10.2f} {fade:9.2f} {1e3 / other:11.0f}", flush=True)


if __name__ == "__main__":
    main()
