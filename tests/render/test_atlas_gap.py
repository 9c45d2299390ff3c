import numpy as np
import pytest

from heygemd.render.atlas.gap import Axes, DarkLine, Profile, dark_line, fill_plan, sample
from heygemd.render.atlas.mesh import COLUMNS

UPRIGHT = Axes.along(np.array([0.0, 1.0]))
EYE_PX = 100.0


def mouth(opening_px: float, *, half_px: float = 30.0, centre=(50.0, 50.0)) -> Profile:
    x = np.linspace(-1, 1, COLUMNS)
    half = opening_px / 2 * (1 - x**2)
    return Profile(x=centre[0] + half_px * x, upper=centre[1] - half, lower=centre[1] + half)


def middle_column(profile: Profile, shares) -> np.ndarray:
    upper, lower = profile.at(np.array([50.0]))
    return np.array([[50.0, upper[0] + share * (lower[0] - upper[0])] for share in shares])


def test_any_number_of_points_can_be_sampled():
    picture = np.zeros((40, 50, 3), np.float32)
    picture[..., 0] = np.arange(50)
    points = np.full((70_000, 2), 20.0)
    points[:, 0] = 10 + np.arange(70_000) % 30
    assert sample(picture, points)[:, 0] == pytest.approx(points[:, 0])
    assert sample(picture, points[:6].reshape(2, 3, 2)).shape == (2, 3, 3)


def test_closing_leaves_the_teeth_where_they_are():
    source, target = mouth(20), mouth(8)
    pixels = middle_column(target, [0.2, 0.5, 0.8])
    gap = fill_plan(pixels, target, source, UPRIGHT, DarkLine(row=0.6, clearness=1), opening=0.2, eye_px=EYE_PX)
    assert gap.kept == pytest.approx(pixels)
    assert not gap.absent.any()
    assert not gap.lower_share.any()


def test_opening_paints_only_between_upper_and_lower_teeth():
    source, target = mouth(10), mouth(24)
    pixels = middle_column(target, [0.02, 0.5, 0.98])
    gap = fill_plan(pixels, target, source, UPRIGHT, DarkLine(row=0.5, clearness=1), opening=0.1, eye_px=EYE_PX)
    assert gap.absent[1] > 0.95
    assert gap.absent[0] < 0.05
    assert gap.absent[2] < 0.3
    assert gap.kept[0, 1] < 50 < gap.lower[2, 1]


def test_a_shut_source_is_painted_whole():
    source, target = mouth(1), mouth(20)
    gap = fill_plan(
        middle_column(target, [0.1, 0.5, 0.9]),
        target,
        source,
        UPRIGHT,
        DarkLine(row=1, clearness=0),
        opening=0.01,
        eye_px=EYE_PX,
    )
    assert gap.absent == pytest.approx(1)


def test_the_dark_line_between_the_teeth_is_found():
    source = mouth(20)
    picture = np.full((100, 100, 3), 200, np.float32)
    picture[51:54] = 30
    line = dark_line(picture, source, UPRIGHT)
    assert line.clearness == 1
    assert line.row == pytest.approx((52 - 40) / 20, abs=0.1)


def test_teeth_that_fill_the_mouth_have_no_dark_line():
    line = dark_line(np.full((100, 100, 3), 200, np.float32), mouth(20), UPRIGHT)
    assert line.clearness == 0
    assert line.row == 1
