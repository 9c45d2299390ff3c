"""Weights become a generator by the way that was measured to be best, which is measured once and not again."""

import hashlib
import json

import pytest
import torch

from heygemd.errors import SetupError
from heygemd.render.wav2lip import choice, loading
from heygemd.render.wav2lip.calibration import Candidate
from heygemd.render.wav2lip.choice import ChoiceFile, choice_file, processor
from heygemd.render.wav2lip.loading import AUTO, OPENVINO, TORCH, candidates_for, load_generator
from heygemd.render.wav2lip.processor import by_torch
from heygemd.render.wav2lip.torchnetwork import TorchNetwork
from heygemd.render.wav2lip.untrained import save_stripped
from tests.render.wav2lip_rig import folded, off_by, published, some_faces

SHA256 = "a" * 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "wav2lip.safetensors"
    save_stripped(published().state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def sha256(weights):
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture
def calibrations(monkeypatch):
    """Count calibrations; the last candidate always wins."""
    counted = []

    def calibrated(network, candidates, *, count):
        counted.append([candidate.name for candidate in candidates])
        best = candidates[-1]
        return loading.Trial(candidate=best, paint=best.build(network), cpu_s=[0.1])

    monkeypatch.setattr(loading, "calibrated", calibrated)
    monkeypatch.setattr(loading, "chosen_aside", lambda *ways: pytest.fail("there is nothing that would stay loaded"))
    return counted


def some_ways(monkeypatch, *names):
    """Let these be all candidates there are, each by plain torch."""

    def candidate(name):
        return Candidate(name=name, precision=name, dtype="float32", build=lambda network: by_torch(network, "float32"))

    monkeypatch.setattr(loading, "candidates_for", lambda backend: [candidate(name) for name in names])


@pytest.mark.parametrize("backend", [AUTO, TORCH])
def test_what_is_loaded_paints_the_published_picture(weights, backend):
    generator = load_generator(weights, device="cpu", backend=backend)
    windows, faces = some_faces(1)
    painted = generator.paint(windows, faces, batch_frames=1)
    whole = torch.from_numpy(faces).permute(0, 3, 1, 2) / 255
    masked = whole.clone()
    masked[:, :, 48:] = 0
    with torch.inference_mode():
        mel = torch.from_numpy(windows).transpose(1, 2).unsqueeze(1)
        expected = published()(mel, torch.cat((masked, whole), dim=1))
    allowed = 0.05 if generator.precision.endswith("float32") else 5
    assert off_by(painted, (expected[:, :, 48:] * 255).permute(0, 2, 3, 1)) < allowed


def test_a_choice_is_made_once_for_the_same_weights_and_setting(weights, sha256, tmp_path, calibrations, monkeypatch):
    some_ways(monkeypatch, "a", "b")
    for backend, expected in (("auto", 1), ("auto", 1), ("torch", 2), ("auto", 2)):
        made = load_generator(weights, device="cpu", sha256=sha256, backend=backend, cache_dir=tmp_path)
        assert (made.precision, len(calibrations)) == ("b", expected)


def test_a_choice_that_is_no_longer_there_is_made_anew(weights, sha256, tmp_path, calibrations, monkeypatch):
    some_ways(monkeypatch, "a", "b")
    load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path)
    some_ways(monkeypatch, "a")
    assert load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path).precision == "a"
    assert len(calibrations) == 2


def test_a_choice_that_cannot_be_built_any_more_is_made_anew(weights, sha256, tmp_path, calibrations, monkeypatch):
    def gone(network):
        raise SetupError("E401", "not here")

    some_ways(monkeypatch, "a", "b")
    load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path)
    broken = Candidate(name="b", precision="b", dtype="float32", build=gone)
    some_ways(monkeypatch, "a")
    rest = list(loading.candidates_for(AUTO))
    monkeypatch.setattr(loading, "candidates_for", lambda backend: [broken, *rest])
    assert load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path).precision == "a"


def test_without_a_folder_or_a_sha256_nothing_is_kept(weights, sha256, tmp_path, calibrations, monkeypatch):
    some_ways(monkeypatch, "a")
    load_generator(weights, device="cpu", sha256=sha256)
    load_generator(weights, device="cpu", cache_dir=tmp_path)
    assert len(calibrations) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_would_stay_loaded_is_measured_by_another_process(weights, sha256, tmp_path, monkeypatch):
    """The worker itself tries nothing, and what was found out is kept for the next one."""
    asked = []

    def chosen_aside(*ways):
        asked.append(ways)
        return "openvino 2", 7.5

    some_ways(monkeypatch, "torch", "openvino 1", "openvino 2")
    monkeypatch.setattr(loading, "calibrated", lambda *ways, **more: pytest.fail("measured here"))
    monkeypatch.setattr(loading, "chosen_aside", chosen_aside)
    for _ in range(2):
        made = load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path)
        assert made.precision == "openvino 2"
    assert asked == [(weights, sha256, AUTO)]
    assert json.loads(choice_file(tmp_path, sha256, AUTO).path.read_text())["batch_cpu_ms"] == 7.5


def test_when_the_other_process_failed_the_worker_measures(weights, sha256, tmp_path, calibrations, monkeypatch):
    some_ways(monkeypatch, "torch", "openvino")
    monkeypatch.setattr(loading, "chosen_aside", lambda *ways: ("", 0.0))
    assert load_generator(weights, device="cpu", sha256=sha256, cache_dir=tmp_path).precision == "openvino"
    assert len(calibrations) == 1
    assert choice_file(tmp_path, sha256, AUTO).read() == "openvino"


def test_a_backend_that_is_not_installed_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "is_installed", lambda: False)
    with pytest.raises(SetupError) as refused:
        load_generator(tmp_path / "no weights", device="cpu", backend=OPENVINO)
    assert (refused.value.code, "heygemd[openvino]" in refused.value.message) == ("E401", True)
    assert all("openvino" not in candidate.name for candidate in candidates_for(AUTO))


def test_what_is_asked_for_is_what_is_tried(monkeypatch):
    monkeypatch.setattr(loading, "is_installed", lambda: True)
    assert {candidate.name.split()[0] for candidate in candidates_for(OPENVINO)} == {"openvino"}
    assert all("openvino" not in candidate.name for candidate in candidates_for(TORCH))
    tried = [candidate.name for candidate in candidates_for(AUTO)]
    assert len(set(tried)) == len(tried)
    assert {"torch bfloat16", "torch float32", "openvino bfloat16", "openvino float32"} <= set(tried)


def test_events_name_torch_by_its_number_format_alone():
    """Memory that was measured under a name is not measured anew."""
    monikers = {candidate.precision for candidate in candidates_for(TORCH)}
    assert monikers == {"bfloat16", "float32"}


# The remembered choice --------------------------------------------------------------------------------------------


def test_a_choice_is_kept_and_found(tmp_path):
    file = choice_file(tmp_path, SHA256, AUTO)
    assert file.read() == ""
    with file.locked():
        file.write("openvino bfloat16", 91.5)
    assert choice_file(tmp_path, SHA256, AUTO).read() == "openvino bfloat16"
    assert json.loads(file.path.read_text())["batch_cpu_ms"] == 91.5


def test_whatever_it_depends_on_makes_it_another(tmp_path, monkeypatch):
    names = [choice_file(tmp_path, SHA256, AUTO).path.name, choice_file(tmp_path, "b" * 64, AUTO).path.name]
    names.append(choice_file(tmp_path, SHA256, TORCH).path.name)
    for target, value in (
        ("processor", lambda: ["another"]),
        ("installed_version", lambda: "1"),
        ("__version__", "0"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(choice, target, value)
            names.append(choice_file(tmp_path, SHA256, AUTO).path.name)
    with monkeypatch.context() as changed:
        changed.setattr(choice.torch, "get_num_threads", lambda: 99)
        names.append(choice_file(tmp_path, SHA256, AUTO).path.name)
    with monkeypatch.context() as changed:
        changed.setattr(choice.os, "sched_getaffinity", lambda pid: range(99))
        names.append(choice_file(tmp_path, SHA256, AUTO).path.name)
    assert len(set(names)) == len(names) == 8
    assert choice_file(tmp_path, SHA256, AUTO).path.name == names[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"chosen": 1}', b"\xff\xfe", b"null"])
def test_a_damaged_choice_is_no_choice(tmp_path, content):
    file = ChoiceFile(path=tmp_path / "x.json")
    file.path.write_bytes(content)
    assert file.read() == ""


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    file = ChoiceFile(path=tmp_path / "file" / "x.json")
    with file.locked():
        file.write("a", 1.0)
    assert file.read() == ""


def test_nobody_measures_beside_another(tmp_path):
    """A second worker finds the lock taken, and may have it once the first has written."""
    import fcntl
    import os

    file = ChoiceFile(path=tmp_path / "backends" / "x.json")
    with file.locked():
        other = os.open(file.path.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write("a", 1.0)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_the_processor_is_told_by_model_and_instructions(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t: 2600\nflags\t: fpu amx_bf16\n\nprocessor\t: 1\nflags\t: x\n"
    )
    assert processor(info)[1:] == ["Some CPU", "fpu amx_bf16"]
    info.write_text("processor\t: 0\nBogoMIPS\t: 50\nFeatures\t: fp asimd bf16\nCPU part\t: 0xd4f\n")
    assert processor(info)[1:] == ["fp asimd bf16", "0xd4f"]
    assert len(processor(tmp_path / "absent")) == 1


class Painting:
    """A network in any number format, as exact as float32."""

    def __init__(self, dtype, exact):
        self.dtype = dtype
        self.paint = exact.paint


@pytest.mark.parametrize("limits", [{}, {"torch.float16": 0.0}, {"torch.float16": 0.0, "torch.bfloat16": 0.0}])
def test_a_card_computes_in_the_shortest_format_that_is_near_enough(monkeypatch, limits):
    real = loading.Yardstick.allowed_levels

    def allowed(self, dtype):
        return limits.get(f"torch.{dtype}", real(self, dtype))

    taken = []
    monkeypatch.setattr(loading.Yardstick, "allowed_levels", allowed)
    monkeypatch.setattr(loading, "Card", lambda made, device: taken.append(made) or made)
    exact = TorchNetwork(folded(), torch.float32)
    monkeypatch.setattr(loading, "TorchNetwork", lambda network, dtype, device: Painting(dtype, exact))
    loading.on_card(folded(), torch.device("cpu"))
    assert str(taken[0].dtype) == ("torch.float16", "torch.bfloat16", "torch.float32")[len(limits)]
