"""A net that ships is used only with the bytes that the catalogue lists."""

import time
from pathlib import Path

import pytest

from heygemd import modellist
from heygemd.errors import SetupError
from heygemd.render import shipped
from heygemd.render.faces import detector, facemodel, networks
from heygemd.render.speech import network

FILES = [modellist.PACKAGE / model.file for model in modellist.models() if model.shipped]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder of the test's own, where files may be changed."""
    for file in FILES:
        copy = tmp_path / file.relative_to(modellist.PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path)
    for module in (networks, detector):
        monkeypatch.setattr(module, "WEIGHTS_DIR", tmp_path / "render" / "faces" / "weights")
    monkeypatch.setattr(network, "WEIGHTS_FILE", tmp_path / "render" / "speech" / "weights" / "mouth_fp16.safetensors")
    monkeypatch.setattr(facemodel, "FACE_MODEL_FILE", tmp_path / "render" / "faces" / "weights" / "facemodel.npz")
    facemodel.load_face_model.cache_clear()
    yield tmp_path
    facemodel.load_face_model.cache_clear()


LOADERS = {
    "landmark74.safetensors": networks.load_landmark_net,
    "lips40.safetensors": networks.load_lip_net,
    "faces8.safetensors": detector.FaceDetector,
    "facemodel.npz": facemodel.load_face_model,
    "mouth_fp16.safetensors": network.load_speech_net,
}


def test_every_shipped_file_is_loaded_by_somebody() -> None:
    assert {file.name for file in FILES} == set(LOADERS)


@pytest.mark.parametrize("name", LOADERS)
def test_a_net_with_one_other_bit_is_refused(package: Path, name: str) -> None:
    (file,) = package.rglob(name)
    LOADERS[name]()
    facemodel.load_face_model.cache_clear()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(SetupError) as refused:
        LOADERS[name]()
    assert refused.value.code == "E409"
    assert name in refused.value.message


def test_a_net_that_is_missing_is_refused(package: Path) -> None:
    (file,) = package.rglob("lips40.safetensors")
    file.unlink()
    with pytest.raises(SetupError) as refused:
        networks.load_lip_net()
    assert refused.value.code == "E409"


def test_checking_all_of_them_takes_no_time_that_a_start_would_feel() -> None:
    took_s = []
    for _ in range(5):
        began_s = time.perf_counter()
        for file in FILES:
            shipped.shipped_bytes(file)
        took_s.append(time.perf_counter() - began_s)
    assert min(took_s) < 0.03
