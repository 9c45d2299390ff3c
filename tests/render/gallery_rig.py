"""Faces whose every measure is known, a film of them, and traits of mouths that nobody has."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from heygemd.jobs.job import VideoInfo
from heygemd.render.atlas.motion import HeadMotion, head_motion
from heygemd.render.atlas.traits import THUMBNAIL_PX, Traits
from heygemd.render.engine import Footage
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import INNER_LIP_ROWS, MESH_INDEXES, OUTER_LIP_ROWS
from heygemd.render.faces.track import FaceTrack

WIDTH, HEIGHT = 320, 280
LIP, SKIN, CAVITY, TOOTH = (90, 80, 170), (130, 150, 200), (20, 15, 30), (190, 205, 210)


def talking(openings: Sequence[float], *, widths: Sequence[float] | None = None, eye_px: float = 100.0) -> np.ndarray:
    """float32[n, 74, 2]: the mean face in the middle of the picture, with these openings and additions of width."""
    model = load_face_model()
    opened = np.asarray(openings, float)[:, None, None]
    widened = np.zeros_like(opened) if widths is None else np.asarray(widths, float)[:, None, None]
    shapes = model.mean_face[None, :468] + model.opening_mode * opened + model.width_mode * widened
    return (shapes[:, list(MESH_INDEXES), :2] * eye_px + (WIDTH / 2, HEIGHT / 2 - 0.6 * eye_px)).astype(np.float32)


def track_of(points: np.ndarray, *, absent: Sequence[int] = (), scene: object = None, fps: float = 25.0) -> FaceTrack:
    count = len(points)
    confidence = np.ones(count, np.float32)
    confidence[list(absent)] = 0
    return FaceTrack(
        pts_s=np.arange(count) / fps,
        points=np.where(confidence[:, None, None] > 0, points, np.nan).astype(np.float32),
        confidence=confidence,
        lips_visible=confidence,
        skin=np.zeros((count, 16, 3), np.uint8),
        scene=np.zeros(count, np.int32) if scene is None else np.asarray(scene, np.int32),
    )


def drawn(points: np.ndarray, *, gap: tuple[int, int, int] | None = CAVITY, blur_px: float = 0.0) -> np.ndarray:
    """The planes (I420) of a picture with skin, pores, and a mouth at these points; `gap` None leaves it all lip."""
    picture = np.full((HEIGHT, WIDTH, 3), SKIN, np.float32)
    for rows, colour in ((OUTER_LIP_ROWS, LIP), (INNER_LIP_ROWS, gap)):
        if colour is not None:
            cv2.fillPoly(picture, [np.round(points[rows] * 16).astype(np.int32)], colour, shift=4)
    picture += np.random.default_rng(3).normal(0, 4, (HEIGHT, WIDTH, 1)).astype(np.float32)
    if blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), blur_px)
    return cv2.cvtColor(np.clip(picture, 0, 255).astype(np.uint8), cv2.COLOR_BGR2YUV_I420)


class Film:
    """A clip in memory, which notes what is read of it."""

    def __init__(self, points: np.ndarray, *, absent: Sequence[int] = (), scene: object = None) -> None:
        self.track = track_of(points, absent=absent, scene=scene)
        self.planes = [drawn(face) for face in points]
        self.was_read: list[int] = []

    @property
    def motion(self) -> HeadMotion:
        return head_motion(self.track)

    def footage(self, folder: Path | None = None) -> Footage:
        video = VideoInfo(
            demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=len(self.planes),
            width_px=WIDTH, height_px=HEIGHT,
        )  # fmt: skip
        return Footage(track=self.track, video=video, read=self._read, folder=folder)

    def _read(self, frames: Sequence[int]) -> Iterator[np.ndarray]:
        for frame in frames:
            self.was_read.append(frame)
            yield self.planes[frame].copy()


def some_traits(frames: Sequence[int], *, seed: int = 0, **changes: object) -> Traits:
    """Traits of mouths at random, those of neighbours alike; all of them sharp, shut as they seem, without teeth."""
    rng, count = np.random.default_rng(seed), len(frames)
    steps = rng.integers(-1, 2, (count, THUMBNAIL_PX, THUMBNAIL_PX, 3)).cumsum(axis=0)
    columns: dict[str, object] = {
        "frames": np.asarray(frames, np.int32),
        "time_s": np.asarray(frames) / 25,
        "scene": np.zeros(count, np.int32),
        "opening": np.abs(rng.normal(0.08, 0.05, count)),
        "width": rng.normal(0.55, 0.03, count),
        "eye_px": np.full(count, 100.0),
        "yaw_deg": rng.normal(0, 4, count),
        "pitch_deg": rng.normal(0, 4, count),
        "roll_deg": rng.normal(0, 4, count),
        "sharpness": np.ones(count),
        "aperture": np.zeros(count),
        "teeth": np.zeros(count),
        "thumbnail": np.clip(128 + steps, 0, 255).astype(np.uint8),
    }
    return Traits(**{**columns, **changes})  # type: ignore[arg-type]
