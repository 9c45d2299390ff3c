import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.render.faces.track import FaceTrack
from heygemd.render.sheet import CELL_PX, COLUMNS, chosen_frames, face_cell, write_sheet


def planes(width, height, luma):
    """A grey picture with one brighter half, as I420."""
    made = np.full((height * 3 // 2, width), 128, np.uint8)
    made[:height] = luma
    return made


def track_of(boxes):
    """One frame for each box `(x0, y0, x1, y1)`; None: no face."""
    points = np.full((len(boxes), 74, 2), np.nan, np.float32)
    for row, box in enumerate(boxes):
        if box is not None:
            x0, y0, x1, y1 = box
            points[row] = np.linspace((x0, y0), (x1, y1), 74)
    seen = np.array([box is not None for box in boxes], np.float32)
    return FaceTrack(
        pts_s=np.arange(len(boxes)) / 25, points=points, confidence=seen, lips_visible=seen,
        skin=np.zeros((len(boxes), 16, 3), np.uint8), scene=np.zeros(len(boxes), np.int32),
    )  # fmt: skip


def draw(folder, source, result, track, rows=None):
    """Returns the sheet as a person sees it."""
    path = folder / "sheet.jpg"
    rows = list(range(len(source))) if rows is None else rows
    above, below = ([face_cell(p, track, row) for p, row in zip(side, rows, strict=False)] for side in (source, result))
    write_sheet(path, source=above, result=below, times_s=[0.04 * row for row in rows])
    assert [entry.name for entry in folder.iterdir()] == ["sheet.jpg"]
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


@given(st.integers(1, 10**6))
def test_chosen_frames_exist_rise_and_lie_evenly(count):
    chosen = chosen_frames(count)
    assert len(chosen) == min(COLUMNS, count)
    assert chosen == sorted(set(chosen))
    assert all(0 <= frame < count for frame in chosen)
    gaps = np.diff([-chosen[0] - 1, *chosen, 2 * count - chosen[-1] - 1])
    assert gaps.max() - gaps.min() <= 2


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (2, [0, 1]), (6, [0, 1, 2, 3, 4, 5]), (12, [1, 3, 5, 7, 9, 11])]
)
def test_few_frames_are_shown_one_by_one(count, expected):
    assert chosen_frames(count) == expected


def test_the_source_stands_above_the_film(tmp_path):
    picture = draw(tmp_path, [planes(64, 64, 60)] * 2, [planes(64, 64, 200)] * 2, track_of([None, None]))
    assert picture.shape == (2 * CELL_PX, 2 * CELL_PX)
    assert np.median(picture[:CELL_PX]) < 80
    assert np.median(picture[CELL_PX:]) > 180


def test_a_face_fills_its_cell(tmp_path):
    face = planes(400, 300, 30)
    face[100:180, 200:280] = 220
    picture = draw(tmp_path, [face], [face], track_of([(200, 100, 280, 180)]))
    bright = (picture[CELL_PX:] > 120).mean()
    assert 0.35 < bright < 0.5, "the box is 1 / 1.56 of the side of its crop"


@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (380, 280, 460, 360), (0, 0, 399, 299), (150, 100, 151, 101)],
    ids=["corner", "far corner", "whole picture", "a point"],
)  # fmt: skip
def test_a_face_at_the_border_is_shown_as_far_as_it_goes(tmp_path, box):
    assert draw(tmp_path, [planes(400, 300, 99)], [planes(400, 300, 99)], track_of([box])).shape == (640, 320)


def test_a_face_outside_the_picture_shows_the_whole_picture(tmp_path):
    wide = planes(400, 200, 150)
    picture = draw(tmp_path, [wide], [wide], track_of([(900, 900, 950, 950)]))
    assert np.median(picture[CELL_PX : CELL_PX + 70]) < 20, "black above a wide picture"
    assert np.median(picture[CELL_PX + 100 : CELL_PX + 220]) > 120


@pytest.mark.parametrize(("width", "height"), [(2, 2), (2, 2000), (3000, 2)])
def test_odd_shapes_fit_a_cell(tmp_path, width, height):
    small = planes(width, height + height % 2, 99)
    assert draw(tmp_path, [small], [small], track_of([None])).shape == (640, 320)


def test_the_crop_follows_the_source_frame_that_is_shown(tmp_path):
    left, right = planes(400, 300, 30), planes(400, 300, 30)
    left[100:180, 20:100] = 220
    right[100:180, 300:380] = 220
    track = track_of([(20, 100, 100, 180), None, (300, 100, 380, 180)])
    picture = draw(tmp_path, [right, left], [right, left], track, rows=[2, 0])
    for column in (slice(0, 320), slice(320, 640)):
        assert (picture[CELL_PX:, column] > 120).mean() > 0.3


def test_rows_of_unequal_length_are_a_bug(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        draw(tmp_path, [planes(8, 8, 1)] * 2, [planes(8, 8, 1)], track_of([None, None]))
