"""The speech -> mouth net: its layers, its weights and the ranges of its answers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn
from typing_extensions import override

from heygemd.render.shipped import shipped_bytes
from heygemd.render.speech.features import MEL_COUNT

WEIGHTS_FILE = Path(__file__).parent / "weights" / "mouth_fp16.safetensors"

CHANNELS = 112
MEMORY_UNITS = 64
DILATIONS = (1, 2, 3, 1, 2, 3)

OPENING, WIDTH, PROTRUSION, CLOSURE, LIPTEETH = range(5)
"""Columns of the answers; closure and lipteeth are logits."""
CLASSES = slice(5, 20)
"""Logits of 15 mouth classes."""
SILENCE_CLASS = 0
ANSWER_COUNT = 20


class GatedBlock(nn.Module):
    """Residual block: normalise, look around (depthwise, dilated), mix, gate."""

    def __init__(self, channels: int, dilation: int, kernel: int = 5) -> None:
        super().__init__()
        self.n = nn.BatchNorm1d(channels)
        self.c = nn.Conv1d(
            channels,
            channels,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.p = nn.Conv1d(channels, 2 * channels, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Map float[batch, channels, time] to the same shape."""
        value, gate = self.p(self.c(self.n(x))).chunk(2, dim=1)
        result: Tensor = x + value * torch.sigmoid(gate)
        return result


class SpeechNet(nn.Module):
    """Features at 100 Hz -> answers at 50 Hz.

    `i` (inlet), `b` (blocks), `g` (recurrent memory) and `o` (outlet) are the names in the weights file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.i = nn.Sequential(
            nn.Conv1d(MEL_COUNT, CHANNELS, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1),
            nn.GELU(),
        )
        self.b = nn.Sequential(*[GatedBlock(CHANNELS, dilation) for dilation in DILATIONS])
        self.g = nn.GRU(CHANNELS, MEMORY_UNITS, batch_first=True, bidirectional=True)
        self.o = nn.Conv1d(2 * MEMORY_UNITS + CHANNELS, ANSWER_COUNT, 1)

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Map float[batch, 80, t] to float[batch, 20, ceil(t / 2)]."""
        local = self.b(self.i(features))
        around, _ = self.g(local.transpose(1, 2))
        answers: Tensor = self.o(torch.cat([local, around.transpose(1, 2)], dim=1))
        return answers

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the net on float32[t, 80]; returns float32[ceil(t / 2), 20]."""
        with torch.inference_mode():
            answers = self(torch.from_numpy(np.ascontiguousarray(features.T))[None])
        result: NDArray[np.float32] = answers[0].T.numpy()
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRange:
    """What the answers of the net mean, as measured on its training data; stored with the weights."""

    shut: float
    """Opening of a closed mouth in speech."""
    open: float
    """Opening of a wide open mouth in speech."""
    width_rest: float
    width_half_range: float


def load_speech_net() -> tuple[SpeechNet, AnswerRange]:
    """Read the net that ships with the package, ready for inference, and the ranges of its answers."""
    content = shipped_bytes(WEIGHTS_FILE)
    net = SpeechNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load(content).items()})
    net.requires_grad_(False).eval()
    metadata = _metadata(content)
    opening: dict[str, Any] = json.loads(metadata["cal_open"])
    width: dict[str, Any] = json.loads(metadata["cal_width"])
    answer_range = AnswerRange(
        shut=opening["lo"], open=opening["hi"], width_rest=width["mid"], width_half_range=width["half"]
    )
    return net, answer_range


def _metadata(content: bytes) -> dict[str, str]:
    """Return the texts in a safetensors header, which begins with its length."""
    header_bytes = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + header_bytes])["__metadata__"]
    return metadata
