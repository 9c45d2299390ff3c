"""A drawn person for the tests of the atlas: skin, lips and what lies between them, in any pose and light."""

import cv2
import numpy as np

from heygemd.jobs.job import ColourTags
from heygemd.render.atlas.mesh import LIP_OUTLINE, LOWER_INNER, LOWER_LIP_MIDDLE, UPPER_INNER, UPPER_LIP_MIDDLE
from heygemd.render.atlas.mouth import MouthSource
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import face_of
from heygemd.render.colour import coding_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

WIDTH, HEIGHT = 360, 400
CENTRE = (180.0, 140.0)
"""Between the eyes."""
EYE_PX = 120.0
SKIN, LIP, TEETH, DARK = (150, 170, 215), (110, 95, 190), (235, 235, 235), (22, 20, 38)
"""Blue, green, red."""
CODING = coding_of(ColourTags(), width_px=WIDTH, height_px=HEIGHT)


def generic_person() -> Person:
    """A person who moves as the face model says."""
    model = load_face_model()
    return Person(
        widest_opening=0.2,
        opening_limit=0.25,
        rest_width=0.55,
        width_swing=0.03,
        opening_mode=np.asarray(model.opening_mode, np.float64),
        width_mode=np.asarray(model.width_mode, np.float64),
    )


def face_points(
    *, opening: float, centre: tuple[float, float] = CENTRE, eye_px: float = EYE_PX, yaw_deg: float = 0.0
) -> np.ndarray:
    """The 74 points of the mean face with its mouth opened and its head turned."""
    model = load_face_model()
    mean = model.mean_face[:468].astype(np.float64)
    own = mean[LOWER_LIP_MIDDLE, 1] - mean[UPPER_LIP_MIDDLE, 1]
    shape = mean + model.opening_mode.astype(np.float64) * (opening - own)
    yaw = np.radians(yaw_deg)
    turned = np.stack([shape[:, 0] * np.cos(yaw) + shape[:, 2] * np.sin(yaw), shape[:, 1]], axis=1)
    return (turned[list(MESH_INDEXES)] * eye_px + centre).astype(np.float32)


def drawn(
    points: np.ndarray, *, inside: tuple[int, int, int] = TEETH, light: float = 1.0, size: tuple[int, int] | None = None
) -> np.ndarray:
    """The face on a background of noise, as I420 planes; `size` is (height, width)."""
    height, width = size or (HEIGHT, WIDTH)
    rng = np.random.default_rng(3)
    picture = cv2.resize(rng.integers(40, 210, (height // 4, width // 4, 3), dtype=np.uint8), (width, height))
    vertices = face_of(points).vertices

    def fill(outline: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], tuple(light * c for c in colour))

    fill(cv2.convexHull(vertices.astype(np.float32)), SKIN)
    fill(vertices[LIP_OUTLINE], LIP)
    fill(np.concatenate([vertices[UPPER_INNER], vertices[LOWER_INNER][::-1]]), inside)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)


def source_of(points: np.ndarray, planes: np.ndarray) -> MouthSource:
    """The mouth of a drawn picture, as a source for another one."""
    return MouthSource(picture=bgr(planes).astype(np.float32), face=face_of(points))


def bgr(planes: np.ndarray) -> np.ndarray:
    """The picture as uint8[h, w, 3]."""
    return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)


def mouth_pixels(planes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """BGR of a box around the mouth."""
    low, high = points[:40].min(axis=0).astype(int) - 12, points[:40].max(axis=0).astype(int) + 30
    return bgr(planes)[low[1] : high[1], low[0] : high[0]]


def inside_area(planes: np.ndarray, points: np.ndarray) -> int:
    """Pixels of the mouth box that are neither lip nor skin: dark, or as pale as teeth."""
    pixels = mouth_pixels(planes, points).astype(int)
    dark = pixels.max(axis=2) < 120
    pale = (pixels.min(axis=2) > 165) & (np.ptp(pixels, axis=2) < 40)
    return int((dark | pale).sum())
