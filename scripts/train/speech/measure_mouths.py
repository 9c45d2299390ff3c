"""Measures mouths with MediaPipe FaceMesh 0.10.21 (Apache-2.0), in the labeller's own environment; imports no heygemd.

    LABELLER/bin/python scripts/train/speech/measure_mouths.py CLIPS OUT

Writes OUT/<clip>.npz for every CLIPS/*.mpg: time_s, opening and width, float64[n] each, in distances of the outer eye
corners (3-D, so that a turned head does not look like a narrow mouth); NaN where no face was found.
"""

import argparse
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np

UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)
"""Three points on the inner border of each lip."""
CORNERS = (61, 291)
EYES = (33, 263)
EYE_WINDOW_FRAMES = 9
"""The distance of the eyes is a constant of the head: its median over so many frames takes the jitter out."""
POINT_COUNT = 478


def points_of(clip: Path) -> tuple[np.ndarray, float]:
    """Points of the face in every frame, float64[n, 478, 3] in pixels, NaN without a face; and frames a second."""
    video = cv2.VideoCapture(str(clip))
    frames = []
    with mp.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True) as mesh:
        while True:
            found, picture = video.read()
            if not found:
                break
            height, width = picture.shape[:2]
            faces = mesh.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).multi_face_landmarks
            if faces:
                frames.append([(p.x * width, p.y * height, p.z * width) for p in faces[0].landmark])
            else:
                frames.append([(np.nan,) * 3] * POINT_COUNT)
    return np.array(frames, np.float64), video.get(cv2.CAP_PROP_FPS)


def running_median(values: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(values, window // 2, mode="edge")
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def measure(clip: Path) -> dict[str, np.ndarray]:
    points, rate = points_of(clip)
    eyes = running_median(np.linalg.norm(points[:, EYES[0]] - points[:, EYES[1]], axis=1), EYE_WINDOW_FRAMES)
    gap = points[:, UPPER_LIP].mean(axis=1) - points[:, LOWER_LIP].mean(axis=1)
    corners = points[:, CORNERS[0]] - points[:, CORNERS[1]]
    return {
        "time_s": np.arange(len(points)) / rate,
        "opening": np.linalg.norm(gap, axis=1) / eyes,
        "width": np.linalg.norm(corners, axis=1) / eyes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for clip in sorted(arguments.clips.glob("*.mpg")):
        curves = measure(clip)
        np.savez(arguments.out / f"{clip.stem}.npz", **curves)
        print(f"{clip.name}: {len(curves['time_s'])} frames, mean opening {np.nanmean(curves['opening']):.3f}")


if __name__ == "__main__":
    main()
