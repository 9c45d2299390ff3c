"""The nets are those of the weights files."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from heygemd.render.faces import networks


@pytest.mark.parametrize(
    ("file", "net"),
    [("landmark74.safetensors", networks.LandmarkNet), ("lips40.safetensors", networks.LipNet)],
)
def test_weights_fit_key_by_key_and_shape_by_shape(file: str, net: type[networks.PointNet]) -> None:
    stored = {name: tuple(tensor.shape) for name, tensor in load_file(networks.WEIGHTS_DIR / file).items()}
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in net().state_dict().items()  # type: ignore[call-arg]
        if not name.endswith("num_batches_tracked")
    }
    assert stored == expected


def test_folded_net_answers_like_the_unfolded_one() -> None:
    plain = networks.LipNet()
    weights = load_file(networks.WEIGHTS_DIR / "lips40.safetensors")
    plain.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    plain.eval()
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    folded_points, _ = networks.look(networks.load_lip_net(), crops)
    plain_points, _ = networks.look(plain, crops)
    assert folded_points == pytest.approx(plain_points, abs=1e-3)


def test_look_gives_pixels_and_probabilities() -> None:
    net = networks.load_landmark_net()
    points, beliefs = networks.look(net, np.full((2, 128, 128, 3), 90, np.uint8))
    assert points.shape == (2, 74, 2)
    assert beliefs.shape == (2, 2)
    assert ((beliefs >= 0) & (beliefs <= 1)).all()
    assert beliefs[0, 0] < 0.5  # plain grey is no face
    assert points[0] == pytest.approx(points[1], abs=1e-3)


def test_nets_are_small_and_ask_for_no_gradient() -> None:
    net = networks.load_landmark_net()
    assert sum(parameter.numel() for parameter in net.parameters()) < 800_000
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert next(net.parameters()).dtype == torch.float32


@pytest.mark.gpu
def test_half_precision_on_a_card_answers_like_full_precision_on_the_processor() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (9, 128, 128, 3), dtype=np.uint8)
    for load, side_px in ((networks.load_landmark_net, 128), (networks.load_lip_net, 64)):
        here, there = load(), load("cuda:0")
        assert there.f[0].weight.dtype == torch.float16
        points, beliefs = networks.look(here, crops[:, :side_px, :side_px].copy())
        points_there, beliefs_there = networks.look(there, crops[:, :side_px, :side_px].copy())
        assert points_there == pytest.approx(points, abs=0.25)
        assert beliefs_there == pytest.approx(beliefs, abs=0.02)
