"""Figures of pictures: flicker, sharpness, seam, motion, and what changed where nothing may change.

Source and film are compared frame by frame, both as they come out of the same encoder. Everything is taken from the
luma plane. `points` are float32[74, 2] of our tracker, in pixels; lengths are eye distances.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from heygemd.render.faces import topology

Luma = NDArray[np.uint8]
Points = NDArray[np.floating]
Vector = NDArray[np.float64]

CROP_PX, CROP_SPAN = 96, 0.9
"""The lower face that is held still: its side in pixels and in eye distances (the prototype's `stab`)."""
NOSE_ROWS_PX = 14
"""Uppermost rows of it, which show the nose."""
LIP_GROWTH_PX = 5
"""Lips are cut out of the skin with so much around them (the prototype's)."""
BAND = (0.06, 0.19)
"""Distance from the lips between which the mouth layer fades into the face: where a seam would show."""
HEAD_WINDOW_FRAMES = 7
"""The pose that holds the crop still is smoothed, so that its own tremble does not drown a flicker."""
ALLOWED_SCALE, ALLOWED_MARGIN, ALLOWED_REACH = 1.3, 0.2, 0.65
"""A film may change what lies inside the jaw line, scaled about the tip of the nose, with a margin, and what lies so
near the middle of the lips (of a head in half profile, the jaw line on its far side does)."""
GAP_LAB = 28.0
"""Distance of a colour from the lips' own beyond which it is cavity or teeth (the outside ruler's)."""
LEAST_CUT_PX = 8
SQUARE = np.ones((3, 3), np.uint8)
NOSE_TIP_ROW = int(topology.rows_of((4,))[0])


def luma_of(planes: NDArray[np.uint8]) -> Luma:
    """Take the luma plane of an I420 picture."""
    return planes[: planes.shape[0] * 2 // 3]


class Stand:
    """Where the lower face lies in every source frame: holds it still in a crop of its own."""

    def __init__(self, points: NDArray[np.float32], present: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(present)
        self.maps: dict[int, Vector] = {}
        if not len(rows):
            return
        seen = points[rows].astype(np.float64)
        template = _template(seen[0])
        poses = np.array([_similarity(template[topology.STABLE_ROWS], face[topology.STABLE_ROWS]) for face in seen])
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run) >= HEAD_WINDOW_FRAMES:
                poses[run] = savgol_filter(poses[run], HEAD_WINDOW_FRAMES, 2, axis=0)
        places = [_inverse(pose, face[topology.LIP_ROWS]).mean(0) for pose, face in zip(poses, seen, strict=True)]
        lips = np.median(places, axis=0)
        step = CROP_SPAN / CROP_PX
        for row, (a, b, x, y) in zip(rows.tolist(), poses, strict=True):
            turn = np.array([[a, -b], [b, a]])
            corner = turn @ (lips - CROP_SPAN / 2) + (x, y)
            self.maps[row] = np.concatenate([turn * step, corner[:, None]], axis=1)

    def crop(self, luma: Luma, frame: int) -> NDArray[np.float32]:
        """Cut the lower face of this source frame out of a picture: float32[96, 96]."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(luma, self.maps[frame], (CROP_PX, CROP_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop, np.float32)

    def lips(self, points: Points, frame: int) -> NDArray[np.uint8]:
        """Mask the lips, and what lies near them, in the crop of this source frame: uint8[96, 96]."""
        matrix = self.maps[frame]
        ring = (points[topology.OUTER_LIP_ROWS] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        mask = np.zeros((CROP_PX, CROP_PX), np.uint8)
        cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], (1,))
        return np.asarray(cv2.dilate(mask, np.ones((LIP_GROWTH_PX, LIP_GROWTH_PX), np.uint8)), np.uint8)


def _template(face: Vector) -> Vector:
    """Bring a face to an upright frame whose unit is the eye distance."""
    left, right = face[topology.OUTER_EYE_CORNER_ROWS]
    along = (right - left) / np.linalg.norm(right - left)
    turn = np.array([along, [-along[1], along[0]]])
    return (face - (left + right) / 2) @ turn.T / np.linalg.norm(right - left)


def _similarity(template: Vector, face: Vector) -> tuple[float, float, float, float]:
    """Fit face = [[a, -b], [b, a]] @ template + (x, y) by least squares."""
    start, goal = template - template.mean(0), face - face.mean(0)
    square = (start**2).sum()
    a = (start * goal).sum() / square
    b = (start[:, 0] * goal[:, 1] - start[:, 1] * goal[:, 0]).sum() / square
    x, y = face.mean(0) - np.array([[a, -b], [b, a]]) @ template.mean(0)
    return a, b, x, y


def _inverse(pose: Vector, points: Vector) -> Vector:
    a, b, x, y = pose
    return (points - (x, y)) @ np.linalg.inv(np.array([[a, -b], [b, a]])).T


@dataclass(slots=True)
class Flicker:
    """How much the held lower face changes from frame to frame, in the source and in the film."""

    stand: Stand
    _before: tuple[int, list[NDArray[np.float32]], NDArray[np.uint8]] | None = None
    skin: list[tuple[float, float]] = field(default_factory=list)
    """Mean absolute change of the skin, lips of both left out: source, film."""
    energy: list[tuple[float, float]] = field(default_factory=list)
    """Mean square change of all of it: source, film."""

    def look(self, frame: int, lumas: tuple[Luma, Luma], points: tuple[Points, Points]) -> None:
        """Take the next film frame: source and film, each with its points."""
        if frame not in self.stand.maps or not all(np.isfinite(each).all() for each in points):
            self._before = None
            return
        crops = [self.stand.crop(luma, frame) for luma in lumas]
        lips = self.stand.lips(points[0], frame) | self.stand.lips(points[1], frame)
        # A film that runs to and fro goes on smoothly; a jump in the source is no flicker.
        if self._before is not None and abs(frame - self._before[0]) <= 2:
            changes = [now - before for now, before in zip(crops, self._before[1], strict=True)]
            skin = (lips | self._before[2]) == 0
            skin[:NOSE_ROWS_PX] = False
            if skin.any():
                self.skin.append(tuple(float(np.abs(change[skin]).mean()) for change in changes))
            self.energy.append(tuple(float((change**2).mean()) for change in changes))
        self._before = (frame, crops, lips)


def lip_surroundings(luma: Luma, points: Points) -> tuple[Luma, Vector, Vector, float]:
    """Cut the mouth out of the picture: luma, outer and inner lip ring in its pixels, pixels per eye distance."""
    ring = np.asarray(points[topology.OUTER_LIP_ROWS], np.float64)
    eye_px = float(topology.eye_distance(points))
    low = np.maximum(np.floor(ring.min(0) - 0.25 * eye_px).astype(int), 0)
    high = np.minimum(np.ceil(ring.max(0) + 0.25 * eye_px).astype(int) + 1, luma.shape[::-1])
    inner = np.asarray(points[topology.INNER_LIP_ROWS], np.float64)
    return luma[low[1] : high[1], low[0] : high[0]], ring - low, inner - low, eye_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much is seen in one picture of a mouth."""

    lips: float
    """Variance of the Laplacian on the red of the lips."""
    mouth: float
    """The same of everything inside the outer contour; grows with what is seen between the lips."""
    band: float
    """Mean gradient of the skin where the mouth layer fades into the face."""


def detail(luma: Luma, points: Points) -> Detail | None:
    """Measure one mouth; None where it lies off the picture or is too small."""
    cut, ring, inner, eye_px = lip_surroundings(luma, points)
    if min(cut.shape) < LEAST_CUT_PX:
        return None
    mouth, between = np.zeros(cut.shape, np.uint8), np.zeros(cut.shape, np.uint8)
    cv2.fillPoly(mouth, [np.round(ring).astype(np.int32)], (1,))
    cv2.fillPoly(between, [np.round(inner).astype(np.int32)], (1,))
    red = cv2.erode(mouth, SQUARE) & ~cv2.dilate(between, SQUARE)
    distance = cv2.distanceTransform(1 - mouth, cv2.DIST_L2, 3)
    band = (distance > BAND[0] * eye_px) & (distance < BAND[1] * eye_px)
    if not red.any() or not band.any():
        return None
    light = cut.astype(np.float32)
    slope = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)) / 8
    edges = cv2.Laplacian(light, cv2.CV_32F)
    return Detail(lips=float(edges[red > 0].var()), mouth=float(edges[mouth > 0].var()), band=float(slope[band].mean()))


def gap(bgr: NDArray[np.uint8], points: Points) -> float:
    """Area inside the outer lips that has not the lips' colour, in square eye distances (as the outside ruler's)."""
    ring = np.asarray(points[topology.OUTER_LIP_ROWS], np.float64)
    eye_px = float(topology.eye_distance(points))
    low = np.maximum(np.floor(ring.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(ring.max(0)).astype(int) + 3, bgr.shape[1::-1])
    cut = bgr[low[1] : high[1], low[0] : high[0]]
    if min(cut.shape[:2]) < 4:
        return float("nan")
    lips = np.zeros(cut.shape[:2], np.uint8)
    cv2.fillPoly(lips, [np.round(ring - low).astype(np.int32)], (1,))
    rim = lips - cv2.erode(lips, np.ones((3, 3), np.uint8), iterations=max(1, int(0.02 * eye_px)))
    if not rim.any():
        return float("nan")
    lab = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_BGR2LAB).astype(np.float32)
    far = np.linalg.norm(lab - np.median(lab[rim > 0], axis=0), axis=2) > GAP_LAB
    return float((far & (lips > 0)).sum() / eye_px**2)


def forbidden(points: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels (bool[h, w]) that no film may change: all outside the lower face; all without a face."""
    allowed = np.zeros(size, np.uint8)
    if np.isfinite(points).all():
        tip, eye_px = points[NOSE_TIP_ROW], float(topology.eye_distance(points))
        jaw = points[topology.JAW_ROWS]
        ring = np.concatenate([jaw, tip + (jaw - tip) * ALLOWED_SCALE, points[topology.NOSE_ROWS][-3:]])
        hull = cv2.convexHull(np.round(ring).astype(np.int32))
        cv2.fillConvexPoly(allowed, hull, (1,))
        cv2.polylines(allowed, [hull], True, (1,), thickness=max(1, round(2 * ALLOWED_MARGIN * eye_px)))
        middle = np.round(points[topology.LIP_ROWS].mean(0)).astype(int).tolist()
        cv2.circle(allowed, middle, round(ALLOWED_REACH * eye_px), (1,), cv2.FILLED)
    return allowed == 0


def worst_change(before: NDArray[np.uint8], after: NDArray[np.uint8], outside: NDArray[np.bool_]) -> int:
    """Find the largest change of any of the three planes where nothing may change."""
    height, width = outside.shape
    small = outside[0::2, 0::2] & outside[1::2, 0::2] & outside[0::2, 1::2] & outside[1::2, 1::2]
    places = [outside, *([small] * 2)]
    worst = 0
    for place, old, new in zip(places, _planes(before, height, width), _planes(after, height, width), strict=True):
        worst = max(worst, int(cv2.absdiff(old, new)[place].max(initial=0)))
    return worst


def _planes(planes: NDArray[np.uint8], height: int, width: int) -> tuple[Luma, Luma, Luma]:
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return planes[:height], np.ascontiguousarray(chroma[0]), np.ascontiguousarray(chroma[1])


def square_error(source: Luma, film: Luma, outside: NDArray[np.bool_]) -> float:
    """Mean square difference of luma where nothing may change."""
    if not outside.any():
        return float("nan")
    error = cv2.absdiff(source, film)[outside].astype(np.float32)
    return float((error**2).mean())


def psnr(mean_square_error: float) -> float:
    """Peak signal-to-noise ratio in dB; 100 for no error at all."""
    return 100.0 if mean_square_error <= 1e-10 * 65025 else float(10 * np.log10(65025 / mean_square_error))
