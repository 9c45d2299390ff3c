"""Writes the net as the product reads it: half precision, with the ranges of its answers in the header."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.render.speech import network
from heygemd.render.speech.mouth import MouthNet
from heygemd.render.speech.network import OPENING, SILENCE_CLASS, WIDTH, AnswerRange, SpeechNet
from heygemd.render.speech.vocal_tract import class_probabilities
from scripts.train.speech.phonemes import CLASS_NAMES

FORMAT = "heygemd-mouth-1"
LICENCE = (
    "weights: CC BY 4.0; GRID audiovisual sentence corpus (Cooke, Barker, Cunningham, Shao 2006, CC BY 4.0) + "
    "LibriSpeech (Panayotov, Chen, Povey, Khudanpur 2015, CC BY 4.0) + flite and Festival (BSD) + "
    "espeak-ng synthetic speech"
)
OPENING_PERCENTILES = (8, 95)
"""As the product takes the range of an utterance."""
WIDTH_PERCENTILES = (5, 50, 95)
SPEECH_FROM = 0.5
_DIGITS = 4


def answer_range(
    net: SpeechNet, clips: Sequence[NDArray[np.float32]], synthetic: Sequence[NDArray[np.float32]]
) -> AnswerRange:
    """Measure the answers in speech, on features float32[t, 80] of GRID and of held-out synthetic speech, half each."""
    openings, widths = [], []
    for some in (clips, synthetic):
        answers = np.concatenate([net.answer(features) for features in some])
        voiced = answers[class_probabilities(answers)[:, SILENCE_CLASS] < SPEECH_FROM]
        openings.append(np.percentile(voiced[:, OPENING], OPENING_PERCENTILES))
        widths.append(np.percentile(voiced[:, WIDTH], WIDTH_PERCENTILES))
    shut, wide = np.mean(openings, axis=0)
    narrow, rest, spread = np.mean(widths, axis=0)
    return AnswerRange(
        shut=float(shut), open=float(wide), width_rest=float(rest), width_half_range=float((spread - narrow) / 2)
    )


def save_weights(path: Path, net: SpeechNet, answers: AnswerRange) -> None:
    """Write the file; the same net gives the same bytes."""
    weights = {
        name: tensor.to(torch.float16).numpy()
        for name, tensor in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    opening = {"lo": round(answers.shut, _DIGITS), "hi": round(answers.open, _DIGITS)}
    width = {"mid": round(answers.width_rest, _DIGITS), "half": round(answers.width_half_range, _DIGITS)}
    metadata = {
        "cal_open": json.dumps(opening),
        "cal_width": json.dumps(width),
        "classes": json.dumps(CLASS_NAMES),
        "format": FORMAT,
        "licence": LICENCE,
    }
    path.write_bytes(_safetensors(weights, metadata))


def _safetensors(weights: Mapping[str, NDArray[np.float16]], metadata: Mapping[str, str]) -> bytes:
    """Lay out a safetensors file; the library's own writer shuffles the metadata from run to run."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, values in weights.items():
        begin, end = end, end + values.nbytes
        header[name] = {"dtype": "F16", "shape": values.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(values.tobytes() for values in weights.values())


def load_weights(path: Path) -> tuple[SpeechNet, AnswerRange]:
    """Read a file exactly as the product reads the one it ships; only the catalogue's digest is not asked for."""
    with patch.object(network, "shipped_bytes", lambda _: path.read_bytes()):
        return network.load_speech_net()


def product_with(path: Path) -> MouthNet:
    """Return the product's listener with these weights."""
    with patch.object(network, "shipped_bytes", lambda _: path.read_bytes()):
        return MouthNet()
