"""The net that names where faces may be."""

import cv2
import numpy as np
import pytest
import torch

from heygemd.render.faces.detector import (
    CELL_PX,
    LEAST_BELIEF,
    MOST_CANDIDATES,
    UNIT_SIDE_PX,
    Candidate,
    DetectorNet,
    FaceDetector,
    as_input,
    decoded,
)
from heygemd.render.faces.picture import Picture

FACE = np.array([224.0, 124.0])
FACE_PX = 112.0
"""Middle and side of the astronaut's face in scikit-image's picture."""


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)


def as_picture(bgr: np.ndarray) -> Picture:
    return Picture.of_planes(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420))


def is_face(candidate: Candidate, centre: np.ndarray, side_px: float) -> bool:
    near = np.linalg.norm(candidate.centre - centre) < 0.25 * side_px
    return bool(near and 0.6 < candidate.side_px / side_px < 1.6)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 2.0, 3.0])
def test_a_face_is_among_the_first_candidates_at_any_size(detector, astronaut, scale: float) -> None:
    size = round(512 * scale / 2) * 2
    picture = as_picture(cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA))
    found = detector.detect(picture)
    # Badges and a toy rocket are candidates too: the landmark net is asked.
    assert any(is_face(one, FACE * scale, FACE_PX * scale) for one in found[:3])
    assert [one.belief for one in found] == sorted((one.belief for one in found), reverse=True)


def test_every_face_of_a_picture_is_named(detector, astronaut) -> None:
    picture = np.full((480, 854, 3), 120, np.uint8)
    places = []
    for size, x, y in ((400, 20, 60), (250, 430, 200)):
        picture[y : y + size, x : x + size] = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA)
        places.append((FACE * size / 512 + (x, y), FACE_PX * size / 512))
    found = detector.detect(as_picture(picture))
    for centre, side_px in places:
        assert sum(is_face(one, centre, side_px) for one in found) == 1


def test_an_empty_picture_names_nothing_sure(detector) -> None:
    for level in (20, 120, 235):
        found = detector.detect(as_picture(np.full((360, 640, 3), level, np.uint8)))
        assert all(one.belief < 0.5 for one in found)


def test_tiny_and_long_pictures_are_looked_at(detector) -> None:
    for size in ((2, 2), (16, 1200), (1200, 16)):
        assert len(detector.detect(as_picture(np.full((*size, 3), 90, np.uint8)))) <= MOST_CANDIDATES


def test_the_same_picture_gives_the_same_answer(detector, astronaut) -> None:
    first, again = (detector.detect(as_picture(astronaut)) for _ in range(2))
    assert [(one.belief, *one.centre) for one in first] == [(one.belief, *one.centre) for one in again]


# Reading the maps


def maps_with(*peaks: tuple[int, int, float, float]) -> np.ndarray:
    """Maps of 20 × 30 cells with peaks of row, column, logit and side."""
    maps = np.zeros((4, 20, 30), np.float32)
    maps[0] = -8
    for row, column, logit, side in peaks:
        maps[0, row, column] = logit
        maps[1, row, column] = np.log(side / UNIT_SIDE_PX)
    return maps


def test_a_peak_is_read_as_place_side_and_belief() -> None:
    maps = maps_with((5, 7, 2.0, 50.0))
    maps[2:, 5, 7] = 0.1, -0.2
    ((x, y, side, belief),) = decoded(maps)
    assert (x, y) == pytest.approx((7.5 * CELL_PX - 0.5 + 5, 5.5 * CELL_PX - 0.5 - 10))
    assert (side, belief) == pytest.approx((50, 1 / (1 + np.exp(-2))))


def test_one_face_is_named_once_and_neighbours_both() -> None:
    assert len(decoded(maps_with((5, 7, 2.0, 100.0), (8, 7, 1.0, 100.0)))) == 1
    assert len(decoded(maps_with((5, 7, 2.0, 40.0), (8, 7, 1.0, 40.0)))) == 2


def test_what_is_hardly_believed_is_not_named() -> None:
    limit = float(np.log(LEAST_BELIEF / (1 - LEAST_BELIEF)))
    assert len(decoded(maps_with((5, 7, limit - 0.01, 40.0)))) == 0
    assert len(decoded(maps_with((5, 7, limit + 0.01, 40.0)))) == 1


def test_candidates_are_not_without_number() -> None:
    peaks = [(row, column, 1.0, 8.0) for row in range(0, 20, 3) for column in range(0, 30, 3)]
    assert len(decoded(maps_with(*peaks))) == MOST_CANDIDATES


def test_a_wild_answer_stays_finite() -> None:
    maps = maps_with((5, 7, 90.0, 40.0))
    maps[1, 5, 7] = 1e6
    assert np.isfinite(decoded(maps)).all()


def test_pictures_are_padded_to_whole_steps() -> None:
    assert as_input(np.zeros((1, 100, 130, 3), np.uint8)).shape == (1, 3, 128, 192)


def test_folding_the_normalisation_changes_no_answer() -> None:
    torch.manual_seed(0)
    net = DetectorNet()
    net(torch.randn(2, 3, 64, 64))
    net.eval()
    picture = torch.randn(1, 3, 64, 128)
    with torch.inference_mode():
        before = net(picture)
        net.fuse()
        after = net(picture)
    assert torch.allclose(before, after, atol=1e-4)
