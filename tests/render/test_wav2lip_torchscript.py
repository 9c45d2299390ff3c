"""The archives that are linked today are read exactly, and nothing in them is run."""

import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from heygemd.errors import SetupError
from heygemd.render.wav2lip import torchscript
from heygemd.render.wav2lip.checkpoint import Container, container_of, load_weights
from heygemd.render.wav2lip.torchscript import is_torchscript, tensors_of
from heygemd.render.wav2lip.untrained import untrained_network


class Small(nn.Module):
    """Has what the real network has: nested modules, buffers, whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)) for _ in range(2)])
        self.register_buffer("scale", torch.tensor(3.0, dtype=torch.float64))

    def forward(self, x):
        for block in self.blocks:
            x = block(x[:, :1])
        return x * self.scale


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scripted") / "small.pt"
    save(Small().eval(), torch.rand(1, 1, 9, 9), path)
    return path


def save(network: nn.Module, example, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that it wants another format one day
        torch.jit.trace(network, example).save(str(path))


def truth(path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path)).state_dict()


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes], **compression) -> Path:
    with zipfile.ZipFile(path, "w", **compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def read(path: Path):
    with path.open("rb") as file:
        return tensors_of(file)


def test_tensors_are_those_that_torch_reads(small: Path) -> None:
    expected, found = truth(small), read(small)
    assert found.keys() == expected.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in expected.items()
    )


def test_the_whole_network_is_loaded_from_such_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    network = untrained_network()
    save(network, (torch.rand(1, 1, 80, 16), torch.rand(1, 6, 96, 96)), path)
    with path.open("rb") as file:
        assert container_of(path, file) is Container.TORCHSCRIPT
    loaded = load_weights(path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    path.unlink()


def test_plain_zipped_pickles_are_not_taken_for_archives(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pth")
    with (tmp_path / "plain.pth").open("rb") as file:
        assert not is_torchscript(file)


class Malice:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_malicious_pickle_is_refused_and_not_executed(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    content = members(small)
    content["small/data.pkl"] = pickle.dumps({"weight": Malice(target)})
    path = write(tmp_path / "bad.pt", content)
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        read(path)
    with pytest.raises(SetupError) as refused:
        load_weights(path)
    assert refused.value.code == "E405"
    assert not target.exists()
    pickle.loads(content["small/data.pkl"])  # the trap works
    assert target.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("torch", "load"), ("torch", "Tensor"), ("torch.jit", "load"), ("os", "system")],
)
def test_only_six_names_are_known(module: str, name: str) -> None:
    reader = torchscript._Reader(io.BytesIO(), None, "x")  # type: ignore[arg-type]
    with pytest.raises(pickle.UnpicklingError):
        reader.find_class(module, name)


def test_storages_of_another_length_are_refused(small: Path, tmp_path: Path) -> None:
    content = members(small)
    name = next(name for name in content if "/data/" in name and len(content[name]) > 8)
    content[name] += bytes(4)
    with pytest.raises(ValueError, match="is not"):
        read(write(tmp_path / "long.pt", content))


def test_compressed_storages_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="plain bytes"):
        read(write(tmp_path / "packed.pt", members(small), compression=zipfile.ZIP_DEFLATED))


def test_missing_members_are_refused(small: Path, tmp_path: Path) -> None:
    for missing in ("small/data.pkl", next(name for name in members(small) if "/data/" in name)):
        content = {name: data for name, data in members(small).items() if name != missing}
        with pytest.raises(KeyError):
            read(write(tmp_path / "less.pt", content))


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (1, (4,), (1,)), (0, (5,), (1,)), (0, (2, 2), (4, 1)), (0, (1 << 40,), (0,)), (-1, (1,), (1,)),
        (0, (-1,), (1,)), (0, (4,), (-1,)), (0, (4,), ()), (0, [4], [1]), ("0", (4,), (1,)),
    ],
)  # fmt: skip
def test_a_tensor_cannot_reach_beyond_its_storage(offset, size, stride) -> None:
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        torchscript._tensor(torch.zeros(4), offset, size, stride)


def test_a_module_within_itself_is_refused() -> None:
    module = torchscript._Module()
    module.__setstate__({"self": module})
    with pytest.raises(ValueError, match="two places"):
        dict(torchscript._walk(module, "", set()))


def test_damaged_archives_are_refused_or_read_but_never_a_bug(small: Path, tmp_path: Path) -> None:
    whole, path = small.read_bytes(), tmp_path / "damaged.pt"
    for length in range(0, len(whole), max(1, len(whole) // 20)):
        path.write_bytes(whole[:length])
        with pytest.raises(SetupError) as refused:
            load_weights(path)
        assert refused.value.code == "E405"
    for place in range(0, len(whole), max(1, len(whole) // 80)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        with pytest.raises(SetupError) as refused:
            load_weights(path)
        assert refused.value.code == "E405"
