"""The contact sheet: a row of the source above a row of the film, so that a person can judge at a glance.

Nothing is decoded for it: the upper cells are cut while a segment is rendered, from the frames just before they are
painted, and lie beside it as `00003.shots.npz`; the lower ones while the film is verified.
"""

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.filesystem import whole_file
from heygemd.planning.plan import Plan
from heygemd.planning.segments import Segment
from heygemd.render.cache import load_arrays, save_arrays
from heygemd.render.faces.track import FaceTrack

COLUMNS = 6
CELL_PX = 320
FACE_CROP = 1.56
"""Side of the square crop, in the larger side of the landmark box (brows to chin)."""
MIN_CROP_PX = 8

Cell = NDArray[np.uint8]
"""uint8[CELL_PX, CELL_PX, 3], blue green red."""


def chosen_frames(frame_count: int) -> list[int]:
    """Output frames the sheet shows: the middles of equal parts of the film."""
    columns = min(COLUMNS, frame_count)
    return [(2 * i + 1) * frame_count // (2 * columns) for i in range(columns)]


class SourceShots:
    """The upper cells of one segment."""

    def __init__(self, plan: Plan, segment: Segment, track: FaceTrack, source_frames: NDArray[np.int32]) -> None:
        """`source_frames`: int32[frame_count of the film], the row of `track` that each output frame shows."""
        self._path = _shots_file(plan, segment)
        self._track = track
        self._rows = {
            frame: int(source_frames[frame])
            for frame in chosen_frames(plan.timeline.frame_count)
            if segment.start <= frame < segment.stop
        }
        self._cells: dict[int, Cell] = {}

    def see(self, output_frame: int, planes: NDArray[np.uint8]) -> None:
        """Look at the I420 planes that output frame `output_frame` will be painted on: at every frame, in any order."""
        if output_frame in self._rows:
            self._cells[output_frame] = face_cell(planes, self._track, self._rows[output_frame])

    def save(self) -> None:
        """Write what was seen (fsynced), before the segment gets its name: one that exists always has its cells."""
        if self._cells:
            save_arrays(self._path, {str(frame): cell for frame, cell in self._cells.items()})


def load_shots(plan: Plan, frames: Sequence[int]) -> dict[int, Cell]:
    """Read the upper cells of these output frames; without those that are missing or damaged."""
    found: dict[int, Cell] = {}
    for segment in plan.segments:
        wanted = [frame for frame in frames if segment.start <= frame < segment.stop]
        if wanted:
            cells = _load(_shots_file(plan, segment))
            found |= {frame: cells[str(frame)] for frame in wanted if str(frame) in cells}
    return found


def face_cell(planes: NDArray[np.uint8], track: FaceTrack, row: int) -> Cell:
    """Cut the face of row `row` of the track out of I420 planes, or the whole picture where there is none."""
    x0, y0, x1, y1 = _crop(planes, track, row)
    return _fit(np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)[y0:y1, x0:x1])


def write_sheet(path: Path, *, source: Sequence[Cell], result: Sequence[Cell], times_s: Sequence[float]) -> None:
    """Write a JPEG (fsynced) with a column for each of `times_s`."""
    columns = []
    for before, after, time_s in zip(source, result, times_s, strict=True):
        told = before.copy()
        cv2.putText(told, f"{time_s:.2f} s", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
        columns.append(np.vstack([told, after]))
    ok, data = cv2.imencode(".jpg", np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not ok:
        raise RuntimeError("the contact sheet could not be encoded")
    with whole_file(path) as fd, os.fdopen(os.dup(fd), "wb") as file:
        file.write(data.tobytes())


def _shots_file(plan: Plan, segment: Segment) -> Path:
    return (plan.segments_dir / segment.file_name).with_suffix(".shots.npz")


def _load(path: Path) -> Mapping[str, Cell]:
    """Nothing from a file that is missing (an older version left none) or is none of ours."""
    try:
        cells = load_arrays(path)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError):
        return {}
    is_cell = {name: cell.shape == (CELL_PX, CELL_PX, 3) and cell.dtype == np.uint8 for name, cell in cells.items()}
    return {name: cell for name, cell in cells.items() if is_cell[name]}


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
