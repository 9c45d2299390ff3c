"""Planes in, colours of a small part out."""

import cv2
import numpy as np
import pytest

from heygemd.render.faces.picture import Picture, crop, invert, mapped


def ramp(height: int = 120, width: int = 160) -> np.ndarray:
    """Smooth I420 planes: luma grows to the right and down, chroma is neutral."""
    y, x = np.mgrid[:height, :width]
    luma = (40 + x * 0.6 + y * 0.7).astype(np.uint8)
    return np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])


def noise(height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)


def test_planes_are_looked_at_not_copied() -> None:
    planes = noise()
    picture = Picture.of_planes(planes)
    assert (picture.width_px, picture.height_px) == (128, 96)
    for plane in (picture.luma, picture.chroma_u, picture.chroma_v):
        assert np.shares_memory(plane, planes)


@pytest.mark.parametrize("size", [(96, 128), (98, 126)])
def test_whole_picture_has_the_colours_of_opencv(size: tuple[int, int]) -> None:
    planes = noise(*size)
    assert (Picture.of_planes(planes).whole(1.0).bgr == cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)).all()


def test_patch_is_the_same_part_of_the_whole() -> None:
    planes = noise()
    patch = Picture.of_planes(planes).patch(13.4, 7.0, 60.2, 31.0)
    whole = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
    assert (patch.bgr == whole[6:32, 12:62]).all()
    assert mapped(patch.to_patch, np.array([12.0, 6.0])) == pytest.approx([0, 0])


@pytest.mark.parametrize("box", [(-50, -50, 20, 20), (150, 100, 900, 900), (-9, -9, -5, -5), (300, 300, 310, 310)])
def test_patch_stays_inside_the_picture(box: tuple[float, float, float, float]) -> None:
    height, width = Picture.of_planes(ramp()).patch(*box).bgr.shape[:2]
    assert 2 <= height <= 120
    assert 2 <= width <= 160


def test_shrunk_patch_knows_where_it_lies() -> None:
    picture = Picture.of_planes(ramp())
    patch = picture.patch(20, 10, 140, 110, thin=3)
    full = picture.whole(1.0).bgr
    place = np.array([81.0, 57.0])
    x, y = np.rint(mapped(patch.to_patch, place)).astype(int)
    back_x, back_y = mapped(invert(patch.to_patch), np.array([x, y], float))
    assert patch.bgr[y, x].astype(int) == pytest.approx(full[round(back_y), round(back_x)].astype(int), abs=2)


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_whole_picture_in_another_size_keeps_places(scale: float) -> None:
    patch = Picture.of_planes(ramp()).whole(scale)
    assert patch.bgr.shape[:2] == pytest.approx((120 * scale, 160 * scale), abs=2)
    corners = mapped(patch.to_patch, np.array([[-0.5, -0.5], [159.5, 119.5]]))
    assert corners[0] == pytest.approx([-0.5, -0.5], abs=1e-9)
    assert corners[1] == pytest.approx([patch.bgr.shape[1] - 0.5, patch.bgr.shape[0] - 0.5], abs=1)


@pytest.mark.parametrize(("scale", "turn"), [(2.0, 0.5), (0.8, -0.3), (0.3, 0.2), (0.1, 0.0)])
def test_crop_shows_what_lies_at_the_mapped_place(scale: float, turn: float) -> None:
    picture = Picture.of_planes(ramp(480, 640))
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([300.0, 200.0])
    to_crop = np.column_stack([linear, 32 - linear @ centre])
    # The ramp is linear, so its value at the mapped place is known whatever the filter does.
    cut = crop(picture, to_crop, 64)
    full = picture.whole(1.0).bgr
    for place in ((32, 32), (20, 40), (45, 25)):
        x, y = mapped(invert(to_crop), np.array(place, float))
        if 0 <= x < 640 and 0 <= y < 480:
            assert int(cut[place[1], place[0], 1]) == pytest.approx(int(full[round(y), round(x), 1]), abs=3)


def test_crop_beyond_the_edge_repeats_it() -> None:
    picture = Picture.of_planes(ramp())
    to_crop = np.array([[1.0, 0.0, 60.0], [0.0, 1.0, 0.0]])
    cut = crop(picture, to_crop, 64)
    assert (cut[:, :60] == cut[:, 60:61]).all()
    assert (cut[:, 60:] == picture.whole(1.0).bgr[:64, :4]).all()


def test_invert_undoes() -> None:
    affine = np.array([[1.5, -0.2, 30.0], [0.4, 0.9, -7.0]])
    points = np.array([[3.0, 4.0], [-10.0, 0.5]])
    assert mapped(invert(affine), mapped(affine, points)) == pytest.approx(points)
