"""Vocal-tract-length normalisation: makes a short or long vocal tract sound like an average one.

The mel axis is stretched by several factors, and each factor counts as much as the net becomes certain of what it
hears; no labels are involved (Lee & Rose 1998 in spirit, with soft weights).
"""

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.features import MEL_COUNT
from heygemd.render.speech.network import CLASSES, SILENCE_CLASS, SpeechNet

STRETCHES = (0.82, 0.88, 0.94, 1.0, 1.06, 1.12, 1.18, 1.24)
UNSTRETCHED = {1.0: 1.0}
PROBE_FRAMES = 3_000
"""30 s of features, at most, decide: the beginning, the middle and the end."""
SHORTEST_PROBE_FRAMES = 100

_LEAST_SPEECH = 25
_TEMPERATURE = 0.02
_LEAST_WEIGHT = 0.03
_SILENCE_PROBABILITY = 0.5


def stretched(features: NDArray[np.float32], stretch: float) -> NDArray[np.float32]:
    """Read each band of float32[t, 80] from `stretch` times as high, interpolating."""
    place = np.clip(np.arange(MEL_COUNT) * stretch, 0, MEL_COUNT - 1)
    band = np.clip(place.astype(np.intp), 0, MEL_COUNT - 2)
    upper = (place - band).astype(np.float32)
    result: NDArray[np.float32] = features[:, band] * (1 - upper) + features[:, band + 1] * upper
    return result


def stretch_weights(net: SpeechNet, features: NDArray[np.float32]) -> dict[float, float]:
    """Weigh the stretches for this voice: stretch -> weight, adding up to 1; without enough speech only 1.0."""
    if len(features) < SHORTEST_PROBE_FRAMES:
        return dict(UNSTRETCHED)
    probe = _probe(features)
    uncertainties = [_uncertainty(net.answer(stretched(probe, stretch))) for stretch in STRETCHES]
    if None in uncertainties:
        return dict(UNSTRETCHED)
    entropy = np.array(uncertainties, dtype=np.float64)
    weights = np.exp(-(entropy - entropy.min()) / _TEMPERATURE)
    weights /= weights.sum()
    weights[weights < _LEAST_WEIGHT] = 0
    weights /= weights.sum()
    return {stretch: float(weight) for stretch, weight in zip(STRETCHES, weights, strict=True) if weight > 0}


def _probe(features: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(features) <= PROBE_FRAMES:
        return features
    third = PROBE_FRAMES // 3
    starts = np.linspace(0, len(features) - third, 3).astype(np.intp)
    return np.concatenate([features[start : start + third] for start in starts])


def _uncertainty(answers: NDArray[np.float32]) -> float | None:
    """Mean entropy of the mouth classes over speech; None where there is hardly any."""
    probabilities = class_probabilities(answers)
    entropy = -(probabilities * np.log(probabilities + 1e-9)).sum(axis=1)
    is_speech = probabilities[:, SILENCE_CLASS] < _SILENCE_PROBABILITY
    return float(entropy[is_speech].mean()) if is_speech.sum() > _LEAST_SPEECH else None


def doubt_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy in nats among the classes that sound: float32[n, 15] -> float32[n]."""
    sounding = np.delete(probabilities, SILENCE_CLASS, axis=1)
    sounding = sounding / np.maximum(sounding.sum(axis=1, keepdims=True), 1e-9)
    result: NDArray[np.float32] = -(sounding * np.log(sounding + 1e-9)).sum(axis=1)
    return result


def class_probabilities(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of the class logits: float32[n, 20] -> float32[n, 15]."""
    logits = answers[:, CLASSES]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result
