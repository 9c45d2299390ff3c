import numpy as np
import pytest

from heygemd.render.atlas.dentition import PER_SIDE, along_arch, arch_depth, grow


def test_the_same_person_always_has_the_same_teeth():
    first, second = grow(41), grow(41)
    assert np.array_equal(first.upper.borders, second.upper.borders)
    assert first.show == second.show


def test_people_differ_in_their_teeth():
    widths = np.array([np.diff(grow(seed).upper.borders) for seed in range(40)])
    assert widths.std(axis=0).min() > 0.002
    assert len({grow(seed).show for seed in range(40)}) > 35


@pytest.mark.parametrize("seed", range(12))
def test_teeth_are_those_of_a_human(seed):
    upper = grow(seed).upper
    widths = np.diff(upper.borders)
    assert len(widths) == 2 * PER_SIDE
    assert widths.min() > 0.02
    assert 0.065 < widths[PER_SIDE] < 0.115
    assert abs(upper.borders[PER_SIDE]) < 0.02
    # Left and right belong to one mouth.
    assert np.abs(widths[:PER_SIDE][::-1] / widths[PER_SIDE:] - 1).max() < 0.3


def test_a_row_ends_tooth_by_tooth():
    row = grow(3).upper
    ends = row.length(np.linspace(-0.25, 0.25, 400), 0.06)
    assert ends.max() <= 0.06 + 0.01
    assert 0.03 < np.median(ends) < 0.06
    assert np.ptp(ends) > 0.008


def test_the_corners_of_the_mouth_are_darker_than_its_middle():
    row = grow(3).upper
    light = row.shade(np.array([0.04, 0.25]), np.array([0.02, 0.02]), soft=0.004)
    assert (light[1] < 0.75 * light[0]).all()


def test_the_arch_is_found_from_any_side():
    for slant in (np.zeros(2), np.array([0.36, -0.1]), np.array([-0.4, 0.2])):
        t = np.linspace(-0.24, 0.24, 30)
        found, height = along_arch(t + slant[0] * arch_depth(t), 0.1 + slant[1] * arch_depth(t), slant)
        assert found == pytest.approx(t, abs=0.01)
        assert height == pytest.approx(np.full(30, 0.1), abs=0.004)
