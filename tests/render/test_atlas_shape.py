from dataclasses import replace

import numpy as np
import pytest

from heygemd.render.atlas.mesh import (
    CHIN,
    LEFT_CORNER,
    LIPS,
    LOWER_INNER,
    LOWER_LIP_MIDDLE,
    LOWER_OUTER,
    NOSE,
    RIGHT_CORNER,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    UPPER_OUTER,
    lower_face,
)
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.shape import Face, face_of, placed_vertices, shown_opening
from tests.render.atlas_rig import face_points, generic_person

PERSON = generic_person()
CHEEKS = np.array([57, 287, 216, 436, 202, 422])
"""Beside the corners of the mouth, on the folds from the nose, and below the corners."""


def placed(face: Face, opening: float, *sources: Face, width: float | None = None, **more: float) -> np.ndarray:
    wanted = Mouth(opening=opening, width=face.width if width is None else width, **more)
    return placed_vertices(face, PERSON, wanted, [(source, 1 / len(sources)) for source in sources] or [(face, 1.0)])


def gap_of(face: Face, after: np.ndarray) -> float:
    return float((after[LOWER_LIP_MIDDLE] - after[UPPER_LIP_MIDDLE]) @ face.down / face.eye_px**2)


def thickness(face: Face, after: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    return np.abs((after[outer] - after[inner]) @ face.down)[3:8] / face.eye_px**2


@pytest.mark.parametrize("own", [0.0, 0.06, 0.2])
@pytest.mark.parametrize("lent", [None, 0.0, 0.12])
def test_the_lip_contour_meets_the_target_exactly(own, lent):
    face = face_of(face_points(opening=own))
    sources = [] if lent is None else [face_of(face_points(opening=lent, eye_px=70, yaw_deg=12))]
    for opening in (0.0, 0.03, 0.12, 0.24):
        assert gap_of(face, placed(face, opening, *sources)) == pytest.approx(opening, abs=0.005)


def test_the_width_is_the_wanted_one():
    face = face_of(face_points(opening=0.1))
    other = face_of(face_points(opening=0.05, eye_px=200))
    for width in (0.45, 0.6):
        after = placed(face, 0.1, other, width=width)
        assert np.linalg.norm(after[RIGHT_CORNER] - after[LEFT_CORNER]) / face.eye_px == pytest.approx(width, abs=0.01)


def test_closed_lips_never_cross():
    face = face_of(face_points(opening=0.15))
    after = placed(face, 0.0)
    heights = (after[LOWER_INNER] - after[UPPER_INNER]) @ face.down / face.eye_px**2
    assert heights.min() > -0.003
    assert heights[1:-1].max() < 0.003


def test_the_skin_never_folds_onto_the_lips():
    mesh = lower_face()
    chin_side = np.flatnonzero(np.isfinite(mesh.clearance) & (mesh.side > 0))
    for own, opening in ((0.0, 0.35), (0.35, 0.0)):
        face = face_of(face_points(opening=own))
        for vertices in (face.vertices, placed(face, opening)):
            lip = vertices[LOWER_OUTER[mesh.nearest_column[chin_side]], 1]
            assert (vertices[chin_side, 1] > lip).all()


def test_a_face_that_keeps_its_mouth_keeps_its_place():
    face = face_of(face_points(opening=0.1))
    assert np.abs(placed(face, face.opening) - face.vertices).max() < 0.01


def test_a_borrowed_mouth_of_the_same_shape_lies_where_the_own_one_does():
    face = face_of(face_points(opening=0.1))
    other = face_of(face_points(opening=0.1, eye_px=55, centre=(300.0, 20.0)))
    assert np.abs(placed(face, 0.1, other) - placed(face, 0.1)).max() < 0.01 * face.eye_px


def test_a_face_frame_that_lies_off_by_a_little_does_not_shift_the_mouth():
    face, other = (face_of(face_points(opening=0.1, eye_px=eye_px)) for eye_px in (120, 70))
    off = replace(other, shape=other.shape + np.array([0.01, 0.02, 0.0]))
    assert np.abs(placed(face, 0.05, off) - placed(face, 0.05, other)).max() < 0.01


def test_pressed_lips_meet_and_grow_thinner():
    face = face_of(face_points(opening=0.1))
    shut, pressed = placed(face, 0.03 * 0), placed(face, 0.03, closure=1.0)
    assert gap_of(face, pressed) == pytest.approx(0.0, abs=0.003)
    for inner, outer in ((UPPER_INNER, UPPER_OUTER), (LOWER_INNER, LOWER_OUTER)):
        share = thickness(face, pressed, inner, outer) / thickness(face, shut, inner, outer)
        assert (share > 0.7).all()
        assert (share < 0.95).all()


def test_at_the_teeth_the_lower_lip_is_raised_and_thinner():
    face = face_of(face_points(opening=0.1))
    plain, tucked = placed(face, 0.028), placed(face, 0.028, lipteeth=1.0)
    assert gap_of(face, tucked) == pytest.approx(shown_opening(Mouth(opening=0.3, width=0.5, lipteeth=1.0)), abs=0.003)
    assert tucked[LOWER_LIP_MIDDLE, 1] < plain[LOWER_LIP_MIDDLE, 1] - 0.005 * face.eye_px
    assert tucked[UPPER_LIP_MIDDLE, 1] < plain[UPPER_LIP_MIDDLE, 1] - 0.005 * face.eye_px
    lower = thickness(face, tucked, LOWER_INNER, LOWER_OUTER) / thickness(face, plain, LOWER_INNER, LOWER_OUTER)
    assert (lower < 0.9).all()


def test_opening_drops_the_chin_and_leaves_the_nose():
    face = face_of(face_points(opening=0.0))
    move = placed(face, 0.2) - face.vertices
    assert move[CHIN, 1] > 0.02 * face.eye_px
    assert np.abs(move[NOSE]).max() < 1e-9


def test_cheeks_follow_a_spreading_mouth_less_than_its_corners():
    face = face_of(face_points(opening=0.05))
    move = placed(face, 0.05, width=face.width + 0.1) - placed(face, 0.05)
    corner = np.abs(move[[LEFT_CORNER, RIGHT_CORNER], 0]).mean()
    cheeks = np.abs(move[CHEEKS, 0])
    assert (cheeks > 0.2 * corner).all()
    assert (cheeks < corner).all()


def test_two_sources_count_by_their_weight():
    face = face_of(face_points(opening=0.0))
    first, second = (face_of(face_points(opening=o, yaw_deg=y)) for o, y in ((0.05, -8), (0.2, 8)))
    alone = [placed(face, 0.1, source)[LIPS] for source in (first, second)]
    assert np.abs(placed(face, 0.1, first, second)[LIPS] - np.mean(alone, axis=0)).max() < 0.02 * face.eye_px
