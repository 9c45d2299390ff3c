"""Weights that the operator brought: what is told of good ones, of odd ones and of those that are none."""

import hashlib
import io
import json
import zipfile

import pytest

from heygemd.doctor import weights
from heygemd.doctor.finding import Level

SAFE = json.dumps({"a": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}).encode()
WHOLE = len(SAFE).to_bytes(8, "little") + SAFE + bytes(64)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """No plausible length is asked of the tiny files of these tests."""
    monkeypatch.setattr(weights, "LEAST_WEIGHTS_BYTES", 0)
    monkeypatch.setattr(weights.catalogue, "LEAST_WEIGHTS_BYTES", 0)


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a", b"x" * 500)
    return stream.getvalue()


def of_models(studio, name, content):
    (studio.models / name).write_bytes(content)
    found = {finding.subject: finding for finding in studio.examine("models")}
    return found[next(subject for subject in found if subject.startswith("model "))]


def test_whole_files_without_a_listed_hash_are_good(studio):
    finding = of_models(studio, "wav2lip.safetensors", WHOLE)
    assert (finding.level, "no hash is listed" in finding.message) == (Level.OK, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("wav2lip.safetensors", WHOLE[:-1], "is cut off"),
        ("wav2lip_gan.pth", archive()[:-30], "is cut off"),
        ("wav2lip_gan.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        ("wav2lip_gan.pth", b"", "the file is empty"),
    ],
)
def test_what_cannot_be_a_model_is_broken(studio, name, content, words):
    finding = of_models(studio, name, content)
    assert (finding.level, finding.code) == (Level.BAD, "E409")
    assert words in finding.message
    assert f"rm {studio.models / name}" in finding.fix


def test_a_training_of_ones_own_is_a_warning_and_the_listed_one_is_good(studio, monkeypatch):
    content = b"\x80\x02" + b"x" * 100
    finding = of_models(studio, "wav2lip_gan.pth", content)
    assert (finding.level, finding.code) == (Level.WARNING, "E409")
    assert "has 102 bytes instead of 435801865" in finding.message
    listed = tuple(
        model.model_copy(update={"size_bytes": 102, "sha256": hashlib.sha256(content).hexdigest()})
        if model.file == "wav2lip_gan.pth"
        else model
        for model in weights.catalogue.models()
    )
    monkeypatch.setattr(weights.catalogue, "models", lambda: listed)
    assert of_models(studio, "wav2lip_gan.pth", content).message.endswith(": as listed")
    damaged = of_models(studio, "wav2lip_gan.pth", content[:-1] + b"y")
    assert (damaged.level, damaged.code) == (Level.BAD, "E409")


def test_a_models_directory_that_was_set_and_is_missing_is_told(studio):
    studio.models.rmdir()
    (finding,) = studio.wrong("models")
    assert (finding.subject, finding.code, finding.level) == ("models_dir", "E402", Level.WARNING)
