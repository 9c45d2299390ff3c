"""Which lips are covered."""

import numpy as np
import pytest

from heygemd.render.faces.covering import HOP_S, judged_lips
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES

MEAN = load_face_model().mean_face[list(MESH_INDEXES)]
SKIN = np.array([140, 150, 205], np.uint8)
FPS = 25


def points(count: int, yaw_deg: np.ndarray | float = 0.0) -> np.ndarray:
    yaw = np.deg2rad(np.broadcast_to(yaw_deg, count))[:, None]
    x = MEAN[:, 0] * np.cos(yaw) + MEAN[:, 2] * np.sin(yaw)
    return np.stack([x, np.broadcast_to(MEAN[:, 1], x.shape)], axis=-1).astype(np.float32) * 80 + 300


def clip(belief: np.ndarray, *, skin: np.ndarray | None = None, yaw_deg: np.ndarray | float = 0.0) -> Crowd:
    n = len(belief)
    noise = np.random.default_rng(0).integers(-2, 3, (n, 16, 3))
    return Crowd(
        pts_s=np.arange(n) / FPS,
        scene=np.zeros(n, np.int32),
        size_px=np.array([640, 480], np.int32),
        frame=np.arange(n, dtype=np.int32),
        person=np.zeros(n, np.int32),
        points=points(n, yaw_deg),
        confidence=np.ones(n, np.float32),
        lips_visible=belief.astype(np.float32),
        skin=np.clip((SKIN if skin is None else skin) + noise, 0, 255).astype(np.uint8),
    )


def covered(crowd: Crowd) -> list[int]:
    return np.flatnonzero(judged_lips(crowd) < 0.85).tolist()


def beliefs(usual: float, *parts: tuple[range, float], count: int = 100) -> np.ndarray:
    found = np.full(count, usual)
    for frames, value in parts:
        found[list(frames)] = value
    return found


def hand(skin: tuple[int, int, int], frames: range, patches: range, count: int = 100) -> np.ndarray:
    found = np.tile(SKIN.astype(int), (count, 16, 1))
    found[np.ix_(list(frames), list(patches))] = skin
    return found


def test_certain_lips_are_visible() -> None:
    assert covered(clip(beliefs(0.97))) == []


def test_beard_that_always_makes_the_nets_doubt_covers_nothing() -> None:
    generator = np.random.default_rng(1)
    assert covered(clip(np.clip(0.78 + generator.normal(0, 0.04, 100), 0, 1))) == []


def test_mouth_that_is_covered_all_the_time_is_covered() -> None:
    assert covered(clip(beliefs(0.2))) == list(range(100))


def test_fall_of_the_belief_is_a_cover() -> None:
    assert covered(clip(beliefs(0.96, (range(40, 50), 0.5)))) == list(range(40, 50))


def test_fall_below_the_own_usual_counts_for_the_bearded_too() -> None:
    assert covered(clip(beliefs(0.85, (range(40, 50), 0.3)))) == list(range(40, 50))


def test_single_frame_of_slight_doubt_is_none() -> None:
    assert covered(clip(beliefs(0.96, (range(40, 41), 0.75)))) == []
    assert covered(clip(beliefs(0.96, (range(40, 41), 0.3)))) == [40]


def test_cover_lasts_while_the_doubt_lasts() -> None:
    belief = beliefs(0.96, (range(36, 54), 0.88), (range(40, 46), 0.6))
    assert covered(clip(belief)) == list(range(36, 54))


def test_short_gap_is_covered_and_a_long_one_is_not() -> None:
    belief = beliefs(0.96, (range(20, 25), 0.3), (range(29, 34), 0.3), (range(60, 65), 0.3))
    assert covered(clip(belief)) == [*range(20, 34), *range(60, 65)]


def test_other_colour_on_the_ring_makes_a_slight_doubt_a_cover() -> None:
    belief = beliefs(0.95, (range(40, 50), 0.82))
    assert covered(clip(belief)) == []
    assert covered(clip(belief, skin=hand((90, 100, 150), range(40, 50), range(5)))) == list(range(40, 50))


def test_other_colour_without_doubt_is_no_cover() -> None:
    """Background beside a turned head, a collar, a shadow."""
    assert covered(clip(beliefs(0.97), skin=hand((60, 60, 60), range(40, 50), range(4)))) == []


def test_light_that_changes_for_all_patches_is_no_cover() -> None:
    belief = beliefs(0.95, (range(40, 60), 0.85))
    assert covered(clip(belief, skin=hand((70, 76, 110), range(40, 60), range(16)))) == []


def test_light_of_another_hour_is_usual_by_then() -> None:
    count = round(24 * HOP_S * FPS)
    later = range(count // 2, count)
    belief = np.where(np.arange(count) >= count // 2, 0.9, 0.96)
    found = covered(clip(belief, skin=hand((70, 80, 120), later, range(6), count)))
    assert not set(found) & set(range(count - round(8 * HOP_S * FPS), count))


@pytest.mark.parametrize("side", [-1, 1])
def test_lips_seen_from_the_side_are_half_hidden(side: int) -> None:
    yaw_deg = side * np.concatenate([np.linspace(0, 50, 50), np.linspace(50, 0, 50)])
    found = covered(clip(beliefs(0.96), yaw_deg=yaw_deg))
    assert found == list(range(found[0], found[-1] + 1))
    assert 25 <= abs(yaw_deg[found[0]]) <= 37


def test_turn_of_thirty_degrees_is_none_when_nothing_goes_further() -> None:
    assert covered(clip(beliefs(0.96), yaw_deg=30.0)) == []


def test_people_are_judged_by_their_own_usual() -> None:
    both = clip(np.tile([0.97, 0.7], 50))
    both.person[1::2] = 1
    assert covered(both) == []


def test_nobody_is_judged_without_complaint() -> None:
    assert judged_lips(Crowd.nobody(np.arange(3) / 25)).shape == (0,)
