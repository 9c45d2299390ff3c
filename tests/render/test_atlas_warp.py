import numpy as np
import pytest

from heygemd.render.atlas.mesh import lower_face, with_ring
from heygemd.render.atlas.warp import Grid, affine_table, corner_bounds, drawing_order, interpolate, triangle_numbers
from heygemd.render.faces.facemodel import load_face_model

MESH = lower_face()
POINTS = with_ring(load_face_model().mean_face[:468, :2].astype(np.float64) * 80 + (100, 20), MESH.ring)


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_plane_survives_the_grid(step):
    grid = Grid(width=50, height=34, step_px=step)
    large = grid.enlarge(np.asarray(2 * grid.x + 3 * grid.y, np.float32))
    x, y = np.meshgrid(np.arange(50), np.arange(34))
    inside = (slice(step, 34 - step), slice(step, 50 - step))
    assert large.shape == (34, 50)
    assert np.abs(large - (2 * x + 3 * y))[inside].max() < 1e-3


def test_values_are_interpolated_over_the_triangle_they_lie_in():
    values = POINTS @ np.array([[0.5, 0.1], [-0.2, 0.7]]) + (3, -4)
    numbers = triangle_numbers(MESH, POINTS, drawing_order(MESH, POINTS), size=(160, 200))
    table = affine_table(MESH.triangles, POINTS, values)
    x, y = np.arange(200, dtype=np.float32), np.arange(160, dtype=np.float32)[:, None]
    first, second = interpolate(table, numbers, x, y, corner_bounds(MESH.triangles, values))
    seen = numbers > 0
    assert seen.mean() > 0.2
    for found, expected in ((first, 0.5 * x - 0.2 * y + 3), (second, 0.1 * x + 0.7 * y - 4)):
        error = np.abs(found - expected)[seen]
        assert np.percentile(error, 98) < 0.05
        assert error.max() < 0.7, "at the border a pixel's middle lies beside its triangle by half a pixel"


def test_beside_a_triangle_that_is_all_but_turned_away_no_value_goes_beyond_its_corners():
    points = np.array([[10.0, 10.0], [10.4, 50.0], [10.8, 90.4]])
    values = np.array([[5.0, 0.0], [80.0, 1.0], [6.0, 2.0]])
    triangle = np.array([[0, 1, 2]], np.int32)
    numbers = np.ones((100, 20), np.int32)
    x, y = np.arange(20, dtype=np.float32), np.arange(100, dtype=np.float32)[:, None]
    first, second = interpolate(affine_table(triangle, points, values), numbers, x, y, corner_bounds(triangle, values))
    assert (first.min(), first.max()) == (5.0, 80.0)
    assert (second.min(), second.max()) == (0.0, 2.0)


def test_coarse_numbers_are_those_of_the_middles_of_the_cells():
    order = drawing_order(MESH, POINTS)
    fine = triangle_numbers(MESH, POINTS, order, size=(150, 201))
    coarse = triangle_numbers(MESH, POINTS, order, size=(50, 67), step_px=3)
    alike = {(y, x): (fine[y::3, x::3] == coarse)[coarse > 0].mean() for y in range(3) for x in range(3)}
    assert alike[1, 1] > 0.6
    assert alike[1, 1] > max(alike[0, 0], alike[2, 2], alike[0, 2], alike[2, 0]) + 0.02


def test_an_empty_picture_has_no_triangles():
    assert triangle_numbers(MESH, POINTS, drawing_order(MESH, POINTS), size=(0, 12)).shape == (0, 12)
