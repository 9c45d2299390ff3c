"""The network is the published one."""

import pytest
import torch

from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES, Wav2LipNetwork, expected_shapes
from heygemd.render.wav2lip.untrained import untrained_network


@pytest.fixture(scope="module")
def network() -> Wav2LipNetwork:
    return untrained_network(seed=3)


def random_input(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    mel = 4 * torch.rand(count, 1, MEL_BANDS, MEL_FRAMES, generator=generator) - 4
    return mel, torch.rand(count, 6, FACE_PX, FACE_PX, generator=generator)


def test_network_has_the_published_number_of_parameters(network: Wav2LipNetwork) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 36_298_035


def test_state_dict_has_the_published_352_names() -> None:
    shapes = expected_shapes()
    assert len(shapes) == 352
    assert shapes["face_encoder_blocks.0.0.conv_block.0.weight"] == (16, 6, 7, 7)
    assert shapes["face_encoder_blocks.6.1.conv_block.1.running_var"] == (512,)
    assert shapes["audio_encoder.12.conv_block.0.weight"] == (512, 512, 1, 1)
    assert shapes["face_decoder_blocks.1.0.conv_block.0.weight"] == (1024, 512, 3, 3)
    assert shapes["face_decoder_blocks.6.2.conv_block.1.num_batches_tracked"] == ()
    assert shapes["output_block.0.conv_block.0.weight"] == (32, 80, 3, 3)
    assert shapes["output_block.1.weight"] == (3, 32, 1, 1)
    assert shapes["output_block.1.bias"] == (3,)
    # 50 rows of 7 tensors each, and the last convolution.
    assert sum(name.endswith("conv_block.0.weight") for name in shapes) == 50


def test_shapes_by_the_tables_are_those_of_the_module() -> None:
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in Wav2LipNetwork().state_dict().items()}
    assert list(expected_shapes().items()) == list(expected.items())


def test_strides_lead_to_the_published_sizes(network: Wav2LipNetwork) -> None:
    mel, faces = random_input(1)
    sizes = []
    with torch.inference_mode():
        x = faces
        for block in network.face_encoder_blocks:
            x = block(x)
            sizes.append(x.shape[-1])
        assert network.audio_encoder(mel).shape == (1, 512, 1, 1)
        assert network(mel, faces).shape == (1, 3, FACE_PX, FACE_PX)
    assert sizes == [96, 48, 24, 12, 6, 3, 1]


def test_picture_depends_on_sound_and_on_both_faces(network: Wav2LipNetwork) -> None:
    mel, faces = random_input(1)
    with torch.inference_mode():
        usual = network(mel, faces)
        assert (network(mel - 1, faces) - usual).abs().max() > 1e-3
        for channels in (slice(0, 3), slice(3, 6)):
            other = faces.clone()
            other[:, channels] = 1 - other[:, channels]
            assert (network(mel, other) - usual).abs().max() > 1e-3


def test_untrained_network_is_the_same_for_the_same_seed_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = untrained_network(seed=3).state_dict()
    assert torch.equal(torch.rand(1), expected)
    name = "output_block.1.weight"
    assert torch.equal(first[name], untrained_network(seed=3).state_dict()[name])
    assert not torch.equal(first[name], untrained_network(seed=4).state_dict()[name])
