from dataclasses import replace

import numpy as np
import pytest

from heygemd.render.atlas.gap import DarkLine, FacePlane, Lips, Profile, fill_plan, sample
from heygemd.render.atlas.mesh import COLUMNS, UPPER_INNER
from heygemd.render.atlas.shape import face_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

EYE_PX = 100.0
PLANE = FacePlane(matrix=EYE_PX * np.eye(2), shift=np.array([50.0, 50.0]), slant=np.zeros(2))


def mouth(opening_px: float, *, half_px: float = 30.0) -> Lips:
    x = np.linspace(-1, 1, COLUMNS)
    half = opening_px / 2 * (1 - x**2) / EYE_PX
    return Lips(plane=PLANE, profile=Profile(x=half_px / EYE_PX * x, upper=-half, lower=half))


def middle_column(lips: Lips, shares) -> np.ndarray:
    upper, lower = lips.profile.at(np.zeros(1))
    return np.array([PLANE.join(0.0, upper[0] + share * (lower[0] - upper[0])) for share in shares])


def turned(yaw_deg: float, roll_deg: float, *, eye_px: float, shift=(200.0, 150.0)) -> np.ndarray:
    """The 74 points of the mean face, turned: float32[74, 2]."""
    yaw, roll = np.radians([yaw_deg, roll_deg])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    mean = load_face_model().mean_face[list(MESH_INDEXES)].astype(np.float64)
    return ((mean @ (about_z @ about_y).T)[:, :2] * eye_px + shift).astype(np.float32)


def test_the_plane_of_the_teeth_holds_a_point_of_the_skull_in_every_pose():
    places = []
    for pose in ((0, 0, 100.0), (0, 12, 140.0), (12, -5, 90.0)):
        face = face_of(turned(*pose[:2], eye_px=pose[2]))
        x, y = FacePlane.of(face).split(face.vertices[UPPER_INNER[3:8]])
        places.append(np.stack([x, y], axis=1))
    assert places[1] == pytest.approx(places[0], abs=0.012)
    assert places[2] == pytest.approx(places[0], abs=0.03)


def test_what_is_split_is_joined_again():
    plane = FacePlane.of(face_of(turned(14, 9, eye_px=120.0)))
    points = np.random.default_rng(1).uniform(0, 300, (20, 2))
    assert plane.join(*plane.split(points)) == pytest.approx(points)


def test_a_face_in_a_cut_out_has_the_same_plane_beside_its_place():
    face = face_of(turned(10, 4, eye_px=120.0))
    cut = replace(face, vertices=face.vertices - [70, 40])
    assert FacePlane.of(cut).shift == pytest.approx(FacePlane.of(face).shift - [70, 40])


def test_any_number_of_points_can_be_sampled():
    picture = np.zeros((40, 50, 3), np.float32)
    picture[..., 0] = np.arange(50)
    points = np.full((70_000, 2), 20.0)
    points[:, 0] = 10 + np.arange(70_000) % 30
    assert sample(picture, points)[:, 0] == pytest.approx(points[:, 0])
    assert sample(picture, points[:6].reshape(2, 3, 2)).shape == (2, 3, 3)


def plan(pixels, target, source, *, row, clearness, opening, teeth=1.0, worth_below=1.0):
    line = DarkLine(row=row, clearness=clearness, worth_below=worth_below)
    return fill_plan(pixels, target, source, line, opening=opening, teeth=teeth)


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


def test_a_source_of_another_size_gives_the_same_place_of_the_head():
    target = mouth(20)
    plane = FacePlane(matrix=2 * EYE_PX * np.eye(2), shift=np.array([300.0, 80.0]), slant=np.zeros(2))
    source = Lips(plane=plane, profile=target.profile)
    pixels = middle_column(target, [0.3, 0.6])
    gap = plan(pixels, target, source, row=0.6, clearness=1, opening=0.2)
    assert gap.kept == pytest.approx(np.array([300, 80]) + 2 * (pixels - 50))
    assert not gap.absent.any()


def test_lips_that_were_shut_are_dark_as_soon_as_they_part():
    absent = [
        plan(middle_column(mouth(o), [0.5]), mouth(o), mouth(0), row=1, clearness=0, opening=0.0).absent[0]
        for o in (0.1, 0.6, 1.2)
    ]
    assert absent[0] < 0.1
    assert absent[2] == 1


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
