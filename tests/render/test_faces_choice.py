"""Whose mouth is moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import InputError
from heygemd.render.faces.choice import choose
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

MEAN = load_face_model().mean_face[list(MESH_INDEXES), :2]


def crowd(*people: tuple[int, range, float, float], cuts: tuple[int, ...] = (), frames: int = 30) -> Crowd:
    """People are (number, frames, x of the face, eye distance in px); `cuts` are the first frames of new scenes."""
    rows = sorted((frame, number, x, eye_px) for number, seen, x, eye_px in people for frame in seen)
    m = len(rows)
    scene = np.searchsorted(np.array(cuts), np.arange(frames), side="right").astype(np.int32)
    return Crowd(
        pts_s=np.arange(frames) / 25,
        scene=scene,
        size_px=np.array([1280, 720], np.int32),
        frame=np.array([row[0] for row in rows], np.int32),
        person=np.array([row[1] for row in rows], np.int32),
        points=np.array([MEAN * eye_px + [x, 360] for _, _, x, eye_px in rows], np.float32).reshape(m, 74, 2),
        confidence=np.full(m, 0.9, np.float32),
        lips_visible=np.full(m, 0.95, np.float32),
        skin=np.full((m, 16, 3), 120, np.uint8),
    )


def x_of(clip: Crowd, rule: str) -> list[int | None]:
    """Where the chosen face is in each frame."""
    track = choose(clip, rule)
    nose = track.points[:, 56, 0]
    return [None if np.isnan(x) else round(float(x)) for x in nose]


ALL = range(30)
THREE = crowd((0, ALL, 300, 60), (1, ALL, 620, 50), (2, ALL, 1000, 90))


def near(found: list[int | None], x: int) -> bool:
    return all(place is not None and abs(place - x) < 10 for place in found)


@pytest.mark.parametrize(
    ("rule", "x"),
    [("left", 300), ("right", 1000), ("largest", 1000), ("index:1", 300), ("index:2", 620), ("index:3", 1000)],
)
def test_rule_means_a_place_or_a_size(rule: str, x: int) -> None:
    assert near(x_of(THREE, rule), x)


def test_main_face_is_the_one_seen_longest_if_they_are_alike() -> None:
    assert near(x_of(crowd((0, range(12), 300, 60), (1, range(30), 980, 60)), "main"), 980)


def test_main_face_is_the_most_central_one_if_they_are_alike() -> None:
    assert near(x_of(crowd((0, ALL, 100, 60), (1, ALL, 640, 60)), "main"), 640)


def test_main_face_is_the_largest_one_if_they_are_alike() -> None:
    assert near(x_of(crowd((0, ALL, 340, 60), (1, ALL, 940, 100)), "main"), 940)


def test_passer_by_counts_for_no_place() -> None:
    clip = crowd((0, range(3), 100, 200), (1, ALL, 500, 60), (2, ALL, 900, 50))
    assert near(x_of(clip, "left"), 500)
    assert near(x_of(clip, "largest"), 500)
    assert near(x_of(clip, "index:2"), 900)


def test_index_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"index:4.*more than 3"):
        choose(THREE, "index:4")


@pytest.mark.parametrize("rule", ["", "index:0", "index:", "index:1x", "middle", "MAIN"])
def test_unknown_rule_is_a_fault_of_the_caller(rule: str) -> None:
    with pytest.raises(ValueError, match="no rule"):
        choose(THREE, rule)


@pytest.mark.parametrize("rule", ["main", "index:2"])
def test_clip_without_faces_gives_an_empty_track(rule: str) -> None:
    track = choose(Crowd.nobody(np.arange(5) / 25), rule)
    assert not track.present.any()
    assert track.points.shape == (5, 74, 2)


def test_nobody_else_is_taken_where_the_chosen_one_is_not_seen() -> None:
    clip = crowd((0, range(20), 300, 60), (1, ALL, 900, 30))
    found = x_of(clip, "left")
    assert near(found[:20], 300)
    assert found[20:] == [None] * 10


def test_same_person_is_taken_after_a_cut_whatever_the_rule() -> None:
    clip = crowd(
        (0, range(20), 300, 60),
        (1, range(20), 900, 60),
        (2, range(20, 30), 310, 62),
        (3, range(20, 30), 40, 30),
        cuts=(20,),
    )
    clip.skin[clip.person == 3] = 40
    assert near(x_of(clip, "left")[20:], 310)


def test_rule_decides_again_where_nobody_is_clearly_the_same() -> None:
    clip = crowd((0, range(20), 640, 60), (1, range(20, 30), 300, 61), (2, range(20, 30), 980, 60), cuts=(20,))
    assert near(x_of(clip, "right")[20:], 980)
    assert near(x_of(clip, "left")[20:], 300)


def test_scene_without_the_asked_face_shows_none() -> None:
    clip = crowd((0, range(20), 300, 60), (1, range(20), 900, 60), (2, range(20, 30), 600, 150), cuts=(20,))
    clip.skin[clip.person == 2] = 30
    found = x_of(clip, "index:2")
    assert near(found[:20], 900)
    assert found[20:] == [None] * 10


def test_track_has_every_column_of_the_person(tmp_path: Path) -> None:
    clip = replace(THREE, skin=np.arange(90 * 48, dtype=np.uint16).astype(np.uint8).reshape(90, 16, 3))
    track = choose(clip, "index:2", scratch=tmp_path)
    np.testing.assert_array_equal(track.points, clip.points[clip.person == 1])
    np.testing.assert_array_equal(track.skin, clip.skin[clip.person == 1])
    assert (track.confidence == np.float32(0.9)).all()
    assert (track.lips_visible == np.float32(0.95)).all()
    assert list(tmp_path.iterdir()) == []


def test_saved_crowd_comes_back_equal(tmp_path: Path) -> None:
    for clip in (THREE, Crowd.nobody(np.arange(4) / 25, size_px=(64, 48))):
        clip.save(tmp_path / "crowd.npz")
        again = Crowd.load(tmp_path / "crowd.npz")
        assert clip.boxes is None and again.boxes is None
        for name in set(Crowd.__dataclass_fields__) - {"boxes"}:
            before, after = getattr(clip, name), getattr(again, name)
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)


def test_crowd_whose_columns_do_not_fit_is_refused(tmp_path: Path) -> None:
    replace(THREE, skin=THREE.skin[:5]).save(tmp_path / "crowd.npz")
    with pytest.raises(ValueError, match="length"):
        Crowd.load(tmp_path / "crowd.npz")
