"""Fits the coarticulation to the measured mouths of the aligned GRID clips.

What is compared is the shape of the curves (Pearson r), not their size, which differs from person to person. A prior
holds the fit near the rules: 33 s of speech are little. Width keeps its rules practically unchanged, because fitting it
did not help on clips left out (r .45 -> .46), opening does (.575 -> .69).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scripts.train.speech.coarticulation import Calibration, Phones, mouth_motion, phones_of
from scripts.train.speech.grid import GridClip
from scripts.train.speech.phonemes import Segment

PRIOR = {
    "opening_offset": 0.12,
    "width_offset": 5.0,
    "opening_dominance": 0.0012,
    "width_dominance": 5.0,
    "fading": 0.002,
    "shift_s": 0.4,
    "vowel_reach": 0.008,
    "contact": 0.002,
}
"""Weights of the squared distance from the rules, chosen by leaving out one clip at a time."""
LEARNING_RATE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One aligned clip: its phones, and at times float64[n] the measured curves, centred and of length 1."""

    phones: Phones
    time_s: Tensor
    opening: Tensor
    width: Tensor


def lesson_of(clip: GridClip, segments: Sequence[Segment]) -> Lesson:
    """Put a clip beside its alignment."""
    return Lesson(
        phones=phones_of(segments),
        time_s=torch.from_numpy(clip.time_s),
        opening=_shape(torch.from_numpy(clip.opening)),
        width=_shape(torch.from_numpy(clip.width)),
    )


def _shape(curve: Tensor) -> Tensor:
    centred = curve - curve.mean()
    shape: Tensor = centred / (centred.norm() + 1e-6)
    return shape


def likeness(lesson: Lesson, calibration: Calibration) -> tuple[Tensor, Tensor]:
    """Pearson r of opening and width."""
    motion = mouth_motion(lesson.phones, lesson.time_s, calibration)
    return (_shape(motion.opening) * lesson.opening).sum(), (_shape(motion.width) * lesson.width).sum()


def fitted(lessons: Sequence[Lesson], steps: int) -> Calibration:
    """Fit from the rules, by Adam on all clips at once; deterministic."""
    calibration = Calibration.rules()
    tensors = calibration.tensors()
    optimiser = torch.optim.Adam([tensor.requires_grad_() for tensor in tensors.values()], lr=LEARNING_RATE)
    for _ in range(steps):
        alike = torch.stack([torch.stack(likeness(lesson, calibration)).sum() for lesson in lessons]).mean()
        prior = torch.stack([PRIOR[name] * (tensor**2).sum() for name, tensor in tensors.items()]).sum()
        optimiser.zero_grad()
        (prior - alike).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Calibration(**{name: tensor.detach() for name, tensor in tensors.items()})


def mean_likeness(lessons: Sequence[Lesson], calibration: Calibration) -> tuple[float, float]:
    """Mean Pearson r of opening and width."""
    with torch.no_grad():
        pairs = [[float(one) for one in likeness(lesson, calibration)] for lesson in lessons]
    opening, width = np.mean(pairs, axis=0)
    return float(opening), float(width)


def left_out_likeness(lessons: Sequence[Lesson], steps: int) -> tuple[float, float]:
    """Mean r on clips that the fit has not seen: each left out once."""
    pairs = []
    for out, lesson in enumerate(lessons):
        others = [one for k, one in enumerate(lessons) if k != out]
        pairs.append(mean_likeness([lesson], fitted(others, steps)))
    opening, width = np.mean(pairs, axis=0)
    return float(opening), float(width)
