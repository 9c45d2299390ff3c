import numpy as np
import pytest

from heygemd.render.atlas.mesh import LIPS
from heygemd.render.atlas.shape import face_of
from heygemd.render.atlas.tint import MOST_CHANGE, light_upon, tint_of
from heygemd.render.atlas.warp import Grid
from heygemd.render.faces.track import FaceTrack
from tests.render.atlas_rig import face_points

COUNT = 40
SKIN = np.array([90, 120, 170])


def track(light: np.ndarray, *, scene: np.ndarray | None = None) -> FaceTrack:
    """A track whose skin has this light in every frame (float[n] or float[n, 16])."""
    light = np.broadcast_to(np.reshape(light, (COUNT, -1)), (COUNT, 16))
    return FaceTrack(
        pts_s=np.arange(COUNT) / 25,
        points=np.zeros((COUNT, 74, 2), np.float32),
        confidence=np.ones(COUNT, np.float32),
        lips_visible=np.ones(COUNT, np.float32),
        skin=np.rint(light[..., None] * SKIN).astype(np.uint8),
        scene=np.zeros(COUNT, np.int32) if scene is None else scene,
    )


def lit(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors over a picture, and where the mouth's middle lies in it."""
    face = face_of(face_points(opening=0.1))
    factors = light_upon(change, Grid(width=360, height=400, step_px=1), face.vertices, face.down)
    return factors, np.round(face.vertices[LIPS].mean(axis=0)).astype(int)


def test_a_source_under_less_light_is_brightened_by_the_ratio():
    light = np.where(np.arange(COUNT) < 20, 1.0, 0.7)
    tint = tint_of(track(light, scene=(np.arange(COUNT) >= 20).astype(np.int32)), 5, [30])
    assert np.exp(tint.change[0]) == pytest.approx(np.full((16, 3), 1 / 0.7), rel=0.05)


def test_a_frame_changes_nothing_about_itself():
    noise = 1 + 0.05 * np.random.default_rng(0).standard_normal(COUNT)
    assert not tint_of(track(noise), 7, [7]).change.any()


def test_without_skin_there_is_no_tint():
    empty = track(np.zeros(COUNT))
    assert tint_of(empty, 5, [20]) is None
    half = track(np.where(np.arange(COUNT) < 20, 1.0, 0.0))
    assert not tint_of(half, 5, [30]).change.any()


def test_neighbours_quiet_the_noise_of_single_frames():
    noise = 1 + 0.03 * np.random.default_rng(1).standard_normal((COUNT, 16))
    shaken = track(noise)
    windowed = np.array([tint_of(shaken, t, [20]).change[0] for t in range(5, 35)])
    levels = shaken.skin.astype(float)
    single = np.log((levels[5:35] + 8) / (levels[20] + 8))
    assert np.diff(windowed, axis=0).std() < 0.35 * np.diff(single, axis=0).std()


def test_frames_before_and_after_count_alike():
    def seen(bright: int) -> float:
        return float(tint_of(track(np.where(np.arange(COUNT) == bright, 1.3, 1.0)), 15, [30]).change.mean())

    assert seen(11) > 0
    assert seen(11) == pytest.approx(seen(19))
    assert seen(13) == pytest.approx(seen(17))
    assert seen(13) > seen(11)
    assert seen(10) == seen(20) == 0


def test_light_does_not_leak_across_a_cut():
    scene = (np.arange(COUNT) >= 20).astype(np.int32)
    light = np.where(scene == 0, 1.0, 0.5)
    tint = tint_of(track(light, scene=scene), 19, [2])
    assert np.abs(tint.change).max() < 0.02


def test_every_source_gets_its_own_light():
    light = np.ones(COUNT)
    light[10:20], light[25:35] = 0.8, 1.25
    tint = tint_of(track(light), 2, [15, 30])
    assert tint.change[0].mean() == pytest.approx(-np.log(0.8), abs=0.02)
    assert tint.change[1].mean() == pytest.approx(-np.log(1.25), abs=0.02)


def test_one_covered_patch_hardly_counts():
    light = np.ones((COUNT, 16))
    light[20:, 4] = 0.1
    change = tint_of(track(light), 5, [30]).change[0]
    assert np.abs(change[np.arange(16) != 4]).max() < 0.02
    assert np.abs(change).max() <= MOST_CHANGE


def test_the_light_follows_the_side_it_comes_from():
    change = np.zeros((16, 3))
    change[[14, 15, 0, 1, 2]] = 0.4
    factors, (x, y) = lit(change)
    right, left = factors[y, x + 50].mean(), factors[y, x - 50].mean()
    assert right > 1.3
    assert left < 1.05
    assert left < factors[y, x].mean() < right
    assert np.abs(np.diff(factors[y, :, 0])).max() < 0.02


def test_equal_light_is_equal_everywhere():
    factors, _ = lit(np.full((16, 3), 0.2))
    assert np.abs(factors - np.exp(0.2)).max() < 1e-4
