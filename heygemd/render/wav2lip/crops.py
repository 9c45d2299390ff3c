"""Where in each source frame the network looks: the box that S3FD drew, or one like it, made from the tracked points.

The checkpoints were trained on boxes of the S3FD detector, which follows the rules of WIDER FACE (forehead to chin,
cheek to cheek). Where it found the face, the track brings its boxes. The factors below were fitted to YuNet, a detector
trained on the same annotations, over 240 pictures of photographs, synthetic faces and talking clips: median overlap
(IoU) with its boxes 0.92, 5th percentile 0.84.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import let_go, spooled
from heygemd.render.faces.topology import JAW_ROWS, OUTER_EYE_CORNER_ROWS, rows_of
from heygemd.render.faces.track import FaceTrack
from heygemd.render.filters import running_median
from heygemd.render.pulse import Pulse, unheard

Floats = NDArray[np.float64]

TOP_PER_WIDTH = 0.53
"""Box top above the outer eye corners, in widths of the tracked face (which speech does not change)."""
BOTTOM_PER_HEIGHT = 0.024
"""Box bottom below the lowest point, in heights from eyes to chin."""
PAD_PER_HEIGHT = 10 / 240
"""The reference adds 10 px below the box; its sample faces are about 240 px high."""

BLOCK_FRAMES = 512
"""Frames laid out at once (about 3 MB)."""
SMOOTHED_FRAMES = 5
FADE_FRAMES = 3
LEAST_FACE_PX = 24
"""A box smaller than this carries no mouth that could be repainted."""
LIPS_VISIBLE = 0.85
"""Below this belief something covers the mouth (see models/landmark74.md)."""
NOSE_DEPTH = 0.484
"""The nose tip stands before the line of the outer eye corners by this share of their distance (mean face)."""
LARGEST_YAW_DEG = 35.0
LONGEST_STEP_S = 0.25
"""Neighbouring film frames further apart than this in the source do not belong to one movement (a loop)."""

NOSE_TIP_ROW = int(rows_of((4,))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """What the network sees of n source frames; rows of unusable frames hold NaN."""

    boxes: Floats
    """float64[n, 4]: left, top, right, bottom in pixels; pixel k reaches from k - 0.5 to k + 0.5."""
    jaws: Floats
    """float64[n, 13, 2]: the jaw line in pixels, smoothed as the boxes are."""
    usable: NDArray[np.bool_]
    """bool[n]: present, facing the camera, uncovered and not tiny."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name -> array, for saving."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Crops":
        """Take what `to_arrays` gave, mapped or not; KeyError where something is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def crops_of(
    track: FaceTrack, *, width_px: int, height_px: int, scratch: Path | None = None, pulse: Pulse = unheard
) -> Crops:
    """Lay a box around the face of each source frame, smoothed over 5 frames, never across a cut or a gap.

    Boxes and jaws lie in unnamed files in `scratch`, or in memory without it.
    """
    count = len(track.pts_s)
    boxes: Floats = spooled(scratch, (count, 4), np.float64)
    jaws: Floats = spooled(scratch, (count, JAW_ROWS.stop - JAW_ROWS.start, 2), np.float64)
    usable, believed = np.zeros(count, np.bool_), track.lips_visible.copy()
    for start, stop in _runs(track.present, track.scene):
        # One doubtful frame in the middle of a clear view is the net's mistake.
        believed[start:stop] = running_median(believed[start:stop], SMOOTHED_FRAMES)
    detected = None if track.boxes is None else _smoothed(track, track.boxes_of)
    for part, points in _smoothed(track, track.points_of):
        drawn = _drawn(points) if detected is None else next(detected)[1]
        boxes[part], jaws[part] = _padded(drawn), points[:, JAW_ROWS]
        boxes[part, 0::2] = np.clip(boxes[part, 0::2], -0.5, width_px - 0.5)
        boxes[part, 1::2] = np.clip(boxes[part, 1::2], -0.5, height_px - 0.5)
        sizes = boxes[part, 2:] - boxes[part, :2]
        # Comparisons with the NaN of absent frames are false.
        usable[part] = (
            track.present[part]
            & (believed[part] >= LIPS_VISIBLE)
            & (yaw_deg(points) <= LARGEST_YAW_DEG)
            & (sizes >= LEAST_FACE_PX).all(axis=1)
        )
        boxes[part][~usable[part]] = np.nan
        let_go(boxes, jaws)
        pulse()
    return Crops(boxes=boxes, jaws=jaws, usable=usable)


Rows = Callable[[int, int], NDArray[np.float32]]
"""A column of a track: its rows [start, stop)."""


def _smoothed(track: FaceTrack, rows: Rows) -> Iterator[tuple[slice, Floats]]:
    """Yield all frames in blocks, with points or boxes smoothed within each run: float64[block, ...]."""
    at = 0
    for start, stop in [*_runs(track.present, track.scene), (len(track.pts_s), len(track.pts_s))]:
        for first in range(at, start, BLOCK_FRAMES):  # absent
            part = slice(first, min(first + BLOCK_FRAMES, start))
            yield part, rows(part.start, part.stop).astype(np.float64)
        run = _RunningSums(rows, start, stop)
        for first in range(start, stop, BLOCK_FRAMES):
            part = slice(first, min(first + BLOCK_FRAMES, stop))
            yield part, run.means(part)
        at = stop


class _RunningSums:
    """Sums over the rows of one run, made as far as they are needed: the same as over all of it at once."""

    def __init__(self, rows: Rows, start: int, stop: int) -> None:
        self._rows, self._start, self._stop = rows, start, stop
        self._first = start
        """Frame of the first sum that is kept."""
        self._sums = np.zeros((1, *rows(start, start).shape[1:]))
        """The sum of all frames before each of these frames, from `_first` on."""

    def means(self, part: slice) -> Floats:
        """Mean over up to 5 neighbours; fewer, but still symmetric, near the ends. Parts come in order."""
        half = SMOOTHED_FRAMES // 2
        self._extend(min(part.stop + half, self._stop))
        frames = np.arange(part.start, part.stop)
        reach = np.minimum(half, np.minimum(frames - self._start, self._stop - 1 - frames))
        stop, start = frames + reach + 1 - self._first, frames - reach - self._first
        length = (stop - start).reshape(-1, *([1] * (self._sums.ndim - 1)))
        means: Floats = (self._sums[stop] - self._sums[start]) / length
        keep = max(part.stop - half, self._start) - self._first
        self._sums, self._first = self._sums[keep:], self._first + keep
        return means

    def _extend(self, stop: int) -> None:
        known = self._first + len(self._sums) - 1
        rows = self._rows(known, stop).astype(np.float64)
        # One addition after the other, as `cumsum` does: no rounding depends on where a block begins.
        begun = self._sums[-1:] if known > self._start else rows[:0]
        sums = np.cumsum(np.concatenate([begun, rows]), axis=0)
        self._sums = np.concatenate([self._sums, sums[len(begun) :]])


def strengths(
    usable: NDArray[np.bool_], scene: NDArray[np.int32], pts_s: Floats, source_frames: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Share of the painted mouth in each film frame: float32[frame_count].

    0 without a usable face, 1 with one; 1/4, 2/4, 3/4 in the three frames beside a gap, unless a cut or the turn of a
    loop lies between.
    """
    wanted = usable[source_frames]
    jumps = (np.diff(scene[source_frames]) != 0) | (np.abs(np.diff(pts_s[source_frames])) > LONGEST_STEP_S)
    before = _frames_since_gap(wanted, jumps)
    after = _frames_since_gap(wanted[::-1], jumps[::-1])[::-1]
    return np.minimum(1.0, np.minimum(before, after) / (FADE_FRAMES + 1)).astype(np.float32)


def yaw_deg(points: Floats) -> Floats:
    """Estimate how far the head is turned to either side: [n, 74, 2] -> degrees[n], at least 0."""
    left, right = (points[:, row] for row in OUTER_EYE_CORNER_ROWS)
    along = right - left
    shift = ((points[:, NOSE_TIP_ROW] - (left + right) / 2) * along).sum(axis=1) / (along**2).sum(axis=1)
    degrees: Floats = np.rad2deg(np.arctan(np.abs(shift) / NOSE_DEPTH))
    return degrees


def _drawn(points: Floats) -> Floats:
    """Box of each face as S3FD would draw it: [n, 74, 2] -> [n, 4]."""
    low, high = points.min(axis=1), points.max(axis=1)
    eyes_y = points[:, OUTER_EYE_CORNER_ROWS, 1].mean(axis=1)
    top = eyes_y - TOP_PER_WIDTH * (high[:, 0] - low[:, 0])
    bottom = high[:, 1] + BOTTOM_PER_HEIGHT * (high[:, 1] - eyes_y)
    return np.stack([low[:, 0], top, high[:, 0], bottom], axis=1)


def _padded(boxes: Floats) -> Floats:
    """Pad [n, 4] as the reference does; not yet cut off at the picture's borders."""
    padded = boxes.copy()
    padded[:, 3] += PAD_PER_HEIGHT * (boxes[:, 3] - boxes[:, 1])
    return padded


def _runs(present: NDArray[np.bool_], scene: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Half-open ranges of neighbouring frames that show the face in one scene."""
    if not len(present):
        return []
    edges = np.flatnonzero((np.diff(scene) != 0) | (np.diff(present.astype(np.int8)) != 0)) + 1
    ends = [0, *edges.tolist(), len(present)]
    return [(start, stop) for start, stop in pairwise(ends) if present[start]]


def _frames_since_gap(wanted: NDArray[np.bool_], jumps: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Distance to the last unusable frame that no jump separates; 0 at one, large where there is none."""
    frames = np.arange(len(wanted))
    gap = np.maximum.accumulate(np.where(wanted, -1, frames))
    run_start = np.maximum.accumulate(np.concatenate([[0], np.where(jumps, frames[1:], 0)]))
    return np.where(gap >= run_start, frames - gap, FADE_FRAMES + 1)
