"""Drawn faces of known shape, for the tests of atlas."""

import cv2
import numpy as np

from heygemd.render.atlas.mesh import LIP_OUTLINE, LOWER_INNER, LOWER_LIP_MIDDLE, UPPER_INNER, UPPER_LIP_MIDDLE
from heygemd.render.atlas.shape import Face, face_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

SKIN, LIP, TEETH, DARK = (150, 170, 215), (110, 95, 190), (215, 228, 235), (22, 20, 38)
"""Blue, green, red."""


def points_of(opening: float, *, eye_px: float = 140.0, centre=(200.0, 160.0)) -> np.ndarray:
    """The 74 points of the mean face with its mouth opened so far: float32[74, 2]."""
    model = load_face_model()
    mean = model.mean_face[:468].astype(np.float64)
    own = mean[LOWER_LIP_MIDDLE, 1] - mean[UPPER_LIP_MIDDLE, 1]
    shape = mean + np.asarray(model.opening_mode, np.float64) * (opening - own)
    return (shape[list(MESH_INDEXES), :2] * eye_px + centre).astype(np.float32)


def mouth_picture(face: Face, *, size=(400, 400), teeth: float = 0.0, level: float = 1.0) -> np.ndarray:
    """Skin, lips and a dark mouth, with upper teeth of that height (eye distances): float32[h, w, 3] BGR."""
    picture = np.full((*size, 3), SKIN, np.uint8)
    cv2.fillPoly(picture, [np.round(face.vertices[LIP_OUTLINE]).astype(np.int32)], LIP)
    gap = np.concatenate([face.vertices[UPPER_INNER], face.vertices[LOWER_INNER][::-1]])
    hole = np.zeros(size, np.uint8)
    cv2.fillPoly(hole, [np.round(gap).astype(np.int32)], 1)
    inside = np.full((*size, 3), DARK, np.uint8)
    top = face.vertices[UPPER_LIP_MIDDLE]
    half = 0.2 * face.eye_px
    reach = np.array([half, teeth * face.eye_px])
    low, high = np.round([top - (half, 20), top + reach]).astype(int)
    if teeth > 0:
        inside[low[1] : high[1], low[0] : high[0]] = TEETH
    picture[hole > 0] = inside[hole > 0]
    return cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32) * np.float32(level)


def face(opening: float, **place) -> Face:
    """The face of `points_of`."""
    return face_of(points_of(opening, **place))
