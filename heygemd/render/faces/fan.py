"""The face tracker of those who bring the weights of face-alignment: S3FD finds faces, FAN reads 68 points.

The one module that imports that package. It looks for its files in torch's own folder and would load them from the
network; here that folder is shown to it, with every file it will ask for inside, so it never does.
"""

import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import face_alignment
import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.errors import SetupError
from heygemd.modellist import models
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

Detector = Literal["sfd", "blazeface"]
Box = NDArray[np.float64]
"""float64[4]: left, top, right, bottom in pixels."""

DETECTION_PX = 640
"""Longer side of the picture in which faces are looked for: S3FD takes 160 times as long as all the rest at 1080p."""
READING_PX = 1280
"""Longer side of the picture from which FAN cuts its 256 pixels."""
DETECT_EVERY_FRAMES = 12
"""How often faces are looked for; between, a face is where its points were."""
LOST_BELOW = 0.2
"""Mean height of FAN's 68 peaks below which it sees no face; 1 is what it was trained to."""


def fan_files(detector: Detector = "sfd") -> dict[str, str]:
    """Name in the catalogue -> file, of what the installed face-alignment asks for."""
    files = {model.name: model.file for model in models() if model.engine == "faces" and not model.shipped}
    needed = {} if detector == "blazeface" else {"s3fd": files["s3fd"]}
    fan = "fan4" if _is_native() else "fan4-torchscript"
    return needed | {fan: files[fan]}


def _is_native() -> bool:
    """Whether it loads plain weights (from version 1.5 on), and no TorchScript."""
    return "compile" in inspect.signature(face_alignment.FaceAlignment.__init__).parameters


def track_clip_fan(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    progress: Callable[[int], None] = unheard_frames,
    *,
    models_dir: Path,
    scratch: Path | None = None,
    device: str = "cpu",
    detector: Detector = "sfd",
) -> Crowd:
    """Follow every face by face-alignment; what goes in and comes out is that of `tracker.track_crowd`.

    `models_dir` holds the files that `fan_files` names; raises SetupError E402 where one is missing. The lips stay
    where FAN sees them; our own nets tell whether something covers them.
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
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return np.asarray(np.tile(low, 2) + self.frame * np.tile(high - low, 2))


class _FanFollower:
    """Every face from frame to frame."""

    def __init__(self, models_dir: Path, device: str, detector: Detector) -> None:
        self._net, self._own = _load(models_dir, device, detector), FaceReader(device)
        self._strands = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next frame shows another scene."""
        self._followed: list[_Followed] = []
        self._pause_frames = 0

    def follow(self, picture: Picture) -> list[tuple[int, Reading]]:
        """Read the faces in the next frame."""
        seen = self._read(picture, [(one.strand, one.box()) for one in self._followed])
        if self._pause_frames == 0 or len(seen) < len(self._followed):
            self._pause_frames = DETECT_EVERY_FRAMES
            known = [reading.points for _, _, reading in seen]
            boxes = [box for box in self._detect(picture) if not is_known(_corners(box), known)]
            boxes = boxes[: MOST_FACES - len(seen)]
            seen += self._read(picture, list(enumerate(boxes, self._strands)))
            self._strands += len(boxes)
        self._pause_frames -= 1
        self._followed = [one for one, _, _ in seen]
        return [(one.strand, self._judged(picture, reading)) for one, _, reading in seen]

    def _read(self, picture: Picture, places: Sequence[tuple[int, Box]]) -> list[tuple[_Followed, Box, Reading]]:
        """Read the points in each box, and keep what is a face."""
        if not places:
            return []
        patch = picture.whole(min(READING_PX / max(picture.width_px, picture.height_px), 1.0))
        boxes = [mapped(patch.to_patch, box.reshape(2, 2)).ravel() for _, box in places]
        rgb = np.ascontiguousarray(cv2.cvtColor(patch.bgr, cv2.COLOR_BGR2RGB))
        found, scores, _ = self._net.get_landmarks_from_image(
            rgb, detected_faces=[np.append(box, 1.0) for box in boxes], return_landmark_score=True
        )
        to_picture = invert(patch.to_patch)
        seen: list[tuple[_Followed, Box, Reading]] = []
        for (strand, box), in_patch, score in zip(places, found, scores, strict=True):
            points_68 = mapped(to_picture, np.asarray(in_patch, np.float64))
            points = load_lift68()(points_68[None])[0]
            belief = float(np.clip(np.mean(score), 0, 1))
            is_face = belief >= LOST_BELOW and face_square(points).side_px >= SMALLEST_FACE_PX
            is_double = is_known(points, [other.points for _, _, other in seen])
            if not is_face or is_double or is_turned_away(points):
                continue
            low, size = points_68.min(axis=0), np.maximum(np.ptp(points_68, axis=0), 1)
            followed = _Followed(strand=strand, points=points_68, frame=(box - np.tile(low, 2)) / np.tile(size, 2))
            seen.append((followed, box, Reading(points=points, face=belief, lips_visible=1.0, skin=NO_SKIN)))
        return seen

    def _detect(self, picture: Picture) -> list[Box]:
        """Boxes of the faces in the whole picture, the largest first."""
        patch = picture.whole(min(DETECTION_PX / max(picture.width_px, picture.height_px), 1.0))
        rgb = np.ascontiguousarray(cv2.cvtColor(patch.bgr, cv2.COLOR_BGR2RGB))
        found = [np.asarray(box, np.float64)[:4] for box in self._net.face_detector.detect_from_image(rgb)]
        to_picture = invert(patch.to_patch)
        boxes = [mapped(to_picture, box.reshape(2, 2)).ravel() for box in found]
        return sorted(boxes, key=lambda box: float(box[0] - box[2]))

    def _judged(self, picture: Picture, reading: Reading) -> Reading:
        """Let our own nets say whether the lips are seen, and what colour surrounds them."""
        (judged,) = self._own.refine_lips([(picture, reading)])
        return Reading(points=reading.points, face=reading.face, lips_visible=judged.lips_visible, skin=judged.skin)


def _corners(box: Box) -> NDArray[np.float64]:
    """The box as if it were the points of a face: float64[74, 2], for comparisons of places only."""
    return np.resize(box.reshape(2, 2), (74, 2))


def _load(models_dir: Path, device: str, detector: Detector) -> "face_alignment.FaceAlignment":
    files = {name: models_dir / file for name, file in fan_files(detector).items()}
    own: dict[str, Path] = {}
    if detector == "blazeface":
        own = {"path_to_detector": models_dir / "blazeface.pth", "path_to_anchor": models_dir / "anchors.npy"}
    else:
        own = {"path_to_detector": files["s3fd"]}
    missing = [str(path) for path in (*files.values(), *own.values()) if not path.is_file()]
    if missing:
        raise SetupError("E402", f"face-alignment needs {', '.join(sorted(set(missing)))}")
    options: dict[str, object] = {"compile": False} if _is_native() else {}
    with _hub_shows(models_dir):
        return face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            face_detector=detector,
            face_detector_kwargs={name: str(path) for name, path in own.items()},
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
