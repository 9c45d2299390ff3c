import numpy as np
import pytest

from heygemd.render.atlas.gap import Axes, Profile
from heygemd.render.atlas.lips import MOST_SHIFT, clean_contour, draw_line, meeting, nearer_lip, seen_face
from heygemd.render.atlas.mesh import LOWER_INNER, LOWER_LIP_MIDDLE, UPPER_INNER, UPPER_LIP_MIDDLE
from heygemd.render.atlas.shape import face_of
from tests.render.atlas_rig import DARK, LIP, SKIN, TEETH, bgr, drawn, face_points


def seen(opening: float, *, drawn_opening: float | None = None, inside=DARK):
    """A picture (float) of a mouth, and the face as tracked; the tracker may be wrong about the opening."""
    shown = face_points(opening=opening if drawn_opening is None else drawn_opening)
    picture = bgr(drawn(shown, inside=inside)).astype(np.float32)
    return picture, face_of(face_points(opening=opening))


def gap_of(face, vertices: np.ndarray) -> float:
    return float((vertices[LOWER_LIP_MIDDLE] - vertices[UPPER_LIP_MIDDLE]) @ face.down / face.eye_px**2)


def test_a_hole_between_lips_read_as_closed_is_found():
    picture, face = seen(0.0, drawn_opening=0.05)
    found = seen_face(picture, face)
    assert face.opening < 0.01
    assert found.opening > 0.02
    assert gap_of(face, found.vertices) == pytest.approx(found.opening, abs=0.003)


def test_lips_that_are_closed_stay_closed():
    picture, face = seen(0.0)
    assert seen_face(picture, face).opening == pytest.approx(face.opening, abs=0.004)


def test_an_open_mouth_is_believed():
    picture, face = seen(0.1, drawn_opening=0.02)
    assert seen_face(picture, face) is face


@pytest.mark.parametrize("inside", [TEETH, DARK])
def test_what_sticks_out_beyond_the_contour_is_left_to_the_inside(inside):
    picture, face = seen(0.1, drawn_opening=0.14, inside=inside)
    clean = clean_contour(picture, face, opening=0.0)
    assert gap_of(face, clean) > 0.125
    assert gap_of(face, clean) < 0.1 + 2.2 * MOST_SHIFT


def test_the_contour_stays_where_nothing_changes():
    picture, face = seen(0.1)
    assert np.array_equal(clean_contour(picture, face, opening=face.opening), face.vertices)


def test_corners_of_the_contour_stay():
    picture, face = seen(0.1, drawn_opening=0.14)
    clean = clean_contour(picture, face, opening=0.0)
    ends = [UPPER_INNER[0], UPPER_INNER[-1]]
    assert np.abs(clean[ends] - face.vertices[ends]).max() < 1e-5


def test_only_open_lips_that_close_meet():
    _, face = seen(0.12)
    strengths = [meeting(face, opening=o) for o in (0.12, 0.09, 0.06, 0.0)]
    assert strengths[0] == 0
    assert strengths[-1] == 1
    assert strengths == sorted(strengths)
    assert meeting(seen(0.0)[1], opening=0.0) == 0


def test_the_line_between_the_lips_is_darker_than_they_are_and_keeps_to_them():
    face = face_of(face_points(opening=0.0))
    axes = Axes.along(face.down)
    layer = np.full((400, 360, 3), LIP, np.float32)
    target = Profile.of(face.vertices, axes)
    origin = np.array([0, 0])
    draw_line(layer, target, axes, origin, lip=np.array(LIP, float), strength=1.0, eye_px=face.eye_px)
    changed = np.abs(layer - LIP).max(axis=2) > 1
    x, y = np.round(face.vertices[UPPER_LIP_MIDDLE]).astype(int)
    assert layer[y, x].sum() < 0.75 * sum(LIP)
    rows, columns = np.nonzero(changed)
    assert np.ptp(rows) < 0.12 * face.eye_px
    assert columns.min() > face.vertices[UPPER_INNER[0], 0]
    assert columns.max() < face.vertices[UPPER_INNER[-1], 0]


def test_rim_pixels_take_the_colour_of_the_nearer_lip():
    face = face_of(face_points(opening=0.1))
    picture = np.zeros((400, 360, 3), np.float32)
    middle = face.vertices[[*UPPER_INNER, *LOWER_INNER], 1].mean()
    picture[: int(middle)], picture[int(middle) :] = LIP, SKIN
    pixels = face.vertices[[UPPER_LIP_MIDDLE, LOWER_LIP_MIDDLE]] + (0, 1), face.vertices[[LOWER_LIP_MIDDLE]] - (0, 1)
    colours = nearer_lip(picture, face.vertices, face.vertices, face.down, np.concatenate(pixels))
    assert np.abs(colours[0] - LIP).max() < 1
    assert np.abs(colours[1:] - SKIN).max() < 1
