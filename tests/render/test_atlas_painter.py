from itertools import pairwise

import numpy as np
import pytest

from heygemd.render.atlas.mesh import UPPER_LIP_MIDDLE, lower_face, with_ring
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.painter import Painter
from heygemd.render.atlas.shape import face_of, placed_vertices
from heygemd.render.atlas.tint import Tint
from tests.render.atlas_rig import (
    CODING,
    DARK,
    HEIGHT,
    WIDTH,
    bgr,
    drawn,
    face_points,
    generic_person,
    inside_area,
    mouth_pixels,
    source_of,
)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(person=generic_person(), coding=CODING)


def mouth(points: np.ndarray, opening: float, **more: float) -> Mouth:
    return Mouth(opening=opening, width=face_of(points).width, **more)


def painted(painter: Painter, planes: np.ndarray, points: np.ndarray, opening: float, **more: float) -> np.ndarray:
    result = planes.copy()
    assert painter.paint(result, points, wanted=mouth(points, opening, **more))
    return result


def worn(painter: Painter, planes: np.ndarray, points: np.ndarray, opening: float, *sources, tint=None) -> np.ndarray:
    """The picture with the mouths of other pictures, in equal parts."""
    result = planes.copy()
    weighed = [(source, 1 / len(sources)) for source in sources]
    assert painter.paint(result, points, wanted=mouth(points, opening), sources=weighed, tint=tint)
    return result


@pytest.mark.parametrize("own", [0.0, 0.1])
def test_wider_targets_show_more_of_the_inside(painter, own):
    points = face_points(opening=own)
    planes = drawn(points)
    areas = [inside_area(painted(painter, planes, points, o), points) for o in (0.0, 0.05, 0.1, 0.15, 0.2)]
    assert all(wide > narrow for narrow, wide in pairwise(areas)), areas


def upper_inside(painter: Painter, planes: np.ndarray, points: np.ndarray, opening: float) -> np.ndarray:
    """Luma of the middle of the mouth, right below the target's upper lip, where upper teeth hang: uint8[n]."""
    face = face_of(points)
    after = placed_vertices(face, painter.person, mouth(points, opening), [(face, 1.0)])
    x, y = np.round(after[UPPER_LIP_MIDDLE] + 0.025 * face.down).astype(int)
    return painted(painter, planes, points, opening)[y - 1 : y + 2, x - 12 : x + 13].ravel()


@pytest.mark.parametrize("own", [0.03, 0.06, 0.1])
def test_a_dark_mouth_without_teeth_gets_upper_teeth_when_opened_wide(painter, own):
    points = face_points(opening=own)
    planes = drawn(points, inside=DARK)
    assert np.median(upper_inside(painter, planes, points, 0.24)) > 100


def test_teeth_that_are_seen_are_kept_when_the_mouth_opens(painter):
    points = face_points(opening=0.1)
    planes = drawn(points, inside=(180, 225, 200))
    own = np.median(upper_inside(painter, planes, points, face_of(points).opening))
    assert np.abs(upper_inside(painter, planes, points, 0.24).astype(float) - own).max() <= 2


@pytest.mark.parametrize("pressed", [{}, {"closure": 1.0}])
def test_closing_a_mouth_covers_its_teeth(painter, pressed):
    points = face_points(opening=0.12)
    planes = drawn(points)
    closed = painted(painter, planes, points, 0.0, **pressed)
    pale = [(mouth_pixels(p, points).min(axis=2) > 165).sum() for p in (planes, closed)]
    assert pale[0] > 300
    assert pale[1] < 0.02 * pale[0]


def test_a_pressed_mouth_is_shut_whatever_opening_is_asked_for(painter):
    points = face_points(opening=0.12)
    planes = drawn(points)
    pressed = painted(painter, planes, points, 0.04, closure=1.0)
    assert (mouth_pixels(pressed, points).min(axis=2) > 165).sum() < 6


def test_the_lower_lip_at_the_teeth_leaves_a_slit_of_them(painter):
    points = face_points(opening=0.12)
    planes = drawn(points)
    areas = {o: inside_area(painted(painter, planes, points, o), points) for o in (0.0, 0.06)}
    slit = inside_area(painted(painter, planes, points, 0.0, lipteeth=1.0), points)
    assert areas[0.0] < slit < areas[0.06]


def test_pixels_far_from_the_lower_face_stay_bit_identical(painter):
    points = face_points(opening=0.05)
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


def test_a_mouth_that_keeps_its_own_shape_hardly_changes_the_picture(painter):
    for own in (0.0, 0.08):
        points = face_points(opening=own)
        planes = drawn(points)
        result = planes.copy()
        painter.paint(result, points, wanted=mouth(points, face_of(points).opening))
        difference = np.abs(result[:HEIGHT].astype(int) - planes[:HEIGHT])
        assert difference.mean() < 0.05
        low, high = points[:40].min(axis=0).astype(int), points[:40].max(axis=0).astype(int)
        assert np.percentile(difference[low[1] : high[1], low[0] : high[0]], 99) <= 12


@pytest.mark.parametrize(
    "centre",
    [(20.0, 140.0), (340.0, 140.0), (180.0, 300.0), (180.0, -90.0), (10.0, 330.0)],
    ids=["left", "right", "bottom", "top", "corner"],
)
def test_a_face_at_the_border_is_painted_as_far_as_it_is_seen(painter, centre):
    points = face_points(opening=0.05, centre=centre)
    planes = drawn(points)
    assert not np.array_equal(painted(painter, planes, points, 0.2), planes)


def test_a_face_outside_the_picture_paints_nothing(painter):
    points = face_points(opening=0.05, centre=(-800.0, 140.0))
    planes = drawn(points)
    result = planes.copy()
    assert not painter.paint(result, points, wanted=mouth(points, 0.2))
    assert np.array_equal(result, planes)


@pytest.mark.parametrize(
    ("eye_px", "yaw_deg"), [(120.0, 0.0), (60.0, 0.0), (300.0, 0.0), (120.0, 16.0)], ids=str
)  # fmt: skip
def test_another_frame_lends_its_open_mouth_whatever_its_size_and_pose(painter, eye_px, yaw_deg):
    points = face_points(opening=0.0)
    planes = drawn(points)
    size = round(4 * eye_px), round(3.6 * eye_px)
    other = face_points(opening=0.15, eye_px=eye_px, centre=(1.8 * eye_px, 1.4 * eye_px), yaw_deg=yaw_deg)
    result = worn(painter, planes, points, 0.15, source_of(other, drawn(other, size=size)))
    opened = face_points(opening=0.15)
    same = inside_area(drawn(opened), opened)
    assert inside_area(result, opened) == pytest.approx(same, rel=0.15)
    teeth = mouth_pixels(result, opened).min(axis=2) > 200
    assert teeth.sum() > 0.7 * same


def test_a_frame_that_lends_to_itself_is_its_own_mouth(painter):
    points = face_points(opening=0.1)
    planes = drawn(points)
    own, lent = painted(painter, planes, points, 0.03), worn(painter, planes, points, 0.03, source_of(points, planes))
    difference = np.abs(own[:HEIGHT].astype(int) - lent[:HEIGHT])
    assert (difference > 3).sum() < 100
    assert difference.mean() < 0.01


def test_two_mouths_mix_their_skin_and_keep_one_inside(painter):
    points = face_points(opening=0.0)
    planes, other = drawn(points), face_points(opening=0.15)
    pale, dark = (source_of(other, drawn(other, inside=inside)) for inside in ((235, 235, 235), DARK))
    result = planes.copy()
    painter.paint(result, points, wanted=mouth(points, 0.15), sources=[(pale, 0.6), (dark, 0.4)])
    alone = worn(painter, planes, points, 0.15, pale)
    assert np.abs(mouth_pixels(result, other).astype(int) - mouth_pixels(alone, other)).mean() < 2


def test_a_darker_source_takes_the_light_of_the_target(painter):
    points = face_points(opening=0.1)
    planes = drawn(points)
    source = source_of(points, drawn(points, light=0.7))
    tint = Tint(change=np.full((1, 16, 3), np.log(1 / 0.7)))
    plain, lit = worn(painter, planes, points, 0.1, source), worn(painter, planes, points, 0.1, source, tint=tint)
    reference = mouth_pixels(planes, points).astype(int)
    assert np.abs(mouth_pixels(plain, points) - reference).mean() > 25
    assert np.abs(mouth_pixels(lit, points) - reference).mean() < 6


def test_painting_twice_gives_the_same_bytes(painter):
    points = face_points(opening=0.0)
    planes, other = drawn(points), face_points(opening=0.15, yaw_deg=10)
    source = source_of(other, drawn(other))
    assert np.array_equal(
        worn(painter, planes, points, 0.1, source, source), worn(painter, planes, points, 0.1, source, source)
    )


@pytest.mark.parametrize("eye_px", [25.0, 40.0, 800.0])
def test_tiny_and_huge_faces_get_their_mouth(painter, eye_px):
    points = face_points(opening=0.0, eye_px=eye_px, centre=(1.6 * eye_px, 1.2 * eye_px))
    planes = drawn(points, size=(round(3.2 * eye_px) // 4 * 4, round(3.2 * eye_px) // 4 * 4))
    result = painted(painter, planes, points, 0.2)
    low, high = points[:40].min(axis=0).astype(int), points[:40].max(axis=0).astype(int) + 1
    before, after = (bgr(p)[low[1] : high[1], low[0] : high[0]].astype(int) for p in (planes, result))
    assert np.abs(after - before).mean() > 15
