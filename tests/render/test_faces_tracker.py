"""The whole tracker on one real portrait (scikit-image's public-domain astronaut), moved about by us."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from heygemd.render.faces import follower, topology
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.reader import FaceReader, Reading
from heygemd.render.faces.track import FaceTrack
from heygemd.render.faces.tracker import AHEAD_FRAMES, track_clip, track_crowd

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
    reader, grey = FaceReader(), Picture.of_planes(np.full((192, 128), 128, np.uint8))
    points = np.random.default_rng(0).uniform(40, 90, (topology.POINT_COUNT, 2))
    skin = np.zeros((16, 3), np.uint8)
    readings = [Reading(points=points, face=1.0, lips_visible=belief, skin=skin) for belief in (0.0, 1.0)]
    doubted, believed = (one.lips_visible for one in reader.refine_lips([(grey, reading) for reading in readings]))
    assert doubted == 0.0
    assert 0.0 < believed < 1.0


def test_face_that_disappears_is_lost_and_found_again(portrait: np.ndarray) -> None:
    covered = portrait.copy()
    covered[60:200, 150:300] = (60, 90, 120)
    track = clip([portrait] * 3 + [covered] * 3 + [portrait] * 3)
    assert track.present[:3].all()
    assert not track.present[3:6].any()
    assert track.present[6:].all()  # at once: the last place is looked at in every frame


def follow(following: follower.FaceTracker, picture: Picture, frames: int) -> list[int]:
    """How many faces are seen in each of some equal frames."""
    return [len(sightings) for sightings in following.follow([picture] * frames)]


def test_glances_are_repeated_more_and_more_rarely_and_thorough_searches_still_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(follower, "glance_for_faces", lambda *_: calls.append("glance") or [])
    monkeypatch.setattr(follower, "search_for_faces", lambda *_: calls.append("search") or [])
    following, grey = follower.FaceTracker(), Picture.of_planes(np.full((96, 64), 128, np.uint8))
    heard = []
    for number in range(270):
        assert follow(following, grey, 1) == [0]
        heard += [(number, call) for call in calls]
        calls.clear()
    assert [number for number, call in heard if call == "glance"][:6] == [0, 3, 9, 21, 33, 45]
    assert [number for number, call in heard if call == "search"] == [0, 261]


def test_thing_that_is_no_face_is_let_go(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "AGREEMENT_EVERY_FRAMES", 3)
    following, picture = follower.FaceTracker(), Picture.of_planes(planes(portrait))
    assert follow(following, picture, 2) == [1, 1]
    monkeypatch.setattr(FaceReader, "disagreement", lambda *_: 0.2)
    assert follow(following, picture, 1) == [0]


def test_frames_read_together_give_what_they_give_alone(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [moved(portrait, 1 + 0.004 * n, 3.0 * n, 1.0 * n, 0.5 * n)[0] for n in range(9)]
    together = clip(frames).points
    monkeypatch.setattr("heygemd.render.faces.tracker.AHEAD_FRAMES", 1)
    alone = clip(frames).points
    distance = np.linalg.norm(together - alone, axis=2)
    assert distance.mean() < 0.01 * EYE_DISTANCE_PX


@pytest.mark.parametrize(("step_px", "error_px"), [(14.0, 1.0), (45.0, 4.0)])
def test_fast_face_is_read_again_where_it_went(portrait: np.ndarray, step_px: float, error_px: float) -> None:
    """A tenth, and a third, of a face side in a frame."""
    frames = [moved(portrait, 1.0, step_px * n, 0.0)[0] for n in range(AHEAD_FRAMES + 1)]
    track = clip(frames)
    assert track.present.all()
    eyes = track.points[:, topology.OUTER_EYE_CORNER_ROWS].mean(axis=1)
    assert np.diff(eyes[:, 0]) == pytest.approx(step_px, abs=error_px)


def two_people(portrait: np.ndarray) -> np.ndarray:
    """The portrait and its mirror image, smaller, side by side: uint8[512, 768, 3]."""
    small = cv2.resize(portrait[:, ::-1], None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA)
    picture = np.full((512, 768, 3), (150, 120, 90), np.uint8)
    picture[:, :400] = portrait[:, 20:420]
    picture[40 : 40 + len(small), 400:] = small[:, 60:428]
    return picture


def test_every_face_is_followed_and_keeps_its_number(portrait: np.ndarray) -> None:
    crowd = track_crowd((n / 25, planes(two_people(portrait))) for n in range(6))
    assert crowd.person_count == 2
    assert np.bincount(crowd.frame).tolist() == [2] * 6
    for person in range(2):
        assert crowd.points[crowd.person == person].std(axis=0).max() < 1


def test_newcomer_is_found_while_somebody_is_followed(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "NEWCOMERS_EVERY_FRAMES", 4)
    both = two_people(portrait)
    alone = both.copy()
    alone[:, 400:] = (150, 120, 90)
    crowd = track_crowd((n / 25, planes(frame)) for n, frame in enumerate([alone] * 3 + [both] * 6))
    assert crowd.person_count == 2
    second = crowd.frame[crowd.person == 1]
    assert second.tolist() == list(range(4, 9))


def test_two_strands_never_stay_on_one_face(portrait: np.ndarray) -> None:
    following, picture = follower.FaceTracker(), Picture.of_planes(planes(portrait))
    assert follow(following, picture, 2) == [1, 1]
    one = following._followed[0]
    following._followed.append(follower._Followed(strand=7, points=one.points + 15))
    ((strand, _),) = following.follow([picture])[0]
    assert strand == one.strand


def test_face_seen_from_the_side_is_let_go(portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    following, picture = follower.FaceTracker(), Picture.of_planes(planes(portrait))
    assert follow(following, picture, 1) == [1]
    monkeypatch.setattr(follower, "nose_offset", lambda points: 0.55)
    assert follow(following, picture, 3) == [0, 0, 0]
    monkeypatch.undo()
    assert follow(following, picture, 1) == [1]


def test_skin_around_the_mouth_has_the_colour_of_skin(portrait: np.ndarray) -> None:
    skin = clip([portrait]).skin[0].astype(int)
    blue, green, red = skin.T
    assert (red > green).all()
    assert (green > blue).all()
    assert red.min() > 120


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
            if name != "boxes"
        }
    )
    assert track.boxes is None  # the built-in tracker has none
    track.save(tmp_path / "track.npz")
    again = FaceTrack.load(tmp_path / "track.npz")
    assert again.boxes is None
    for name in set(FaceTrack.__dataclass_fields__) - {"boxes"}:
        before, after = getattr(track, name), getattr(again, name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    assert [file.name for file in tmp_path.iterdir()] == ["track.npz"]


def test_same_frames_give_the_same_track(portrait: np.ndarray) -> None:
    np.testing.assert_array_equal(clip([portrait] * 2).points, clip([portrait] * 2).points)


@pytest.mark.gpu
def test_card_gives_the_same_track(portrait: np.ndarray) -> None:
    frames = [(n / 25, planes(moved(portrait, 1 + 0.004 * n, 3.0 * n, 0.0)[0])) for n in range(9)]
    here, there = track_clip(iter(frames)), track_clip(iter(frames), device="cuda:0")
    assert there.present.all()
    assert np.linalg.norm(here.points - there.points, axis=2).mean() < 0.005 * EYE_DISTANCE_PX
    assert there.lips_visible == pytest.approx(here.lips_visible, abs=0.05)
