"""Boxes follow the face calmly, never across a cut, and unusable faces fade out."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.render.arrays import is_mapped
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES
from heygemd.render.faces.track import FaceTrack
from heygemd.render.wav2lip import crops
from heygemd.render.wav2lip.crops import crops_of, strengths, yaw_deg

WIDTH, HEIGHT = 640, 480


def face(centre_x: float = 320, centre_y: float = 220, eyes_px: float = 100) -> NDArray[np.float32]:
    mean = load_face_model().mean_face[list(MESH_INDEXES), :2]
    return (mean * eyes_px + (centre_x, centre_y)).astype(np.float32)


def track_of(points: NDArray[np.float32], **changes: NDArray[np.generic]) -> FaceTrack:
    n = len(points)
    arrays = {
        "pts_s": np.arange(n) / 25,
        "points": points,
        "confidence": np.ones(n, np.float32),
        "lips_visible": np.ones(n, np.float32),
        "skin": np.zeros((n, 16, 3), np.uint8),
        "scene": np.zeros(n, np.int32),
    }
    return FaceTrack(**(arrays | changes))  # type: ignore[arg-type]


def boxes(track: FaceTrack) -> NDArray[np.float64]:
    return crops_of(track, width_px=WIDTH, height_px=HEIGHT).boxes


def test_box_reaches_from_forehead_to_below_the_chin_and_from_cheek_to_cheek() -> None:
    points = face()
    left, top, right, bottom = boxes(track_of(points[None]))[0]
    assert left == pytest.approx(points[:, 0].min())
    assert right == pytest.approx(points[:, 0].max())
    chin_y, eyes_y = points[:, 1].max(), 220.0
    assert chin_y + 8 < bottom < chin_y + 16
    assert top == pytest.approx(eyes_y - 0.53 * (right - left))
    # WIDER FACE boxes are about a third higher than wide.
    assert 1.25 < (bottom - top) / (right - left) < 1.5


def test_box_is_cut_off_at_the_picture() -> None:
    left, top, right, bottom = boxes(track_of(face(30, 50)[None]))[0]
    assert (left, top) == (-0.5, -0.5)
    assert right > 60
    assert bottom < HEIGHT


def test_boxes_are_means_over_five_frames() -> None:
    places = [300, 310, 305, 320, 330, 300, 310]
    lefts = boxes(track_of(np.stack([face(x) for x in places])))[:, 0]
    raw = np.array([face(x)[:, 0].min() for x in places])
    assert lefts[3] == pytest.approx(raw[1:6].mean())
    assert lefts[1] == pytest.approx(raw[0:3].mean())
    assert lefts[0] == pytest.approx(raw[0])


def test_boxes_are_not_smoothed_across_a_cut_or_a_gap() -> None:
    points = np.stack([face(200)] * 4 + [face(400)] * 4 + [face(300)] * 4)
    confidence = np.ones(12, np.float32)
    confidence[7] = 0
    points[7] = np.nan
    scene = np.repeat(np.array([0, 1], np.int32), [4, 8])
    lefts = boxes(track_of(points, scene=scene, confidence=confidence))[:, 0]
    for part, place in ((slice(0, 4), 200), (slice(4, 7), 400), (slice(8, 12), 300)):
        np.testing.assert_allclose(lefts[part], face(place)[:, 0].min(), rtol=1e-6)
    assert np.isnan(lefts[7])


def test_absent_covered_turned_and_tiny_faces_are_unusable() -> None:
    turned = face()
    turned[:, 0] = 320 + (turned[:, 0] - 320) * 0.7
    turned[list(MESH_INDEXES).index(4), 0] += 40
    groups = [face(), np.full((74, 2), np.nan, np.float32), face(), turned, face(eyes_px=10)]
    points = np.repeat(np.stack(groups), 6, axis=0).astype(np.float32)
    present = np.isfinite(points[:, 0, 0])
    visible = np.ones(30, np.float32)
    visible[12:18] = 0.5
    scene = np.repeat(np.arange(5, dtype=np.int32), 6)
    crops = crops_of(
        track_of(points, confidence=present.astype(np.float32), lips_visible=visible, scene=scene),
        width_px=WIDTH,
        height_px=HEIGHT,
    )
    assert crops.usable.tolist() == [True] * 6 + [False] * 24
    assert np.isnan(crops.boxes[6:]).all()


def test_one_doubtful_frame_does_not_interrupt_a_clear_view() -> None:
    visible = np.ones(9, np.float32)
    visible[4] = 0.2
    crops = crops_of(track_of(np.stack([face()] * 9), lips_visible=visible), width_px=WIDTH, height_px=HEIGHT)
    assert crops.usable.all()


@pytest.mark.parametrize("turn_deg", [0, 20, 34, 45, -45])
def test_yaw_of_the_turned_mean_face_is_measured(turn_deg: float) -> None:
    mean = load_face_model().mean_face[list(MESH_INDEXES)].astype(np.float64)
    turn = np.deg2rad(turn_deg)
    x, y = mean[:, 0] * np.cos(turn) + mean[:, 2] * np.sin(turn), mean[:, 1]
    for roll in (0.0, 0.4):
        shape = np.stack([x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)], axis=1)
        measured = yaw_deg(100 * shape[None])[0]
        assert measured == pytest.approx(abs(turn_deg), abs=3)


def fade(usable: list[int], scene: list[int] | None = None, source: list[int] | None = None) -> list[float]:
    n = len(usable)
    frames = np.array(source if source is not None else range(n), np.int32)
    scenes = np.array(scene or [0] * n, np.int32)
    return strengths(np.array(usable, bool), scenes, np.arange(n) / 25, frames).tolist()


def test_strength_fades_over_three_frames_beside_a_gap() -> None:
    assert fade([1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1]) == [1, 1, 0.75, 0.5, 0.25, 0, 0, 0.25, 0.5, 0.75, 1, 1]


def test_strength_does_not_fade_at_a_cut() -> None:
    assert fade([1, 1, 1, 0, 0], scene=[0, 0, 0, 1, 1]) == [1, 1, 1, 0, 0]
    assert fade([0, 0, 1, 1, 1], scene=[0, 0, 1, 1, 1]) == [0, 0, 1, 1, 1]


def test_strength_follows_the_film_through_a_loop() -> None:
    usable = [1] * 20 + [0]
    looped = fade(usable, source=[17, 18, 19, 20, 0, 1, 2])
    assert looped == [0.75, 0.5, 0.25, 0, 1, 1, 1]
    back_and_forth = fade(usable, source=[18, 19, 20, 19, 18, 17])
    assert back_and_forth == [0.5, 0.25, 0, 0.25, 0.5, 0.75]


def test_strength_of_a_film_with_faces_everywhere_or_nowhere() -> None:
    assert fade([1] * 5) == [1] * 5
    assert fade([0] * 5) == [0] * 5


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_boxes_made_in_blocks_are_those_of_whole_runs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    confidence = (rng.random(60) > 0.1).astype(np.float32)
    points = np.stack([face(300 + k, eyes_px=100 + k) for k in range(60)]) + rng.normal(0, 2, (60, 74, 2))
    points[confidence == 0] = np.nan
    scene = np.cumsum(rng.random(60) < 0.05).astype(np.int32)
    track = track_of(points.astype(np.float32), confidence=confidence, scene=scene)
    monkeypatch.setattr(crops, "BLOCK_FRAMES", block)
    found = crops_of(track, width_px=WIDTH, height_px=HEIGHT)
    expected = track.points.astype(np.float64)[:, 40:53]
    run = [*np.flatnonzero(np.diff(np.where(track.present, scene, -1), prepend=-2)), 60]
    for start, stop in itertools.pairwise(run):
        values, reach = expected[start:stop].copy(), lambda k, n=stop - start: min(2, k, n - 1 - k)
        sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
        for k in range(stop - start):
            first, last = k - reach(k), k + reach(k) + 1
            expected[start + k] = (sums[last] - sums[first]) / (last - first)
    np.testing.assert_array_equal(found.jaws, expected)
    assert found.usable.any()
    assert np.isnan(found.boxes[~found.usable]).all()


def test_boxes_may_lie_in_a_file(tmp_path: Path) -> None:
    track = track_of(np.stack([face(300 + k) for k in range(9)]))
    mapped = crops_of(track, width_px=WIDTH, height_px=HEIGHT, scratch=tmp_path)
    assert is_mapped(mapped.boxes)
    np.testing.assert_array_equal(mapped.boxes, boxes(track))
    assert list(tmp_path.iterdir()) == []


def reference_boxes(detected: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the public program cuts out, by its rule: whole pixels, 10 rows more below, means over five."""
    rows = []
    for left, top, right, bottom in np.clip(detected, 0, None).astype(int):
        rows.append([max(0, left), max(0, top), min(WIDTH, right), min(HEIGHT, bottom + 10)])
    rects = np.array(rows, float)
    for i in range(len(rects)):
        window = rects[len(rects) - 5 :] if i + 5 > len(rects) else rects[i : i + 5]
        rects[i] = window.mean(axis=0)
    return rects


def test_detected_boxes_are_used_as_the_reference_does() -> None:
    count = 60
    t = np.arange(count)
    centre = np.stack([320 + 40 * np.sin(t / 9), 230 + 10 * np.cos(t / 5)], axis=1)
    half = np.stack([90 + 2 * np.sin(t / 3), np.full(count, 120.0)], axis=1)  # 240 px high, as its sample faces are
    ours = np.concatenate([centre - half, centre + half], axis=1)
    points = np.stack([face(x, y) for x, y in centre])
    found = boxes(track_of(points, boxes=ours.astype(np.float32)))
    # Its pictures count from the corner of the first pixel, and its mean is over the frames to come.
    expected = reference_boxes(ours + 0.5)[: count - 4] - 0.5
    assert np.abs(found[2 : count - 2] - expected).max() < 1.01, "whole pixels there, parts of pixels here"
    assert np.abs((found[2 : count - 2] - expected).mean(axis=0)).max() < 0.6
    assert np.abs(boxes(track_of(points))[:, 1] - found[:, 1]).max() > 5, "and not made from the points"


def test_detected_boxes_keep_to_runs_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    points = np.stack([face(300 + k) for k in range(40)])
    detected = np.array([200, 100, 400, 340]) + rng.normal(0, 3, (40, 4)).astype(np.float32)
    confidence = np.ones(40, np.float32)
    confidence[20] = 0
    points[20], detected[20] = np.nan, np.nan
    track = track_of(points, boxes=detected.astype(np.float32), confidence=confidence)
    whole = boxes(track)
    monkeypatch.setattr(crops, "BLOCK_FRAMES", 7)
    np.testing.assert_array_equal(boxes(track), whole)
    assert np.isnan(whole[20]).all()
    assert whole[19, 0] == pytest.approx(detected[19, 0])
    assert whole[21, 0] == pytest.approx(detected[21, 0])
    assert whole[10, 0] == pytest.approx(detected[8:13, 0].mean(), rel=1e-6)
