"""What is learned about the person from the whole clip: how wide the mouth opens, and what moves along with it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import CHIN, COLUMNS, LOWER_OUTER
from heygemd.render.atlas.motion import HeadMotion, face_shapes, mouth_of
from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.pulse import Pulse, unheard

Vector = NDArray[np.float64]

MOVING_SPAN = 0.05
"""A clip whose openings (5th to 95th percentile) span less shows no speech: stills, silent footage."""
DEFAULT_OPENING = 0.18
"""Widest opening of speech for a person never seen speaking."""
OPENING_BOUNDS = (0.12, 0.32)
"""What is believed of a measured widest opening."""
OVERSHOOT = 1.15
"""Targets end at this multiple of the person's own 99th percentile."""
WIDTH_SWING_BOUNDS = (0.02, 0.06)
"""Standard deviation of a mouth's width while speaking, slow expressions apart: believed range."""
DEFAULT_WIDTH_SWING = 0.03
LEAST_JAW_DROP = 0.3
"""How far the chin follows the opening at least. The regression sees less, because the tracked jaw is smoothed and
most of the generic mode comes from smiles, which do not drop the jaw; people who speak with vigour show this much."""
PRIOR_WEIGHT = 0.02
"""Ridge weight of the generic modes."""
MEASURING_NOISE = 0.01
"""Standard deviation of a measured opening or width on a face that does not move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Lengths are eye distances in the face frame."""

    widest_opening: float
    """The opening of the loudest vowels."""
    opening_limit: float
    """No target goes beyond."""
    rest_width: float
    width_swing: float
    """How far rounding and spreading move the width from rest."""
    opening_mode: Vector
    """float64[468, 3]: movement of the mesh per unit of opening at constant width."""
    width_mode: Vector
    """float64[468, 3]: movement per unit of width at constant opening."""

    def to_arrays(self) -> dict[str, Vector]:
        """Name -> array, for saving; no bit is lost."""
        return {field.name: np.asarray(getattr(self, field.name), np.float64) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Vector]) -> "Person":
        """Take what `to_arrays` gave; KeyError where something is missing."""
        values = {field.name: np.array(arrays[field.name]) for field in fields(cls)}
        return cls(**{name: value if value.ndim else float(value) for name, value in values.items()})  # type: ignore[arg-type]


def know_person(motion: HeadMotion, usable: NDArray[np.bool_], pulse: Pulse = unheard) -> Person:
    """Learn the person from the usable (bool[n], at least one) frames of the clip."""
    rows = np.flatnonzero(usable)
    opening, width = motion.opening[rows], motion.width[rows]
    low, high, widest, top = np.percentile(opening, [5, 95, 97, 99])
    if high - low >= MOVING_SPAN:
        widest_opening = float(np.clip(widest, *OPENING_BOUNDS))
        limit = OVERSHOOT * max(float(top), widest_opening)
        swing = float(np.clip((width - motion.slow_width[rows]).std(), *WIDTH_SWING_BOUNDS))
    else:
        widest_opening, limit, swing = DEFAULT_OPENING, OVERSHOOT * DEFAULT_OPENING, DEFAULT_WIDTH_SWING
    opening_mode, width_mode = _fit_modes(motion, rows, pulse)
    return Person(
        widest_opening=widest_opening,
        opening_limit=limit,
        rest_width=float(np.median(width)),
        width_swing=swing,
        opening_mode=opening_mode,
        width_mode=width_mode,
    )


def _fit_modes(motion: HeadMotion, rows: NDArray[np.intp], pulse: Pulse) -> tuple[Vector, Vector]:
    """Regress the mesh on opening and width (ridge, with the generic modes as prior)."""
    model = load_face_model()
    causes = np.stack([motion.opening[rows], motion.width[rows]], axis=1)
    centre = causes.mean(axis=0)
    square, product = np.zeros((2, 2)), np.zeros((2, model.opening_mode.size))
    for block, _, shapes in face_shapes(motion.points, rows):
        arms = np.stack([motion.opening[block], motion.width[block]], axis=1) - centre
        square += arms.T @ arms
        # The arms sum to zero over the clip, so that the meshes need no centring of their own; the generic face
        # only keeps the numbers small.
        product += arms.T @ (shapes - model.mean_face[: shapes.shape[1]]).reshape(len(block), -1)
        pulse()
    weight = PRIOR_WEIGHT + len(rows) * MEASURING_NOISE**2
    prior = np.stack([model.opening_mode, model.width_mode]).astype(np.float64).reshape(2, -1)
    modes = np.asarray(np.linalg.solve(square + weight * np.eye(2), product + weight * prior), np.float64).reshape(
        2, -1, 3
    )
    # One unit of a mode must be one unit of its measure and nothing of the other.
    effect = np.stack(mouth_of(modes), axis=1)
    modes = np.einsum("ij,jvk->ivk", np.linalg.inv(effect), modes)
    return modes[0] + _lacking_jaw_drop(modes[0]), modes[1]


def _lacking_jaw_drop(opening_mode: Vector) -> Vector:
    """Find what the opening mode lacks of a jaw that drops, turning about the ears: float64[468, 3]."""
    face = load_face_model().mean_face[: len(opening_mode)].astype(np.float64)
    lip, chin = face[LOWER_OUTER[COLUMNS // 2], 1], face[CHIN, 1]
    lack = np.zeros_like(opening_mode)
    share = np.clip((face[:, 1] - lip) / (chin - lip), 0, 1)
    lack[:, 1] = share * max(LEAST_JAW_DROP - float(opening_mode[CHIN, 1]), 0.0)
    return lack
