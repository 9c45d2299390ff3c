"""face-alignment's nets feed the same track; with weights of the right format, and none of the real ones."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import face_alignment
import numpy as np
import pytest
import torch
from face_alignment.detection.sfd.net_s3fd import s3fd

from heygemd.errors import SetupError
from heygemd.render.faces import fan
from heygemd.render.faces.choice import choose
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.fan import fan_files, track_clip_fan
from heygemd.render.faces.lift68 import IBUG_MESH_INDEXES
from heygemd.render.faces.picture import Picture

pytestmark = pytest.mark.skipif(not fan._is_native(), reason="face-alignment before 1.5 has other files")

SIZE_PX = 256
EYE_PX = 60.0


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
    torch.save(weights, path / fan_files()["s3fd"])
    with torch.device("meta"):
        empty = face_alignment.models.FAN(4).state_dict()
    weights = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in empty.items()}
    torch.save(weights, path / fan_files()["fan4"])
    return path


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

    def detect_from_image(self, image: np.ndarray) -> list[np.ndarray]:
        self.detections += 1
        low, high = face_68().min(axis=0), face_68().max(axis=0)
        return [np.array([*low - 20, *high + 5, 0.99])]

    def get_landmarks_from_image(self, image, detected_faces, return_landmark_score):
        self.boxes += [np.asarray(box[:4]) for box in detected_faces]
        faces = [face_68() for _ in detected_faces]
        return faces, [np.full(68, self.score) for _ in detected_faces], None


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> DrawnNet:
    drawn = DrawnNet()
    monkeypatch.setattr(fan, "_load", lambda *_: drawn)
    return drawn


def test_files_of_the_right_format_are_loaded_from_the_folder_and_nowhere_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_alignment.utils.download_url_to_file", lambda *_: pytest.fail("a download"))
    before = torch.hub.get_dir()
    crowd = track_clip_fan(grey(1), models_dir=folder)
    assert crowd.person_count == 0  # nets without knowledge see nobody, and say so
    assert torch.hub.get_dir() == before
    assert sorted(file.name for file in folder.iterdir()) == sorted(fan_files().values())


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


def test_between_detections_the_box_stays_that_of_the_detector(net: DrawnNet, tmp_path: Path) -> None:
    track_clip_fan(grey(4), models_dir=tmp_path)
    for box in net.boxes[1:]:
        assert box == pytest.approx(net.boxes[0], abs=0.5)


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
    (tmp_path / fan_files()["fan4"]).symlink_to(folder / fan_files()["fan4"])
    portrait = np.ascontiguousarray(data.astronaut()[:256, 90:346, ::-1])
    picture = Picture.of_planes(cv2.cvtColor(portrait, cv2.COLOR_BGR2YUV_I420))
    follower = fan._FanFollower(tmp_path, "cpu", "blazeface")
    ((left, top, right, bottom),) = follower._detect(picture)
    assert (left + right) / 2 == pytest.approx(135, abs=20)
    assert (top + bottom) / 2 == pytest.approx(120, abs=25)
    assert follower.follow(picture) == [], "a net of zeros reads no face in it"
