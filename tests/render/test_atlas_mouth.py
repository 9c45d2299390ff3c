from dataclasses import replace

import cv2
import numpy as np
import pytest

from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.mesh import LIP_OUTLINE, UPPER_OUTER, lower_face, signed_area, with_ring
from heygemd.render.atlas.mouth import BLEND, REACH, Worn, paint_mouth
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.shape import face_of, placed_vertices
from tests.render.atlas_rig import LIP, bgr, drawn, face_points, generic_person, source_of

PERSON = generic_person()


def paint(base: np.ndarray, opening: float, *worn: Worn, own: float = 0.0):
    """Paint the mouths into a plain picture; what was painted, the mask and the face's new vertices."""
    face = face_of(face_points(opening=own))
    wanted = Mouth(opening=opening, width=face.width)
    placed = placed_vertices(face, PERSON, wanted, [(one.source.face, one.weight) for one in worn])
    after = with_ring(placed, lower_face().ring)
    canvas = base.copy()
    painted = paint_mouth(canvas, face, after, wanted=wanted, worn=worn, bite=Bite())
    return canvas, painted, placed, face


def mouth(opening: float, **more) -> Worn:
    points = face_points(opening=opening)
    return Worn(source=source_of(points, drawn(points)), weight=1.0, **more)


GREEN = np.full((400, 360, 3), (0, 255, 0), np.float32)


def test_the_layer_is_all_there_at_the_lips_and_gone_far_from_them():
    canvas, painted, placed, face = paint(GREEN, 0.1, mouth(0.1))
    x, y = placed[LIP_OUTLINE].mean(axis=0).round().astype(int)
    assert np.abs(canvas[y, x] - GREEN[y, x]).max() > 100
    top = placed[UPPER_OUTER[5]]
    near, far = (np.round(top - distance * face.down).astype(int) for distance in (BLEND[0] / 2, BLEND[1] + 0.05))
    assert canvas[near[1], near[0], 1] < 200
    assert np.array_equal(canvas[far[1], far[0]], GREEN[far[1], far[0]])
    assert painted[near[1], near[0]]
    assert not painted[far[1], far[0]]


def test_the_layer_fades_out_before_its_box_ends():
    assert BLEND[1] < REACH


def test_nothing_outside_the_mask_changes():
    canvas, painted, _, _ = paint(GREEN, 0.1, mouth(0.0))
    assert np.array_equal(canvas[~painted], GREEN[~painted])


def test_the_seam_is_soft():
    canvas, _, placed, _ = paint(GREEN, 0.1, mouth(0.1))
    x = round(float(placed[UPPER_OUTER[5], 0]))
    column = canvas[: int(placed[UPPER_OUTER[5], 1]), x, 1]
    assert np.abs(np.diff(column)).max() < 30


@pytest.mark.parametrize("source_eye_px", [100.0, 480.0])
def test_a_larger_source_is_brought_to_size(source_eye_px):
    points = face_points(opening=0.1, eye_px=source_eye_px, centre=(1.6 * source_eye_px, 1.2 * source_eye_px))
    size = (round(3.2 * source_eye_px), round(3.2 * source_eye_px))
    worn = Worn(source=source_of(points, drawn(points, size=size)), weight=1.0)
    canvas, _, placed, _ = paint(GREEN, 0.1, worn)
    lip = placed[[72, 302, 85, 315]].round().astype(int)
    assert np.abs(canvas[lip[:, 1], lip[:, 0]] - LIP).max() < 30


def test_the_fine_grain_of_a_larger_source_does_not_glitter():
    points = face_points(opening=0.1, eye_px=480.0, centre=(768.0, 576.0))
    source = source_of(points, drawn(points, size=(1536, 1536)))
    grain = np.random.default_rng(5).normal(0, 40, source.picture.shape).astype(np.float32)
    worn = Worn(source=replace(source, picture=source.picture + grain), weight=1.0)
    canvas, _, placed, face = paint(GREEN, 0.1, worn)
    x, y = (placed[UPPER_OUTER[5]] - 0.03 * face.down).round().astype(int)
    assert canvas[y - 2 : y + 3, x - 5 : x + 6].std(axis=(0, 1)).max() < 25


def test_light_multiplies_lips_and_inside_alike():
    plain, _, placed, _ = paint(GREEN, 0.1, mouth(0.1))
    lit, _, _, _ = paint(GREEN, 0.1, replace(mouth(0.1), light=np.full((16, 3), np.log(0.5))))
    inside = tuple(placed[LIP_OUTLINE].mean(axis=0).round().astype(int)[::-1])
    lip = tuple(placed[72].round().astype(int)[::-1])
    for pixel in (inside, lip):
        assert lit[pixel] == pytest.approx(0.5 * plain[pixel], rel=0.06)


def test_weights_mix_the_lips():
    first, second = mouth(0.1), mouth(0.1)
    dark = replace(second.source, picture=second.source.picture * np.float32(0.5))
    pair = replace(first, weight=0.75), replace(second, source=dark, weight=0.25)
    mixed, _, placed, _ = paint(GREEN, 0.1, *pair)
    x, y = placed[72].round().astype(int)
    assert mixed[y, x] == pytest.approx(np.array(LIP) * 0.875, rel=0.08)


def test_beside_a_turned_face_whose_lips_are_near_its_border_nothing_is_painted():
    points = face_points(opening=0.1, yaw_deg=38.0)
    face = face_of(points)
    planes = drawn(points)
    picture = bgr(planes).astype(np.float32)
    after = with_ring(face.vertices, lower_face().ring)
    worn = [Worn(source=source_of(points, planes), weight=1.0)]
    wanted = Mouth(opening=0.1, width=face.width)
    touched = paint_mouth(picture, face, after, wanted=wanted, worn=worn, bite=Bite())
    face_hull = np.zeros(touched.shape, np.uint8)
    mesh = lower_face()
    facing = signed_area(after, mesh.triangles[: mesh.skin_count]) * mesh.facing > 0
    for triangle in (*mesh.triangles[: mesh.skin_count][facing], *mesh.triangles[mesh.skin_count :]):
        cv2.fillConvexPoly(face_hull, np.round(after[triangle]).astype(np.int32), 1)
    near = cv2.dilate(face_hull, np.ones((5, 5), np.uint8)) > 0
    assert touched.any()
    assert not (touched & ~near).any()


def test_a_borrowed_mouth_gets_back_what_interpolation_took_and_the_own_one_stays_as_it_is():
    base = np.full((400, 360, 3), 90, np.float32)
    detail = []
    for is_own in (True, False):
        canvas, painted, _, _ = paint(base, 0.1, mouth(0.1, is_own=is_own))
        luma = canvas.mean(axis=2)
        detail.append(cv2.Laplacian(luma, cv2.CV_32F)[painted].var())
    assert 1.02 < detail[1] / detail[0] < 1.5
