"""Follows one face through a clip, frame by frame, with memory that holds nothing but the points.

first frame, loss, cut ─▶ search (window grid) ─▶ points
every frame:  square around the last points ─▶ landmark net ─▶ still a face? ─▶ lip net
"""

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.render.arrays import Spool, blocks, let_go
from heygemd.render.faces.continuity import strangers_in
from heygemd.render.faces.cuts import CutDetector
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.reader import SMALLEST_FACE_PX, FaceReader, Reading, face_square
from heygemd.render.faces.search import AGREEMENT_TOLERANCE, find_face, find_face_near
from heygemd.render.faces.topology import POINT_COUNT
from heygemd.render.faces.track import FaceTrack

log = structlog.get_logger(__name__)

NO_POINTS = np.full((POINT_COUNT, 2), np.nan, np.float32)
LOST_BELOW = 0.5
"""Belief in a face under which it counts as lost."""
SEARCH_PAUSES_FRAMES = (3, 6, 12)
"""From one search without result, which takes up to a second, to the next; the last is repeated."""
AGREEMENT_EVERY_FRAMES = 25
"""How often differently framed crops must agree, so that the track does not stick to a thing."""
AGREEMENT_SLACK = 2.0
"""A followed face, in motion, may disagree by so many times the tolerance for a new one."""


class FaceTracker:
    """One face from frame to frame."""

    def __init__(self) -> None:
        self._reader = FaceReader()
        self._last: NDArray[np.float64] | None = None
        """Where the face was last seen in this scene."""
        self._is_lost = True
        self._failed_searches = 0
        self._pause_frames = 0
        self._reads = 0

    def forget(self) -> None:
        """Begin anew with a search: the next frame shows another scene."""
        self._last = None
        self._is_lost = True
        self._failed_searches = 0
        self._pause_frames = 0

    def follow(self, picture: Picture) -> Reading | None:
        """Read the face in the next frame, or None."""
        reading = None if self._is_lost or self._last is None else self._trusted(picture, self._last)
        if reading is None:
            reading = self._found(picture)
        self._is_lost = reading is None
        if reading is None:
            return None
        self._failed_searches = self._pause_frames = 0
        # The next square comes from the landmark net's own lips: it was trained to follow itself.
        self._last = reading.points
        return self._reader.refine_lips(picture, reading)

    def _found(self, picture: Picture) -> Reading | None:
        """Look where the face was last seen, in every frame, and everywhere, now and then."""
        points = None if self._last is None else find_face_near(self._reader, picture, self._last)
        if points is None and self._pause_frames > 0:
            self._pause_frames -= 1
            return None
        if points is None:
            points = find_face(self._reader, picture)
        reading = None if points is None else self._trusted(picture, points)
        if reading is None:
            pause_frames = SEARCH_PAUSES_FRAMES[min(self._failed_searches, len(SEARCH_PAUSES_FRAMES) - 1)]
            self._pause_frames = pause_frames - 1
            self._failed_searches += 1
        return reading

    def _trusted(self, picture: Picture, near: NDArray[np.float64]) -> Reading | None:
        """Read the face near these points, if it is still one."""
        square = face_square(near)
        if square.side_px < SMALLEST_FACE_PX:
            return None
        reading = self._reader.read(picture, square)
        self._reads += 1
        if reading.face < LOST_BELOW:
            return None
        if self._reads % AGREEMENT_EVERY_FRAMES == 0:
            disagreement = self._reader.disagreement(picture, reading.points)
            if disagreement >= AGREEMENT_SLACK * AGREEMENT_TOLERANCE:
                return None
        return reading


class _Record:
    """The growing track: of each frame 20 bytes of plain numbers here, and its points in a file."""

    def __init__(self, points: Spool) -> None:
        self._pts_s = array("d")
        self._points = points
        self._confidence = array("f")
        self._lips_visible = array("f")
        self._scene = array("i")

    def __len__(self) -> int:
        return len(self._pts_s)

    def add(self, pts_s: float, scene: int, reading: Reading | None) -> None:
        self._pts_s.append(pts_s)
        self._points.add(NO_POINTS if reading is None else reading.points.astype(np.float32))
        self._confidence.append(0.0 if reading is None else reading.face)
        self._lips_visible.append(0.0 if reading is None else reading.lips_visible)
        self._scene.append(scene)

    def take_out(self, frames: NDArray[np.intp]) -> None:
        """Let the face be absent in these frames."""
        track = self.track()
        track.confidence[frames] = track.lips_visible[frames] = 0
        for part in blocks(len(frames), track.points[:1].nbytes):
            track.points[frames[part]] = np.nan
            let_go(track.points)

    def track(self) -> FaceTrack:
        """Show the numbers as arrays, without a copy."""
        return FaceTrack(
            pts_s=np.frombuffer(self._pts_s, np.float64),
            points=self._points.array(),
            confidence=np.frombuffer(self._confidence, np.float32),
            lips_visible=np.frombuffer(self._lips_visible, np.float32),
            scene=np.frombuffer(self._scene, np.int32),
        )


def _ignore(frames_done: int) -> None:
    del frames_done


def track_clip(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    progress: Callable[[int], None] = _ignore,
    *,
    scratch: Path | None = None,
) -> FaceTrack:
    """Follow the most prominent face through all frames of a clip.

    `frames` yields pts in seconds and uint8[h * 3 // 2, w] (I420 planes, even sizes); nothing of a frame is kept.
    `progress` hears the number of frames done after each one. A clip without a face gives a track without one. The
    points lie in an unnamed file in `scratch` (600 bytes a frame), or where the system has room for such.
    """
    tracker, cuts, scene = FaceTracker(), CutDetector(), 0
    with Spool(scratch, (POINT_COUNT, 2), np.float32) as points:
        record = _Record(points)
        for pts_s, planes in frames:
            picture = Picture.of_planes(planes)
            if cuts.is_cut(picture.luma):
                scene += 1
                tracker.forget()
            record.add(pts_s, scene, tracker.follow(picture))
            progress(len(record))
        strangers = strangers_in(record.track())
        record.take_out(strangers)
        track = record.track()
    faces, others = int(track.present.sum()), len(strangers)
    log.info("faces.clip_tracked", frames=len(record), with_face=faces, other_faces=others, scenes=scene + 1)
    return track
