"""The whole tracker on one real portrait (scikit-image's public-domain astronaut), moved about by us."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from heygemd.render.faces import topology, tracker
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.track import FaceTrack
from heygemd.render.faces.tracker import track_clip

data = pytest.importorskip("skimage.data")

# Read off the portrait by eye: outer corners of the eyes, corners of the mouth.
EYE_CORNERS = np.array([[194, 101], [257, 105]])
MOUTH_CORNERS = np.array([[200, 138], [246, 140]])
EYE_DISTANCE_PX = 63.0


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The crops are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """uint8[512, 512, 3] BGR."""
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def planes(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)


def clip(frames: list[np.ndarray]) -> FaceTrack:
    return track_clip((number / 25, planes(frame)) for number, frame in enumerate(frames))


def moved(
    bgr: np.ndarray, zoom: float, right: float, down: float, turn_deg: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Move the portrait about its face; returns the picture and the map that was applied."""
    affine = cv2.getRotationMatrix2D((225.0, 130.0), turn_deg, zoom)
    affine[:, 2] += [right, down]
    return cv2.warpAffine(bgr, affine, (512, 512), borderMode=cv2.BORDER_REFLECT), affine


def test_face_is_found_where_it_is(portrait: np.ndarray) -> None:
    track = clip([portrait])
    assert track.confidence[0] > 0.97
    assert track.lips_visible[0] > 0.85
    assert track.points[0, topology.OUTER_EYE_CORNER_ROWS] == pytest.approx(EYE_CORNERS, abs=4)
    assert track.points[0, topology.MOUTH_CORNER_ROWS] == pytest.approx(MOUTH_CORNERS, abs=4)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_same_points_are_found_in_another_resolution(portrait: np.ndarray, scale: float) -> None:
    side = round(512 * scale)
    resized = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    here, there = clip([portrait]).points[0], clip([resized]).points[0] / scale
    assert np.linalg.norm(here - there, axis=1).mean() < 0.03 * EYE_DISTANCE_PX


def test_moving_face_is_followed_without_drift(portrait: np.ndarray) -> None:
    course = [(1 + 0.006 * n, 2.5 * n, 1.5 * n, 10 * np.sin(n / 8)) for n in range(40)]
    frames, maps = zip(*(moved(portrait, *step) for step in course), strict=True)
    track = clip(list(frames))
    assert track.present.all()
    assert (track.scene == 0).all()
    first = track.points[0] @ np.linalg.inv(maps[0][:, :2]).T
    errors = []
    for points, affine in zip(track.points, maps, strict=True):
        home = (points - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
        errors.append(np.linalg.norm(home - first, axis=1).mean() / EYE_DISTANCE_PX)
    assert max(errors) < 0.06
    assert np.mean(errors[-8:]) < 0.04  # far from home, and still no farther off than the net's own noise


def test_still_face_stands_still(portrait: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    frames = [(portrait + generator.normal(0, 3, portrait.shape)).clip(0, 255).astype(np.uint8) for _ in range(12)]
    points = clip(frames).points
    assert points[:, topology.LIP_ROWS].std(axis=0).mean() < 0.01 * EYE_DISTANCE_PX


def test_noise_holds_no_face() -> None:
    generator = np.random.default_rng(0)
    track = clip([generator.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(3)])
    assert not track.present.any()
    assert np.isnan(track.points).all()
    assert (track.lips_visible == 0).all()


def test_cat_is_no_face() -> None:
    assert not clip([np.ascontiguousarray(data.chelsea()[:, :450, ::-1])]).present.any()


def test_cut_raises_the_scene_and_the_face_is_searched_anew(portrait: np.ndarray) -> None:
    second = np.full_like(portrait, (200, 120, 60))
    second[192:, 192:] = portrait[:320, :320]
    track = clip([portrait] * 3 + [second] * 3)
    assert track.scene.tolist() == [0, 0, 0, 1, 1, 1]
    assert track.present.all()
    assert track.points[4, topology.OUTER_EYE_CORNER_ROWS] == pytest.approx(EYE_CORNERS + 192, abs=4)


def test_covered_mouth_is_noticed_while_the_face_is_followed(portrait: np.ndarray) -> None:
    covered = portrait.copy()
    covered[128:160, 190:256] = (235, 240, 240)  # a sheet of paper
    track = clip([portrait, covered])
    assert track.present.all()
    assert track.lips_visible[0] > 0.85
    assert track.lips_visible[1] < 0.5


def test_either_net_may_see_that_the_mouth_is_covered() -> None:
    reader, grey = tracker.FaceReader(), Picture.of_planes(np.full((192, 128), 128, np.uint8))
    points = np.random.default_rng(0).uniform(40, 90, (topology.POINT_COUNT, 2))
    readings = [tracker.Reading(points=points, face=1.0, lips_visible=belief) for belief in (0.0, 1.0)]
    doubted, believed = (reader.refine_lips(grey, reading).lips_visible for reading in readings)
    assert doubted == 0.0
    assert 0.0 < believed < 1.0


def test_face_that_disappears_is_lost_and_found_again(portrait: np.ndarray) -> None:
    covered = portrait.copy()
    covered[60:200, 150:300] = (60, 90, 120)
    track = clip([portrait] * 3 + [covered] * 3 + [portrait] * 3)
    assert track.present[:3].all()
    assert not track.present[3:6].any()
    assert track.present[6:].all()  # at once: the last place is looked at in every frame


def test_search_is_repeated_more_and_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    grey = Picture.of_planes(np.full((96, 64), 128, np.uint8))
    following = tracker.FaceTracker()
    for number in range(50):
        monkeypatch.setattr(tracker, "find_face", lambda *_, number=number: searched.append(number))
        assert following.follow(grey) is None
    assert searched == [0, 3, 9, 21, 33, 45]


def test_thing_that_is_no_face_is_let_go(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "AGREEMENT_EVERY_FRAMES", 3)
    monkeypatch.setattr(tracker.FaceReader, "disagreement", lambda *_: 0.0)
    following, picture = tracker.FaceTracker(), Picture.of_planes(planes(portrait))
    assert following.follow(picture) is not None
    assert following.follow(picture) is not None
    monkeypatch.setattr(tracker.FaceReader, "disagreement", lambda *_: 0.2)
    monkeypatch.setattr(tracker, "find_face", lambda *_: None)
    assert following.follow(picture) is None


def test_progress_counts_frames(portrait: np.ndarray) -> None:
    heard: list[int] = []
    track_clip(((n / 25, planes(portrait)) for n in range(3)), heard.append)
    assert heard == [1, 2, 3]


def test_no_frames_give_an_empty_track() -> None:
    track = track_clip(iter(()))
    assert track.points.shape == (0, 74, 2)
    assert len(track.pts_s) == 0


def test_time_stamps_are_those_given(portrait: np.ndarray) -> None:
    assert track_clip([(0.0, planes(portrait)), (0.07, planes(portrait))]).pts_s.tolist() == [0.0, 0.07]


def test_saved_track_comes_back_equal(portrait: np.ndarray, tmp_path) -> None:
    track = clip([portrait])
    absent = FaceTrack.without_face(np.array([0.04]))
    track = FaceTrack(
        **{
            name: np.concatenate([getattr(track, name), getattr(absent, name)])
            for name in FaceTrack.__dataclass_fields__
        }
    )
    track.save(tmp_path / "track.npz")
    again = FaceTrack.load(tmp_path / "track.npz")
    for name in FaceTrack.__dataclass_fields__:
        before, after = getattr(track, name), getattr(again, name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert [file.name for file in tmp_path.iterdir()] == ["track.npz"]


def test_same_frames_give_the_same_track(portrait: np.ndarray) -> None:
    np.testing.assert_array_equal(clip([portrait] * 2).points, clip([portrait] * 2).points)
