import numpy as np
import pytest

from heygemd.render.atlas.gap import Axes, Profile
from heygemd.render.atlas.mesh import COLUMNS
from heygemd.render.atlas.shown import look_inside

UPRIGHT = Axes.along(np.array([0.0, 1.0]))
SKIN, LIP = np.array([150.0, 170, 215]), np.array([110.0, 95, 190])
TEETH, TONGUE, DARK = (200, 215, 225), (95, 90, 165), (22, 20, 38)
"""Blue, green, red."""
TOP, BOTTOM = 40, 60


def shown(*bands, opening=0.2):
    """What a mouth of these (rows, colour) between rows TOP and BOTTOM shows."""
    x = np.linspace(-1, 1, COLUMNS)
    half = (BOTTOM - TOP) / 2 * (1 - x**6)
    profile = Profile(x=50 + 30 * x, upper=50 - half, lower=50 + half)
    picture = np.full((100, 100, 3), LIP, np.float32)
    for rows, colour in bands:
        picture[slice(*rows)] = colour
    return look_inside(picture, profile, UPRIGHT, opening=opening, lip=LIP, skin=SKIN)


def test_the_dark_line_between_the_teeth_is_found():
    line = shown(((TOP, 52), TEETH), ((52, 55), DARK), ((55, BOTTOM), TEETH)).line
    assert line.clearness == 1
    assert line.row == pytest.approx((53.5 - TOP) / (BOTTOM - TOP), abs=0.1)
    assert line.worth_below == 1


def test_teeth_that_fill_the_mouth_have_no_dark_line():
    line = shown(((TOP, BOTTOM), TEETH)).line
    assert line.clearness == 0
    assert line.row == 1


def test_the_shadow_of_the_upper_lip_is_no_line_between_teeth():
    line = shown(((TOP, 44), DARK), ((44, BOTTOM), TEETH)).line
    assert line.clearness < 0.2


@pytest.mark.parametrize("colour", [DARK, TONGUE], ids=["dark", "tongue"])
def test_neither_darkness_nor_tongue_is_taken_for_teeth(colour):
    seen = shown(((TOP, BOTTOM), colour))
    assert seen.teeth == 0
    assert seen.line.worth_below == 0


def test_upper_teeth_over_darkness_are_seen():
    assert shown(((TOP, 46), TEETH), ((46, BOTTOM), DARK)).teeth == 1


def test_lower_teeth_alone_are_kept_but_are_no_upper_ones():
    seen = shown(((TOP, 53), DARK), ((53, BOTTOM), TEETH))
    assert seen.teeth == 0
    assert seen.line.worth_below == 1


def test_teeth_in_a_slit_are_too_few_for_a_wide_mouth():
    seen = [shown(((TOP, BOTTOM), TEETH), opening=opening).teeth for opening in (0.03, 0.06, 0.1)]
    assert seen[0] == 0 < seen[1] < seen[2] == 1


def test_teeth_come_and_go_softly_with_the_light():
    steps = np.linspace(0, 1, 201)
    teeth = [shown(((TOP, BOTTOM), (1 - t) * np.array(DARK) + t * np.array(TEETH))).teeth for t in steps]
    assert teeth[0] == 0
    assert teeth[-1] == 1
    assert (np.diff(teeth) >= 0).all()
    assert np.diff(teeth).max() < 0.2


def test_teeth_are_seen_in_a_grey_picture():
    grey = np.full(3, 100.0)
    profile = Profile(x=np.linspace(20, 80, COLUMNS), upper=np.full(COLUMNS, 40.0), lower=np.full(COLUMNS, 60.0))
    picture = np.full((100, 100, 3), 170, np.float32)
    seen = look_inside(picture, profile, UPRIGHT, opening=0.2, lip=grey, skin=np.full(3, 150.0))
    assert seen.teeth == 1


def test_the_darkness_of_the_mouth_is_measured():
    seen = shown(((TOP, 46), TEETH), ((46, BOTTOM), DARK))
    assert seen.cavity_luma == pytest.approx(np.array(DARK) @ [0.114, 0.587, 0.299], abs=3)
    assert seen.cavity_share == 1
    assert shown(((TOP, BOTTOM), TEETH)).cavity_share == 0
