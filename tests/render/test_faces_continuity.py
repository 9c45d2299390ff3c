"""One person per scene."""

from dataclasses import replace

import numpy as np
import pytest

from heygemd.render import arrays
from heygemd.render.faces.choice import choose
from heygemd.render.faces.continuity import persons_of, places_of
from heygemd.render.faces.crowd import Crowd

FACE = np.random.default_rng(0).uniform(-0.5, 0.5, (74, 2))
FACE[:2] = [[-0.5, -0.5], [0.5, 0.5]]


def crowd(*shots: tuple[int, float | None, float, int], skin: int = 120) -> Crowd:
    """A crowd at 25 fps of shots (frames, x of the face or None, side, scene): each shot is a strand."""
    places = [(x, side, scene, shot) for shot, (frames, x, side, scene) in enumerate(shots) for _ in range(frames)]
    seen = [(frame, x, side, shot) for frame, (x, side, _, shot) in enumerate(places) if x is not None]
    m = len(seen)
    return Crowd(
        pts_s=np.arange(len(places)) / 25,
        scene=np.array([scene for _, _, scene, _ in places], np.int32),
        size_px=np.array([1280, 720], np.int32),
        frame=np.array([frame for frame, _, _, _ in seen], np.int32),
        person=np.array([shot for _, _, _, shot in seen], np.int32),
        points=np.array([FACE * side + [x, 200] for _, x, side, _ in seen], np.float32).reshape(m, 74, 2),
        confidence=np.ones(m, np.float32),
        lips_visible=np.ones(m, np.float32),
        skin=np.full((m, 16, 3), skin, np.uint8),
    )


def people(clip: Crowd) -> list[int]:
    return persons_of(clip, places_of(clip)).tolist()


def seen(clip: Crowd) -> list[int]:
    """Frames in which the main person of each scene is seen."""
    return np.flatnonzero(choose(replace(clip, person=persons_of(clip, places_of(clip))), "main").present).tolist()


def test_one_face_stays_as_it_is() -> None:
    assert seen(crowd((10, 300, 100, 0))) == list(range(10))


def test_clip_without_faces_or_frames_stays_as_it_is() -> None:
    assert seen(crowd((5, None, 100, 0))) == []
    assert seen(Crowd.nobody(np.empty(0))) == []


def test_face_that_is_suddenly_elsewhere_is_taken_out() -> None:
    assert people(crowd((10, 300, 100, 0), (4, 700, 100, 0))) == [0] * 10 + [1] * 4


def test_longer_seen_person_stays_even_when_second() -> None:
    assert seen(crowd((4, 300, 100, 0), (10, 700, 100, 0))) == list(range(4, 14))


def test_larger_person_counts_for_more() -> None:
    assert seen(crowd((10, 300, 50, 0), (6, 700, 200, 0))) == list(range(10, 16))


def test_person_who_comes_back_is_the_same_person() -> None:
    clip = crowd((6, 300, 100, 0), (8, 900, 100, 0), (6, 310, 100, 0))
    assert seen(clip) == [*range(6), *range(14, 20)]


def test_person_who_walked_while_unseen_is_the_same_person() -> None:
    assert len(seen(crowd((10, 300, 100, 0), (25, None, 100, 0), (10, 800, 100, 0)))) == 20


def test_someone_far_off_long_after_is_somebody_else() -> None:
    assert people(crowd((10, 300, 100, 0), (100, None, 100, 0), (10, 600, 100, 0))) == [0] * 10 + [1] * 10
    assert people(crowd((10, 300, 100, 0), (100, None, 100, 0), (10, 420, 100, 0))) == [0] * 20


def test_quick_walk_between_two_frames_stays() -> None:
    assert len(seen(crowd((10, 300, 100, 0), (10, 380, 100, 0)))) == 20


def test_someone_who_stands_where_a_person_began_is_somebody_else() -> None:
    walk = [(1, 300.0 + 60 * step, 100.0, 0) for step in range(11)]
    assert seen(crowd(*walk, (4, 300, 100, 0))) == list(range(11))


def test_each_scene_keeps_its_own_person() -> None:
    assert len(seen(crowd((10, 300, 100, 0), (3, 900, 60, 1), (5, 100, 200, 2)))) == 18


def test_face_of_quite_another_size_is_somebody_else() -> None:
    assert seen(crowd((10, 300, 100, 0), (5, 300, 30, 0))) == list(range(10))


def test_comparison_in_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = crowd((40, 300, 100, 0), (9, 900, 100, 0), (1, None, 100, 0), (30, 310, 100, 0), (20, 100, 200, 1))
    whole = people(clip)
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 1)
    assert people(clip) == whole
    assert whole.count(1) == 9


def test_strand_that_jumps_is_two_people() -> None:
    clip = crowd((10, 300, 100, 0), (4, 700, 100, 0))
    clip.person[:] = 0
    assert people(clip) == [0] * 10 + [1] * 4


def test_of_two_who_could_be_there_the_nearer_goes_on() -> None:
    clip = crowd((10, 300, 100, 0), (10, 480, 100, 0), (20, None, 100, 0), (5, 450, 100, 0))
    clip.frame[10:20] = range(10)  # both from the beginning
    order = np.argsort(clip.frame, kind="stable")
    columns = ("frame", "person", "points", "confidence", "lips_visible", "skin")
    clip = replace(clip, **{name: getattr(clip, name)[order] for name in columns})
    assert people(clip)[-5:] == [1] * 5


def test_somebody_of_quite_another_colour_is_somebody_else() -> None:
    clip = crowd((10, 300, 100, 0), (10, None, 100, 0), (5, 310, 100, 0))
    assert people(clip) == [0] * 15
    clip.skin[10:] = 20
    assert people(clip) == [0] * 10 + [1] * 5


def test_two_who_are_seen_at_once_are_two_however_near() -> None:
    clip = crowd((10, 300, 100, 0), (10, 370, 100, 0))
    clip.frame[:] = np.repeat(np.arange(10), 2)
    clip.person[:] = np.tile([0, 1], 10)
    clip.points[:] = [FACE * 100 + [300 + 70 * (row % 2), 200] for row in range(20)]
    assert people(clip) == [0, 1] * 10
