"""A small set of faces, and the untrained network in every form, for tests of what paints."""

from functools import cache

import numpy as np
import torch

from heygemd.render.wav2lip.folding import fold
from heygemd.render.wav2lip.network import FACE_PX, MEL_BANDS, MEL_FRAMES
from heygemd.render.wav2lip.untrained import untrained_network


@cache
def published(seed=3):
    """The module of the tables, float32."""
    return untrained_network(seed)


def folded(dtype=torch.float32, seed=3):
    """The same network as convolutions, in a number format."""
    tensors = published(seed).state_dict()
    return fold({name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()})


def some_faces(count, seed=5):
    """Mel windows and faces of noise: float32[n, 16, 80] and float32[n, 96, 96, 3]."""
    rng = np.random.default_rng(seed)
    windows = rng.uniform(-4, 0, (count, MEL_FRAMES, MEL_BANDS)).astype(np.float32)
    return windows, rng.uniform(0, 255, (count, FACE_PX, FACE_PX, 3)).astype(np.float32)


def off_by(painted, expected):
    """Mean difference in levels."""
    return float(np.abs(np.asarray(painted, np.float64) - np.asarray(expected, np.float64)).mean())
