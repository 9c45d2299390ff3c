import numpy as np
import pytest

from heygemd.render.atlas.mesh import CHIN, JAW_LINE, lower_face, with_ring
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.shape import face_of, placed_vertices
from heygemd.render.atlas.skin import bend_skin, find_bend
from tests.render.atlas_rig import HEIGHT, WIDTH, drawn, face_points, generic_person

PERSON = generic_person()


def bent(opening: float, *, own: float = 0.0, eye_px: float = 120.0):
    """Planes before and after, and the vertices, of a face whose mouth takes another opening."""
    points = face_points(opening=own, eye_px=eye_px)
    face = face_of(points)
    before = with_ring(face.vertices, lower_face().ring)
    placed = placed_vertices(face, PERSON, Mouth(opening=opening, width=face.width), [(face, 1.0)])
    after = np.concatenate([placed, before[len(placed) :]])
    planes = drawn(points)
    result = planes.copy()
    moved = bend_skin(result, before, after, eye_px=face.eye_px)
    return planes, result, before, after, moved


def luma_change(planes: np.ndarray, result: np.ndarray) -> np.ndarray:
    return np.abs(result[:HEIGHT].astype(int) - planes[:HEIGHT])


def test_nothing_moves_when_no_vertex_does():
    points = face_points(opening=0.1)
    before = with_ring(face_of(points).vertices, lower_face().ring)
    planes = drawn(points)
    result = planes.copy()
    assert not bend_skin(result, before, before.copy(), eye_px=120.0)
    assert np.array_equal(result, planes)


def test_the_edge_of_the_chin_goes_down_with_the_jaw():
    planes, result, before, after, moved = bent(0.2)
    assert moved
    x, chin, now = (round(v) for v in (before[CHIN, 0], before[CHIN, 1], after[CHIN, 1]))
    assert now > chin + 2
    edge = [int(np.abs(np.diff(p[chin - 20 : chin + 20, x].astype(int))).argmax()) for p in (planes, result)]
    assert edge[1] - edge[0] == pytest.approx(now - chin, abs=2)


def test_the_background_beside_the_face_stays():
    planes, result, before, _, _ = bent(0.2)
    change = luma_change(planes, result)
    ears = before[JAW_LINE[[0, -1]], 0]
    assert not change[:, : int(ears.min()) - 16].any()
    assert not change[:, int(ears.max()) + 16 :].any()
    assert change.any()


def test_pixels_that_stay_keep_their_bytes_in_every_plane():
    planes, result, _, _, _ = bent(0.2)
    same = ~luma_change(planes, result).astype(bool)
    blocks = same.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).all(axis=(1, 3))
    before, after = (p[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2) for p in (planes, result))
    assert np.array_equal(before[:, :20], after[:, :20])
    assert (before != after)[:, blocks].mean() < 0.2


def test_the_displacement_is_smooth():
    face = face_of(face_points(opening=0.0))
    before = with_ring(face.vertices, lower_face().ring)
    placed = placed_vertices(face, PERSON, Mouth(opening=0.2, width=face.width), [(face, 1.0)])
    after = np.concatenate([placed, before[len(placed) :]])
    bend = find_bend(before, after, width_px=WIDTH, height_px=HEIGHT, eye_px=face.eye_px)
    assert bend is not None
    chin_side = bend.shift_y[round(placed[17, 1]) + 4 - bend.region.y :]
    assert np.abs(np.diff(chin_side, axis=0)).max() < 0.8
    assert np.abs(np.diff(chin_side, axis=1)).max() < 0.8


def test_a_face_half_outside_the_picture_is_bent_as_far_as_it_is_seen():
    points = face_points(opening=0.0, centre=(180.0, 260.0))
    face = face_of(points)
    before = with_ring(face.vertices, lower_face().ring)
    placed = placed_vertices(face, PERSON, Mouth(opening=0.2, width=face.width), [(face, 1.0)])
    planes = drawn(points)
    result = planes.copy()
    assert bend_skin(result, before, np.concatenate([placed, before[len(placed) :]]), eye_px=face.eye_px)
    assert luma_change(planes, result).any()
