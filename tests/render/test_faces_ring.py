"""The colours around the mouth."""

import cv2
import numpy as np
import pytest

from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.picture import Picture, patch_around
from heygemd.render.faces.ring import SIGHT_EYES, SIGHT_PX, skin_around
from heygemd.render.faces.square import LIP_SQUARE_EYES, mouth_square
from heygemd.render.faces.topology import MESH_INDEXES

EYE_PX = 90.0


def face(turn_deg: float = 0.0, opening: float = 0.0, at: tuple[float, float] = (320, 200)) -> np.ndarray:
    model = load_face_model()
    mean = (model.mean_face[:468] + opening * model.opening_mode)[list(MESH_INDEXES), :2]
    cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    return np.asarray(mean @ np.array([[cos, sin], [-sin, cos]]) * EYE_PX + at, np.float64)


def skin_in(bgr: np.ndarray, points: np.ndarray) -> np.ndarray:
    picture = Picture.of_planes(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))
    mouth = mouth_square(points)
    patch = patch_around(picture, mouth.to_crop(64, margin=LIP_SQUARE_EYES), 64)
    return skin_around(patch, mouth, points).astype(int)


def plain(colour: tuple[int, int, int] = (120, 140, 200)) -> np.ndarray:
    return np.full((480, 640, 3), colour, np.uint8)


def test_plain_skin_has_its_colour_everywhere() -> None:
    assert skin_in(plain(), face()) == pytest.approx(np.tile((120, 140, 200), (16, 1)), abs=3)


@pytest.mark.parametrize("turn_deg", [0, 25])
@pytest.mark.parametrize(("patch", "angle_deg"), [(0, 0), (4, 90), (8, 180), (12, 270)])
def test_patches_go_clockwise_from_the_right_in_the_upright_face(patch: int, angle_deg: int, turn_deg: int) -> None:
    points, picture = face(turn_deg), plain()
    middle = points[:40].mean(axis=0)
    reach = (np.ptp(points[:20, 0]) if angle_deg % 180 == 0 else np.ptp(points[:20, 1])) / 2 + 0.165 * EYE_PX
    angle = np.deg2rad(angle_deg + turn_deg)
    spot = middle + reach * np.array([np.cos(angle), np.sin(angle)])
    cv2.circle(picture, tuple(int(value) for value in spot), 6, (0, 0, 0), -1)
    brightness = skin_in(picture, points).sum(axis=1)
    assert brightness.argmin() == patch
    assert brightness.min() < 0.9 * np.median(brightness)


@pytest.mark.parametrize("opening", [0.0, 0.25])
def test_lips_and_what_is_between_them_do_not_count(opening: float) -> None:
    points, picture = face(opening=opening), plain()
    cv2.fillPoly(picture, [np.round(points[:20]).astype(np.int32)], (20, 0, 90))
    assert skin_in(picture, points) == pytest.approx(np.tile((120, 140, 200), (16, 1)), abs=4)


def test_ring_of_the_widest_mouth_is_still_seen() -> None:
    """A grin of .95 eye distances: nothing of the ring beside it may be missing without a value."""
    points = face()
    middle = points[:40].mean(axis=0)
    points[:40] = middle + (points[:40] - middle) * (0.95 * EYE_PX / np.ptp(points[:20, 0]))
    assert skin_in(plain(), points).min() > 100


def test_face_at_the_border_repeats_it() -> None:
    assert skin_in(plain(), face(at=(10, 440))) == pytest.approx(np.tile((120, 140, 200), (16, 1)), abs=3)


def test_sight_is_wide_enough_for_the_patch_it_is_cut_from() -> None:
    assert SIGHT_EYES / 2 < 0.75 * LIP_SQUARE_EYES
    assert SIGHT_PX % 2 == 0
