"""From 68 points to 74."""

import numpy as np
import pytest

from heygemd.render.faces import lift68
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.lift68 import IBUG_MESH_INDEXES, load_lift68
from heygemd.render.faces.topology import MESH_INDEXES, eye_distance, opening, width


def faces(*, yaw_deg: float = 0.0, opened: float = 0.0, roll_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The same face in both schemes: float64[1, 68, 2], float64[1, 74, 2] in pixels."""
    model = load_face_model()
    mesh = (model.mean_face[:468] + opened * model.opening_mode).astype(np.float64)
    yaw, roll = np.deg2rad(yaw_deg), np.deg2rad(roll_deg)
    x, y = mesh[:, 0] * np.cos(yaw) + mesh[:, 2] * np.sin(yaw), mesh[:, 1]
    picture = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], axis=1) * 90 + 300
    return picture[None, list(IBUG_MESH_INDEXES)], picture[None, list(MESH_INDEXES)]


def test_there_are_68_points_each_of_them_once() -> None:
    assert len(IBUG_MESH_INDEXES) == 68
    assert len(set(IBUG_MESH_INDEXES)) == 68


@pytest.mark.parametrize(
    "pose", [{}, {"yaw_deg": 25.0}, {"yaw_deg": -25.0}, {"opened": 0.3}, {"roll_deg": 40.0, "opened": 0.1}]
)
def test_faces_come_out_as_they_are(pose: dict[str, float]) -> None:
    ibug, ours = faces(**pose)
    found = load_lift68()(ibug)
    unit = eye_distance(ours)[0]
    assert np.linalg.norm(found - ours, axis=2).mean() < 0.01 * unit
    assert np.linalg.norm(found - ours, axis=2).max() < 0.06 * unit
    assert opening(found) == pytest.approx(opening(ours), abs=0.01)
    assert width(found) == pytest.approx(width(ours), abs=1e-9)


def test_points_of_both_schemes_stay_where_they_were_found() -> None:
    ibug, _ = faces()
    ibug = ibug + np.random.default_rng(0).normal(0, 2, ibug.shape)
    found = load_lift68()(ibug)
    for row, index in enumerate(MESH_INDEXES):
        if index in IBUG_MESH_INDEXES:
            np.testing.assert_array_equal(found[0, row], ibug[0, IBUG_MESH_INDEXES.index(index)])


def test_noise_is_not_blown_up() -> None:
    ibug, _ = faces()
    noise = np.random.default_rng(0).normal(0, 1, (200, 68, 2))
    spread = load_lift68()(ibug + noise).std(axis=0)
    assert spread.mean() < 1.3
    assert spread.max() < 2.5


def test_map_is_the_same_each_time() -> None:
    np.testing.assert_array_equal(load_lift68().matrix, lift68.load_lift68.__wrapped__().matrix)
