"""Step 2 and 5: the mean face, its modes and the lift: `facemodel.npz`.

    python -m scripts.train.face.fit_face_model FOLDER --out FILE

Reads labels.npz and triangles.npy of the labeller and, once there are any, the readings of drawn mouths that
check_mouths.py kept (checked.npz). The modes come from photographs and generated faces alone (drawn mouths were made
with modes); the lift also from drawn mouths, which open wider than people do in pictures.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heygemd.render.atlas.mesh import (
    LEFT_CORNER,
    LOWER_INNER,
    LOWER_LIP_MIDDLE,
    LOWER_OUTER,
    LOWER_RED,
    RIGHT_CORNER,
    STABLE,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    UPPER_OUTER,
    UPPER_RED,
)
from heygemd.render.faces.topology import MESH_INDEXES, MESH_VERTEX_COUNT, STABLE_ROWS

Vector = NDArray[np.float64]

LEFT_EYE, RIGHT_EYE = 33, 263
ROUNDS = 4
"""Of aligning all faces with their mean and taking the mean again."""
FRONTAL_DEG = 12.0
"""Faces turned less make the mean face."""
MODE_YAW_DEG = MODE_PITCH_DEG = 25.0
"""Faces turned less make the modes."""
SMILE_WIDTH = 0.60
SMILE_RISE_SHARE = 0.35
"""A mouth wider than the first, or with corners among this highest share, may smile; in pictures most open mouths do,
and a smile does not drop the jaw."""
TRIMMED_SHARE = 0.005
"""Worst fitted faces that are left out of a regression: gross errors of the labeller."""
LIFT_NOISE = 0.008
"""Error (eye distances, standard deviation) of tracked points that the lift is made to bear."""
HELD_OUT = 10
"""Every so many-th face judges the lift that is fitted on the others."""
LOWER_FACE = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """n labelled faces brought into the face frame."""

    shapes: Vector
    """float64[n, 478, 3]."""
    yaw_deg: Vector
    pitch_deg: Vector

    @property
    def opening(self) -> Vector:
        """float64[n]."""
        return np.asarray(self.shapes[:, LOWER_LIP_MIDDLE, 1] - self.shapes[:, UPPER_LIP_MIDDLE, 1])

    @property
    def width(self) -> Vector:
        """float64[n]."""
        return np.asarray(self.shapes[:, RIGHT_CORNER, 0] - self.shapes[:, LEFT_CORNER, 0])


def in_unit(face: Vector) -> Vector:
    """Shift and scale a face so that its outer eye corners lie at -1/2 and 1/2."""
    left, right = face[LEFT_EYE], face[RIGHT_EYE]
    return np.asarray((face - (left + right) / 2) / np.linalg.norm(right - left))


def aligned(points: Vector, mean: Vector) -> Faces:
    """Fit the mean face to each of float64[n, 478, 3] by the stable points (Umeyama 1991) and undo the pose."""
    target = mean[STABLE]
    arms = target - target.mean(axis=0)
    stable = points[:, STABLE]
    centre = stable.mean(axis=1, keepdims=True)
    u, singular, v = np.linalg.svd((stable - centre).transpose(0, 2, 1) @ arms)
    signs = np.ones_like(singular)
    signs[:, 2] = np.sign(np.linalg.det(u @ v))
    rotation = (u * signs[:, None]) @ v
    scale = (singular * signs).sum(axis=1) / (arms**2).sum()
    shapes = (points - centre) @ rotation / scale[:, None, None] + target.mean(axis=0)
    yaw = np.degrees(np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2]))
    pitch = np.degrees(np.arctan2(-rotation[:, 1, 2], np.hypot(rotation[:, 0, 2], rotation[:, 2, 2])))
    return Faces(shapes=np.asarray(shapes), yaw_deg=yaw, pitch_deg=pitch)


def mean_face(points: Vector) -> Vector:
    """Average the frontal faces (generalised Procrustes, median): float64[478, 3], not yet symmetric."""
    mean = in_unit(np.median(np.array([in_unit(face) for face in points]), axis=0))
    for _ in range(ROUNDS):
        faces = aligned(points, mean)
        mean = in_unit(np.median(faces.shapes[np.abs(faces.yaw_deg) < FRONTAL_DEG], axis=0))
    return mean


def mirror_of(mean: Vector) -> NDArray[np.intp]:
    """Pair the vertices of both sides: of the lips by their columns, of the rest by place, each only once."""
    mirror = np.full(len(mean), -1)
    red = len(UPPER_RED) // 2
    for column in (UPPER_INNER, LOWER_INNER, UPPER_OUTER, LOWER_OUTER):
        mirror[column] = column[::-1]
    for column in (UPPER_RED[:red], UPPER_RED[red:], LOWER_RED[:red], LOWER_RED[red:]):
        mirror[column] = column[::-1]
    rest = np.flatnonzero(mirror < 0)
    distance = np.linalg.norm((mean[rest] * [-1, 1, 1])[:, None] - mean[rest][None], axis=2)
    rows, columns = linear_sum_assignment(distance + distance.T)
    mirror[rest[rows]] = rest[columns]
    if not (mirror[mirror] == np.arange(len(mean))).all():
        raise SystemExit("the face could not be paired with its mirror image")
    return mirror


def symmetric(shape: Vector, mirror: NDArray[np.intp]) -> Vector:
    """Average a shape or a mode with its mirror image."""
    return np.asarray((shape + shape[mirror] * [-1, 1, 1]) / 2)


def may_smile(faces: Faces) -> NDArray[np.bool_]:
    """Tell which of the faces may smile: bool[n]."""
    corners = faces.shapes[:, [LEFT_CORNER, RIGHT_CORNER], 1].mean(axis=1)
    return np.asarray((faces.width > SMILE_WIDTH) | (corners < np.quantile(corners, SMILE_RISE_SHARE)))


def fitted_modes(faces: Faces, chosen: NDArray[np.bool_]) -> Vector:
    """Regress the mesh on opening and width beside the pose: float64[2, 468, 3]."""
    yaw, pitch = faces.yaw_deg[chosen] / 30, faces.pitch_deg[chosen] / 30
    causes = [np.ones(chosen.sum()), faces.opening[chosen], faces.width[chosen], yaw, pitch, yaw**2, pitch**2]
    design = np.stack(causes, axis=1)
    shapes = faces.shapes[chosen].reshape(len(design), -1)
    kept = np.ones(len(design), bool)
    for _ in range(3):
        answer = np.linalg.lstsq(design[kept], shapes[kept], rcond=None)[0]
        error = ((shapes - design @ answer) ** 2).mean(axis=1)
        kept = error < np.quantile(error, 1 - TRIMMED_SHARE)
    return np.asarray(answer[1:3].reshape(2, -1, 3)[:, :MESH_VERTEX_COUNT])


def modes_of(faces: Faces, mirror: NDArray[np.intp]) -> Vector:
    """Opening mode from faces that do not smile, width mode from all: float64[2, 468, 3]."""
    frontal = (np.abs(faces.yaw_deg) < MODE_YAW_DEG) & (np.abs(faces.pitch_deg) < MODE_PITCH_DEG)
    opening = fitted_modes(faces, frontal & ~may_smile(faces))[0]
    width = fitted_modes(faces, frontal)[1]
    modes = np.stack([symmetric(mode, mirror[:MESH_VERTEX_COUNT]) for mode in (opening, width)])
    # One unit of a mode is one unit of its measure and nothing of the other.
    gap = modes[:, LOWER_LIP_MIDDLE, 1] - modes[:, UPPER_LIP_MIDDLE, 1]
    span = modes[:, RIGHT_CORNER, 0] - modes[:, LEFT_CORNER, 0]
    return np.einsum("ij,jvk->ivk", np.linalg.inv(np.stack([gap, span], axis=1)), modes)


def interior_triangles() -> NDArray[np.int16]:
    """Fill the hole between the inner edges of the lips, column by column: int16[18, 3]."""
    triangles: list[tuple[int, int, int]] = []
    last = len(UPPER_INNER) - 2
    for k in range(last + 1):
        upper, upper_next, lower, lower_next = UPPER_INNER[k], UPPER_INNER[k + 1], LOWER_INNER[k], LOWER_INNER[k + 1]
        if k < last:
            triangles.append((upper, upper_next, lower_next))
        if k > 0:
            triangles.append((upper, lower_next, lower))
    return np.array(triangles, np.int16)


def lift_pairs(points: Vector, mean: Vector) -> tuple[Vector, Vector]:
    """Bring faces float64[n, 468, 3] into the plane frame of the lift: inputs [n, 148] and vertices [n, 1404]."""
    indexes = list(MESH_INDEXES)
    reference = (mean[indexes, 0] + 1j * mean[indexes, 1])[STABLE_ROWS]
    arms = reference - reference.mean()
    picture = points[..., 0] + 1j * points[..., 1]
    stable = picture[:, indexes][:, STABLE_ROWS]
    turn = (stable @ arms.conj())[:, None] / (np.abs(arms) ** 2).sum()
    shift = stable.mean(axis=1, keepdims=True) - turn * reference.mean()
    face = (picture - shift) / turn
    depth = points[..., 2] / np.abs(turn)
    vertices = np.stack([face.real, face.imag, depth - depth.mean(axis=1, keepdims=True)], axis=-1)
    return vertices[:, indexes, :2].reshape(len(points), -1), vertices.reshape(len(points), -1)


def fit_lift(inputs: Vector, vertices: Vector) -> tuple[Vector, Vector, Vector]:
    """Ridge regression that bears LIFT_NOISE: mean inputs, mean vertices, matrix."""
    mean_inputs, mean_vertices = inputs.mean(axis=0), vertices.mean(axis=0)
    arms = inputs - mean_inputs
    square = arms.T @ arms + len(inputs) * LIFT_NOISE**2 * np.eye(inputs.shape[1])
    return mean_inputs, mean_vertices, np.linalg.solve(square, arms.T @ (vertices - mean_vertices))


def lift_errors(inputs: Vector, vertices: Vector, mean: Vector, noise: float) -> NDArray[np.floating]:
    """Error of the lower face, in eye distances, of every HELD_OUT-th face under a lift fitted on the others."""
    judges = np.arange(len(inputs)) % HELD_OUT == 0
    mean_inputs, mean_vertices, matrix = fit_lift(inputs[~judges], vertices[~judges])
    seen = inputs[judges] + np.random.default_rng(0).normal(0, noise, inputs[judges].shape)
    wrong = ((seen - mean_inputs) @ matrix + mean_vertices - vertices[judges]).reshape(len(seen), -1, 3)[..., :2]
    low = mean[:MESH_VERTEX_COUNT, 1] > LOWER_FACE
    return np.asarray(np.linalg.norm(wrong[:, low], axis=2).mean(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    points = np.load(arguments.folder / "labels.npz")["points"].astype(np.float64)
    mean = mean_face(points)
    mirror = mirror_of(mean)
    mean = in_unit(symmetric(mean, mirror))
    faces = aligned(points, mean)
    modes = modes_of(faces, mirror)
    checked = arguments.folder / "checked.npz"
    if checked.exists():
        points = np.concatenate([points, np.load(checked)["read"].astype(np.float64)])
    # A face and its mirror image stand side by side, so that neither judges a lift that has seen the other.
    mesh = points[:, :MESH_VERTEX_COUNT]
    both = np.stack([mesh, mesh[:, mirror[:MESH_VERTEX_COUNT]] * [-1, 1, 1]], axis=1).reshape(-1, *mesh.shape[1:])
    inputs, vertices = lift_pairs(both, mean)
    for noise in (0.0, 0.012):
        error = lift_errors(inputs, vertices, mean, noise)
        print(
            f"lift, lower face, points off by {noise:.3f}: mean {error.mean():.4f}, p99 {np.quantile(error, 0.99):.4f}"
        )
    mean_inputs, mean_vertices, matrix = fit_lift(inputs, vertices)
    print(f"faces {len(faces.shapes)}, with drawn mouths {len(points)}")
    chin, lower, upper = (modes[0][index, 1] for index in (152, LOWER_LIP_MIDDLE, UPPER_LIP_MIDDLE))
    print(f"opening mode: chin {chin:.2f}, lower lip {lower:.2f}, upper lip {upper:.2f}")
    np.savez_compressed(
        arguments.out,
        ref=mean.astype(np.float32),
        B=modes.astype(np.float32),
        tri=np.load(arguments.folder / "triangles.npy"),
        inner=interior_triangles(),
        mirror=mirror.astype(np.int16),
        pts=np.array(MESH_INDEXES, np.int16),
        lift_mx=mean_inputs.astype(np.float32),
        lift_my=mean_vertices.astype(np.float32),
        lift_A=matrix.astype(np.float16),
    )


if __name__ == "__main__":
    main()
