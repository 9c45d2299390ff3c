"""The net is that of the weights file."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from heygemd.render.speech.network import WEIGHTS_FILE, SpeechNet, load_speech_net


def test_weights_fit_key_by_key_and_shape_by_shape() -> None:
    stored = {name: tuple(tensor.shape) for name, tensor in load_file(WEIGHTS_FILE).items()}
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in SpeechNet().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert stored == expected


@pytest.mark.parametrize("length", [1, 2, 3, 200, 201])
def test_two_features_make_one_answer(length: int) -> None:
    net, _ = load_speech_net()
    answers = net.answer(np.full((length, 80), -3, np.float32))
    assert answers.shape == ((length + 1) // 2, 20)
    assert np.isfinite(answers).all()


def test_loaded_net_is_in_full_precision_and_frozen() -> None:
    net, _ = load_speech_net()
    assert not net.training
    assert all(one.dtype == torch.float32 and not one.requires_grad for one in net.parameters())


def test_range_of_the_answers_comes_with_the_weights() -> None:
    _, answer_range = load_speech_net()
    assert 0 < answer_range.shut < answer_range.open < 1
    assert answer_range.width_half_range > 0
