"""Reads the points of faces, given roughly where they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.networks import load_landmark_net, load_lip_net, look
from heygemd.render.faces.picture import Picture, crop, cut_out, invert, mapped, patch_around
from heygemd.render.faces.ring import NO_SKIN, skin_around
from heygemd.render.faces.square import LIP_SQUARE_EYES, Square, face_square, mouth_square
from heygemd.render.faces.topology import LIP_ROWS, eye_distance

FACE_MARGIN = 1.3
"""The landmark net was trained on crops 1.3 times as large as the box of the points."""
SMALLEST_FACE_PX = 8.0
"""A box smaller than this is no face but a collapsed answer."""
CERTAIN_FACE = 0.97
"""Belief that a new face must reach; on 168 faces the 1st percentile was 0.997."""

_AGREEMENT_VIEWS = (
    (0.09, 0.0, 1.0, 0.0),
    (-0.09, 0.0, 1.0, 0.0),
    (0.0, 0.09, 0.9, 12.0),
    (0.0, -0.09, 1.12, -12.0),
    (0.05, 0.05, 1.2, 0.0),
)
"""Shift right, shift down (in sides), zoom, turn (degrees) of the five crops that must agree."""
_SETTLE_ROUNDS = 24
_SETTLED_SHIFT = 0.008
_SETTLED_GROWTH = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the nets say about one crop."""

    points: NDArray[np.float64]
    """float64[74, 2] in pixels of the picture."""
    face: float
    """Belief in 0..1 that a face is present and framed."""
    lips_visible: float
    """Belief in 0..1 that nothing covers the lips."""
    skin: NDArray[np.uint8]
    """uint8[16, 3]: colours around the mouth (see `faces/ring.py`); 0 before the lips were refined."""
    box: NDArray[np.float64] | None = None
    """float64[4]: left, top, right, bottom by S3FD, if that found the face; see `FaceTrack.boxes`."""


Look = tuple[Picture, Square]
"""A picture and where to look in it."""


class FaceReader:
    """The nets, and the questions that can be asked of them. Keeps nothing between calls."""

    def __init__(self, device: str = "cpu") -> None:
        self.landmarks = load_landmark_net(device)
        self._lips = load_lip_net(device)

    def read(self, looks: Sequence[Look]) -> list[Reading]:
        """Read all points of the face in each square, in one batch."""
        side_px = self.landmarks.side_px
        maps = [square.to_crop(side_px, margin=FACE_MARGIN) for _, square in looks]
        crops = [crop(picture, to_crop, side_px) for (picture, _), to_crop in zip(looks, maps, strict=True)]
        points, beliefs = look(self.landmarks, np.stack(crops))
        return [
            Reading(points=mapped(invert(to_crop), found), face=face, lips_visible=lips, skin=NO_SKIN)
            for to_crop, found, (face, lips) in zip(maps, points, beliefs.tolist(), strict=True)
        ]

    def refine_lips(self, seen: Sequence[tuple[Picture, Reading]]) -> list[Reading]:
        """Replace the 40 lip points by finer ones, in one batch, and take the colours around the mouth.

        The lips count as visible where both nets see them.
        """
        side_px = self._lips.side_px
        mouths = [mouth_square(reading.points) for _, reading in seen]
        maps = [mouth.to_crop(side_px, margin=LIP_SQUARE_EYES) for mouth in mouths]
        patches = [patch_around(picture, to_crop, side_px) for (picture, _), to_crop in zip(seen, maps, strict=True)]
        crops = [cut_out(patch, to_crop, side_px) for patch, to_crop in zip(patches, maps, strict=True)]
        lips, beliefs = look(self._lips, np.stack(crops))
        refined = []
        for index, (_, reading) in enumerate(seen):
            points = reading.points.copy()
            points[LIP_ROWS] = mapped(invert(maps[index]), lips[index])
            refined.append(
                Reading(
                    points=points,
                    face=reading.face,
                    lips_visible=min(reading.lips_visible, float(beliefs[index, 0])),
                    skin=skin_around(patches[index], mouths[index], points),
                )
            )
        return refined

    def settle(self, picture: Picture, points: NDArray[np.float64]) -> Reading | None:
        """Read again from the net's own answer until it stands still; None where that is no face."""
        reading = None
        square = face_square(points)
        for count in range(_SETTLE_ROUNDS):
            if square.side_px < SMALLEST_FACE_PX:
                return None
            (reading,) = self.read([(picture, square)])
            if count > 0 and reading.face < CERTAIN_FACE:
                return None
            after = face_square(reading.points)
            shift = float(np.linalg.norm(after.centre - square.centre))
            growth = abs(after.side_px / square.side_px - 1)
            if count > 0 and shift < _SETTLED_SHIFT * square.side_px and growth < _SETTLED_GROWTH:
                break
            square = after
        return reading

    def disagreement(self, picture: Picture, points: NDArray[np.float64]) -> float:
        """Mean distance, in eye distances, of the points read from five differently framed crops.

        About 0.013-0.023 on faces and 0.06-0.17 on lettering and things, to which a single crop may give a
        confident answer.
        """
        square = face_square(points)
        unit_px = max(float(eye_distance(points)), 1.0)
        readings = self.read([(picture, square.moved(*view)) for view in _AGREEMENT_VIEWS])
        distances = [float(np.linalg.norm(reading.points - points, axis=1).mean()) for reading in readings]
        return float(np.mean(distances)) / unit_px
