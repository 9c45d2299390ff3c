from dataclasses import replace

import numpy as np

from heygemd.render.atlas.dentition import grow
from heygemd.render.atlas.gap import LUMA
from heygemd.render.atlas.interior import Cavity, GrownTeeth, paint_interior, tooth_colour
from heygemd.render.atlas.shown import Light

SKIN, LIP = np.array([150.0, 170, 215]), np.array([110.0, 95, 190])
DENTITION = grow(5)
HALF = 0.25
ROWS, COLUMNS = 60, 81


def cavity(opening: float, *, biting: float = 0.0, slant=(0.0, 0.0), light: Light | None = None) -> Cavity:
    """A mouth as an almond, seen in ROWS x COLUMNS pixels."""
    across, share = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, 1, ROWS))
    half = opening / 2 * (1 - across**2)
    y = half * (2 * share - 1)
    return Cavity(
        x=(HALF * across).ravel(),
        y=y.ravel(),
        midline=0.0,
        across=across.ravel(),
        below_upper=(y + half).ravel(),
        above_lower=(half - y).ravel(),
        top=-opening / 2,
        slant=np.array(slant),
        opening=opening,
        biting=biting,
        light=light or Light(lip=LIP, skin=SKIN),
        eye_px=140.0,
        upper_absent=1.0,
        lower_absent=1.0,
        dark_luma=30.0,
        dark_share=0.0,
    )


def painted(opening: float, **changes) -> np.ndarray:
    """Luma of the mouth: float64[ROWS, COLUMNS]."""
    colour = paint_interior(cavity(opening, **changes), GrownTeeth(dentition=DENTITION), DENTITION)
    return (colour @ LUMA).reshape(ROWS, COLUMNS)


MIDDLE = slice(COLUMNS // 2 - 10, COLUMNS // 2 + 11)


def test_teeth_hang_from_the_upper_lip_over_darkness():
    luma = painted(0.16)
    assert np.median(luma[8:13, MIDDLE]) > 120
    assert np.median(luma[26:32, MIDDLE]) < 60


def test_a_tongue_lies_on_the_floor_of_a_wide_mouth_and_is_red():
    colour = paint_interior(cavity(0.2), GrownTeeth(dentition=DENTITION), DENTITION).reshape(ROWS, COLUMNS, 3)
    tongue, dark = colour[44:48, MIDDLE].mean(axis=(0, 1)), colour[26:30, MIDDLE].mean(axis=(0, 1))
    assert tongue @ LUMA > dark @ LUMA + 15
    assert tongue[2] > 1.3 * tongue[1]


def test_every_part_comes_softly_as_the_mouth_opens():
    steps = np.arange(0.01, 0.24, 0.002)
    films = np.array([painted(opening) for opening in steps])
    assert np.abs(np.diff(films.mean(axis=(1, 2)))).max() < 4
    # No pixel of the mouth jumps from dark to tooth within a hundredth of an opening.
    assert np.percentile(np.abs(np.diff(films, axis=0)), 99.5) < 45


def test_biting_teeth_reach_the_lower_lip():
    apart, biting = painted(0.05), painted(0.05, biting=1.0)
    low = (slice(45, 55), MIDDLE)
    assert np.median(biting[low]) > 110
    assert np.median(biting[low]) > np.median(apart[low]) + 40


def test_dark_skin_has_bright_teeth_and_bright_skin_no_glowing_ones():
    dark, bright = (float(tooth_colour(np.array([0.85, 0.97, 1.1]) * level) @ LUMA) for level in (60.0, 220.0))
    assert dark > 90
    assert bright < 232


def test_teeth_take_the_tint_of_the_light():
    warm, cold = tooth_colour(np.array([90.0, 150, 220])), tooth_colour(np.array([170.0, 160, 170]))
    assert warm[2] / warm[0] > 1.2 * cold[2] / cold[0]


def test_light_from_the_right_brightens_the_right():
    light = Light(lip=LIP, skin=SKIN, slope=0.6)
    even, slanted = painted(0.14), painted(0.14, light=light)
    ratio = slanted[8:14] / even[8:14]
    assert ratio[:, COLUMNS // 4].mean() < 0.96
    assert ratio[:, -COLUMNS // 4].mean() > 1.04


def test_a_blurred_picture_gets_blurred_teeth():
    sharp = painted(0.16)
    soft = painted(0.16, light=Light(lip=LIP, skin=SKIN, soft_px=3.0))
    steepest = [np.abs(np.diff(luma[:, MIDDLE], axis=0)).max() for luma in (sharp, soft)]
    assert steepest[1] < 0.6 * steepest[0]


def test_a_turned_head_shows_more_of_one_end_of_the_arch():
    teeth = GrownTeeth(dentition=DENTITION)
    ends = []
    for slant in (-0.35, 0.0, 0.35):
        mouth = cavity(0.18, slant=(slant, 0.0))
        light = (teeth.look(mouth, 0.06)[1] @ LUMA).reshape(ROWS, COLUMNS)[10]
        bright = np.flatnonzero(light > 0.5 * light.max())
        ends.append((bright[0] + bright[-1]) / COLUMNS - 1)
    assert ends[0] < ends[1] - 0.05 < ends[2] - 0.1


def test_the_dark_of_the_source_is_taken_over():
    seen = replace(cavity(0.2), dark_luma=60.0, dark_share=1.0)
    colour = paint_interior(seen, GrownTeeth(dentition=DENTITION), DENTITION) @ LUMA
    assert np.percentile(colour, 5) > 1.2 * np.percentile(painted(0.2), 5)
