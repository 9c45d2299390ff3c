"""How the head moves through the clip: steady points, pose, and the person's own mouth in every frame.

The pose is smoothed, because jitter of the jaw and the nose would shake the whole lower face; the lips keep their
raw motion, because pixels are taken from exactly where they are. Nothing is smoothed across a cut or a gap.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from heygemd.render.atlas.mesh import LEFT_CORNER, LOWER_LIP_MIDDLE, RIGHT_CORNER, STABLE, UPPER_LIP_MIDDLE
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import LIP_ROWS, MESH_VERTEX_COUNT, STABLE_ROWS, eye_distance
from heygemd.render.faces.track import FaceTrack
from heygemd.render.filters import polynomials_fitted
from heygemd.render.pulse import Pulse, unheard

Vector = NDArray[np.float64]

SMOOTHING_FRAMES, SMOOTHING_ORDER = 7, 2
"""Window and order of the Savitzky-Golay filter."""
EXPRESSION_S = 1.5
"""A smile lasts longer than this, a vowel does not."""
TREMBLE = 0.01
"""A common shift of the stable points beyond this many eye distances is movement of the head, not jitter."""
BLOCK_FRAMES = 256
"""Frames whose whole mesh is in memory at once."""
KEPT_BLOCKS = 4
"""Blocks of smoothed points that are kept: a film that goes to and fro crosses the border of two again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Similarities from the face frame to the picture, for n faces: picture = scale * rotation @ face + shift."""

    scale: Vector
    """float64[n]: pixels per eye distance."""
    rotation: Vector
    """float64[n, 3, 3]."""
    shift: Vector
    """float64[n, 3]."""

    def to_face(self, vertices: Vector) -> Vector:
        """Bring vertices [n, v, 3] of the picture into the face frame."""
        return np.asarray((vertices - self.shift[:, None]) @ self.rotation / self.scale[:, None, None])

    @property
    def yaw_deg(self) -> Vector:
        """float64[n]: how far the head is turned to the side."""
        return np.asarray(np.degrees(np.arctan2(self.rotation[:, 0, 2], self.rotation[:, 2, 2])))

    @property
    def pitch_deg(self) -> Vector:
        """float64[n]: how far the head is bent down or up."""
        across, along = np.hypot(self.rotation[:, 0, 2], self.rotation[:, 2, 2]), self.rotation[:, 1, 2]
        return np.asarray(np.degrees(np.arctan2(-along, across)))

    @property
    def roll_deg(self) -> Vector:
        """float64[n]: how far it is tilted in the picture."""
        return np.asarray(np.degrees(np.arctan2(self.rotation[:, 1, 0], self.rotation[:, 1, 1])))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMotion:
    """One head over n source frames; every array is NaN where no face was found."""

    points: "Points"
    """The tracked points with a smoothed pose."""
    opening: Vector
    """float64[n]: gap between the lips in the face frame."""
    width: Vector
    """float64[n]: distance of the mouth's corners in the face frame."""
    slow_width: Vector
    """float64[n]: the same without what speech does to it: a smile stays, a vowel does not."""
    eye_px: Vector
    """float64[n]: pixels per eye distance."""
    yaw_deg: Vector
    pitch_deg: Vector
    roll_deg: Vector


class Points(Protocol):
    """The 74 points of n frames."""

    def __call__(self, frames: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read those of some frames, rising: float32[m, 74, 2], NaN where no face was found."""
        ...


class SteadyPoints:
    """Jaw, nose, eyes and brows smoothed over every unbroken run, as far as they only tremble.

    Where the head really moves faster than the filter follows, the points stay where they were seen. A frame depends
    on its nearest neighbours only, so blocks are made when they are asked for, and memory does not grow with the clip.
    """

    def __init__(self, track: FaceTrack) -> None:
        self._track = track
        self._runs = np.array(list(unbroken_runs(track)), np.intp).reshape(-1, 2)
        self._blocks: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def __call__(self, frames: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read the points of some frames, rising: float32[m, 74, 2], NaN where no face was found."""
        numbers = frames // BLOCK_FRAMES
        points = np.empty((len(frames), *self._track.points.shape[1:]), np.float32)
        for number in np.unique(numbers).tolist():
            here = slice(*np.searchsorted(numbers, (number, number + 1)).tolist())
            points[here] = self._block(number)[frames[here] - number * BLOCK_FRAMES]
        return points

    def of(self, frame: int) -> NDArray[np.float32]:
        """Read the points of one frame: float32[74, 2]."""
        return np.asarray(self._block(frame // BLOCK_FRAMES)[frame % BLOCK_FRAMES])

    def _block(self, number: int) -> NDArray[np.float32]:
        if number not in self._blocks:
            start = number * BLOCK_FRAMES
            self._blocks[number] = self._steady(start, min(start + BLOCK_FRAMES, len(self._track.pts_s)))
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _steady(self, start: int, stop: int) -> NDArray[np.float32]:
        # The filter reaches half a window to both sides; at the end of a run it fits one whole window.
        reach = SMOOTHING_FRAMES - 1
        first, last = max(start - reach, 0), min(stop + reach, len(self._track.pts_s))
        seen = self._track.points_of(first, last)
        steady = seen.copy()
        begun, ended = np.searchsorted(self._runs[:, 0], last), np.searchsorted(self._runs[:, 1], first, side="right")
        for run_start, run_stop in self._runs[ended:begun].tolist():
            part = slice(max(run_start, first) - first, min(run_stop, last) - first)
            if part.stop - part.start >= SMOOTHING_FRAMES:
                steady[part] = smoothed(seen[part])
        return steady[start - first : stop - first]


def smoothed(seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth the points of one run of at least SMOOTHING_FRAMES frames: float32[n, 74, 2]."""
    raw = seen.astype(np.float64)
    change = polynomials_fitted(raw, SMOOTHING_FRAMES, SMOOTHING_ORDER) - raw
    change[:, LIP_ROWS] = 0
    drift = np.linalg.norm(change[:, STABLE_ROWS].mean(axis=1), axis=1) / eye_distance(raw)
    steady: NDArray[np.float32] = (raw + change / (1 + (drift / TREMBLE) ** 4)[:, None, None]).astype(np.float32)
    return steady


def head_motion(track: FaceTrack, pulse: Pulse = unheard) -> HeadMotion:
    """Follow the head and measure the mouth in every frame of the track."""
    points = SteadyPoints(track)
    measures = np.full((6, len(track.pts_s)), np.nan)
    for rows, pose, shapes in face_shapes(points, np.flatnonzero(track.present)):
        measures[:, rows] = (*mouth_of(shapes), pose.scale, pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
        pulse()
    opening, width, eye_px, yaw_deg, pitch_deg, roll_deg = measures
    slow_width = _slow(width, track)
    return HeadMotion(
        points=points, opening=opening, width=width, slow_width=slow_width, eye_px=eye_px,
        yaw_deg=yaw_deg, pitch_deg=pitch_deg, roll_deg=roll_deg,
    )  # fmt: skip


def _slow(values: Vector, track: FaceTrack) -> Vector:
    """Take the running median over EXPRESSION_S within every unbroken run."""
    slow = np.full(len(values), np.nan)
    for start, stop in unbroken_runs(track):
        length_s = float(track.pts_s[stop - 1] - track.pts_s[start])
        frames = max(round(EXPRESSION_S * (stop - start) / max(length_s, 1e-3)), 1)
        slow[start:stop] = median_filter(values[start:stop], size=min(frames, stop - start), mode="nearest")
    return slow


def unbroken_runs(track: FaceTrack) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) of every run of frames with a face and without a cut."""
    shot = np.where(track.present, track.scene, -1)
    edges = np.flatnonzero(np.diff(shot, prepend=-2, append=-2))
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if shot[start] >= 0:
            yield start, stop


def face_shapes(points: Points, rows: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], Pose, Vector]]:
    """Lift the points of the chosen frames, in blocks so that memory stays small.

    Yields rows[b], their poses and their meshes [b, 468, 3] in the face frame.
    """
    model = load_face_model()
    for start in range(0, len(rows), BLOCK_FRAMES):
        block = rows[start : start + BLOCK_FRAMES]
        vertices = model.lift(points(block))
        pose = fit_pose(vertices)
        yield block, pose, pose.to_face(vertices)


def fit_pose(vertices: Vector) -> Pose:
    """Fit the pose of meshes [n, 468, 3] by their stable points (least squares, Umeyama 1991)."""
    face = np.asarray(load_face_model().mean_face, np.float64)[:MESH_VERTEX_COUNT][STABLE]
    picture = vertices[:, STABLE]
    face_centre, picture_centre = face.mean(axis=0), picture.mean(axis=1)
    face_arms, picture_arms = face - face_centre, picture - picture_centre[:, None]
    u, singular, v = np.linalg.svd(picture_arms.transpose(0, 2, 1) @ face_arms)
    signs = np.ones_like(singular)
    signs[:, 2] = np.sign(np.linalg.det(u @ v))
    rotation = (u * signs[:, None]) @ v
    scale = (singular * signs).sum(axis=1) / (face_arms**2).sum()
    shift = picture_centre - scale[:, None] * (rotation @ face_centre)
    return Pose(scale=scale, rotation=rotation, shift=shift)


def mouth_of(shapes: Vector) -> tuple[Vector, Vector]:
    """Measure opening[n] and width[n] of meshes [n, 468, 3] in the face frame."""
    opening = shapes[:, LOWER_LIP_MIDDLE, 1] - shapes[:, UPPER_LIP_MIDDLE, 1]
    return opening, shapes[:, RIGHT_CORNER, 0] - shapes[:, LEFT_CORNER, 0]
