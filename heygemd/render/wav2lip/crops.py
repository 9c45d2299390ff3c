"""Where in each source frame the network looks: a box as S3FD would draw it, made from the tracked points.

The checkpoints were trained on boxes of the S3FD detector, which follows the rules of WIDER FACE (forehead to chin,
cheek to cheek). The factors below were fitted to YuNet, a detector trained on the same annotations, over 240 pictures
of photographs, synthetic faces and talking clips: median overlap (IoU) with its boxes 0.92, 5th percentile 0.84.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from heygemd.render.faces.topology import (
    JAW_ROWS,
    OUTER_EYE_CORNER_ROWS,
    rows_of,
)
from heygemd.render.faces.track import FaceTrack

Floats = NDArray[np.float64]

TOP_PER_WIDTH = 0.53
"""Box top above the outer eye corners, in widths of the tracked face (which speech does not change)."""
BOTTOM_PER_HEIGHT = 0.024
"""Box bottom below the lowest point, in heights from eyes to chin."""
PAD_PER_HEIGHT = 10 / 240
"""The reference adds 10 px below the box; its sample faces are about 240 px high."""

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


def crops_of(track: FaceTrack, *, width_px: int, height_px: int) -> Crops:
    """Lay a box around the face of each source frame, smoothed over 5 frames, never across a cut or a gap."""
    points, believed = track.points.astype(np.float64), track.lips_visible.copy()
    for start, stop in _runs(track.present, track.scene):
        points[start:stop] = _smoothed(points[start:stop])
        # One doubtful frame in the middle of a clear view is the net's mistake.
        believed[start:stop] = median_filter(believed[start:stop], size=SMOOTHED_FRAMES, mode="nearest")
    boxes = _boxes(points)
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], -0.5, width_px - 0.5)
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], -0.5, height_px - 0.5)
    sizes = boxes[:, 2:] - boxes[:, :2]
    # Comparisons with the NaN of absent frames are false.
    usable = (
        track.present
        & (believed >= LIPS_VISIBLE)
        & (yaw_deg(points) <= LARGEST_YAW_DEG)
        & (sizes >= LEAST_FACE_PX).all(axis=1)
    )
    boxes[~usable] = np.nan
    return Crops(boxes=boxes, jaws=points[:, JAW_ROWS], usable=usable)


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


def _boxes(points: Floats) -> Floats:
    """Box of each face, not yet cut off at the picture's borders: [n, 74, 2] -> [n, 4]."""
    low, high = points.min(axis=1), points.max(axis=1)
    eyes_y = points[:, OUTER_EYE_CORNER_ROWS, 1].mean(axis=1)
    top = eyes_y - TOP_PER_WIDTH * (high[:, 0] - low[:, 0])
    bottom = high[:, 1] + BOTTOM_PER_HEIGHT * (high[:, 1] - eyes_y)
    bottom += PAD_PER_HEIGHT * (bottom - top)
    return np.stack([low[:, 0], top, high[:, 0], bottom], axis=1)


def _runs(present: NDArray[np.bool_], scene: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Half-open ranges of neighbouring frames that show the face in one scene."""
    if not len(present):
        return []
    edges = np.flatnonzero((np.diff(scene) != 0) | (np.diff(present.astype(np.int8)) != 0)) + 1
    ends = [0, *edges.tolist(), len(present)]
    return [(start, stop) for start, stop in pairwise(ends) if present[start]]


def _smoothed(values: Floats) -> Floats:
    """Mean over up to 5 neighbours along the first axis; fewer, but still symmetric, near the ends."""
    count, half = len(values), SMOOTHED_FRAMES // 2
    reach = np.minimum(half, np.minimum(np.arange(count), np.arange(count)[::-1]))
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    stop, start = np.arange(count) + reach + 1, np.arange(count) - reach
    length = (stop - start).reshape(-1, *([1] * (values.ndim - 1)))
    means: Floats = (sums[stop] - sums[start]) / length
    return means


def _frames_since_gap(wanted: NDArray[np.bool_], jumps: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Distance to the last unusable frame that no jump separates; 0 at one, large where there is none."""
    frames = np.arange(len(wanted))
    gap = np.maximum.accumulate(np.where(wanted, -1, frames))
    run_start = np.maximum.accumulate(np.concatenate([[0], np.where(jumps, frames[1:], 0)]))
    return np.where(gap >= run_start, frames - gap, FADE_FRAMES + 1)
