from itertools import pairwise

import cv2
import numpy as np
import pytest

from heygemd.jobs.job import ColourTags
from heygemd.render.atlas.mesh import (
    LIP_OUTLINE,
    LOWER_INNER,
    LOWER_LIP_MIDDLE,
    LOWER_OUTER,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    lower_face,
    with_ring,
)
from heygemd.render.atlas.painter import Painter
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.shape import bent_vertices, face_of
from heygemd.render.colour import coding_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

WIDTH, HEIGHT = 360, 400
SKIN, LIP, TEETH, DARK = (150, 170, 215), (110, 95, 190), (235, 235, 235), (22, 20, 38)
"""Blue, green, red."""


@pytest.fixture(scope="module")
def person() -> Person:
    model = load_face_model()
    return Person(
        widest_opening=0.2,
        opening_limit=0.25,
        rest_width=0.55,
        width_swing=0.03,
        opening_mode=np.asarray(model.opening_mode, np.float64),
        width_mode=np.asarray(model.width_mode, np.float64),
    )


@pytest.fixture(scope="module")
def painter(person: Person) -> Painter:
    coding = coding_of(ColourTags(), width_px=WIDTH, height_px=HEIGHT)
    return Painter(person=person, coding=coding)


def face_points(person: Person, *, opening: float, centre=(180.0, 140.0), eye_px: float = 120.0) -> np.ndarray:
    """The 74 points of the mean face with its mouth opened."""
    model = load_face_model()
    mean = model.mean_face[:468].astype(np.float64)
    own = mean[LOWER_LIP_MIDDLE, 1] - mean[UPPER_LIP_MIDDLE, 1]
    shape = mean + person.opening_mode * (opening - own)
    return (shape[list(MESH_INDEXES), :2] * eye_px + centre).astype(np.float32)


def drawn(points: np.ndarray, *, inside: tuple[int, int, int] = TEETH) -> np.ndarray:
    """A face of skin, lips and teeth (or what else is `inside`) on a background of noise, as I420 planes."""
    rng = np.random.default_rng(3)
    picture = cv2.resize(rng.integers(40, 210, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    vertices = face_of(points).vertices
    hull = cv2.convexHull(vertices.astype(np.float32)).astype(np.int32)
    cv2.fillPoly(picture, [hull], SKIN)
    cv2.fillPoly(picture, [np.round(vertices[LIP_OUTLINE]).astype(np.int32)], LIP)
    gap = np.concatenate([vertices[UPPER_INNER], vertices[LOWER_INNER][::-1]])
    cv2.fillPoly(picture, [np.round(gap).astype(np.int32)], inside)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)


def painted(painter: Painter, planes: np.ndarray, points: np.ndarray, opening: float) -> np.ndarray:
    result = planes.copy()
    assert painter.paint(result, points, opening=opening, width=face_of(points).width)
    return result


def mouth_pixels(planes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """BGR of a box around the mouth."""
    low, high = points[:40].min(axis=0).astype(int) - 12, points[:40].max(axis=0).astype(int) + 30
    return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[low[1] : high[1], low[0] : high[0]]


def inside_area(planes: np.ndarray, points: np.ndarray) -> int:
    """Pixels of the mouth box that are neither lip nor skin: dark, or as pale as teeth."""
    bgr = mouth_pixels(planes, points).astype(int)
    dark = bgr.max(axis=2) < 120
    pale = (bgr.min(axis=2) > 165) & (np.ptp(bgr, axis=2) < 40)
    return int((dark | pale).sum())


@pytest.mark.parametrize("own", [0.0, 0.1])
def test_wider_targets_show_more_of_the_inside(painter, person, own):
    points = face_points(person, opening=own)
    planes = drawn(points)
    areas = [inside_area(painted(painter, planes, points, o), points) for o in (0.0, 0.05, 0.1, 0.15, 0.2)]
    assert all(wide > narrow for narrow, wide in pairwise(areas)), areas


def upper_inside(painter: Painter, planes: np.ndarray, points: np.ndarray, opening: float) -> np.ndarray:
    """Luma of the middle of the mouth, right below the target's upper lip, where upper teeth hang: uint8[n]."""
    face = face_of(points)
    after = bent_vertices(face, painter.person, opening=opening, width=face.width)
    x, y = np.round(after[UPPER_LIP_MIDDLE] + 0.025 * face.down).astype(int)
    return painted(painter, planes, points, opening)[y - 1 : y + 2, x - 12 : x + 13].ravel()


@pytest.mark.parametrize("own", [0.03, 0.06, 0.1])
def test_a_dark_mouth_without_teeth_gets_upper_teeth_when_opened_wide(painter, person, own):
    points = face_points(person, opening=own)
    planes = drawn(points, inside=DARK)
    assert np.median(upper_inside(painter, planes, points, 0.24)) > 130


def test_painted_teeth_come_softly_as_a_dark_mouth_opens(painter, person):
    points = face_points(person, opening=0.1)
    planes = drawn(points, inside=DARK)
    openings = np.arange(0.10, 0.18, 0.005)
    luma = [float(upper_inside(painter, planes, points, opening).mean()) for opening in openings]
    assert luma[0] < 60
    assert luma[-1] > 130
    assert np.diff(luma).min() > -4
    assert np.diff(luma).max() < 30


def test_teeth_that_are_seen_are_kept_when_the_mouth_opens(painter, person):
    points = face_points(person, opening=0.1)
    planes = drawn(points, inside=(180, 225, 200))
    own = np.median(upper_inside(painter, planes, points, face_of(points).opening))
    assert np.abs(upper_inside(painter, planes, points, 0.24).astype(float) - own).max() <= 2


def test_closing_a_mouth_covers_its_teeth(painter, person):
    points = face_points(person, opening=0.12)
    planes = drawn(points)
    pale = [(mouth_pixels(p, points).min(axis=2) > 165).sum() for p in (planes, painted(painter, planes, points, 0.0))]
    assert pale[0] > 300
    assert pale[1] < 0.02 * pale[0]


def test_pixels_far_from_the_lower_face_stay_bit_identical(painter, person):
    points = face_points(person, opening=0.05)
    planes = drawn(points)
    result = painted(painter, planes, points, 0.2)
    ring = with_ring(face_of(points).vertices, lower_face().ring)[lower_face().vertices]
    low, high = np.floor(ring.min(axis=0)) - 5, np.ceil(ring.max(axis=0)) + 5
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = False
    assert np.array_equal(result[:HEIGHT][outside], planes[:HEIGHT][outside])
    blocks = outside.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).all(axis=(1, 3))
    before, after = (p[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2) for p in (planes, result))
    assert np.array_equal(after[:, blocks], before[:, blocks])
    # Eyes and nose lie inside the rectangle's columns, but above the moving mesh.
    assert np.array_equal(result[: int(low[1])], planes[: int(low[1])])


def test_a_mouth_that_keeps_its_own_shape_hardly_changes_the_picture(painter, person):
    for own in (0.0, 0.08):
        points = face_points(person, opening=own)
        planes = drawn(points)
        face = face_of(points)
        result = planes.copy()
        painter.paint(result, points, opening=face.opening, width=face.width)
        difference = np.abs(result[:HEIGHT].astype(int) - planes[:HEIGHT])
        assert difference.mean() < 0.05
        assert np.percentile(mouth_difference(difference, points), 99) <= 12


def mouth_difference(difference: np.ndarray, points: np.ndarray) -> np.ndarray:
    low, high = points[:40].min(axis=0).astype(int), points[:40].max(axis=0).astype(int)
    return difference[low[1] : high[1], low[0] : high[0]]


@pytest.mark.parametrize(
    "centre",
    [(20.0, 140.0), (340.0, 140.0), (180.0, 300.0), (180.0, -90.0), (10.0, 330.0)],
    ids=["left", "right", "bottom", "top", "corner"],
)
def test_a_face_at_the_border_is_painted_as_far_as_it_is_seen(painter, person, centre):
    points = face_points(person, opening=0.05, centre=centre)
    planes = drawn(points)
    result = planes.copy()
    assert painter.paint(result, points, opening=0.2, width=0.5)
    assert not np.array_equal(result, planes)


def test_a_face_outside_the_picture_paints_nothing(painter, person):
    points = face_points(person, opening=0.05, centre=(-800.0, 140.0))
    planes = drawn(points)
    result = planes.copy()
    assert not painter.paint(result, points, opening=0.2, width=0.5)
    assert np.array_equal(result, planes)


def test_the_lip_contour_meets_the_target_exactly(person):
    for own in (0.0, 0.06, 0.2):
        face = face_of(face_points(person, opening=own))
        for opening in (0.0, 0.03, 0.12, 0.24):
            after = bent_vertices(face, person, opening=opening, width=face.width)
            gap_px = (after[LOWER_LIP_MIDDLE] - after[UPPER_LIP_MIDDLE]) @ face.down / face.eye_px
            assert gap_px / face.eye_px == pytest.approx(opening, abs=0.005)


def test_closed_lips_never_cross(person):
    face = face_of(face_points(person, opening=0.15))
    after = bent_vertices(face, person, opening=0.0, width=face.width)
    heights = (after[LOWER_INNER] - after[UPPER_INNER]) @ face.down / face.eye_px**2
    assert heights.min() > -0.003
    assert heights[1:-1].max() < 0.003


def test_the_skin_never_folds_onto_the_lips(person):
    mesh = lower_face()
    chin_side = np.flatnonzero(np.isfinite(mesh.clearance) & (mesh.side > 0))
    for own, opening in ((0.0, 0.35), (0.35, 0.0)):
        face = face_of(face_points(person, opening=own))
        after = bent_vertices(face, person, opening=opening, width=face.width)
        for vertices in (face.vertices, after):
            lip = vertices[LOWER_OUTER[mesh.nearest_column[chin_side]], 1]
            assert (vertices[chin_side, 1] > lip).all()
