import numpy as np
import pytest

from heygemd.render.atlas.gap import Axes, DarkLine, Profile, fill_plan, sample
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


def plan(pixels, target, source, *, row, clearness, opening, teeth=1.0, worth_below=1.0):
    line = DarkLine(row=row, clearness=clearness, worth_below=worth_below)
    return fill_plan(pixels, target, source, UPRIGHT, line, opening=opening, teeth=teeth, eye_px=EYE_PX)


def test_closing_leaves_the_teeth_where_they_are():
    source, target = mouth(20), mouth(8)
    pixels = middle_column(target, [0.2, 0.5, 0.8])
    gap = plan(pixels, target, source, row=0.6, clearness=1, opening=0.2, teeth=0.0)
    assert gap.kept == pytest.approx(pixels)
    assert not gap.absent.any()
    assert not gap.lower_share.any()


def test_opening_paints_only_between_upper_and_lower_teeth():
    source, target = mouth(10), mouth(24)
    pixels = middle_column(target, [0.02, 0.5, 0.98])
    gap = plan(pixels, target, source, row=0.5, clearness=1, opening=0.1)
    assert gap.absent[1] > 0.95
    assert gap.absent[0] < 0.05
    assert gap.absent[2] < 0.3
    assert gap.kept[0, 1] < 50 < gap.lower[2, 1]


def test_a_shut_source_is_painted_whole():
    source, target = mouth(1), mouth(20)
    pixels = middle_column(target, [0.1, 0.5, 0.9])
    gap = plan(pixels, target, source, row=1, clearness=0, opening=0.01)
    assert gap.absent == pytest.approx(1)


def test_without_upper_teeth_more_is_painted_the_wider_it_opens():
    source = mouth(10)
    absent = []
    for opening_px in np.arange(10, 20, 0.25):
        target = mouth(opening_px)
        gap = plan(middle_column(target, [0.1]), target, source, row=0.5, clearness=1, opening=0.1, teeth=0.0)
        absent.append(gap.absent[0])
    assert absent[0] == 0
    assert absent[-1] == 1
    assert (np.diff(absent) >= 0).all()
    assert np.diff(absent).max() < 0.1


def test_less_is_painted_the_surer_the_upper_teeth_are_seen():
    source, target = mouth(10), mouth(24)
    pixels = middle_column(target, [0.05])
    absent = [
        plan(pixels, target, source, row=0.5, clearness=1, opening=0.1, teeth=teeth).absent[0]
        for teeth in (0.0, 0.3, 0.6, 1.0)
    ]
    assert absent == pytest.approx([1, 0.7, 0.4, 0], abs=0.03)


def test_lower_teeth_stay_below_painted_upper_ones():
    source, target = mouth(10), mouth(24)
    pixels = middle_column(target, [0.9])
    kept, lost = (
        plan(pixels, target, source, row=0.5, clearness=1, opening=0.1, teeth=0.0, worth_below=worth)
        for worth in (1.0, 0.0)
    )
    assert kept.lower_share > 0.9
    assert kept.absent < 0.1
    assert lost.lower_share == 0
    assert lost.absent == 1
