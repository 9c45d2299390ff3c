"""Whole pictures for the detector: faces of known place and size on drawn backgrounds, and things that are none."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.picture import mapped
from scripts.train.face.heads import mark_head, warped
from scripts.train.face.material import Material, Points
from scripts.train.face.photography import photographed
from scripts.train.face.scenery import faceless, hand, letter, texture, things

Bgr = NDArray[np.uint8]
Rng = np.random.Generator

LEAST_SIDE_PX, MOST_SIDE_SHARE = 9.0, 1.1
"""Sides of faces: the largest in sides of the scene."""
CROWDS = (0, 0, 1, 1, 2, 3, 5, 8, 12)
"""Heads that a scene may be given, each number as often."""
CROWDED_SMALLER = 0.25
"""With every further head the largest possible one shrinks by about this part of the scene."""
PICTURE_PX = 256
LEAST_SEEN = 0.55
"""A face of which less lies inside the scene is nobody's: neither wanted nor unwanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture and the squares around its faces."""

    picture: Bgr
    faces: NDArray[np.float64]
    """float64[k, 3]: x, y of the middle of the 74 points' box, and its longer side."""
    ignored: NDArray[np.float64]
    """float64[j, 3]: faces that are hardly in the picture."""


def square_of(points: Points) -> NDArray[np.float64]:
    """Middle and longer side of the box around points[74, 2]: float64[3]."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array([*(low + high) / 2, (high - low).max()])


def make_scene(material: Material, rng: Rng, side_px: int) -> Scene:
    """Compose a scene of `side_px` x `side_px`."""
    canvas = _background(material, rng, side_px)
    found: list[NDArray[np.float64]] = []
    if rng.random() < 0.3:
        canvas, square = _portrait(material, rng, side_px)
        found.append(square)
    count = int(rng.choice(CROWDS))
    most_px = side_px * MOST_SIDE_SHARE / (1 + CROWDED_SMALLER * max(count - 1, 0))
    for _ in range(count):
        _paste(canvas, found, material, rng, most_px=most_px, real=rng.random() < 0.75)
    for painter in (letter, things, hand):
        if rng.random() < 0.08 and not found:
            painter(canvas, rng)
    seen = np.array([_share_inside(square, side_px) >= LEAST_SEEN for square in found], bool)
    squares = np.array(found).reshape(-1, 3)
    picture = photographed(canvas, rng, least_detail=0.6)
    return Scene(picture=picture, faces=squares[seen], ignored=squares[~seen])


def _share_inside(square: NDArray[np.float64], side_px: int) -> float:
    """Tell how much of a face's square lies inside the scene: 0..1."""
    low, high = square[:2] - square[2] / 2, square[:2] + square[2] / 2
    inside = np.clip(np.minimum(high, side_px) - np.maximum(low, 0), 0, None)
    return float(inside.prod() / square[2] ** 2)


def _background(material: Material, rng: Rng, side_px: int) -> Bgr:
    """Draw a scene without a face: things and letters, or a picture whose face is painted over."""
    if rng.random() < 0.45:
        return faceless(rng, side_px)
    picture, points = material.pick(rng)
    erased = _erased(picture, points, rng)
    # A part of it, much enlarged or nearly whole: skin, hair, clothes and rooms.
    part = int(rng.uniform(60, PICTURE_PX))
    x, y = (int(v) for v in rng.integers(0, PICTURE_PX - part + 1, 2))
    large = cv2.resize(erased[y : y + part, x : x + part], (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return large[:, ::-1].copy() if rng.random() < 0.5 else large.astype(np.uint8, copy=False)


def _erased(picture: Bgr, points: Points, rng: Rng) -> Bgr:
    """Paint over the face with hair, cloth or a blur of itself."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    outline = cv2.convexHull(points.astype(np.int32))
    cv2.fillConvexPoly(mask, outline, (1,))
    mask = cv2.dilate(mask, np.ones((13, 13), np.uint8))
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4)[..., None]
    match rng.integers(0, 3):
        case 0:
            cover = cv2.GaussianBlur(picture, (0, 0), rng.uniform(22, 40)).astype(np.float32)
        case 1:
            low = points.min(axis=0).astype(int)
            hair = picture[max(low[1] - 45, 0) : max(low[1] - 5, 40), :].reshape(-1, 3)
            cover = texture(rng, PICTURE_PX).astype(np.float32) * 0.25 + np.median(hair, axis=0) * 0.75
        case _:
            cover = texture(rng, PICTURE_PX).astype(np.float32)
    return (picture * (1 - weight) + cover * weight).astype(np.uint8)


def _side(rng: Rng, most_px: float) -> float:
    return float(np.exp(rng.uniform(np.log(LEAST_SIDE_PX), np.log(most_px))))


def _turned(points: Points, rng: Rng, *, at: Points, face_px: float) -> NDArray[np.float64]:
    """Map a picture into the scene: its face at `at`, so large, turned and maybe mirrored; float64[2, 3]."""
    own = square_of(points)
    zoom = face_px / own[2]
    turn = np.deg2rad(rng.normal(0, 8) if rng.random() < 0.7 else rng.normal(0, 25))
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if rng.random() < 0.5:
        linear = linear @ np.diag([-1.0, 1.0])
    return np.column_stack([linear, at - linear @ own[:2]])


def _portrait(material: Material, rng: Rng, side_px: int) -> tuple[Bgr, NDArray[np.float64]]:
    """Fill the whole scene with one picture."""
    picture, points = material.pick(rng)
    face_px = side_px * rng.uniform(0.45, 1.1)
    at = side_px * (0.5 + rng.normal(0, 0.12, 2))
    to_scene = _turned(points, rng, at=at, face_px=face_px)
    return warped(picture, to_scene, side_px), square_of(mapped(to_scene, points))


def _paste(
    canvas: Bgr, found: list[NDArray[np.float64]], material: Material, rng: Rng, *, most_px: float, real: bool
) -> None:
    """Put a head, or a whole picture with its edges, somewhere into the scene, where it covers nobody's face.

    What is not `real` is pasted like a face but is none: a drawn picture, or a head whose face is painted over.
    """
    picture, points = material.pick(rng)
    if not real:
        picture = faceless(rng, PICTURE_PX) if rng.random() < 0.5 else _erased(picture, points, rng)
    at = rng.uniform(-0.05, 1.05, 2) * len(canvas)
    to_scene = _turned(points, rng, at=at, face_px=_side(rng, most_px))
    mask = np.zeros(picture.shape[:2], np.float32)
    if rng.random() < 0.6:
        mark_head(mask, points, rng)
    else:
        mask[2:-2, 2:-2] = 1
    rows, columns = np.nonzero(mask > 0.1)
    covers = mapped(to_scene, np.stack([columns, rows], axis=1)[:: max(len(rows) // 400, 1)].astype(np.float64))
    for square in found:
        if (np.abs(covers - square[:2]) < square[2] / 2).all(axis=1).any():
            return
    _lay(canvas, picture, mask, to_scene)
    if real:
        found.append(square_of(mapped(to_scene, points)))


def _lay(canvas: Bgr, picture: Bgr, mask: NDArray[np.float32], to_scene: NDArray[np.float64]) -> None:
    """Draw the picture into the scene where the mask holds, in place."""
    corners = mapped(to_scene, np.array([(0.0, 0.0), (255, 0), (255, 255), (0, 255)]))
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, len(canvas))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, 0, len(canvas))
    if (high - low < 1).any():
        return
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    there = to_scene.copy()
    there[:, 2] -= low
    scale = float(np.sqrt(abs(np.linalg.det(there[:, :2]))))
    if scale < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / scale)
    colours = cv2.warpAffine(picture, there, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(mask, there, size, flags=cv2.INTER_LINEAR)[..., None]
    below = canvas[low[1] : high[1], low[0] : high[0]]
    np.copyto(below, (below * (1 - weight) + colours * weight).astype(np.uint8))
