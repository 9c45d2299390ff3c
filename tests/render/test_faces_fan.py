"""face-alignment's nets feed the same track; with weights of the right format, and none of the real ones."""

import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import face_alignment
import numpy as np
import pytest
import torch
from face_alignment.detection.blazeface.net_blazeface import BlazeFace
from face_alignment.detection.sfd.net_s3fd import s3fd

from heygemd.errors import SetupError
from heygemd.modellist import models_of, tracker_models
from heygemd.render.faces import fan
from heygemd.render.faces.choice import choose
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.fan import track_clip_fan
from heygemd.render.faces.lift68 import IBUG_MESH_INDEXES
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.track import FaceTrack

FILES = {model.name: model.file for model in models_of("faces") if not model.shipped}

pytestmark = pytest.mark.skipif(
    "fan4" not in {model.name for model in tracker_models("s3fd")}, reason="face-alignment before 1.5 has other files"
)

SIZE_PX = 256
EYE_PX = 60.0
RIGHT, TOP = np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 0])
"""Sides of a box that move when it moves to the right; its upper side."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files, as face-alignment saves them; of nets that see nothing."""
    path = tmp_path_factory.mktemp("models")
    with torch.device("meta"):
        empty = s3fd().state_dict()
    weights = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in empty.items()}
    for name in (name for name in weights if name.endswith("mbox_conf.bias")):
        weights[name][:] = torch.tensor([9.0] * (len(weights[name]) - 1) + [-9.0])  # the last one is the face
    torch.save(weights, path / FILES["s3fd"])
    with torch.device("meta"):
        empty = face_alignment.models.FAN(4).state_dict()
    weights = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in empty.items()}
    torch.save(weights, path / FILES["fan4"])
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks up a name or opens a socket fails; torch's and the package's own ways of fetching, too."""
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, lambda *_, **__: pytest.fail("a connection"))
    for name in ("torch.hub.download_url_to_file", "face_alignment.utils.download_url_to_file"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("a download"))


def grey(frames: int) -> Iterator[tuple[float, np.ndarray]]:
    planes = np.full((SIZE_PX * 3 // 2, SIZE_PX), 128, np.uint8)
    return ((number / 25, planes) for number in range(frames))


def face_68() -> np.ndarray:
    return load_face_model().mean_face[list(IBUG_MESH_INDEXES), :2] * EYE_PX + [128, 110]


class DrawnNet:
    """Stands for `FaceAlignment`: sees one face, at the place and with the belief that the test says."""

    def __init__(self) -> None:
        self.score, self.detections, self.boxes = 0.8, 0, list[np.ndarray]()
        self.face_detector = self
        self.shift = 0.0
        """How far to the right the face stands."""
        self.drawn = np.array([-20.0, -20.0, 5.0, 5.0])
        """What the detector adds to the box of the points."""

    def detect_from_image(self, image: np.ndarray) -> list[np.ndarray]:
        self.detections += 1
        points = face_68() + np.array([self.shift, 0])
        # That package counts from the corner of the first pixel.
        return [np.append(np.concatenate([points.min(axis=0), points.max(axis=0)]) + self.drawn + 0.5, 0.99)]

    def get_landmarks_from_image(self, image, detected_faces, return_landmark_score):
        self.boxes += [np.asarray(box[:4]) for box in detected_faces]
        faces = [face_68() + np.array([self.shift, 0]) for _ in detected_faces]
        return faces, [np.full(68, self.score) for _ in detected_faces], None


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> DrawnNet:
    drawn = DrawnNet()
    monkeypatch.setattr(fan, "_load", lambda *_: drawn)
    return drawn


@pytest.mark.usefixtures("no_network")
def test_files_of_the_right_format_are_loaded_from_the_folder_and_nowhere_else(folder: Path) -> None:
    before = torch.hub.get_dir()
    crowd = track_clip_fan(grey(1), models_dir=folder)
    assert crowd.person_count == 0  # nets without knowledge see nobody, and say so
    assert torch.hub.get_dir() == before
    assert sorted(file.name for file in folder.iterdir()) == sorted([FILES["s3fd"], FILES["fan4"]])


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"s3fd-619a316812\.pth") as caught:
        track_clip_fan(grey(1), models_dir=tmp_path)
    assert caught.value.code == "E402"
    assert "2DFAN4" in str(caught.value)


def test_its_points_make_a_track_like_any_other(net: DrawnNet, tmp_path: Path) -> None:
    crowd = track_clip_fan(grey(14), models_dir=tmp_path)
    track = choose(crowd, "main")
    assert crowd.person_count == 1
    assert track.present.all()
    assert track.confidence == pytest.approx(0.8)
    assert track.points[0, 0] == pytest.approx(face_68()[48])  # the left corner of the mouth
    assert track.skin.min() > 90
    assert net.detections == 2, "faces are looked for every twelfth frame"


@pytest.mark.usefixtures("no_network")
def test_the_lighter_detector_is_loaded_from_its_own_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / FILES["fan4"]).symlink_to(folder / FILES["fan4"])
    with pytest.raises(SetupError, match=r"blazeface\.pth.*anchors\.npy"):
        track_clip_fan(grey(1), models_dir=tmp_path, detector="blazeface")
    weights = {name: torch.zeros_like(value) for name, value in BlazeFace().state_dict().items()}
    for name in (name for name in weights if name.startswith("classifier") and name.endswith("bias")):
        weights[name] -= 9.0
    torch.save(weights, tmp_path / FILES["blazeface"])
    np.save(tmp_path / FILES["blazeface-anchors"], np.full((896, 4), 0.5, np.float32))
    assert track_clip_fan(grey(1), models_dir=tmp_path, detector="blazeface").boxes is None


def moving(net: DrawnNet, frames: int) -> Iterator[tuple[float, np.ndarray]]:
    for number, frame in enumerate(grey(frames)):
        net.shift = 2.0 * number
        yield frame


def test_between_detections_the_box_of_the_detector_moves_with_the_points(net: DrawnNet, tmp_path: Path) -> None:
    crowd = track_clip_fan(moving(net, 6), models_dir=tmp_path)
    first = np.concatenate([face_68().min(axis=0), face_68().max(axis=0)]) + net.drawn
    assert crowd.boxes is not None
    for number, box in enumerate(crowd.boxes):
        assert box == pytest.approx(first + RIGHT * 2 * number, abs=1e-3)
    for number, asked in enumerate(net.boxes[1:]):
        assert asked == pytest.approx(net.boxes[0] + RIGHT * 2 * number, abs=1e-3)


def test_a_detection_brings_the_box_of_a_followed_face_up_to_date(net: DrawnNet, tmp_path: Path) -> None:
    def growing() -> Iterator[tuple[float, np.ndarray]]:
        for number, frame in enumerate(grey(2 * fan.DETECT_EVERY_FRAMES)):
            if number == 1:
                net.drawn = net.drawn - 10 * TOP
            yield frame

    crowd = track_clip_fan(growing(), models_dir=tmp_path)
    assert crowd.boxes is not None
    assert crowd.boxes[11] == pytest.approx(crowd.boxes[0])
    assert crowd.boxes[12] == pytest.approx(crowd.boxes[0] - 10 * fan.DETECTOR_COUNTS * TOP, abs=1e-3)
    assert crowd.person_count == 1


def test_boxes_are_saved_and_chosen_with_the_face(net: DrawnNet, tmp_path: Path) -> None:
    crowd = track_clip_fan(moving(net, 5), models_dir=tmp_path)
    crowd.save(tmp_path / "faces.npz")
    track = choose(Crowd.load(tmp_path / "faces.npz"), "main", scratch=tmp_path)
    track.save(tmp_path / "track.npz")
    loaded = FaceTrack.load(tmp_path / "track.npz")
    assert np.array_equal(loaded.boxes_of(1, 4), crowd.boxes[1:4])


def test_the_process_keeps_its_own_way_to_choose_convolutions(net: DrawnNet, tmp_path: Path) -> None:
    def switch_on(image: np.ndarray) -> list[np.ndarray]:
        torch.backends.cudnn.benchmark = True
        return []

    net.detect_from_image = switch_on
    track_clip_fan(grey(1), models_dir=tmp_path)
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("size", "lefts"), [((90, 160), [0, 35, 70]), ((90, 90), [0]), ((90, 270), [0, 45, 90, 135, 180])]
)
def test_pieces_of_a_wide_picture_overlap_by_half_or_more(size: tuple[int, int], lefts: list[int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert [(left, top, piece.shape[:2]) for left, top, piece in fan._pieces(picture)] == [
        (left, 0, (90, 90)) for left in lefts
    ]
    upright = np.zeros((*size[::-1], 3), np.uint8)
    assert [(left, top) for left, top, _ in fan._pieces(upright)] == [(0, left) for left in lefts]


def test_face_that_it_no_longer_believes_in_is_lost(net: DrawnNet, tmp_path: Path) -> None:
    def fading() -> Iterator[tuple[float, np.ndarray]]:
        for number, frame in enumerate(grey(6)):
            net.score = 0.8 if number < 3 else 0.05
            yield frame

    assert track_clip_fan(fading(), models_dir=tmp_path).frame.tolist() == [0, 1, 2]


def test_progress_counts_frames(net: DrawnNet, tmp_path: Path) -> None:
    heard: list[int] = []
    track_clip_fan(grey(3), heard.append, models_dir=tmp_path)
    assert heard == [1, 2, 3]


@pytest.mark.media
@pytest.mark.slow  # that package compiles a function of its own on the first face
def test_a_real_detector_of_that_package_finds_a_real_face(folder: Path, tmp_path: Path, shared_media: Path) -> None:
    data = pytest.importorskip("skimage.data")
    weights = shared_media.parent / "weights"
    for name in ("blazeface.pth", "anchors.npy"):
        (tmp_path / name).symlink_to(weights / name)
    (tmp_path / FILES["fan4"]).symlink_to(folder / FILES["fan4"])
    portrait = np.ascontiguousarray(data.astronaut()[:256, 90:346, ::-1])
    picture = Picture.of_planes(cv2.cvtColor(portrait, cv2.COLOR_BGR2YUV_I420))
    follower = fan._FanFollower(tmp_path, "cpu", "blazeface")
    ((left, top, right, bottom),) = follower._detect(picture)
    assert (left + right) / 2 == pytest.approx(135, abs=20)
    assert (top + bottom) / 2 == pytest.approx(120, abs=25)
    assert follower.follow(picture) == [], "a net of zeros reads no face in it"
    wide = np.full((256, 640, 3), 128, np.uint8)
    wide[:, 384:] = portrait
    ((left, _, right, _),) = follower._detect(Picture.of_planes(cv2.cvtColor(wide, cv2.COLOR_BGR2YUV_I420)))
    assert (left + right) / 2 == pytest.approx(384 + 135, abs=20), (
        "at the side, where one square in the middle is blind"
    )
