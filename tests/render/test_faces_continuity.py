"""One person per scene."""

import numpy as np
import pytest

from heygemd.render import arrays
from heygemd.render.faces.continuity import strangers_in
from heygemd.render.faces.track import FaceTrack

FACE = np.random.default_rng(0).uniform(-0.5, 0.5, (74, 2))
FACE[:2] = [[-0.5, -0.5], [0.5, 0.5]]


def track(*shots: tuple[int, float | None, float, int]) -> FaceTrack:
    """Track at 25 fps of shots (frames, x of the face or None, side, scene)."""
    places = [(x, side, scene) for frames, x, side, scene in shots for _ in range(frames)]
    n = len(places)
    present = np.array([x is not None for x, _, _ in places])
    points = np.array([FACE * side + [np.nan if x is None else x, 200] for x, side, _ in places], np.float32)
    return FaceTrack(
        pts_s=np.arange(n) / 25,
        points=points.reshape(n, 74, 2),
        confidence=present.astype(np.float32),
        lips_visible=present.astype(np.float32),
        scene=np.array([scene for _, _, scene in places], np.int32),
    )


def seen(clip: FaceTrack) -> list[int]:
    return sorted({*np.flatnonzero(clip.present).tolist()} - {*strangers_in(clip).tolist()})


def test_one_face_stays_as_it_is() -> None:
    assert seen(track((10, 300, 100, 0))) == list(range(10))


def test_clip_without_faces_or_frames_stays_as_it_is() -> None:
    assert seen(track((5, None, 100, 0))) == []
    assert seen(FaceTrack.without_face(np.empty(0))) == []


def test_face_that_is_suddenly_elsewhere_is_taken_out() -> None:
    assert strangers_in(track((10, 300, 100, 0), (4, 700, 100, 0))).tolist() == [10, 11, 12, 13]


def test_longer_seen_person_stays_even_when_second() -> None:
    assert seen(track((4, 300, 100, 0), (10, 700, 100, 0))) == list(range(4, 14))


def test_larger_person_counts_for_more() -> None:
    assert seen(track((10, 300, 50, 0), (6, 700, 200, 0))) == list(range(10, 16))


def test_person_who_comes_back_is_the_same_person() -> None:
    clip = track((6, 300, 100, 0), (8, 900, 100, 0), (6, 310, 100, 0))
    assert seen(clip) == [*range(6), *range(14, 20)]


def test_person_who_walked_while_unseen_is_the_same_person() -> None:
    assert len(seen(track((10, 300, 100, 0), (25, None, 100, 0), (10, 800, 100, 0)))) == 20


def test_quick_walk_between_two_frames_stays() -> None:
    assert len(seen(track((10, 300, 100, 0), (10, 380, 100, 0)))) == 20


def test_someone_who_stands_where_a_person_began_is_somebody_else() -> None:
    walk = [(1, 300.0 + 60 * step, 100.0, 0) for step in range(11)]
    assert seen(track(*walk, (4, 300, 100, 0))) == list(range(11))


def test_each_scene_keeps_its_own_person() -> None:
    assert len(seen(track((10, 300, 100, 0), (3, 900, 60, 1), (5, 100, 200, 2)))) == 18


def test_face_of_quite_another_size_is_somebody_else() -> None:
    assert seen(track((10, 300, 100, 0), (5, 300, 30, 0))) == list(range(10))


def test_comparison_in_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = track((40, 300, 100, 0), (9, 900, 100, 0), (1, None, 100, 0), (30, 310, 100, 0), (20, 100, 200, 1))
    whole = strangers_in(clip)
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(strangers_in(clip), whole)
    assert len(whole) == 9
