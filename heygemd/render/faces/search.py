"""Finds faces: at a glance by the detector, or thoroughly by the landmark net in a grid of windows, large ones first.

Whatever is found so is read until it stands still, and must be the same face in five differently framed crops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.detector import FaceDetector
from heygemd.render.faces.networks import look
from heygemd.render.faces.picture import Picture, invert, mapped
from heygemd.render.faces.reader import FACE_MARGIN, FaceReader, Reading
from heygemd.render.faces.square import Square, face_square

GLANCES = 8
"""Candidates of the detector, the best first, that the landmark net looks at."""
LARGEST_FACE = 1.05
"""First face side looked for, in short sides of the picture."""
SMALLEST_FACE = 0.10
"""Last one; smaller faces are not found."""
SMALLEST_FACE_SIDE_PX = 40.0
"""Or half of that share, where that is less."""
SMALLEST_COMPANION = 0.4
"""Beside a face that was found, faces down to so many times its size are looked for."""
LEVEL_STEP = 1.4
WINDOW_STRIDE = 0.27
"""Distance of neighbouring windows in window sides."""
PROMISING_FACE = 0.4
"""Belief from which a window is worth a closer look."""
AGREEMENT_TOLERANCE = 0.045
"""Disagreement (see FaceReader) above which a thing is no face; set on about 20 clips."""

_PADDING_PX = 48
_SMALLEST_SIDE_PX = 20
_WINDOWS_AT_ONCE = 64
_CANDIDATES_PER_LEVEL = 12
_SAME_FACE_SHIFT = 0.5
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    face: float
    points: NDArray[np.float64]


def find_face_near(reader: FaceReader, picture: Picture, points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Find the face where it was last seen, float64[74, 2], or None; takes a few milliseconds."""
    reading = reader.settle(picture, points)
    if reading is None or reader.disagreement(picture, reading.points) >= AGREEMENT_TOLERANCE:
        return None
    return reading.points


def glance_for_faces(
    reader: FaceReader, detector: FaceDetector, picture: Picture, known: Sequence[NDArray[np.float64]] = ()
) -> list[NDArray[np.float64]]:
    """Find faces, each float64[74, 2], but for those `known` already; takes about 10 ms, and misses some."""
    candidates = detector.detect(picture)[:GLANCES]
    places = [Square(centre=one.centre, side_px=one.side_px, turn_rad=0.0) for one in candidates]
    places = [place for place in places if not _is_at(place.centre, known)]
    readings = reader.read([(picture, place) for place in places]) if places else []
    promising = [
        _Candidate(face=reading.face, points=reading.points) for reading in readings if reading.face > PROMISING_FACE
    ]
    return [reading.points for reading in _confirmed(reader, picture, promising, known)]


def search_for_faces(
    reader: FaceReader, picture: Picture, known: Sequence[NDArray[np.float64]] = ()
) -> list[NDArray[np.float64]]:
    """Find the prominent faces of a picture, each float64[74, 2], but for those `known` already.

    Takes some 50 ms where there is a large face and up to about a second where there is none.
    """
    short_px = min(picture.width_px, picture.height_px)
    side_px, last_px = LARGEST_FACE * short_px, SMALLEST_FACE * short_px
    found: list[NDArray[np.float64]] = []
    while side_px >= last_px and side_px > _SMALLEST_SIDE_PX:
        candidates = _candidates(reader, picture, side_px)
        new = _confirmed(reader, picture, candidates, [*known, *found])
        found += [reading.points for reading in new]
        if new:
            last_px = max(last_px, SMALLEST_COMPANION * side_px)
        side_px /= LEVEL_STEP
    return found


def _confirmed(
    reader: FaceReader, picture: Picture, candidates: list[_Candidate], known: Sequence[NDArray[np.float64]]
) -> list[Reading]:
    """Look closer at the best candidates of a level and keep those that are faces, each once, but for known ones."""
    smallest_px = min(SMALLEST_FACE_SIDE_PX, _HALF * SMALLEST_FACE * min(picture.width_px, picture.height_px))
    found: list[Reading] = []
    for candidate in sorted(candidates, key=lambda one: one.face, reverse=True)[:_CANDIDATES_PER_LEVEL]:
        seen = [*known, *(reading.points for reading in found)]
        if is_known(candidate.points, seen):
            continue
        reading = reader.settle(picture, candidate.points)
        if reading is None or face_square(reading.points).side_px < smallest_px or is_known(reading.points, seen):
            continue
        if reader.disagreement(picture, reading.points) < AGREEMENT_TOLERANCE:
            found.append(reading)
    return found


def is_known(points: NDArray[np.float64], known: Sequence[NDArray[np.float64]]) -> bool:
    """Whether a face is one of those known: its middle lies within half a side of theirs."""
    return _is_at(face_square(points).centre, known)


def _is_at(centre: NDArray[np.float64], known: Sequence[NDArray[np.float64]]) -> bool:
    squares = (face_square(one) for one in known)
    return any(np.linalg.norm(centre - one.centre) < _SAME_FACE_SHIFT * one.side_px for one in squares)


def _candidates(reader: FaceReader, picture: Picture, side_px: float) -> list[_Candidate]:
    """Faces of about `side_px` that the net suspects in any window, in picture coordinates."""
    net = reader.landmarks
    patch = picture.whole(net.side_px / (FACE_MARGIN * side_px))
    to_picture = invert(patch.to_patch)
    level = _padded(patch.bgr, net.side_px)
    candidates: list[_Candidate] = []
    for corners in _corners(level.shape[1], level.shape[0], net.side_px):
        windows = np.stack([level[y : y + net.side_px, x : x + net.side_px] for x, y in corners])
        points, beliefs = look(net, windows)
        for index in np.flatnonzero(beliefs[:, 0] > PROMISING_FACE):
            in_patch = points[index] + corners[index] - _PADDING_PX
            candidates.append(_Candidate(face=float(beliefs[index, 0]), points=mapped(to_picture, in_patch)))
    return candidates


def _padded(bgr: NDArray[np.uint8], window_px: int) -> NDArray[np.uint8]:
    """Repeat the edges, so that faces cut off by them are framed, and to at least one window."""
    height, width = bgr.shape[:2]
    more_rows = max(0, window_px - height - 2 * _PADDING_PX)
    more_columns = max(0, window_px - width - 2 * _PADDING_PX)
    return cv2.copyMakeBorder(
        bgr,
        _PADDING_PX,
        _PADDING_PX + more_rows,
        _PADDING_PX,
        _PADDING_PX + more_columns,
        cv2.BORDER_REPLICATE,
    ).astype(np.uint8, copy=False)


def _corners(width: int, height: int, window_px: int) -> Iterator[NDArray[np.int64]]:
    """Upper left corners of the windows, row by row, as batches int64[k, 2] of x, y."""
    columns, rows = (_starts(length - window_px, int(window_px * WINDOW_STRIDE)) for length in (width, height))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    for start in range(0, len(grid), _WINDOWS_AT_ONCE):
        yield grid[start : start + _WINDOWS_AT_ONCE]


def _starts(room: int, stride: int) -> NDArray[np.int64]:
    """0..room in equal steps of at most `stride`, both ends included."""
    return np.unique(np.linspace(0, room, -(-room // stride) + 1).astype(np.int64))
