"""Phones -> a moving mouth, by dominance functions.

After M. Cohen and D. Massaro, "Modeling coarticulation in synthetic visual speech", 1993. Each phone pulls the mouth to
its pose, most in its own middle half, and less and less before and after. How fast the pull fades, how strongly a class
pulls, and where its pose lies are the calibration: it begins as rules and is fitted to measured mouths by
`calibrate.py`. Everything here is differentiable.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scripts.train.speech.phonemes import GAP, POSES, SILENCE, MouthClass, Segment, class_of

EXPONENT = 1.3
"""Of the fading: between an exponential (1) and a bell (2)."""
FADE_VOWEL_S, FADE_CONSONANT_S, FADE_CONTACT_S, FADE_SILENCE_S = 0.045, 0.04, 0.03, 0.05
"""Lips that must meet move faster than a tongue that a vowel carries along."""
WIDTH_FADES_SLOWER = 1.6
"""Rounding spreads over neighbours further than opening does (Benguerel & Cowan 1974)."""
CORE = 0.25
"""A phone holds its pose from this part of its length to the same part before its end."""
MOUTH_OPENS_BEFORE_S, MOUTH_CLOSES_AFTER_S = 0.13, 0.09
"""How far into a silence the speech on either side reaches."""
SHORT_VOWEL_S, SHORT_VOWEL_DOMINANCE = 0.06, 0.75
REDUCTION_AT_ZERO, REDUCTION_PER_S, LARGEST_STRETCH = 0.72, 2.8, 1.1
"""Short vowels do not reach their opening (undershoot, Lindblom 1963)."""
NOBODY = 1e-2
"""Dominance of the rest position, that keeps the mean defined where no phone pulls."""
CONTACT_FROM, CONTACT_UNTIL, CONTACT_SOFTNESS_S = 0.1, 0.8, 0.022
"""Lips touch in this part of a phone; contact begins and ends within some 20 ms."""
CONTACT_STRENGTH_LOGIT, SLIT_STRENGTH = 3.0, 0.8
"""How much of the opening b, p, m and f, v take away."""
LARGEST_SLIT_CHANGE = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Phones:
    """The phones of an utterance, float64[m, 1] each; gaps are left out, their neighbours fill them."""

    start_s: Tensor
    stop_s: Tensor
    core_start_s: Tensor
    core_stop_s: Tensor
    opening: Tensor
    width: Tensor
    mouth_class: Tensor
    """int64[m, 1]."""
    opening_dominance: Tensor
    width_dominance: Tensor
    fade_s: Tensor
    is_vowel: Tensor


def phones_of(segments: Sequence[Segment]) -> Phones:
    """Look up what each segment pulls to."""
    rows = np.array([_row(segment) for segment in segments if segment.symbol != GAP], np.float64)
    columns = torch.from_numpy(rows).T[:, :, None]
    named = dict(zip((field.name for field in fields(Phones)), columns, strict=True))
    named["mouth_class"] = named["mouth_class"].long()
    return Phones(**named)


def _row(segment: Segment) -> tuple[float, ...]:
    """One phone in the order of the fields of Phones."""
    start_s, stop_s, duration_s = segment.start_s, segment.stop_s, segment.duration_s
    if segment.symbol == SILENCE:
        middle_s = (start_s + stop_s) / 2
        core = min(start_s + MOUTH_OPENS_BEFORE_S, middle_s), max(stop_s - MOUTH_CLOSES_AFTER_S, middle_s)
        return (start_s, stop_s, *core, 0.0, 0.0, MouthClass.SIL, 1.2, 0.8, FADE_SILENCE_S, 0.0)
    pose = POSES[segment.symbol]
    core = start_s + CORE * duration_s, stop_s - CORE * duration_s
    if not pose.is_vowel:
        touches = pose.mouth_class in (MouthClass.PBM, MouthClass.FV)
        fade_s = FADE_CONTACT_S if touches else FADE_CONSONANT_S
        dominances = pose.opening_dominance, pose.width_dominance
        return (start_s, stop_s, *core, pose.opening, pose.width, pose.mouth_class, *dominances, fade_s, 0.0)
    dominance = 1.0 if duration_s >= SHORT_VOWEL_S else SHORT_VOWEL_DOMINANCE
    opening = pose.opening * min(LARGEST_STRETCH, REDUCTION_AT_ZERO + REDUCTION_PER_S * duration_s)
    pulls = dominance * pose.opening_dominance, dominance * pose.width_dominance
    return (start_s, stop_s, *core, opening, pose.width, pose.mouth_class, *pulls, FADE_VOWEL_S, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is fitted; all zero means: the rules as they stand. float64 tensors."""

    opening_offset: Tensor
    """[15], added to the opening of each class."""
    width_offset: Tensor
    """[15]."""
    opening_dominance: Tensor
    """[15], logarithm of a factor."""
    width_dominance: Tensor
    """[15], logarithm of a factor."""
    fading: Tensor
    """[4], logarithms of factors: opening before and after, width before and after the phone."""
    shift_s: Tensor
    """[2], how much ahead of its sound the opening and the width of a phone move."""
    vowel_reach: Tensor
    """[2], logarithms of factors on the openings and widths of vowels."""
    contact: Tensor
    """[3], strength of closures (logit), of slits (log), and softness of contact (log)."""

    @classmethod
    def rules(cls) -> "Calibration":
        """Return the uncalibrated rules."""
        classes = len(MouthClass)
        sizes = (classes, classes, classes, classes, 4, 2, 2, 3)
        names = (field.name for field in fields(cls))
        return cls(**{name: torch.zeros(size, dtype=torch.float64) for name, size in zip(names, sizes, strict=True)})

    def tensors(self) -> dict[str, Tensor]:
        """Return name -> tensor."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        numbers = {name: tensor.tolist() for name, tensor in self.tensors().items()}
        path.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read what `save` wrote."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in stored.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """The mouth at the asked times, float64[n] each."""

    opening: Tensor
    width: Tensor
    closure: Tensor
    """0..1."""
    lipteeth: Tensor
    """0..1."""


def mouth_motion(phones: Phones, time_s: Tensor, calibration: Calibration) -> Motion:
    """Blend the poses at times float64[n]: the mean of all phones, weighted by their dominance."""
    kind, reach = phones.mouth_class, calibration.vowel_reach
    poses = phones.opening * torch.exp(reach[0] * phones.is_vowel) + calibration.opening_offset[kind]
    spreads = phones.width * torch.exp(reach[1] * phones.is_vowel) + calibration.width_offset[kind]

    opening_time_s, width_time_s = (time_s + shift_s for shift_s in calibration.shift_s)
    fade_s = phones.fade_s * torch.exp(calibration.fading)[:, None, None]
    pull = phones.opening_dominance * torch.exp(calibration.opening_dominance[kind])
    pull = pull * _faded(phones, opening_time_s, fade_s[0], fade_s[1])
    opening = (pull * poses).sum(dim=0) / (pull.sum(dim=0) + NOBODY)
    tug = phones.width_dominance * torch.exp(calibration.width_dominance[kind])
    tug = tug * _faded(phones, width_time_s, WIDTH_FADES_SLOWER * fade_s[2], WIDTH_FADES_SLOWER * fade_s[3])
    width = (tug * spreads).sum(dim=0) / (tug.sum(dim=0) + NOBODY)

    touching = _contact(phones, opening_time_s, CONTACT_SOFTNESS_S * torch.exp(calibration.contact[2]))
    closure = (touching * (kind == MouthClass.PBM)).amax(dim=0)
    lipteeth = (touching * (kind == MouthClass.FV)).amax(dim=0)
    shut = closure * torch.sigmoid(CONTACT_STRENGTH_LOGIT + calibration.contact[0])
    slit = SLIT_STRENGTH * lipteeth * torch.exp(calibration.contact[1]).clamp(max=LARGEST_SLIT_CHANGE)
    return Motion(opening=opening * (1 - shut) * (1 - slit), width=width, closure=closure, lipteeth=lipteeth)


def _faded(phones: Phones, time_s: Tensor, before_s: Tensor, after_s: Tensor) -> Tensor:
    """1 in a phone's core, falling on either side: float64[m, n]."""
    early = torch.relu(phones.core_start_s - time_s) / before_s
    late = torch.relu(time_s - phones.core_stop_s) / after_s
    return torch.exp(-((early + late + 1e-6) ** EXPONENT))


def _contact(phones: Phones, time_s: Tensor, softness_s: Tensor) -> Tensor:
    """1 where the lips of a phone touch, falling like a bell on either side: float64[m, n]."""
    duration_s = phones.stop_s - phones.start_s
    early = torch.relu(phones.start_s + CONTACT_FROM * duration_s - time_s)
    late = torch.relu(time_s - phones.start_s - CONTACT_UNTIL * duration_s)
    return torch.exp(-((torch.maximum(early, late) / softness_s) ** 2))


PROTRUSIONS = {MouthClass.W_U: 1.0, MouthClass.SH: 0.8, MouthClass.O: 0.65, MouthClass.R: 0.4}
"""Lips pushed forward; it moves in time like the width."""
OPENING_UNIT, WIDTH_UNIT = 2.4, 1.3
"""Scales of the net's targets: the answers of one unit differ about equally much."""


def targets_of(
    segments: Sequence[Segment], duration_s: float, calibration: Calibration, *, rate_hz: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what the net should answer: float32[n, 5] (opening, width, protrusion, closure, lipteeth) and int64[n]."""
    time_s = torch.arange(int(duration_s * rate_hz) + 1, dtype=torch.float64) / rate_hz
    phones = phones_of(segments)
    with torch.no_grad():
        motion = mouth_motion(phones, time_s, calibration)
        protrusion = mouth_motion(_pushing(phones), time_s, _without_widths(calibration)).width
    columns = (OPENING_UNIT * motion.opening, WIDTH_UNIT * motion.width, protrusion, motion.closure, motion.lipteeth)
    classes = np.zeros(len(time_s), np.int64)
    for segment in segments:
        inside = (time_s >= segment.start_s) & (time_s < segment.stop_s)
        classes[inside.numpy()] = class_of(segment.symbol)
    return torch.stack(columns, dim=1).numpy().astype(np.float32), classes


def _pushing(phones: Phones) -> Phones:
    """The same phones with protrusions for widths."""
    table = torch.tensor([PROTRUSIONS.get(one, 0.0) for one in MouthClass], dtype=torch.float64)
    named = {field.name: getattr(phones, field.name) for field in fields(phones)}
    return Phones(**{**named, "width": table[phones.mouth_class]})


def _without_widths(calibration: Calibration) -> Calibration:
    """What was fitted to widths says nothing about protrusion; the timing stays."""
    tensors = calibration.tensors()
    zeroed = {name: torch.zeros_like(tensors[name]) for name in ("width_offset", "vowel_reach")}
    return Calibration(**{**tensors, **zeroed})
