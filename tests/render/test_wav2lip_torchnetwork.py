"""Torch paints the same in every form; a short number format costs what it must, and nothing of the last layer."""

import numpy as np
import pytest
import torch

from heygemd.render.wav2lip.network import LOWER_ROW
from heygemd.render.wav2lip.torchnetwork import TorchNetwork, can_pack, network_input
from tests.render.wav2lip_rig import folded, off_by, published, some_faces

packs = pytest.mark.skipif(not can_pack(torch.float32), reason="this build of torch has no packed convolutions")
packs_short = pytest.mark.skipif(not can_pack(torch.bfloat16), reason="nothing here packs bfloat16 weights")


@pytest.fixture(scope="module")
def network():
    return folded()


@pytest.fixture(scope="module")
def faces():
    return tuple(torch.from_numpy(values) for values in some_faces(2))


@pytest.fixture(scope="module")
def expected(faces):
    with torch.inference_mode():
        whole = published()(*network_input(*faces))
    return (whole[:, :, LOWER_ROW:] * 255).permute(0, 2, 3, 1).numpy()


def test_float32_paints_the_lower_half_of_the_published_picture(network, faces, expected):
    painted = TorchNetwork(network, torch.float32).paint(*faces).numpy()
    assert painted.shape == (2, 48, 96, 3)
    assert np.abs(painted - expected).max() < 0.05


@packs
@pytest.mark.parametrize("count", [1, 2, 3])
def test_packed_weights_paint_the_same_for_any_number_of_faces(network, faces, expected, count):
    """They are packed for two, and right for others, too."""
    packed = TorchNetwork(network, torch.float32, packed_for=2)
    painted = packed.paint(*(values[[0, 1, 0]][:count] for values in faces)).numpy()
    assert np.abs(painted - expected[[0, 1, 0]][:count]).max() < 0.05


@pytest.mark.parametrize("packed_for", [None, pytest.param(2, marks=packs_short)])
def test_bfloat16_is_near_and_keeps_the_last_layer_exact(network, faces, expected, packed_for):
    short = TorchNetwork(network, torch.bfloat16, packed_for=packed_for)
    painted = short.paint(*faces)
    assert painted.dtype == torch.float32
    assert 0.5 < off_by(painted, expected) < 5
    levels = (painted / 255).numpy()
    assert not np.array_equal(levels, torch.from_numpy(levels).bfloat16().float().numpy())


@pytest.mark.parametrize("packed_for", [None, pytest.param(2, marks=packs_short)])
def test_no_weight_stays_in_float32_beside_the_short_ones(network, packed_for):
    short = TorchNetwork(network, torch.bfloat16, packed_for=packed_for)
    found = []
    short._network.changed(lambda one: found.append(one) or one)
    assert len(found) == 51
    assert {one.weight.dtype for one in found[:-1]} == {torch.bfloat16}
    assert found[-1].weight.dtype == torch.float32
    assert not any(one.weight is other.weight for one in found[:-1] for other in [network.output])
