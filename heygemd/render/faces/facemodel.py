"""The mean face, how it opens and widens its mouth, and the lift of 74 tracked points to the whole mesh.

Everything comes from `weights/facemodel.npz` (see models/landmark74.md). The *face frame* has its origin between the
outer eye corners, x to the right and y down as in the picture, z away from the viewer; the distance of the outer eye
corners is 1.
"""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.topology import MESH_INDEXES, MESH_VERTEX_COUNT, POINT_COUNT, STABLE_ROWS
from heygemd.render.shipped import shipped_bytes

FACE_MODEL_FILE = Path(__file__).parent / "weights" / "facemodel.npz"

_MOUTH_CORNER_PAIRS = ((62, 292), (78, 308), (95, 324), (191, 415))
"""The file's mirror was found by nearest vertices, which confuses these: they all but coincide on a closed mouth."""

_MESH_INDEXES = np.array(MESH_INDEXES, dtype=np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A linear map, in the face frame, from 74 points in the picture to 468 vertices in space."""

    reference: NDArray[np.float64]
    """float64[74, 2]: the 74 points of the mean face, which say where the face frame lies in a picture."""
    mean_points: NDArray[np.float32]
    """float32[148]: x, y of the points that the map was centred on."""
    mean_vertices: NDArray[np.float32]
    """float32[1404]: x, y, z of the vertices that belong to them."""
    matrix: NDArray[np.float32]
    """float32[148, 1404]."""

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Lift float[n, 74, 2] pixels to float64[n, 468, 3]: x, y in pixels, z in the same scale.

        The 74 tracked points keep their x, y exactly. A face with a NaN anywhere becomes NaN everywhere.
        """
        vertices = np.full((len(points), MESH_VERTEX_COUNT, 3), np.nan)
        usable = np.isfinite(points).all(axis=(1, 2))
        vertices[usable] = self._lift(points[usable].astype(np.float64))
        return vertices

    def _lift(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        # A plane similarity is one complex multiplication and one addition: picture = turn * face + shift.
        picture = points[..., 0] + 1j * points[..., 1]
        reference = self.reference[STABLE_ROWS, 0] + 1j * self.reference[STABLE_ROWS, 1]
        arms = reference - reference.mean()
        stable = picture[:, STABLE_ROWS]
        turn = (stable @ arms.conj())[:, None] / (np.abs(arms) ** 2).sum()
        shift = stable.mean(axis=1, keepdims=True) - turn * reference.mean()

        face = (picture - shift) / turn
        flat = np.stack([face.real, face.imag], axis=-1).reshape(len(points), 2 * POINT_COUNT)
        mesh = ((flat - self.mean_points) @ self.matrix + self.mean_vertices).reshape(-1, MESH_VERTEX_COUNT, 3)

        back = turn * (mesh[..., 0] + 1j * mesh[..., 1]) + shift
        vertices = np.stack([back.real, back.imag, np.abs(turn) * mesh[..., 2]], axis=-1)
        vertices[:, _MESH_INDEXES, :2] = points
        return vertices


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceModel:
    """The generic face; all arrays are read-only and in the face frame."""

    mean_face: NDArray[np.float32]
    """float32[478, 3]: mesh vertices and, behind them, the ten of the irises."""
    opening_mode: NDArray[np.float32]
    """float32[468, 3]: how each vertex moves when the mouth opens by one eye distance."""
    width_mode: NDArray[np.float32]
    """float32[468, 3]: how each vertex moves when the mouth widens by one eye distance."""
    triangles: NDArray[np.int16]
    """int16[852, 3]: skin, as mesh indexes; the mouth is a hole."""
    interior_triangles: NDArray[np.int16]
    """int16[18, 3]: the hole, between the inner edges of the lips."""
    mirror: NDArray[np.int16]
    """int16[478]: the vertex on the other side of the face."""
    lift: Lift


def _mirror_of(array: NDArray[np.generic]) -> NDArray[np.int16]:
    mirror = array.astype(np.int16)
    for left, right in _MOUTH_CORNER_PAIRS:
        mirror[[left, right]] = right, left
    mirror.flags.writeable = False
    return mirror


def _read_only(data: "np.lib.npyio.NpzFile", name: str) -> NDArray[np.generic]:
    array: NDArray[np.generic] = data[name]
    array.flags.writeable = False
    return array


@cache
def load_face_model() -> FaceModel:
    """Read the face model that ships with the package, once per process."""
    with np.load(BytesIO(shipped_bytes(FACE_MODEL_FILE)), allow_pickle=False) as data:
        arrays = {name: _read_only(data, name) for name in data.files}
    mean_face = arrays["ref"].astype(np.float32, copy=False)
    modes = arrays["B"].astype(np.float32, copy=False)
    lift = Lift(
        reference=mean_face[_MESH_INDEXES, :2].astype(np.float64),
        mean_points=arrays["lift_mx"].astype(np.float32, copy=False),
        mean_vertices=arrays["lift_my"].astype(np.float32, copy=False),
        matrix=arrays["lift_A"].astype(np.float32),
    )
    return FaceModel(
        mean_face=mean_face,
        opening_mode=modes[0],
        width_mode=modes[1],
        triangles=arrays["tri"].astype(np.int16, copy=False),
        interior_triangles=arrays["inner"].astype(np.int16, copy=False),
        mirror=_mirror_of(arrays["mirror"]),
        lift=lift,
    )
