import numpy as np
import pytest

from heygemd.render.atlas.mesh import CHIN
from heygemd.render.atlas.motion import (
    BLOCK_FRAMES,
    SMOOTHING_FRAMES,
    SteadyPoints,
    head_motion,
    smoothed,
    unbroken_runs,
)
from heygemd.render.atlas.person import DEFAULT_OPENING, LEAST_JAW_DROP, know_person
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import LIP_ROWS, MESH_INDEXES, NOSE_ROWS
from heygemd.render.faces.track import FaceTrack


def talking(count: int, *, openings=None, jitter: float = 0.0, step_px: float = 0.0) -> np.ndarray:
    """float32[count, 74, 2]: the mean face, 100 px between the eyes, with these openings."""
    model, rng = load_face_model(), np.random.default_rng(5)
    openings = np.zeros(count) if openings is None else np.asarray(openings)
    shapes = model.mean_face[None, :468] + model.opening_mode[None] * openings[:, None, None]
    points = shapes[:, list(MESH_INDEXES), :2] * 100.0 + 200.0
    points += rng.normal(0, jitter, (count, 74, 2)) + step_px * np.arange(count)[:, None, None]
    return points.astype(np.float32)


def track_of(points: np.ndarray, *, absent=(), scene=None) -> FaceTrack:
    count = len(points)
    confidence = np.ones(count, np.float32)
    confidence[list(absent)] = 0
    points = np.where(confidence[:, None, None] > 0, points, np.nan)
    return FaceTrack(
        pts_s=np.arange(count) / 25,
        points=points.astype(np.float32),
        confidence=confidence,
        lips_visible=confidence,
        skin=np.zeros((count, 16, 3), np.uint8),
        scene=np.zeros(count, np.int32) if scene is None else np.asarray(scene, np.int32),
    )


def steady_points(track: FaceTrack) -> np.ndarray:
    return SteadyPoints(track)(np.arange(len(track.pts_s)))


def test_runs_end_at_cuts_and_at_absent_frames():
    track = track_of(talking(10), absent=[3], scene=[0] * 6 + [1] * 4)
    assert list(unbroken_runs(track)) == [(0, 3), (4, 6), (6, 10)]


def test_a_clip_without_a_face_has_no_runs():
    assert list(unbroken_runs(track_of(talking(3), absent=[0, 1, 2]))) == []


def test_jitter_is_smoothed_but_lips_stay_where_they_are_seen():
    clean, track = talking(40), track_of(talking(40, jitter=0.4))
    steady = steady_points(track)
    assert np.array_equal(steady[:, LIP_ROWS], track.points[:, LIP_ROWS])
    before, after = (np.abs(p[:, NOSE_ROWS] - clean[:, NOSE_ROWS]).mean() for p in (track.points, steady))
    assert after < 0.75 * before


def test_a_sudden_movement_of_the_head_is_not_smoothed_away():
    points = talking(30)
    points[15] += 12
    steady = steady_points(track_of(points))
    assert np.abs(steady[15] - points[15]).max() < 0.5


def test_nothing_is_smoothed_across_a_cut():
    points = talking(20, jitter=0.3)
    points[10:] += 150
    cut = track_of(points, scene=[0] * 10 + [1] * 10)
    alone = track_of(points[:10])
    assert np.array_equal(steady_points(cut)[:10], steady_points(alone))


def test_opening_is_measured_in_eye_distances_and_absent_frames_are_nan():
    openings = np.linspace(0, 0.2, 12)
    motion = head_motion(track_of(talking(12, openings=openings), absent=[5]))
    assert np.isnan(motion.opening[5])
    present = np.arange(12) != 5
    own = load_face_model().mean_face
    expected = openings + own[14, 1] - own[13, 1]
    assert motion.opening[present] == pytest.approx(expected[present], abs=0.01)
    assert motion.eye_px[present] == pytest.approx(100, rel=0.03)


def test_a_still_face_gets_the_default_range():
    motion = head_motion(track_of(talking(20)))
    assert know_person(motion, np.ones(20, bool)).widest_opening == DEFAULT_OPENING


def test_a_talker_gets_a_range_of_their_own():
    openings = 0.12 + 0.12 * np.sin(np.arange(80) / 3)
    motion = head_motion(track_of(talking(80, openings=openings)))
    person = know_person(motion, np.ones(80, bool))
    assert person.widest_opening == pytest.approx(0.26, abs=0.02)
    assert person.opening_limit >= person.widest_opening


def test_modes_move_their_own_measure_by_one_and_the_jaw_drops():
    openings = 0.1 + 0.1 * np.sin(np.arange(60) / 3)
    person = know_person(head_motion(track_of(talking(60, openings=openings, jitter=0.2))), np.ones(60, bool))
    assert person.opening_mode[14, 1] - person.opening_mode[13, 1] == pytest.approx(1)
    assert person.opening_mode[291, 0] - person.opening_mode[61, 0] == pytest.approx(0, abs=1e-9)
    assert person.width_mode[291, 0] - person.width_mode[61, 0] == pytest.approx(1)
    assert person.opening_mode[CHIN, 1] >= LEAST_JAW_DROP - 1e-6


@pytest.mark.parametrize("count", [1, 6, 7, 255, 257, 263, 3 * BLOCK_FRAMES + 5])
def test_blocks_of_steady_points_are_those_of_the_whole_clip(count):
    rng = np.random.default_rng(count)
    absent = rng.choice(count, count // 40, replace=False)
    scene = np.cumsum(rng.random(count) < 0.01)
    track = track_of(talking(count, jitter=0.5, step_px=0.3), absent=absent, scene=scene)
    whole = track.points.copy()
    for start, stop in unbroken_runs(track):
        if stop - start >= SMOOTHING_FRAMES:
            whole[start:stop] = smoothed(track.points[start:stop])
    points = SteadyPoints(track)
    for frame in rng.choice(count, min(count, 40)).tolist():
        np.testing.assert_array_equal(points.of(frame), whole[frame])
    np.testing.assert_array_equal(points(np.arange(count)), whole)
    some = np.flatnonzero(rng.random(count) < 0.3)
    np.testing.assert_array_equal(points(some), whole[some])
