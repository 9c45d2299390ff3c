"""The contact sheet: a row of the source above a row of the film, so that a person can judge at a glance."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.filesystem import whole_file
from heygemd.render.faces.track import FaceTrack

COLUMNS = 6
CELL_PX = 320
FACE_CROP = 1.56
"""Side of the square crop, in the larger side of the landmark box (brows to chin)."""
MIN_CROP_PX = 8


def chosen_frames(frame_count: int) -> list[int]:
    """Output frames the sheet shows: the middles of equal parts of the film."""
    columns = min(COLUMNS, frame_count)
    return [(2 * i + 1) * frame_count // (2 * columns) for i in range(columns)]


def write_sheet(
    path: Path,
    *,
    source: Sequence[NDArray[np.uint8]],
    result: Sequence[NDArray[np.uint8]],
    source_frames: Sequence[int],
    times_s: Sequence[float],
    track: FaceTrack,
) -> None:
    """Write a JPEG (fsynced); `source` and `result` are I420 planes, `source_frames` their rows in the track."""
    cells = []
    for before, after, frame, time_s in zip(source, result, source_frames, times_s, strict=True):
        x0, y0, x1, y1 = _crop(before, track, frame)
        column = []
        for planes in (before, after):
            picture = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)[y0:y1, x0:x1]
            column.append(_fit(picture))
        cv2.putText(
            column[0], f"{time_s:.2f} s", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA
        )
        cells.append(np.vstack(column))
    ok, data = cv2.imencode(".jpg", np.hstack(cells), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not ok:
        raise RuntimeError("the contact sheet could not be encoded")
    with whole_file(path) as fd, os.fdopen(os.dup(fd), "wb") as file:
        file.write(data.tobytes())


def _crop(planes: NDArray[np.uint8], track: FaceTrack, frame: int) -> tuple[int, int, int, int]:
    """Square around the face, or the whole picture where there is none: x0, y0, x1, y1."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    if not track.present[frame]:
        return 0, 0, width, height
    low, high = np.nanmin(track.points[frame], 0), np.nanmax(track.points[frame], 0)
    half = max(float((high - low).max()) * FACE_CROP / 2, 16.0)
    cx, cy = (low + high) / 2
    x0, x1 = int(max(cx - half, 0)), int(min(cx + half, width))
    y0, y1 = int(max(cy - half, 0)), int(min(cy + half, height))
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= MIN_CROP_PX else (0, 0, width, height)


def _fit(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale into a CELL_PX square, black bars where the shape differs."""
    height, width = picture.shape[:2]
    scale = CELL_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    cell = np.zeros((CELL_PX, CELL_PX, 3), np.uint8)
    y, x = (CELL_PX - size[1]) // 2, (CELL_PX - size[0]) // 2
    cell[y : y + size[1], x : x + size[0]] = small
    return cell
