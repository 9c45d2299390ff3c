"""The numbering of the 74 points and the measures taken from them."""

import numpy as np
import pytest

from heygemd.render.faces import topology
from heygemd.render.faces.facemodel import load_face_model


def mean_points() -> np.ndarray:
    """Points of the mean face, as the tracker would give them; outer eye corners 100 px apart."""
    return load_face_model().mean_face[list(topology.MESH_INDEXES), :2] * 100.0


def test_every_point_has_one_row() -> None:
    assert topology.POINT_COUNT == 74
    assert len(set(topology.MESH_INDEXES)) == 74
    assert max(topology.MESH_INDEXES) < topology.MESH_VERTEX_COUNT


def test_parts_of_the_face_cover_all_rows_without_overlap() -> None:
    parts = [
        (topology.OUTER_LIP_ROWS, topology.OUTER_LIP),
        (topology.INNER_LIP_ROWS, topology.INNER_LIP),
        (topology.JAW_ROWS, topology.JAW),
        (topology.NOSE_ROWS, topology.NOSE),
        (topology.EYE_ROWS, topology.EYES),
        (topology.BROW_ROWS, topology.BROWS),
    ]
    for rows, indexes in parts:
        assert topology.MESH_INDEXES[rows] == indexes
    assert sum(rows.stop - rows.start for rows, _ in parts) == topology.POINT_COUNT
    assert (topology.LIP_ROWS.start, topology.LIP_ROWS.stop) == (0, topology.LIP_POINT_COUNT)


def test_an_untracked_vertex_has_no_row() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        topology.rows_of((1,))


def test_named_rows_lie_where_their_names_say() -> None:
    points = mean_points()
    left_eye, right_eye = points[topology.OUTER_EYE_CORNER_ROWS]
    left_corner, right_corner = points[topology.MOUTH_CORNER_ROWS]
    assert left_eye[0] < left_corner[0] < right_corner[0] < right_eye[0]
    assert points[topology.CHIN_ROW, 1] == points[topology.JAW_ROWS, 1].max()
    assert points[topology.BROW_ROWS, 1].max() < left_eye[1] < left_corner[1] < points[topology.CHIN_ROW, 1]
    assert (points[topology.INNER_UPPER_ROWS, 1] < points[topology.INNER_LOWER_ROWS, 1]).all()


def test_measures_are_in_eye_distances_and_survive_scale_turn_and_shift() -> None:
    points = mean_points()
    turn = 3 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    turned = points @ turn.T + [50, -20]
    assert topology.eye_distance(points) == pytest.approx(100, abs=1e-3)
    assert topology.eye_distance(turned) == pytest.approx(300, abs=1e-3)
    assert topology.opening(turned) == pytest.approx(topology.opening(points))
    assert topology.width(turned) == pytest.approx(topology.width(points))


def test_measures_take_any_leading_axes() -> None:
    clip = np.stack([mean_points(), mean_points() * 2])
    assert topology.opening(clip).shape == (2,)
    assert topology.width(clip) == pytest.approx([topology.width(mean_points())] * 2)


def test_opening_grows_by_what_the_lower_lip_drops() -> None:
    points = mean_points()
    dropped = points.copy()
    dropped[topology.INNER_LOWER_ROWS, 1] += 25
    assert topology.opening(dropped) - topology.opening(points) == pytest.approx(0.25, abs=0.01)
