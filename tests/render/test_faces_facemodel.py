"""The mean face and the lift of 74 points to the mesh."""

import numpy as np
import pytest

from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

MODEL = load_face_model()
MEAN_POINTS = MODEL.mean_face[list(MESH_INDEXES), :2].astype(np.float64)


def similarity(scale: float, turn_rad: float) -> np.ndarray:
    return scale * np.array([[np.cos(turn_rad), -np.sin(turn_rad)], [np.sin(turn_rad), np.cos(turn_rad)]])


def test_arrays_have_the_stated_shapes() -> None:
    assert MODEL.mean_face.shape == (478, 3)
    assert MODEL.opening_mode.shape == MODEL.width_mode.shape == (468, 3)
    assert MODEL.triangles.shape == (852, 3)
    assert MODEL.interior_triangles.shape == (18, 3)
    assert MODEL.mirror.shape == (478,)
    assert MODEL.triangles.max() < 468


def test_unit_of_the_face_frame_is_the_distance_of_the_outer_eye_corners() -> None:
    left, right = MODEL.mean_face[[33, 263]]
    assert np.linalg.norm(right - left) == pytest.approx(1, abs=1e-5)
    assert (left + right) / 2 == pytest.approx(0, abs=1e-5)


def test_modes_move_the_lips_by_their_parameter() -> None:
    assert MODEL.opening_mode[14, 1] - MODEL.opening_mode[13, 1] == pytest.approx(1, abs=1e-4)
    assert MODEL.width_mode[291, 0] - MODEL.width_mode[61, 0] == pytest.approx(1, abs=1e-4)
    assert MODEL.opening_mode[152, 1] > 0.1  # the chin follows the lower lip


def test_mirror_pairs_vertices_across_the_face() -> None:
    assert (MODEL.mirror[MODEL.mirror] == np.arange(478)).all()
    assert MODEL.mean_face[MODEL.mirror] * [-1, 1, 1] == pytest.approx(MODEL.mean_face, abs=0.01)


def test_model_is_read_once_and_cannot_be_changed() -> None:
    assert load_face_model() is MODEL
    with pytest.raises(ValueError, match="read-only"):
        MODEL.mean_face[0] = 0


def test_lifted_mean_face_resembles_the_mean_face() -> None:
    mesh = MODEL.lift(MEAN_POINTS[None])[0]
    assert np.abs(mesh[:, :2] - MODEL.mean_face[:468, :2]).mean() < 0.02


def test_lift_keeps_the_tracked_points() -> None:
    points = np.random.default_rng(0).normal(MEAN_POINTS, 0.01, (5, 74, 2)) * 90 + 300
    assert (MODEL.lift(points)[:, list(MESH_INDEXES), :2] == points).all()


def test_lift_follows_scale_turn_and_shift() -> None:
    matrix = similarity(80, 0.3)
    points = np.stack([MEAN_POINTS, MEAN_POINTS @ matrix.T + [400, 250]])
    level, turned = MODEL.lift(points)
    assert turned[:, :2] == pytest.approx(level[:, :2] @ matrix.T + [400, 250], abs=1e-3)
    assert turned[:, 2] == pytest.approx(level[:, 2] * 80, abs=1e-3)


def test_absent_faces_stay_absent_and_do_not_touch_their_neighbours() -> None:
    points = np.stack([MEAN_POINTS, np.full((74, 2), np.nan), MEAN_POINTS]) * 100
    points[2, 5, 0] = np.nan
    mesh = MODEL.lift(points)
    assert np.isfinite(mesh[0]).all()
    assert np.isnan(mesh[1:]).all()
    assert mesh[0] == pytest.approx(MODEL.lift(points[:1])[0], abs=1e-3)


def test_no_frames_give_no_meshes() -> None:
    assert MODEL.lift(np.empty((0, 74, 2), np.float32)).shape == (0, 468, 3)
