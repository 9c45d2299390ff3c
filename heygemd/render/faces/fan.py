"""The face tracker of those who bring the weights of face-alignment: S3FD finds faces, FAN reads 68 points.

The one module that imports that package. It looks for its files in torch's own folder and would load them from the
network; here that folder is shown to it, with every file it will ask for inside, so it never does.

A frame of 1080p takes it 76 ms for the detector, spread over the frames between, and 330 ms for FAN on one core
(measured with untrained weights of the same shapes); the built-in tracker takes 3 to 5. So it is a tracker for cards.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import face_alignment
import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.errors import SetupError
from heygemd.limits import DetectorName
from heygemd.modellist import tracker_models
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.cuts import CutDetector
from heygemd.render.faces.follower import MOST_FACES, is_turned_away
from heygemd.render.faces.lift68 import load_lift68
from heygemd.render.faces.picture import Picture, invert, mapped
from heygemd.render.faces.reader import SMALLEST_FACE_PX, FaceReader, Reading
from heygemd.render.faces.record import CrowdRecord
from heygemd.render.faces.ring import NO_SKIN
from heygemd.render.faces.search import is_known
from heygemd.render.faces.square import face_square
from heygemd.render.faces.tracker import finished, unheard_frames

Box = NDArray[np.float64]
"""float64[4]: left, top, right, bottom in pixels; pixel k reaches from k - 0.5 to k + 0.5."""
CORNER_PX = 0.5
"""That package counts from the corner of the first pixel, we from its middle."""

DETECTION_PX = 640
"""Longer side of the picture in which faces are looked for: S3FD takes 160 times as long as all the rest at 1080p."""
READING_PX = 1280
"""Longer side of the picture from which FAN cuts its 256 pixels."""
DETECT_EVERY_FRAMES = 12
"""How often faces are looked for; between, a face is where its points were."""
DETECTOR_COUNTS = 0.5
"""Weight of the latest box of the detector, against those before it, in where it stands around the points."""
LOST_BELOW = 0.2
"""Mean height of FAN's 68 peaks below which it sees no face; 1 is what it was trained to."""


def track_clip_fan(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    progress: Callable[[int], None] = unheard_frames,
    *,
    models_dir: Path,
    detector: DetectorName = "s3fd",
    scratch: Path | None = None,
    device: str = "cpu",
) -> Crowd:
    """Follow every face by face-alignment; what goes in and comes out is that of `tracker.track_crowd`.

    `models_dir` holds the files that `modellist.tracker_models` names; raises SetupError E402 where one is missing.
    The lips stay where FAN sees them; our own nets tell whether something covers them. With S3FD the crowd has boxes.
    """
    follower, cuts, scene = _FanFollower(models_dir, device, detector), CutDetector(), 0
    with CrowdRecord(scratch) as record:
        for pts_s, planes in frames:
            picture = Picture.of_planes(planes)
            if cuts.is_cut(picture.luma):
                scene += 1
                follower.forget()
            record.add_frame(pts_s, scene, (picture.width_px, picture.height_px))
            for strand, reading in follower.follow(picture):
                record.add(strand, reading)
            progress(len(record))
        crowd = record.crowd()
    return finished(crowd)


@dataclass(slots=True, kw_only=True)
class _Followed:
    strand: int
    points: NDArray[np.float64]
    """float64[68, 2]."""
    frame: NDArray[np.float64]
    """float64[4]: the detector's box, relative to that of the points."""

    def box(self) -> Box:
        """Where the detector would see the face, by its points."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return np.asarray(np.tile(low, 2) + self.frame * np.tile(high - low, 2))


def _framed(box: Box, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say where a box stands around float64[68, 2]: 0..1 is their own box."""
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1)
    return np.asarray((box - np.tile(low, 2)) / np.tile(size, 2))


Seen = tuple[_Followed, Reading]

_cudnn = partial(torch.backends.cudnn.flags, enabled=True, deterministic=True)
"""That package switches cuDNN's choice by stop-watch on, for the whole process: with it one input has many outputs."""


class _FanFollower:
    """Every face from frame to frame."""

    def __init__(self, models_dir: Path, device: str, detector: DetectorName) -> None:
        self._net, self._own = _load(models_dir, device, detector), FaceReader(device)
        self._detector = detector
        self._strands = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next frame shows another scene."""
        self._followed: list[_Followed] = []
        self._pause_frames = 0

    def follow(self, picture: Picture) -> list[tuple[int, Reading]]:
        """Read the faces in the next frame."""
        seen = self._read(picture, [(one.strand, one.box(), one.frame) for one in self._followed])
        if self._pause_frames == 0 or len(seen) < len(self._followed):
            self._pause_frames = DETECT_EVERY_FRAMES
            boxes = self._detect(picture)
            for one, reading in seen:
                _frame_anew(one, reading, boxes)
            known = [reading.points for _, reading in seen]
            new = [box for box in boxes if not is_known(_corners(box), known)][: MOST_FACES - len(seen)]
            seen += self._read(picture, [(strand, box, None) for strand, box in enumerate(new, self._strands)])
            self._strands += len(new)
        self._pause_frames -= 1
        self._followed = [one for one, _ in seen]
        return [(one.strand, self._judged(picture, one, reading)) for one, reading in seen]

    def _read(self, picture: Picture, places: Sequence[tuple[int, Box, NDArray[np.float64] | None]]) -> list[Seen]:
        """Read the points in each box, and keep what is a face; the third says where the box stands, if known."""
        if not places:
            return []
        patch = picture.whole(min(READING_PX / max(picture.width_px, picture.height_px), 1.0))
        boxes = [mapped(patch.to_patch, box.reshape(2, 2)).ravel() + CORNER_PX for _, box, _ in places]
        rgb = np.ascontiguousarray(cv2.cvtColor(patch.bgr, cv2.COLOR_BGR2RGB))
        with _cudnn():
            found, scores, _ = self._net.get_landmarks_from_image(
                rgb, detected_faces=[np.append(box, 1.0) for box in boxes], return_landmark_score=True
            )
        to_picture = invert(patch.to_patch)
        seen: list[Seen] = []
        for (strand, box, frame), in_patch, score in zip(places, found, scores, strict=True):
            points_68 = mapped(to_picture, np.asarray(in_patch, np.float64))
            points = load_lift68()(points_68[None])[0]
            belief = float(np.clip(np.mean(score), 0, 1))
            is_face = belief >= LOST_BELOW and face_square(points).side_px >= SMALLEST_FACE_PX
            is_double = is_known(points, [other.points for _, other in seen])
            if not is_face or is_double or is_turned_away(points):
                continue
            standing = _framed(box, points_68) if frame is None else frame
            reading = Reading(points=points, face=belief, lips_visible=1.0, skin=NO_SKIN)
            seen.append((_Followed(strand=strand, points=points_68, frame=standing), reading))
        return seen

    def _detect(self, picture: Picture) -> list[Box]:
        """Boxes of the faces in the whole picture, the largest first, each once."""
        patch = picture.whole(min(DETECTION_PX / max(picture.width_px, picture.height_px), 1.0))
        rgb = np.asarray(cv2.cvtColor(patch.bgr, cv2.COLOR_BGR2RGB), np.uint8)
        found: list[Box] = []
        for left, top, piece in _pieces(rgb) if self._detector == "blazeface" else [(0, 0, rgb)]:
            with _cudnn():
                boxes = self._net.face_detector.detect_from_image(np.ascontiguousarray(piece))
            shift = np.array([left, top, left, top]) - CORNER_PX
            # With no face, BlazeFace gives one empty row.
            found += [np.asarray(box, np.float64)[:4] + shift for box in boxes if len(box)]
        to_picture = invert(patch.to_patch)
        largest = sorted(found, key=lambda box: float(box[0] - box[2]))
        boxes = [mapped(to_picture, box.reshape(2, 2)).ravel() for box in largest]
        return [box for at, box in enumerate(boxes) if not any(_is_within(box, other) for other in boxes[:at])]

    def _judged(self, picture: Picture, one: _Followed, reading: Reading) -> Reading:
        """Let our own nets say whether the lips are seen, and what colour surrounds them."""
        (judged,) = self._own.refine_lips([(picture, reading)])
        return replace(
            reading,
            lips_visible=judged.lips_visible,
            skin=judged.skin,
            box=one.box() if self._detector == "s3fd" else None,
        )


def _frame_anew(one: _Followed, reading: Reading, boxes: Sequence[Box]) -> None:
    """Look whether the detector sees the followed face, and bring up to date where its box stands."""
    for box in boxes:
        if is_known(_corners(box), [reading.points]):
            one.frame = one.frame + DETECTOR_COUNTS * (_framed(box, one.points) - one.frame)
            return


def _pieces(rgb: NDArray[np.uint8]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Cut a picture into overlapping squares, with their left upper corners: BlazeFace sees one square."""
    height, width = rgb.shape[:2]
    side, room = min(height, width), max(height, width) - min(height, width)
    for start in np.unique(np.linspace(0, room, 2 * -(-room // side) + 1).astype(int)).tolist():
        left, top = (start, 0) if width > height else (0, start)
        yield left, top, rgb[top : top + side, left : left + side]


def _is_within(box: Box, larger: Box) -> bool:
    """Tell whether the middle of a box lies within another."""
    middle = (box[:2] + box[2:]) / 2
    return bool((middle > larger[:2]).all() and (middle < larger[2:]).all())


def _corners(box: Box) -> NDArray[np.float64]:
    """The box as if it were the points of a face: float64[74, 2], for comparisons of places only."""
    return np.resize(box.reshape(2, 2), (74, 2))


def _load(models_dir: Path, device: str, detector: DetectorName) -> "face_alignment.FaceAlignment":
    files = {model.name: models_dir / model.file for model in tracker_models(detector)}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise SetupError("E402", f"face-alignment needs {', '.join(missing)}")
    own = {"path_to_detector": str(files[detector])}
    if detector == "blazeface":
        own["path_to_anchor"] = str(files["blazeface-anchors"])
    options: dict[str, object] = {}
    if "fan4" in files:  # these versions could also compile the net, for minutes, and work in 16 bits
        options = {"compile": False, "max_batch_size": MOST_FACES}
        if device != "cpu":
            options["dtype"] = torch.float16
    with _hub_shows(models_dir), _cudnn():
        return face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            face_detector="sfd" if detector == "s3fd" else detector,
            face_detector_kwargs=own,
            **options,
        )


@contextmanager
def _hub_shows(models_dir: Path) -> Iterator[None]:
    """Let torch's folder of downloaded weights be `models_dir` for a moment."""
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").symlink_to(models_dir.resolve(), target_is_directory=True)
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)
