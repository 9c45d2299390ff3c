import cv2
import numpy as np
import pytest

from heygemd.render.atlas.blink import close_eye
from heygemd.render.atlas.eyelid import LOWER_LIDS, UPPER_LIDS, Eye, read_lids
from heygemd.render.atlas.shape import Face
from tests.render.atlas_faces import SKIN, face

SIZE = 400
WHITE, IRIS, LASH, BROW = (200, 215, 225), (40, 45, 60), (30, 30, 40), (40, 50, 70)


def portrait(own: Face, *, shut: bool = False, glare: bool = False, dark_glasses: bool = False) -> np.ndarray:
    """Skin with two eyes and brows, as I420 planes."""
    picture = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    for eye, upper, lower in zip(Eye.both(own), UPPER_LIDS, LOWER_LIDS, strict=True):
        lids = np.round(np.concatenate([own.vertices[upper], own.vertices[lower][::-1]])).astype(np.int32)
        middle = lids.mean(axis=0).astype(int)
        if not shut:
            cv2.fillPoly(picture, [lids], WHITE)
            inside = np.zeros((SIZE, SIZE), np.uint8)
            cv2.fillPoly(inside, [lids], 1)
            iris = np.zeros((SIZE, SIZE), np.uint8)
            cv2.circle(iris, middle.tolist(), round(0.06 * own.eye_px), 1, -1)
            picture[(inside & iris) > 0] = IRIS
            cv2.polylines(picture, [np.round(own.vertices[upper]).astype(np.int32)], False, LASH, 2)
        else:
            cv2.polylines(picture, [np.round(own.vertices[lower]).astype(np.int32)], False, LASH, 2)
        brow = eye.origin + eye.place[:, None] * eye.along + (eye.brow - 4)[:, None] * eye.down
        cv2.polylines(picture, [np.round(brow).astype(np.int32)], False, BROW, 8)
        if dark_glasses:
            cv2.circle(picture, middle.tolist(), round(0.27 * own.eye_px), (25, 25, 25), -1)
        if glare:
            cv2.rectangle(picture, (middle - 18).tolist(), (middle + np.array([18, 2])).tolist(), (255, 255, 255), -1)
    return cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), 0.7), cv2.COLOR_BGR2YUV_I420)


def lids_of(planes: np.ndarray, own: Face) -> list:
    return [read_lids(planes, eye) for eye in Eye.both(own)]


def eye_luma(planes: np.ndarray, eye: Eye) -> np.ndarray:
    """Luma between the tracked lids, in the middle of the eye."""
    share = np.linspace(0.25, 0.75, 9)
    columns = slice(14, 27)
    y = eye.upper[columns] + share[:, None] * (eye.lower - eye.upper)[columns]
    return eye.pull(planes[:SIZE], np.broadcast_to(eye.place[columns], y.shape), y, 1)


def test_both_eyes_of_a_plain_portrait_are_read():
    own = face(0.0)
    for lids in lids_of(portrait(own), own):
        assert lids is not None
        off = (lids.lashes - lids.eye.upper)[8:-8] / own.eye_px
        assert np.abs(off).max() < 0.03
        assert (lids.top[8:-8] < lids.lashes[8:-8]).all()


def test_a_shut_eye_shows_skin_and_a_dark_line():
    own = face(0.0)
    planes = portrait(own)
    for lids in lids_of(planes, own):
        shut = planes.copy()
        close_eye(shut, lids, 1.0)
        before, after = (eye_luma(p, lids.eye) for p in (planes, shut))
        assert np.percentile(before, 10) < 80
        skin = float(np.array(SKIN) @ [0.114, 0.587, 0.299]) * 219 / 255 + 16
        assert np.abs(after[:5] - skin).max() < 25
        assert np.abs(after - skin).mean() < 0.35 * np.abs(before - skin).mean()
        eye = lids.eye
        below = np.interp(np.arange(0.75, 1.1, 0.02), [0, 1], [eye.upper[20], eye.lower[20]])
        assert eye.pull(shut[:SIZE], np.full_like(below, eye.place[20]), below, 1).min() < 0.6 * skin


def test_the_lid_comes_down_steadily():
    own = face(0.0)
    planes = portrait(own)
    lids = lids_of(planes, own)[0]
    seen = []
    for closure in np.linspace(0, 1, 11):
        moved = planes.copy()
        close_eye(moved, lids, float(closure))
        seen.append(float((np.abs(eye_luma(moved, lids.eye) - eye_luma(planes, lids.eye)) > 20).mean()))
    assert seen[0] == 0
    assert seen[-1] > 0.7
    assert (np.diff(seen) > -0.08).all()
    assert np.diff(seen).max() < 0.35


def test_everything_but_the_eyes_stays_as_it_is():
    own = face(0.0)
    planes = portrait(own)
    shut = planes.copy()
    for lids in lids_of(planes, own):
        close_eye(shut, lids, 1.0)
    changed = np.argwhere(shut[:SIZE] != planes[:SIZE])[:, ::-1]
    eyes = own.vertices[np.concatenate([UPPER_LIDS, LOWER_LIDS]).ravel()]
    room = 0.2 * own.eye_px
    assert (changed > eyes.min(axis=0) - room).all()
    assert (changed < eyes.max(axis=0) + room).all()


@pytest.mark.parametrize("look", ["shut", "glare", "dark_glasses"])
def test_eyes_that_cannot_be_read_do_not_blink(look):
    own = face(0.0)
    assert lids_of(portrait(own, **{look: True}), own) == [None, None]


def test_eyes_at_the_border_and_tiny_ones_do_not_blink():
    for own in (face(0.0, centre=(200.0, 10.0)), face(0.0, eye_px=36.0)):
        assert lids_of(portrait(own), own) == [None, None]
