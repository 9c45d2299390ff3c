"""The catalogue tells the truth about what ships, and finds what users bring."""

import hashlib
import json
import os
import re
import struct
import tomllib
from pathlib import Path

import pytest
import structlog

from heygemd import catalogue, modellist
from heygemd.catalogue import (
    LEAST_WEIGHTS_BYTES,
    choose_engine,
    choose_tracker,
    find_weights,
    models,
    require_weights,
)
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName
from heygemd.modellist import models_of
from heygemd.settings import RenderSettings

PACKAGE = Path(catalogue.__file__).parent
SIZE_BYTES = LEAST_WEIGHTS_BYTES + 5


@pytest.fixture(autouse=True)
def nothing_seen_before() -> None:
    catalogue._identify.cache_clear()


def bring(path: Path, content: bytes = b"weights", size_bytes: int = SIZE_BYTES) -> str:
    """Put a sparse file of plausible size there; returns its sha256."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size_bytes)
    return hashlib.sha256(content + bytes(size_bytes - len(content))).hexdigest()


def events(captured: list[structlog.typing.EventDict]) -> list[str]:
    return [entry["event"] for entry in captured]


def test_every_model_has_a_name_of_its_own_a_licence_and_a_source() -> None:
    assert len({model.name for model in models()}) == len(models()) >= 4
    for model in models():
        assert model.licence
        assert model.source.endswith(".")
        assert model.sha256 is None or len(bytes.fromhex(model.sha256)) == 32


def test_published_generator_is_listed_with_its_hash() -> None:
    model = next(model for model in models() if model.file == "wav2lip_gan.pth")
    assert model.size_bytes == 435_801_865
    assert model.sha256 == "ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8"
    assert model.commercial_use == "no"
    assert not model.shipped


def test_shipped_files_are_exactly_those_listed() -> None:
    shipped = {model.file: model for model in models() if model.shipped}
    found = {str(path.relative_to(PACKAGE)): path for folder in PACKAGE.rglob("weights") for path in folder.iterdir()}
    assert shipped.keys() == found.keys()
    for name, path in found.items():
        content = path.read_bytes()
        assert shipped[name].size_bytes == len(content)
        assert shipped[name].sha256 == hashlib.sha256(content).hexdigest()


def test_catalogue_is_also_seen_in_the_models_folder() -> None:
    there = PACKAGE.parent / "models" / "catalog.toml"
    assert tomllib.loads(there.read_text(encoding="utf-8")) == tomllib.loads(
        catalogue.CATALOGUE_FILE.read_text(encoding="utf-8")
    )


def test_folder_without_weights_gives_none(tmp_path: Path) -> None:
    assert find_weights(tmp_path) is None
    assert find_weights(tmp_path / "missing") is None


@pytest.mark.parametrize("name", [model.file for model in models_of("wav2lip")])
def test_weights_are_found_by_their_catalogued_names(tmp_path: Path, name: str) -> None:
    sha256 = bring(tmp_path / name)
    found = find_weights(tmp_path)
    assert found is not None
    assert (found.path, found.sha256, found.size_bytes) == (tmp_path / name, sha256, SIZE_BYTES)
    assert found.model.file == name
    assert not found.is_listed


def test_other_names_are_not_taken(tmp_path: Path) -> None:
    bring(tmp_path / "something.pth")
    assert find_weights(tmp_path) is None


def test_stripped_weights_come_before_those_they_were_made_from(tmp_path: Path) -> None:
    bring(tmp_path / "wav2lip_gan.pth")
    bring(tmp_path / "wav2lip_gan.safetensors")
    found = find_weights(tmp_path)
    assert found is not None
    assert found.path.name == "wav2lip_gan.safetensors"


def test_gan_weights_come_first(tmp_path: Path) -> None:
    bring(tmp_path / "wav2lip.pth")
    bring(tmp_path / "wav2lip_gan.pth")
    found = find_weights(tmp_path)
    assert found is not None
    assert found.path.name == "wav2lip_gan.pth"


def test_weights_of_unknown_hash_are_taken_with_one_warning(tmp_path: Path) -> None:
    bring(tmp_path / "wav2lip_gan.pth")
    with structlog.testing.capture_logs() as captured:
        assert find_weights(tmp_path) == find_weights(tmp_path)
    assert events(captured) == ["catalogue.weights_unlisted"]
    assert captured[0]["log_level"] == "warning"


def test_file_that_is_still_being_copied_is_passed_over(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [SIZE_BYTES], "data_offsets": [0, SIZE_BYTES]}}).encode()
    whole = struct.pack("<Q", len(header)) + header
    bring(tmp_path / "wav2lip.safetensors", whole, SIZE_BYTES)
    bring(tmp_path / "wav2lip_gan.pth", b"\x80", SIZE_BYTES)
    with structlog.testing.capture_logs() as captured:
        assert find_weights(tmp_path) is None
    assert events(captured) == ["catalogue.weights_skipped"] * 2
    bring(tmp_path / "wav2lip.safetensors", whole, SIZE_BYTES + len(whole))
    assert find_weights(tmp_path) is not None


def test_damaged_copy_of_the_listed_file_is_passed_over(tmp_path: Path) -> None:
    listed = next(model for model in models() if model.name == "wav2lip_sd_gan")
    assert listed.size_bytes is not None
    bring(tmp_path / listed.file, size_bytes=listed.size_bytes)
    with structlog.testing.capture_logs() as captured:
        assert find_weights(tmp_path) is None
    assert events(captured) == ["catalogue.weights_skipped"]
    assert "damaged" in captured[0]["reason"]


def test_file_overwritten_in_place_is_read_again_though_its_times_were_set_back(tmp_path: Path) -> None:
    path = tmp_path / "wav2lip_gan.pth"
    bring(path)
    seen = path.stat()
    first = find_weights(tmp_path)
    with path.open("r+b") as file:
        file.write(b"swapped")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    second = find_weights(tmp_path)
    assert first is not None
    assert second is not None
    assert first.sha256 != second.sha256


def test_file_is_read_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wav2lip_gan.pth"
    bring(path)
    reads = []
    real = catalogue.sha256_of
    monkeypatch.setattr(catalogue, "sha256_of", lambda path: reads.append(path) or real(path))
    first = find_weights(tmp_path)
    find_weights(tmp_path)
    assert len(reads) == 1
    changed = bring(path, b"other")
    os.utime(path, ns=(1, 1))
    second = find_weights(tmp_path)
    assert len(reads) == 2
    assert first is not None
    assert second is not None
    assert second.sha256 == changed != first.sha256


def test_error_page_instead_of_weights_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "wav2lip_gan.pth").write_bytes(b"<html>")
    with structlog.testing.capture_logs() as captured:
        assert find_weights(tmp_path) is None
    assert events(captured) == ["catalogue.weights_skipped"]
    bring(tmp_path / "wav2lip.pth")
    found = find_weights(tmp_path)
    assert found is not None
    assert found.path.name == "wav2lip.pth"


def test_what_is_no_regular_file_is_passed_over_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wav2lip_gan.pth")
    (tmp_path / "wav2lip.pth").mkdir()
    (tmp_path / "wav2lip.safetensors").symlink_to(tmp_path / "nowhere")
    assert find_weights(tmp_path) is None
    assert choose_engine(EngineName.AUTO, tmp_path).name is EngineName.ATLAS


def test_fifo_is_never_opened_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        catalogue.sha256_of(tmp_path / "fifo")


def test_link_to_weights_is_followed(tmp_path: Path) -> None:
    bring(tmp_path / "elsewhere.bin")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "wav2lip_gan.pth").symlink_to(tmp_path / "elsewhere.bin")
    assert find_weights(tmp_path / "models") is not None


def test_auto_is_wav2lip_with_weights_and_atlas_without(tmp_path: Path) -> None:
    without = choose_engine(EngineName.AUTO, tmp_path)
    assert (without.name, without.weights, without.weights_sha256) == (EngineName.ATLAS, None, None)
    sha256 = bring(tmp_path / "wav2lip.pth")
    chosen = choose_engine(EngineName.AUTO, tmp_path)
    assert (chosen.name, chosen.weights, chosen.weights_sha256) == (
        EngineName.WAV2LIP,
        tmp_path / "wav2lip.pth",
        sha256,
    )


def test_weights_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(tmp_path / "wav2lip.pth")
    monkeypatch.chdir(tmp_path)
    assert choose_engine(EngineName.AUTO, Path()).weights == tmp_path / "wav2lip.pth"


@pytest.mark.parametrize("wanted", [EngineName.ATLAS, EngineName.PASSTHROUGH])
def test_named_engines_are_given_whatever_lies_there(wanted: EngineName, tmp_path: Path) -> None:
    bring(tmp_path / "wav2lip_gan.pth")
    chosen = choose_engine(wanted, tmp_path)
    assert (chosen.name, chosen.weights) == (wanted, None)


def test_wav2lip_without_weights_is_refused_with_the_names_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        choose_engine(EngineName.WAV2LIP, tmp_path)
    assert refused.value.code == "E402"
    assert "wav2lip_gan.pth" in refused.value.message


CARD = "cuda:0"


@pytest.fixture
def face_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files that the catalogue lists as all that face-alignment could need."""
    listed = []
    for model in models():
        if model.engine == "faces" and not model.shipped:
            content = b"\x80" + model.name.encode()
            (tmp_path / model.file).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            listed.append(model.model_copy(update={"sha256": sha256, "size_bytes": len(content)}))
        else:
            listed.append(model)
    monkeypatch.setattr(modellist, "models", lambda: tuple(listed))
    monkeypatch.setattr(catalogue, "listed_sha256s", lambda: frozenset(model.sha256 for model in listed))
    return tmp_path


@pytest.mark.parametrize(
    ("tracker", "engine", "device", "detector"),
    [
        ("auto", EngineName.WAV2LIP, CARD, "s3fd"),
        ("auto", EngineName.WAV2LIP, "cpu", None),
        ("auto", EngineName.ATLAS, CARD, None),
        ("built-in", EngineName.WAV2LIP, CARD, None),
        ("face-alignment", EngineName.WAV2LIP, "cpu", "s3fd"),
        ("face-alignment", EngineName.ATLAS, "cpu", "s3fd"),
    ],
)
def test_tracker_with_all_weights(
    tracker: str, engine: EngineName, device: str, detector: str | None, face_weights: Path
) -> None:
    choice = choose_tracker(engine, device, RenderSettings(tracker=tracker), models_dir=face_weights)
    assert choice.detector == detector
    assert choice.models_dir == (face_weights if detector else None)
    assert choice.name == ("face-alignment" if detector else "built-in")
    assert choice.reason


@pytest.mark.parametrize("damage", ["missing", "other bytes", "a folder"])
@pytest.mark.parametrize(("detector", "name"), [("s3fd", "s3fd"), ("s3fd", "fan4"), ("blazeface", "blazeface-anchors")])
def test_tracker_without_one_of_its_files(detector: str, name: str, damage: str, face_weights: Path) -> None:
    file = face_weights / next(model.file for model in models() if model.name == name)
    file.unlink()
    if damage == "other bytes":
        file.write_bytes(b"\x80somebody's own")
    elif damage == "a folder":
        file.mkdir()
    auto = RenderSettings(detector=detector)
    choice = choose_tracker(EngineName.WAV2LIP, CARD, auto, models_dir=face_weights)
    assert (choice.name, file.name in choice.reason) == ("built-in", True)
    forced = RenderSettings(detector=detector, tracker="face-alignment")
    with pytest.raises(SetupError, match=re.escape(file.name)) as refused:
        require_weights(EngineName.ATLAS, forced, face_weights)
    assert refused.value.code == "E402"
    require_weights(EngineName.ATLAS, auto, face_weights)


def test_the_lighter_detector_needs_no_s3fd(face_weights: Path) -> None:
    (face_weights / next(model.file for model in models() if model.name == "s3fd")).unlink()
    settings = RenderSettings(tracker="face-alignment", detector="blazeface")
    assert choose_tracker(EngineName.ATLAS, "cpu", settings, models_dir=face_weights).detector == "blazeface"


@pytest.mark.parametrize(("version", "form"), [("1.4.1", "fan4-torchscript"), ("1.5.0", "fan4"), ("2.0", "fan4")])
def test_fan_is_what_the_installed_face_alignment_loads(
    version: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modellist.metadata, "version", lambda _: version)
    assert {model.name for model in modellist.tracker_models("s3fd")} == {"s3fd", form}


@pytest.mark.media
def test_the_listed_blazeface_is_the_published_one(shared_media: Path) -> None:
    for name in ("blazeface", "blazeface-anchors"):
        model = next(model for model in models() if model.name == name)
        content = (shared_media.parent / "weights" / model.file).read_bytes()
        assert (model.size_bytes, model.sha256) == (len(content), hashlib.sha256(content).hexdigest())
