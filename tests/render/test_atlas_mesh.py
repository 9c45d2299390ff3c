import numpy as np

from heygemd.render.atlas.mesh import (
    CHIN,
    JAW_LINE,
    LIPS,
    LOWER_INNER,
    NOSE,
    NOSE_TIP,
    UPPER_INNER,
    lower_face,
    signed_area,
    with_ring,
)
from heygemd.render.faces.facemodel import load_face_model

MESH = lower_face()
FACE = np.asarray(load_face_model().mean_face[:468], np.float64)
SKIN = np.setdiff1d(MESH.vertices[MESH.vertices < 468], MESH.held)
"""Vertices that follow the held ones."""


def moved(**held: float) -> np.ndarray:
    """Where the membrane goes (downwards) when lips or jaw line move."""
    move = np.zeros(468)
    move[LIPS] = held.get("lips", 0.0)
    move[JAW_LINE] = held.get("jaw", 0.0)
    return MESH.membrane @ move[MESH.held]


def test_the_membrane_keeps_the_held_vertices_where_they_are_put():
    values = np.arange(len(MESH.held), dtype=float)
    assert np.array_equal((MESH.membrane @ values)[MESH.held], values)


def test_skin_between_resting_vertices_rests_and_moves_along_with_all_of_them():
    assert np.abs(MESH.membrane @ np.zeros(len(MESH.held))).max() == 0
    assert np.abs((MESH.membrane @ np.ones(len(MESH.held)))[SKIN] - 1).max() < 1e-9


def test_skin_follows_the_lips_the_more_the_nearer_and_never_overtakes_them():
    follow = moved(lips=1.0)[SKIN]
    assert follow.min() > -0.02
    assert follow.max() < 1.0
    distance = np.linalg.norm(FACE[SKIN][:, None, :2] - FACE[LIPS][None, :, :2], axis=2).min(axis=1)
    assert follow[distance < 0.065].min() > 0.7
    assert follow[distance > 0.35].max() < 0.1


def test_the_field_has_no_step():
    follow = moved(lips=1.0, jaw=0.4)
    triangles = MESH.triangles[: MESH.skin_count]
    inside = triangles[(triangles < 468).all(axis=1)]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        one, other = inside[:, a], inside[:, b]
        length = np.linalg.norm(FACE[one] - FACE[other], axis=1)
        slope = np.abs(follow[one] - follow[other]) / np.maximum(length, 0.02)
        # Between nose and lip there is little room; everywhere else the field is flat.
        assert slope.max() < 10
        assert np.percentile(slope, 95) < 6


def test_nose_and_border_stand_still():
    held_still = np.setdiff1d(MESH.held, np.concatenate([LIPS, JAW_LINE]))
    assert set(NOSE[np.isin(NOSE, MESH.vertices)]) <= set(held_still)
    assert FACE[NOSE_TIP, 1] < FACE[UPPER_INNER[5], 1]


def test_the_jaw_turns_about_the_ears():
    drop, back = MESH.jaw_turn[JAW_LINE, 1], MESH.jaw_turn[JAW_LINE, 2]
    assert MESH.jaw_turn[CHIN, 1] == 1
    assert max(drop[0], drop[-1]) < 0.01
    assert (np.diff(drop[: len(drop) // 2 + 1]) > -0.01).all()
    assert back.argmax() == len(back) // 2
    assert not MESH.jaw_turn[LIPS].any()


def test_the_ring_is_tight_beside_the_face_and_wide_below_the_chin():
    points = with_ring(FACE[:, :2], MESH.ring)
    centre = points[NOSE_TIP]
    scale = np.linalg.norm(points[468:] - centre, axis=1) / np.linalg.norm(points[MESH.ring] - centre, axis=1)
    assert scale.min() >= 1.1
    assert scale[MESH.ring == CHIN] == scale.max()
    assert scale.max() > 1.25


def test_no_triangle_is_turned_over_in_the_reference_face():
    points = with_ring(FACE[:, :2], MESH.ring)
    area = signed_area(points, MESH.triangles[: MESH.skin_count])
    assert np.array_equal(np.sign(area), MESH.facing)
    assert not np.isin(LOWER_INNER[1:-1], UPPER_INNER).any()
