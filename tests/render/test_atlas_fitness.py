from dataclasses import replace

import numpy as np
import pytest

from heygemd.render.atlas.fitness import (
    DRIFT,
    OPEN_WHEN_SHUT,
    OPENED_FURTHER,
    OPENING,
    OTHER_SCENE,
    TOOTHLESS,
    TURN_DEG,
    WIDTH,
    Fitness,
    Wanted,
)
from heygemd.render.atlas.traits import Traits
from tests.render.gallery_rig import some_traits
from tests.render.selection_rig import motion_of, track_like, wanting

COUNT = 6
FLAT = {name: np.zeros(COUNT) for name in ("yaw_deg", "pitch_deg", "roll_deg", "teeth", "aperture")} | {
    "opening": np.full(COUNT, 0.05),
    "width": np.full(COUNT, 0.5),
}


def alike(**changes: object) -> Traits:
    """Six mouths that differ in nothing but what is named."""
    return some_traits(range(0, 6 * COUNT, 6), **{**FLAT, "time_s": np.zeros(COUNT), **changes})


def costs(traits: Traits, wanted: Wanted, **track: object) -> np.ndarray:
    """float32[m] in the first frame of the film."""
    motion = motion_of(40, opening=0.05, width=0.5)
    fitness = Fitness(wanted=wanted, motion=motion, track=track_like(40, **track), traits=traits)
    return fitness.of(slice(0, 1))[0][0]


def one(column: float, row: int = 2) -> np.ndarray:
    values = np.zeros(COUNT)
    values[row] = column
    return values


def test_a_mouth_just_as_wanted_costs_nothing():
    assert np.allclose(costs(alike(), wanting([0.05])), 0, atol=1e-4)


def test_bending_costs_the_square_and_opening_further_twice_as_much():
    traits = alike(opening=np.array([0.05, 0.05 + OPENING, 0.05 - OPENING, 0.05 + 2 * OPENING, 0.05, 0.05]))
    assert np.allclose(costs(traits, wanting([0.05]))[:4], [0, 1, OPENED_FURTHER, 4], atol=1e-4)
    assert costs(alike(width=0.5 + one(WIDTH)), wanting([0.05]))[2] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("name", "scale"), list(zip(("yaw_deg", "pitch_deg", "roll_deg"), TURN_DEG, strict=True)))
def test_turning_the_head_costs(name, scale):
    priced = costs(alike(**{name: one(scale)}), wanting([0.05]))
    assert priced[2] - priced[0] == pytest.approx(1, abs=1e-4)


def test_a_mouth_that_is_to_be_shut_is_not_taken_from_one_that_is_seen_open():
    openings = np.array([0.0, 0.0, 0.0, 0.1, 0.1, 0.1])
    traits = alike(opening=openings, aperture=0.02 + 0.4 * openings + one(0.04))
    shut, wide = costs(traits, wanting([0.0])), costs(traits, wanting([0.1]))
    assert shut[2] - shut[0] == pytest.approx(OPEN_WHEN_SHUT, abs=0.01)
    assert wide[2] == pytest.approx(wide[0], abs=1e-4)
    pressed = costs(traits, replace(wanting([0.1]), closure=np.ones(1)))
    assert pressed[2] - pressed[0] == pytest.approx(OPEN_WHEN_SHUT, abs=0.01)


def test_a_wide_mouth_is_better_with_teeth():
    traits = alike(teeth=one(1.0))
    wide, narrow = costs(traits, wanting([0.2])), costs(traits, wanting([0.05]))
    assert wide[0] - wide[2] == pytest.approx(TOOTHLESS, abs=1e-4)
    assert narrow[0] == pytest.approx(narrow[2], abs=1e-4)


def test_blur_costs():
    priced = costs(alike(sharpness=1 - one(0.3)), wanting([0.05]))
    assert priced[2] - priced[0] == pytest.approx(1, abs=0.05)


def test_other_light_costs_where_it_is_known():
    skin = np.full((40, 16, 3), 100, np.uint8)
    skin[12] = 130
    skin[18] = 0
    priced = costs(alike(), wanting([0.05]), skin=skin)
    assert priced[2] == pytest.approx(4, abs=0.01)
    assert np.allclose(np.delete(priced, 2), 0, atol=1e-3)


def test_other_times_and_other_shots_cost_a_little():
    late = costs(alike(time_s=one(3600.0)), wanting([0.05]))
    assert late[2] == pytest.approx(DRIFT, abs=1e-4)
    other = costs(alike(scene=one(1).astype(np.int32)), wanting([0.05]))
    assert other[2] == pytest.approx(OTHER_SCENE, abs=1e-4)


def test_a_much_smaller_face_costs_and_a_larger_one_does_not():
    priced = costs(alike(eye_px=100 - one(60)), wanting([0.05]))
    assert priced[2] > 1
    assert costs(alike(eye_px=100 + one(300)), wanting([0.05]))[2] == pytest.approx(0, abs=1e-4)


def test_the_own_mouth_costs_only_what_it_is_bent():
    motion = motion_of(40, opening=0.05, width=0.5, yaw_deg=30)
    traits = alike()
    wanted = wanting([0.05 + OPENING, 0.05], source_frames=[13, 12])
    _, own, stand_in, is_own = Fitness(wanted=wanted, motion=motion, track=track_like(40), traits=traits).of(
        slice(0, 2)
    )
    assert np.allclose(own, [OPENED_FURTHER, 0], atol=1e-4)
    assert is_own.tolist() == [False, True]
    assert stand_in[1] == 2


def test_the_stand_in_of_an_own_mouth_that_is_not_kept_looks_most_like_it():
    motion = motion_of(40, opening=0.05, width=0.5, yaw_deg=20)
    traits = alike(yaw_deg=np.array([0, 10, 0, 18, 30, -20.0]))
    wanted = wanting([0.0], source_frames=[13])
    stand_in = Fitness(wanted=wanted, motion=motion, track=track_like(40), traits=traits).of(slice(0, 1))[2]
    assert stand_in.tolist() == [3]


def test_a_frame_without_a_face_has_costs_that_are_numbers():
    motion = motion_of(40, opening=np.nan, width=np.nan, yaw_deg=np.nan)
    priced, own, _, _ = Fitness(wanted=wanting([0.05]), motion=motion, track=track_like(40), traits=alike()).of(
        slice(0, 1)
    )
    assert np.isfinite(priced).all()
    assert np.isfinite(own).all()
