"""Checkpoints in every published form are read exactly; anything else is refused with a reason and never executed."""

import hashlib
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import pytest
import torch
from torch import Tensor

from heygemd.errors import SetupError
from heygemd.render.wav2lip import checkpoint
from heygemd.render.wav2lip.checkpoint import load_weights
from heygemd.render.wav2lip.untrained import save_published, save_stripped, untrained_network

State = OrderedDict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return OrderedDict(untrained_network().state_dict())


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Where a test writes its 145 MB; nothing of it is kept."""
    path = tmp_path / "weights"
    yield path
    path.unlink(missing_ok=True)


def refusal(path: Path) -> SetupError:
    with pytest.raises(SetupError) as refused:
        load_weights(path)
    return refused.value


def small(state: State, path: Path, **changes: Tensor) -> Path:
    """Write a checkpoint of the right names whose tensors take no space: shapes by stride 0."""
    thin = {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in state.items()}
    save_published({**thin, **changes}, path)
    return path


@pytest.mark.parametrize("form", ["legacy", "legacy with prefix", "zip", "safetensors"])
def test_every_published_form_is_read_exactly(state: State, file: Path, form: str) -> None:
    if form == "safetensors":
        save_stripped(state, file)
    else:
        save_published(state, file, prefix="module." if "prefix" in form else "", legacy="legacy" in form)
        assert file.read_bytes()[:1] == (b"\x80" if "legacy" in form else b"P")
    loaded = load_weights(file)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_half_precision_weights_become_float32(state: State, file: Path) -> None:
    save_stripped(
        {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, file
    )
    loaded = load_weights(file)
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32, torch.int64}


def test_missing_file_is_missing_weights(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pth").code == "E402"


def test_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "E405"


def test_other_names_and_shapes_are_listed_first_ones_first(state: State, file: Path) -> None:
    changes = {"output_block.1.bias": torch.zeros(4), "surplus.weight": torch.zeros(1)}
    error = refusal(small(state, file, **changes))
    assert error.code == "E405"
    assert "output_block.1.bias is 4 instead of 3" in error.message
    assert "surplus.weight is unknown" in error.message


def test_missing_tensors_are_named_and_the_rest_counted(file: Path) -> None:
    save_published({"face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(16, 6, 7, 7)}, file)
    message = refusal(file).message
    assert "face_encoder_blocks.0.0.conv_block.0.bias is missing" in message
    assert "and 347 more" in message


def test_prefix_on_some_names_only_is_no_prefix(state: State, file: Path) -> None:
    first, *_ = state
    thin = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}
    save_published({("" if name == first else "module.") + name: tensor for name, tensor in thin.items()}, file)
    assert "is missing" in refusal(file).message


def test_256_pixel_variant_is_called_by_its_name(state: State, file: Path) -> None:
    extra = {
        "face_encoder_blocks.7.0.conv_block.0.weight": torch.zeros(()).expand(512, 512, 4, 4),
        "face_encoder_blocks.7.1.conv_block.0.weight": torch.zeros(()).expand(512, 512, 1, 1),
    }
    error = refusal(small(state, file, **extra))
    assert error.code == "E405"
    assert "256-pixel variant" in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(state: State, file: Path, value: float) -> None:
    name = "audio_encoder.3.conv_block.0.weight"
    tensor = torch.zeros(state[name].shape)
    tensor.view(-1)[7] = value
    error = refusal(small(state, file, **{name: tensor}))
    assert error.code == "E405"
    assert f"{name} holds values that are not finite" in error.message


def test_negative_variance_is_refused(state: State, file: Path) -> None:
    name = "audio_encoder.3.conv_block.1.running_var"
    error = refusal(small(state, file, **{name: -torch.ones(state[name].shape)}))
    assert "negative variances" in error.message


def test_numbers_that_32_bits_cannot_hold_are_refused(state: State, file: Path) -> None:
    tensor = torch.full((3,), 1e300, dtype=torch.float64)
    assert "not finite" in refusal(small(state, file, **{"output_block.1.bias": tensor})).message


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.uint8])
def test_whole_numbers_where_fractions_belong_are_refused(state: State, file: Path, dtype: torch.dtype) -> None:
    tensor = torch.zeros(3, dtype=dtype)
    assert "numbers" in refusal(small(state, file, **{"output_block.1.bias": tensor})).message


def test_counters_may_have_been_converted_with_everything_else(state: State, file: Path) -> None:
    save_stripped({name: tensor.float() for name, tensor in state.items()}, file)
    assert load_weights(file).keys() == state.keys()


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("kind", ["nested", "quantized", "sparse", "meta", "complex"])
def test_tensors_that_are_none_are_refused(state: State, file: Path, kind: str) -> None:
    tensors = {
        "nested": lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
        "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        "sparse": lambda: torch.zeros(3).to_sparse(),
        "meta": lambda: torch.zeros(3, device="meta"),
        "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    }
    thin = {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in state.items()}
    # In the legacy form torch builds a nested tensor before it has read its lengths, and may meet any number there.
    save_published({**thin, "output_block.1.bias": tensors[kind]()}, file, legacy=False)
    assert "no plain tensor" in refusal(file).message


def test_a_file_that_no_weights_need_is_not_even_hashed(file: Path) -> None:
    file.write_bytes(b"\x80\x02")
    os.truncate(file, checkpoint.MOST_BYTES + 1)
    assert "MiB" in refusal(file).message


@pytest.mark.parametrize("name", ["\x1b[2J\r\n<b>", "n" * 1_000_000, "a\u202eb"])
def test_names_of_strangers_are_shown_in_one_short_line(state: State, file: Path, name: str) -> None:
    message = refusal(small(state, file, **{name: torch.zeros(1)})).message
    assert message.isprintable()
    assert len(message) < 1000


def test_nobody_is_told_how_to_load_an_unsafe_file_all_the_same(file: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), file)
    message = refusal(file).message
    assert message.isprintable()
    assert "weights_only" not in message
    assert "torch.nn.modules.linear.Linear" in message


class Malice:
    """Creates a file when a careless unpickler builds it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [True, False])
def test_malicious_pickle_is_refused_and_not_executed(file: Path, tmp_path: Path, legacy: bool) -> None:
    target = tmp_path / "executed"
    torch.save({"state_dict": {}, "optimizer": Malice(target)}, file, _use_new_zipfile_serialization=not legacy)
    assert refusal(file).code == "E405"
    assert not target.exists()
    torch.load(file, weights_only=False)  # the trap works: without the safe loader it goes off
    assert target.exists()


def test_plain_malicious_pickle_is_refused_and_not_executed(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    file.write_bytes(pickle.dumps(Malice(target)))
    assert refusal(file).code == "E405"
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        b"\x80",
        b"\x80\x02}q\x00.",
        b"PK\x03\x04 and no zip",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 9) + b'{"a": [}}',
    ],
)
def test_garbage_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert refusal(file).code == "E405"


@pytest.mark.parametrize("legacy", [True, False])
def test_cut_and_damaged_files_are_refused_or_read_but_never_a_bug(state: State, file: Path, legacy: bool) -> None:
    name = "output_block.1.bias"
    save_published({name: state[name]}, file, legacy=legacy)
    whole = file.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:length])
        assert refusal(file).code == "E405"
    for place in range(0, len(whole), max(1, len(whole) // 120)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        assert refusal(file).code == "E405"  # at the least, 351 tensors are missing


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {"a": 1}}, {"state_dict": {1: torch.zeros(1)}}])
def test_pickle_without_a_state_dict_is_refused(file: Path, content: object) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)
    assert "hold no state dict" in refusal(file).message


def test_the_planned_content_is_loaded_and_no_other(state: State, file: Path) -> None:
    save_stripped(state, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_weights(file, sha256).keys() == state.keys()
    with pytest.raises(SetupError) as refused:
        load_weights(file, "0" * 64)
    assert refused.value.code == "E409"
    assert sha256 in refused.value.message


@pytest.mark.parametrize("form", ["legacy", "zip", "safetensors"])
def test_a_file_swapped_after_the_hash_is_not_what_is_loaded(
    state: State, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Another file gets the name between hashing and loading: the one that was hashed is loaded."""
    if form == "safetensors":
        save_stripped(state, file)
    else:
        save_published(state, file, legacy=form == "legacy")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "foreign").write_bytes(b"something else")
    real = checkpoint.read_weights

    def swapped(path: Path, opened: BufferedReader) -> dict[str, Tensor]:
        (tmp_path / "foreign").replace(path)
        return real(path, opened)

    monkeypatch.setattr(checkpoint, "read_weights", swapped)
    loaded = load_weights(file, sha256)
    assert file.read_bytes() == b"something else"
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_file_overwritten_while_it_is_read_is_refused(
    state: State, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_stripped(state, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    real = checkpoint.read_weights

    def overwritten(path: Path, opened: BufferedReader) -> dict[str, Tensor]:
        with path.open("r+b") as same:
            same.seek(-4, os.SEEK_END)
            same.write(bytes(4))
        return real(path, opened)

    monkeypatch.setattr(checkpoint, "read_weights", overwritten)
    with pytest.raises(SetupError) as refused:
        load_weights(file, sha256)
    assert refused.value.code == "E409"


def test_what_is_loaded_does_not_change_with_the_file(state: State, file: Path) -> None:
    save_stripped(state, file)
    loaded = load_weights(file)
    with file.open("r+b") as same:
        same.seek(-1_000_000, os.SEEK_END)
        same.write(bytes(1_000_000))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_fifo_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo").code == "E405"
