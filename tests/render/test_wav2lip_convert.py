"""Conversion keeps every tensor, says where it came from, and refuses what does not fit, in a process with limits."""

import hashlib
import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from heygemd import __version__
from heygemd.errors import SetupError
from heygemd.modelform import form_of
from heygemd.render.wav2lip import convert as convert_module
from heygemd.render.wav2lip.checkpoint import load_weights
from heygemd.render.wav2lip.convert import convert
from heygemd.render.wav2lip.untrained import save_published, save_stripped, untrained_network

State = OrderedDict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return OrderedDict(untrained_network().state_dict())


@pytest.fixture(scope="module")
def published(state: State, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "wav2lip.pth"
    save_published(state, path, prefix="module.")
    yield path
    path.unlink()


@pytest.fixture
def target(tmp_path: Path):
    path = tmp_path / "out.safetensors"
    yield path
    path.unlink(missing_ok=True)


def run(source: Path, target: Path, *, half: bool = False):
    with source.open("rb") as reading, target.open("w+b") as writing:
        return convert(reading, writing, source, half=half)


def test_a_published_file_is_stripped_to_its_tensors(state: State, published: Path, target: Path) -> None:
    made = run(published, target)
    loaded = load_file(target)
    assert loaded.keys() == state.keys()
    assert all(
        torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in state.items()
    )
    assert made.source_sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
    assert made.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert (made.tensors, made.half_tensors, made.container) == (352, 0, "legacy torch pickle")
    assert made.size_bytes == target.stat().st_size < 146_000_000


def test_the_file_says_what_it_was_made_from_and_by_what(published: Path, target: Path) -> None:
    made = run(published, target)
    with target.open("rb") as file:
        assert form_of(file).source_sha256 == made.source_sha256
    header = json.loads(target.read_bytes()[8 : 8 + int.from_bytes(target.read_bytes()[:8], "little")])
    note = json.loads(header["__metadata__"]["heygemd"])
    assert note == {
        "made_by": f"heygemd {__version__}", "source": "wav2lip.pth", "source_sha256": made.source_sha256
    }  # fmt: skip


def test_halves_take_half_the_space_and_are_loaded(state: State, published: Path, target: Path) -> None:
    made = run(published, target, half=True)
    assert made.half_tensors == sum(tensor.is_floating_point() for tensor in state.values())
    assert made.size_bytes < 73_000_000
    loaded = load_weights(target)
    assert all(torch.equal(loaded[name], tensor.half().float()) for name, tensor in state.items() if tensor.ndim)


def test_values_that_halves_cannot_hold_stay_whole(state: State, tmp_path: Path, target: Path) -> None:
    name = "audio_encoder.3.conv_block.1.running_var"
    source = tmp_path / "large.safetensors"
    save_stripped({**state, name: torch.full(state[name].shape, 1e6)}, source)
    run(source, target, half=True)
    loaded = load_file(target)
    assert loaded[name].dtype == torch.float32
    assert bool((loaded[name] == 1e6).all())


def test_the_same_source_gives_the_same_bytes(published: Path, target: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    assert run(published, target).sha256 == child(published, again)["sha256"]


def test_another_network_is_refused(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "other.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, source)
    with pytest.raises(SetupError) as refused:
        run(source, target)
    assert refused.value.code == "E405"
    assert target.stat().st_size == 0


@pytest.mark.parametrize("legacy", [True, False])
def test_a_cut_file_is_refused_by_its_code(tmp_path: Path, target: Path, legacy: bool) -> None:
    source = tmp_path / "cut.pth"
    torch.save({"state_dict": {"a": torch.zeros(999)}}, source, _use_new_zipfile_serialization=not legacy)
    source.write_bytes(source.read_bytes()[:-500])
    with pytest.raises(SetupError) as refused:
        run(source, target)
    assert refused.value.code == "E405"


def test_a_disk_that_keeps_other_bytes_is_noticed(published: Path, target: Path, monkeypatch) -> None:
    real = convert_module.load

    def flipped(content: bytes):
        tensors = real(content)
        tensors["output_block.1.bias"][0] += 1
        return tensors

    monkeypatch.setattr(convert_module, "load", flipped)
    with pytest.raises(SetupError, match="does not hold"):
        run(published, target)


def child(source: Path, target: Path, *, limit: str = "") -> dict[str, object]:
    """Run the real process."""
    script = f"{limit}\nfrom heygemd.render.wav2lip.convert import main; raise SystemExit(main())"
    with source.open("rb") as reading, target.open("w+b") as writing:
        ended = subprocess.run(
            [
                *(sys.executable, "-c", script),
                *("--source-fd", str(reading.fileno()), "--output-fd", str(writing.fileno()), "--name", source.name),
            ],
            pass_fds=(reading.fileno(), writing.fileno()), capture_output=True, timeout=120, check=False,
        )  # fmt: skip
    return {"returncode": ended.returncode, **json.loads(ended.stdout)}


def test_the_process_has_limits(published: Path, target: Path) -> None:
    too_little = "from heygemd.render.wav2lip import convert; convert.MEMORY_BYTES = 100 << 20"
    told = child(published, target, limit=too_little)
    assert (told["returncode"], told["error"]["code"]) == (1, "E405")
    assert "memory" in told["error"]["message"].lower()


def test_limits_are_set_and_never_raised() -> None:
    script = """
import resource
from heygemd.render.wav2lip.convert import limit_self
resource.setrlimit(resource.RLIMIT_CPU, (50, 60))
limit_self()
print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_CORE)[0],
      resource.getrlimit(resource.RLIMIT_AS)[0] < 1 << 40)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "(60, 60) 0 True"
