"""From the 68 points of the iBUG scheme, which face-alignment finds, to our 74.

24 rows of ours are no iBUG point: they follow by a linear map, fitted on drawn faces. These are the mean face of
`facemodel.npz` with its own ways of opening and widening the mouth, proportions changed at random, turned at random
and seen from afar; no picture of anybody is in it, and the same seed gives the same map.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_INDEXES, MESH_VERTEX_COUNT, POINT_COUNT

# fmt: off
IBUG_MESH_INDEXES = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw, left ear to right ear
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows, left to right
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose, bridge to tip, then below it left to right
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes, each round from its left corner
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lip, left corner and over the upper one
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip, likewise
)
"""Mesh vertex nearest to each of the 68 points of Sagonas et al. 2013 (300 Faces in-the-Wild)."""
# fmt: on
IBUG_COUNT = len(IBUG_MESH_INDEXES)

STABLE = slice(17, 48)
"""Brows, nose and eyes: they say where the face frame lies."""
DRAWN_FACES = 1500
SEED = 68
MOST_YAW_DEG, MOST_PITCH_DEG = 40.0, 22.0
OPENINGS, WIDENINGS = (0.0, 0.5), (-0.15, 0.2)
"""Eye distances by which the drawn mouths are open, and wider than at rest."""
PROPORTIONS = 0.08
"""Standard deviation of the stretch of each third of the face, across, down and in depth."""
RIDGE = 1e-3
"""Weight of the map's own size: the points that are found are noisier than the drawn ones."""

_IBUG = np.array(IBUG_MESH_INDEXES, np.intp)
_OURS = np.array(MESH_INDEXES, np.intp)
_SHARED_ROWS = np.array([row for row, index in enumerate(MESH_INDEXES) if index in IBUG_MESH_INDEXES], np.intp)
_SHARED_IBUG = np.array([IBUG_MESH_INDEXES.index(MESH_INDEXES[row]) for row in _SHARED_ROWS], np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift68:
    """A linear map in the face frame, from 68 points to 74."""

    mean_ibug: NDArray[np.float64]
    """float64[136]: x, y of the points that the map is centred on."""
    mean_ours: NDArray[np.float64]
    """float64[148]."""
    matrix: NDArray[np.float64]
    """float64[136, 148]."""

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Bring float[n, 68, 2] pixels to float64[n, 74, 2]; points that both schemes have stay where they are."""
        picture = points[..., 0] + 1j * points[..., 1]
        turn, shift = _face_frame(picture)
        flat = _flat((picture - shift) / turn)
        ours = ((flat - self.mean_ibug) @ self.matrix + self.mean_ours).reshape(-1, POINT_COUNT, 2)
        back = turn * (ours[..., 0] + 1j * ours[..., 1]) + shift
        lifted = np.stack([back.real, back.imag], axis=-1)
        lifted[:, _SHARED_ROWS] = points[:, _SHARED_IBUG]
        return lifted


@cache
def load_lift68() -> Lift68:
    """Fit the map, once per process; takes some 50 ms."""
    faces = _drawn_faces()
    turn, shift = _face_frame(faces[:, _IBUG])
    ibug, ours = (_flat((faces[:, indexes] - shift) / turn) for indexes in (_IBUG, _OURS))
    mean_ibug, mean_ours = ibug.mean(axis=0), ours.mean(axis=0)
    ibug -= mean_ibug
    gram = ibug.T @ ibug / len(faces) + RIDGE * np.eye(2 * IBUG_COUNT)
    matrix = np.linalg.solve(gram, ibug.T @ (ours - mean_ours) / len(faces))
    return Lift68(mean_ibug=mean_ibug, mean_ours=mean_ours, matrix=matrix)


def _face_frame(picture: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Similarity (turn, shift: complex[n, 1]) from the face frame to complex[n, 68] points, by the stable ones."""
    mean = load_face_model().mean_face[_IBUG].astype(np.float64)
    reference = (mean[:, 0] + 1j * mean[:, 1])[STABLE]
    arms = reference - reference.mean()
    turn = (picture[:, STABLE] @ arms.conj())[:, None] / (np.abs(arms) ** 2).sum()
    return turn, picture[:, STABLE].mean(axis=1, keepdims=True) - turn * reference.mean()


def _flat(face: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.stack([face.real, face.imag], axis=-1).reshape(len(face), -1)


def _drawn_faces() -> NDArray[np.complex128]:
    """Faces of nobody, seen from afar: complex[DRAWN_FACES, 468]."""
    generator, model = np.random.default_rng(SEED), load_face_model()
    vertices = np.repeat(model.mean_face[None, :MESH_VERTEX_COUNT].astype(np.float64), DRAWN_FACES, axis=0)
    for mode, (least, most) in ((model.opening_mode, OPENINGS), (model.width_mode, WIDENINGS)):
        vertices += generator.uniform(least, most, (DRAWN_FACES, 1, 1)) * mode
    # Brow, middle and jaw are stretched each on its own, softly from one to the next.
    height = np.linspace(vertices[0, :, 1].min(), vertices[0, :, 1].max(), 3)
    share = np.exp(-(((vertices[0, :, 1, None] - height) / (height[1] - height[0])) ** 2))
    share /= share.sum(axis=1, keepdims=True)
    stretch = generator.normal(0, PROPORTIONS, (DRAWN_FACES, 3, 3))
    vertices *= 1 + np.einsum("vk,nkc->nvc", share, stretch)
    yaw, pitch = (np.deg2rad(generator.uniform(-most, most, DRAWN_FACES)) for most in (MOST_YAW_DEG, MOST_PITCH_DEG))
    x, y, z = np.moveaxis(vertices, 2, 0)
    x, z = (
        x * np.cos(yaw)[:, None] + z * np.sin(yaw)[:, None],
        z * np.cos(yaw)[:, None] - x * np.sin(yaw)[:, None],
    )
    y = y * np.cos(pitch)[:, None] - z * np.sin(pitch)[:, None]
    return np.asarray(x + 1j * y, np.complex128)
