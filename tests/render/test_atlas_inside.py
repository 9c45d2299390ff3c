import cv2
import numpy as np
import pytest

from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.gap import LUMA
from heygemd.render.atlas.inside import grain, paint_inside
from heygemd.render.atlas.mesh import LOWER_INNER, UPPER_INNER
from heygemd.render.atlas.mouth import MouthSource
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.shown import Light, light_of
from tests.render.atlas_faces import face, mouth_picture

BITE = Bite.of([], seed=3)


def inside(own, target, picture, *, bite=BITE, **wanted):
    """The pixels between the lips of `target`, painted from `picture` of `own`."""
    hole = np.zeros((400, 400), np.uint8)
    gap = np.concatenate([target.vertices[UPPER_INNER], target.vertices[LOWER_INNER][::-1]])
    cv2.fillPoly(hole, [np.round(gap).astype(np.int32)], 1)
    rows, columns = np.nonzero(hole)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    mouth = Mouth(opening=target.opening, width=target.width, **wanted)
    return pixels, paint_inside(
        pixels, target.vertices, face=target, picture=picture, source=own, wanted=mouth, bite=bite
    )


def test_a_mouth_that_keeps_its_shape_shows_its_own_pixels():
    own = face(0.14)
    picture = mouth_picture(own, teeth=0.07)
    pixels, seen = inside(own, own, picture)
    x, y = pixels.astype(int).T
    deep = np.minimum(seen.below_upper, seen.above_lower) > 0.02
    assert deep.sum() > 300
    assert np.abs(seen.colour - picture[y, x])[deep].max() < 2


def test_a_source_of_another_place_and_size_shows_the_same_mouth():
    own, other = face(0.14), face(0.14, eye_px=100.0, centre=(170.0, 150.0))
    _, seen = inside(own, own, mouth_picture(own, teeth=0.07))
    _, fetched = inside(other, own, mouth_picture(other, teeth=0.07))
    difference = np.abs(seen.colour - fetched.colour) @ LUMA
    assert np.median(difference) < 4
    assert np.percentile(difference, 90) < 40


def test_a_shut_source_gets_a_painted_inside_with_teeth_and_darkness():
    own, target = face(0.0), face(0.16)
    _, seen = inside(own, target, mouth_picture(own))
    luma = seen.colour @ LUMA
    hung = (seen.below_upper > 0.015) & (seen.below_upper < 0.03) & (seen.above_lower > 0.08)
    deep = (seen.below_upper > 0.07) & (seen.above_lower > 0.05)
    assert np.median(luma[hung]) > 110
    assert np.median(luma[deep]) < 70


def test_teeth_bite_the_lower_lip_for_f_and_v():
    own, target = face(0.0), face(0.03)
    picture = mouth_picture(own)
    _, apart = inside(own, target, picture)
    _, biting = inside(own, target, picture, lipteeth=1.0)
    low = (apart.above_lower > 0.006) & (apart.above_lower < 0.012) & (apart.below_upper > 0.012)
    assert np.median(biting.colour[low] @ LUMA) > np.median(apart.colour[low] @ LUMA) + 30


def test_the_same_frame_is_painted_the_same_way_twice():
    own, target = face(0.0), face(0.16)
    picture = mouth_picture(own) + np.random.default_rng(1).normal(0, 4, (400, 400, 1)).astype(np.float32)
    first, second = (inside(own, target, picture)[1].colour for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
def test_the_noise_of_the_picture_is_measured_and_given_to_what_is_painted(noise):
    own = face(0.0)
    picture = mouth_picture(own) + np.random.default_rng(1).normal(0, noise, (400, 400, 3)).astype(np.float32)
    light = light_of(picture, own)
    # Noise of three channels is less in luma.
    expected = noise * np.sqrt((LUMA**2).sum())
    assert light.grain == pytest.approx(expected, abs=0.4 + 0.3 * expected)
    pixels = np.stack(np.meshgrid(np.arange(60.0), np.arange(60.0)), axis=-1).reshape(-1, 2)
    noisy = grain(pixels, np.tile(light.skin, (3600, 1)), light)
    assert noisy.std() == pytest.approx(light.grain, rel=0.1)


def test_a_blurred_picture_is_known_as_such():
    own = face(0.14)
    sharp = mouth_picture(own, teeth=0.07)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 2.5)
    assert light_of(blurred, own).soft_px == pytest.approx(2.5, abs=0.6)
    assert light_of(sharp, own).soft_px < 1.3


def test_light_that_falls_from_one_side_is_measured():
    own = face(0.0)
    ramp = 1 + 0.5 * (np.arange(400) - 200) / own.eye_px
    slanted = mouth_picture(own) * ramp[None, :, None].astype(np.float32)
    assert light_of(mouth_picture(own), own).slope == pytest.approx(0, abs=0.02)
    assert light_of(slanted, own).slope == pytest.approx(0.5, abs=0.12)


def test_grain_is_none_in_a_clean_picture():
    light = Light(lip=np.ones(3), skin=np.ones(3))
    assert not grain(np.zeros((4, 2)), np.ones((4, 3)), light).any()


def test_the_lower_teeth_of_shut_jaws_go_down_with_the_lip():
    shown = face(0.14)
    bite = Bite.of([MouthSource(picture=mouth_picture(shown, teeth=0.07), face=shown)], seed=3)
    own, target = face(0.12), face(0.20)
    # Teeth fill the whole mouth: only the skull tells where the upper ones end.
    clenched = mouth_picture(own, teeth=0.3)
    _, known = inside(own, target, clenched, bite=bite)
    _, unknown = inside(own, target, clenched)
    low = (known.above_lower > 0.01) & (known.above_lower < 0.03) & (known.below_upper > 0.12)
    middle = (known.below_upper > 0.085) & (known.above_lower > 0.075)
    assert np.median(known.colour[low] @ LUMA) > 180
    assert np.median(known.colour[middle] @ LUMA) < 120
    assert np.median(unknown.colour[low] @ LUMA) < np.median(known.colour[low] @ LUMA)


def test_painted_teeth_do_not_stand_beside_own_ones():
    own, target = face(0.12), face(0.16)
    _, seen = inside(own, target, mouth_picture(own, teeth=0.05))
    under = (seen.below_upper > 0.062) & (seen.below_upper < 0.075) & (seen.above_lower > 0.03)
    assert np.median(seen.colour[under] @ LUMA) < 80
