"""Weights in the published form that know nothing: for tests and dry runs without a download."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES, Wav2LipNetwork


def untrained_network(seed: int = 0) -> Wav2LipNetwork:
    """Make a network of random weights whose pictures depend on both face and sound; the same for the same seed."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = Wav2LipNetwork().requires_grad_(requires_grad=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            module.weight.uniform_(0.8, 1.2)
            module.bias.normal_(0, 0.1)
    # One pass in training form fills the statistics, so that no layer drowns or explodes.
    network.train()(4 * torch.rand(4, 1, MEL_BANDS, MEL_FRAMES) - 4, torch.rand(4, 6, FACE_PX, FACE_PX))
    torch.random.set_rng_state(state)
    return network.eval()


def save_published(state_dict: Mapping[str, Tensor], path: Path, *, prefix: str = "", legacy: bool = True) -> None:
    """Write a checkpoint as the authors did: a pickle with an optimizer beside the weights.

    `prefix="module."` as in `wav2lip.pth`; without it as in `wav2lip_gan.pth`. `legacy=False`: torch's zip form.
    """
    content = {
        "state_dict": {prefix + name: tensor for name, tensor in state_dict.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "global_step": 1,
        "global_epoch": 0,
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def save_stripped(state_dict: Mapping[str, Tensor], path: Path) -> None:
    """Write the weights alone as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in state_dict.items()}, path)
