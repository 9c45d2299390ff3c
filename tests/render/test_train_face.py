"""The scripts that make the face weights: what they learn from is true, and they can learn."""

import json

import cv2
import numpy as np
import pytest
import torch

from heygemd.modellist import CATALOGUE_FILE
from heygemd.render.atlas.shape import face_of
from heygemd.render.faces import topology
from heygemd.render.faces.detector import DetectorNet, as_input, decoded
from heygemd.render.faces.facemodel import load_face_model
from scripts.train.face import draw_mouths, heads, label, samples, scenery, scenes, train_detector, train_points
from scripts.train.face.check_mouths import sensible
from scripts.train.face.fit_face_model import fit_lift, lift_pairs, mirror_of
from scripts.train.face.install import listed
from scripts.train.face.material import Material, chances
from scripts.train.face.samples import FaceFramer, LipFramer, Remembering, batch_of

MODEL = load_face_model()
MEAN_POINTS = MODEL.mean_face[list(topology.MESH_INDEXES), :2].astype(np.float64)


def face_points(eye_px: float = 90.0) -> np.ndarray:
    return MEAN_POINTS * eye_px + [128, 110]


def face_picture(points: np.ndarray) -> np.ndarray:
    """A plain face: skin in the jaw's outline, eyes and lips, on noise."""
    picture = np.random.default_rng(0).integers(90, 130, (256, 256, 3)).astype(np.uint8)
    middle = points.mean(axis=0).astype(int).tolist()
    cv2.ellipse(picture, middle, (85, 110), 0, 0, 360, (150, 170, 215), -1)
    for rows, colour in ((topology.OUTER_LIP_ROWS, (95, 90, 190)), (topology.EYE_ROWS, (40, 40, 40))):
        cv2.fillPoly(picture, [points[rows].astype(np.int32)], colour)
    return picture


@pytest.fixture(scope="module")
def material() -> Material:
    points = np.stack([face_points()] * 4)
    pictures = np.stack([face_picture(one) for one in points])
    table = chances(topology.opening(points), np.ones(4, bool))
    return Material(
        stills=pictures,
        drawn=pictures,
        still_points=points,
        drawn_points=points,
        still_chances=table,
        drawn_chances=table,
        held_out=np.array([0]),
    )


def mesh_points() -> np.ndarray:
    return (MODEL.mean_face.astype(np.float64) * 90 + [128, 110, 0]).astype(np.float32)


# What is kept


def test_a_caption_at_the_edge_is_replaced_and_the_face_is_not() -> None:
    picture = face_picture(face_points())
    picture[:20] = 0
    picture[-18:] = 255
    clean = label.without_bars(picture, mesh_points())
    assert clean[:20].min() > 60
    assert clean[-18:].max() < 250
    assert (clean[22:230] == picture[22:230]).all()


def test_a_dark_face_is_no_caption() -> None:
    picture = np.full((256, 256, 3), 5, np.uint8)
    assert label.without_bars(picture, mesh_points()).shape == picture.shape


def test_the_same_picture_cut_otherwise_is_a_repeat_and_another_is_not() -> None:
    picture, points = face_picture(face_points()), mesh_points()
    moved = cv2.warpAffine(picture, np.array([[1.1, 0, -12], [0, 1.1, -9.0]]), (256, 256))
    first = label.thumbnail(picture, points)
    assert label.is_repeat(label.thumbnail(moved, points * [1.1, 1.1, 1] + [-12, -9, 0]), [first])
    other = scenery.texture(np.random.default_rng(1), 256)
    assert not label.is_repeat(label.thumbnail(other, points), [first])
    assert not label.is_repeat(first, [])


def test_faces_that_labeller_and_set_place_differently_are_left_out() -> None:
    points = mesh_points()
    corners = np.array([points[list(indexes), :2].mean(axis=0) for indexes in label.FIVE_POINTS])
    assert label.agrees(points, corners)
    assert not label.agrees(points, corners + np.array([25, 0]))


def test_drawings_on_pictures_are_not_read(tmp_path) -> None:
    meta = [
        {"file": "a.jpg", "src": "figures/age.jpg", "pts5": [[0, 0]] * 5},
        {"file": "b.jpg", "src": "figures/landmarks_segmentation.jpg", "pts5": [[0, 0]] * 5},
    ]
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    assert [source.path.name for source in label.sources(tmp_path, [])] == ["a.jpg"]


# Drawn mouths


@pytest.mark.parametrize("kind", draw_mouths.KINDS)
def test_drawn_mouths_have_the_opening_that_was_wished_for(kind: str) -> None:
    points = face_points()
    face = face_of(points.astype(np.float32))
    rng = np.random.default_rng(5)
    for _ in range(4):
        wish = draw_mouths.wish_of(kind, rng)
        _, drawn = draw_mouths.draw(face_picture(points), face, wish, 0.3)
        gap = drawn[topology.rows_of((14,))[0], 1] - drawn[topology.rows_of((13,))[0], 1]
        assert gap / face.eye_px == pytest.approx(wish.opening, abs=0.006)


def test_drawing_moves_lips_and_jaw_and_nothing_above() -> None:
    points = face_points()
    wish = draw_mouths.Wish(kind="wide", opening=0.3, wider=0.0)
    picture, drawn = draw_mouths.draw(face_picture(points), face_of(points.astype(np.float32)), wish, 0.4)
    still = np.r_[topology.EYE_ROWS, topology.BROW_ROWS]
    assert drawn[still] == pytest.approx(points[still], abs=0.01)
    assert drawn[topology.CHIN_ROW, 1] > points[topology.CHIN_ROW, 1] + 5
    middle = drawn[np.r_[topology.INNER_UPPER_ROWS, topology.INNER_LOWER_ROWS]].mean(axis=0)
    inside = picture[round(middle[1]), round(middle[0])].astype(float)
    assert inside.mean() < 110  # the dark of the mouth, where there was lip before


def test_a_rounded_mouth_gathers_its_gap_in_the_middle() -> None:
    points = face_points()
    face = face_of(points.astype(np.float32))
    flat = draw_mouths.Wish(kind="slit", opening=0.05, wider=-0.1)
    round_ = draw_mouths.Wish(kind="pout", opening=0.05, wider=-0.1, rounded=1.0)
    gaps = []
    for wish in (flat, round_):
        _, drawn = draw_mouths.draw(face_picture(points), face, wish, 0.3)
        upper, lower = (drawn[topology.rows_of(pair), 1] for pair in ((191, 13, 415), (95, 14, 324)))
        gaps.append(lower - upper)
    assert gaps[1][[0, 2]].max() < 0.6
    assert gaps[0][[0, 2]].min() > gaps[1][[0, 2]].max()
    assert gaps[1][1] == pytest.approx(gaps[0][1], abs=0.3)


def test_a_mouth_that_came_out_as_nonsense_is_left_out_unless_the_labeller_is_blind_there() -> None:
    drawn = np.stack([face_points()] * 4).astype(np.float32)
    read = drawn.copy()
    read[1, topology.INNER_UPPER_ROWS, 1] -= 9  # another opening
    read[2, topology.OUTER_LIP_ROWS] += 12  # another mouth
    read[3] = np.nan  # no face
    keep, trusted = sensible(drawn, read, np.zeros(4, bool))
    assert keep.tolist() == trusted.tolist() == [True, False, False, False]
    keep, trusted = sensible(drawn, read, np.ones(4, bool))
    assert keep.tolist() == [True, True, False, False]
    assert trusted.tolist() == [True, False, False, False]


# The face model


def test_mirror_pairs_every_vertex_once_and_corners_of_the_mouth_with_each_other() -> None:
    mirror = mirror_of(MODEL.mean_face.astype(np.float64))
    assert (np.sort(mirror) == np.arange(478)).all()
    assert [int(mirror[k]) for k in (61, 78, 191, 33, 234)] == [291, 308, 415, 263, 454]


def test_the_lift_that_is_fitted_is_the_lift_that_the_product_applies() -> None:
    rng = np.random.default_rng(0)
    mean = MODEL.mean_face[:468].astype(np.float64)
    mix = rng.normal(0, 0.01, (3, 468, 3))
    faces = (mean + np.einsum("nk,kvc->nvc", rng.normal(0, 1, (60, 3)), mix)) * 80 + [200, 150, 0]
    inputs, vertices = lift_pairs(faces, MODEL.mean_face.astype(np.float64))
    mean_inputs, mean_vertices, matrix = fit_lift(inputs, vertices)
    guess = (inputs - mean_inputs) @ matrix + mean_vertices
    assert np.abs(guess - vertices).mean() < 0.2 * np.abs(vertices - mean_vertices).mean()


# Samples of the point nets


@pytest.mark.parametrize("framer", [FaceFramer(), LipFramer()])
def test_points_of_a_face_lie_in_its_crop(framer, material: Material) -> None:
    batch = batch_of(framer, material, np.random.default_rng(2), size=64, twins=8)
    faces = batch.weights == 1
    assert 30 < faces.sum() < 64
    assert np.abs(np.median(batch.points[faces], axis=1)).max() < 0.9
    assert batch.crops.shape == (64, framer.side_px, framer.side_px, 3)
    assert (batch.beliefs[batch.weights == 0] == 0).all()


@pytest.mark.parametrize("framer", [FaceFramer(), LipFramer()])
def test_points_of_a_picture_taken_again_are_brought_back(framer, material: Material) -> None:
    batch = batch_of(framer, material, np.random.default_rng(3), size=20, twins=5)
    back = batch.points[-5:] @ batch.twins[:, :, :2].transpose(0, 2, 1) + batch.twins[:, None, :, 2]
    assert np.abs(back - batch.points[-10:-5]).max() < 1e-5
    assert np.abs(batch.points[-5:] - batch.points[-10:-5]).max() > 1e-3


def test_covered_lips_are_not_visible(material: Material) -> None:
    points = face_points()
    hidden = []
    for seed in range(40):
        crop = face_picture(points)
        at = points[topology.LIP_ROWS].mean(axis=0)
        hidden.append(heads.covered(crop, points, np.random.default_rng(seed), at=at, size_px=60))
        assert 0 <= hidden[-1] <= 1
        assert (hidden[-1] > 0.9) <= bool((crop != face_picture(points)).any())
    assert max(hidden) > 0.9
    assert min(hidden) < 0.5


def test_another_ground_leaves_the_face_as_it_is(material: Material) -> None:
    points, picture = face_points(), face_picture(face_points())
    for seed in range(8):
        other = heads.on_other_ground(picture, points, np.random.default_rng(seed))
        inside = np.round(points[np.r_[topology.LIP_ROWS, topology.EYE_ROWS, topology.NOSE_ROWS]]).astype(int)
        assert np.abs(other[inside[:, 1], inside[:, 0]].astype(int) - picture[inside[:, 1], inside[:, 0]]).max() <= 2
        assert (other[:8, :8] != picture[:8, :8]).mean() > 0.9


def test_the_same_seed_makes_the_same_samples(material: Material) -> None:
    one, other = (
        batch_of(Remembering(FaceFramer()), material, np.random.default_rng(4), size=12, twins=2) for _ in range(2)
    )
    assert (one.crops == other.crops).all()
    assert (one.points == other.points).all()


def test_remembered_samples_are_mirrored_with_their_points(material: Material, monkeypatch) -> None:
    monkeypatch.setattr(samples, "MEMORY", 1)
    monkeypatch.setattr(samples, "REMEMBERED_SHARE", 1.0)
    framer, rng = Remembering(FaceFramer()), np.random.default_rng(1)
    first = framer(material, rng)
    assert first.weight > 0
    again = [framer(material, rng) for _ in range(20)]
    mirrored = [one for one in again if not np.allclose(one.points, first.points)]
    assert 0 < len(mirrored) < 20
    left, right = topology.OUTER_EYE_CORNER_ROWS
    assert mirrored[0].points[left, 0] == pytest.approx(127 - first.points[right, 0])


def test_held_out_pictures_are_never_learned() -> None:
    usable = np.array([False, True, True, False])
    table = chances(np.array([0.0, 0.02, 0.3, 0.1]), usable)
    taken = {int(np.searchsorted(table, share * table[-1])) for share in np.linspace(1e-9, 1 - 1e-9, 999)}
    assert taken == {1, 2}


# Learning


@pytest.mark.parametrize("name", ["landmark74", "lips40"])
def test_some_steps_lower_the_loss_of_a_batch(name: str, material: Material) -> None:
    torch.manual_seed(0)
    task = train_points.task_of(name)
    batch = batch_of(task.framer, material, np.random.default_rng(0), size=12, twins=2)
    optimiser = torch.optim.AdamW(task.net.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        answers = train_points.answers_of(task.net, train_points.as_input(batch.crops))
        loss, parts = train_points.loss_of(answers, batch, task, twin_share=1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert set(parts) == {"points", "gap", "belief", "twin"}


def test_perfect_answers_cost_nothing_but_the_beliefs(material: Material) -> None:
    task = train_points.task_of("lips40")
    batch = batch_of(task.framer, material, np.random.default_rng(0), size=12, twins=3)
    answers = torch.from_numpy(np.concatenate([batch.points.reshape(12, -1), batch.beliefs * 40 - 20], axis=1))
    _, parts = train_points.loss_of(answers, batch, task, twin_share=1.0)
    assert max(parts[name] for name in ("points", "gap", "twin")) < 1e-5


# The detector


@pytest.fixture(scope="module")
def drawn_scenes(material: Material) -> list[scenes.Scene]:
    rng = np.random.default_rng(6)
    return [scenes.make_scene(material, rng, 256) for _ in range(30)]


def test_faces_of_a_scene_lie_in_it(drawn_scenes: list[scenes.Scene]) -> None:
    found = np.concatenate([scene.faces for scene in drawn_scenes])
    assert len(found) > 10
    assert ((found[:, :2] > 0) & (found[:, :2] < 256)).all()
    assert found[:, 2].min() > 8
    assert all(scene.picture.shape == (256, 256, 3) for scene in drawn_scenes)


def test_no_face_of_a_scene_is_covered_by_a_later_one(drawn_scenes: list[scenes.Scene]) -> None:
    for scene in drawn_scenes:
        for k, one in enumerate(scene.faces):
            for other in scene.faces[:k]:
                assert np.abs(one[:2] - other[:2]).max() > other[2] / 2


def test_the_detector_reads_what_the_target_says(drawn_scenes: list[scenes.Scene]) -> None:
    for scene in drawn_scenes:
        target = train_detector.encoded(scene)
        hill = np.clip(target.hill, 1e-4, 1 - 1e-4)
        maps = np.concatenate([np.log(hill / (1 - hill))[None], target.log_side[None], target.shift])
        peaks = decoded(maps.astype(np.float32))
        for face in scene.faces:
            nearest = np.abs(peaks[:, :3] - face).max(axis=1).min()
            assert nearest < 1e-3 * face[2] + 0.01


def test_a_mirrored_scene_has_its_faces_on_the_other_side(drawn_scenes: list[scenes.Scene]) -> None:
    scene = max(drawn_scenes, key=lambda one: len(one.faces))
    turned = train_detector.mirrored(scene)
    assert (turned.picture[:, 0] == scene.picture[:, -1]).all()
    assert turned.faces[:, 0] == pytest.approx(255 - scene.faces[:, 0])


def test_some_steps_lower_the_loss_of_the_detector(drawn_scenes: list[scenes.Scene]) -> None:
    torch.manual_seed(0)
    net = DetectorNet()
    chosen = [scene for scene in drawn_scenes if len(scene.faces)][:4]
    targets = [train_detector.encoded(scene) for scene in chosen]
    pictures = as_input(np.stack([scene.picture for scene in chosen]))
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = train_detector.loss_of(net(pictures), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


# Installing


def test_installing_changes_size_and_hash_of_one_entry() -> None:
    before = CATALOGUE_FILE.read_text()
    after = listed(before, "lips40.safetensors", b"other")
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(changed) == 2
    assert "size_bytes = 5" in changed
    with pytest.raises(SystemExit):
        listed(before, "nothing.safetensors", b"other")
