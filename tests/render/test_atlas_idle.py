from dataclasses import replace

import cv2
import numpy as np
import pytest

from heygemd.render.atlas.blink import Blinks
from heygemd.render.atlas.idle import NOD, IdleMotion
from tests.render.atlas_faces import face, points_of
from tests.render.test_atlas_eyelid import portrait

SIZE = 400
FRAMES = 300


def motion(*, seed: int = 5, opening: np.ndarray | None = None, size=(SIZE, SIZE), **place) -> IdleMotion:
    own = np.zeros(FRAMES) if opening is None else opening
    return IdleMotion.of(points_of(0.0, **place), size=size, fps=25.0, seed=seed, frame_count=FRAMES, opening=own)


def textured(height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Soft noise, as I420 planes."""
    small = np.random.default_rng(2).integers(40, 210, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.cvtColor(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), cv2.COLOR_BGR2YUV_I420)


def test_a_head_sways_slowly_and_by_a_few_pixels():
    still = points_of(0.0)
    idle = motion()
    path = np.array([idle.moved(still, frame) - still for frame in range(FRAMES)]) / 140
    way = np.linalg.norm(path, axis=-1)
    assert 0.008 < way.max() < 0.075
    assert np.linalg.norm(np.diff(path, axis=0), axis=-1).max() < 0.006
    nose = path[:, 55]
    assert np.ptp(nose, axis=0).min() > 0.006


def test_the_head_leans_by_less_than_a_degree():
    still = points_of(0.0)
    idle = motion()
    eyes = [60, 64]
    for frame in range(0, FRAMES, 7):
        moved = idle.moved(still, frame)
        before, after = (np.subtract(*p[eyes[::-1]]) for p in (still, moved))
        turn = np.degrees(np.arctan2(*after[::-1]) - np.arctan2(*before[::-1]))
        assert abs(turn) < 1.0


def test_the_points_move_as_the_picture_does():
    idle, planes, still = motion(), textured(), points_of(0.0)
    for frame in (11, 70, 140):
        moved = planes.copy()
        idle.apply(moved, frame)
        places = idle.moved(still, frame)
        inside = slice(0, 60)
        before, after = (
            cv2.remap(p[:SIZE], *(pts[inside, None, k] for k in (0, 1)), cv2.INTER_CUBIC).astype(float)
            for p, pts in ((planes, still), (moved, places))
        )
        unmoved = cv2.remap(moved[:SIZE], *(still[inside, None, k] for k in (0, 1)), cv2.INTER_CUBIC).astype(float)
        assert np.abs(after - before).mean() < 2.5
        assert np.abs(after - before).mean() < 0.5 * np.abs(unmoved - before).mean()


def test_the_border_of_the_picture_stands_still():
    idle, planes = motion(centre=(200.0, 120.0)), textured()
    moved = planes.copy()
    idle.apply(moved, 60)
    assert not np.array_equal(moved, planes)
    for edge in (np.s_[0], np.s_[SIZE - 1], np.s_[:SIZE, 0], np.s_[:SIZE, -1]):
        assert np.abs(moved[edge].astype(int) - planes[edge]).max() <= 1


def test_nothing_tears():
    idle = motion()
    # Neighbouring cells come from neighbouring places: nowhere is the picture stretched by more than a tenth.
    for frame in (20, 150, 250):
        for plane in idle._displacement(frame):
            for axis in (0, 1):
                assert np.abs(np.diff(plane, axis=axis)).max() / idle.field.step_px < 0.1


def test_any_frame_is_the_same_whatever_came_before():
    planes, first, second = textured(), motion(), motion()
    for frame in range(10):
        first.apply(planes.copy(), frame)
    alone, after = planes.copy(), planes.copy()
    second.apply(alone, 123)
    first.apply(after, 123)
    assert np.array_equal(alone, after)


def test_clips_sway_differently():
    still = points_of(0.0)
    assert not np.array_equal(motion(seed=1).moved(still, 40), motion(seed=2).moved(still, 40))


def test_stressed_syllables_nod():
    opening = np.zeros(FRAMES)
    opening[148:153] = 0.2
    still = points_of(0.0)
    nose = [
        (motion(opening=o).moved(still, 150) - motion().moved(still, 150))[56, 1] / 140 for o in (opening, 0 * opening)
    ]
    assert 0.003 < nose[0] <= NOD
    assert nose[1] == 0


def test_eyes_blink_and_both_at_once():
    own = face(0.0)
    planes, idle = portrait(own), motion()
    start = float(idle.blinks.start_s[0])
    frame = round((start + float(idle.blinks.closing_s[0])) * 25)
    open_, shut = planes.copy(), planes.copy()
    idle.apply(shut, frame)
    replace(idle, blinks=Blinks.of(3, 0.0)).apply(open_, frame)
    changed = np.abs(shut[:SIZE].astype(int) - open_[:SIZE]) > 25
    left, right = changed[:, :200].sum(), changed[:, 200:].sum()
    assert min(left, right) > 150
    assert max(left, right) < 1.6 * min(left, right)


@pytest.mark.parametrize("size", [(720, 1280), (240, 320), (1920, 1080)])
def test_pictures_of_any_shape_are_moved(size):
    idle = motion(size=size, eye_px=60.0, centre=(size[1] / 2, size[0] / 3))
    planes = textured(*size)
    moved = planes.copy()
    idle.apply(moved, 33)
    assert moved.shape == planes.shape
    assert not np.array_equal(moved, planes)


def test_a_face_half_outside_the_picture_does_no_harm():
    idle, planes = motion(centre=(20.0, 30.0)), textured()
    idle.apply(planes, 44)
    assert np.isfinite(idle.moved(points_of(0.0, centre=(20.0, 30.0)), 44)).all()


def test_nobody_winks():
    own = face(0.0)
    planes, idle = portrait(own), motion()
    # The left eye lies under hair: the other does not blink alone.
    planes[120:200, 110:190] = 90
    still = replace(idle, blinks=Blinks.of(3, 0.0))
    frame = round((float(idle.blinks.start_s[0]) + float(idle.blinks.closing_s[0])) * 25)
    blinking, open_ = planes.copy(), planes.copy()
    idle.apply(blinking, frame)
    still.apply(open_, frame)
    assert np.array_equal(blinking, open_)
