"""The part of the face mesh that speech moves: which vertices, which triangles, and how far each one follows.

Numbers are vertices of the MediaPipe FaceMesh topology (468 vertices). Vertices from 468 on are ours: a fixed
ring outside the jaw, towards which the movement fades to nothing.

Lengths without a unit in the name are eye distances: the distance of the outer eye corners is 1.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.facemodel import load_face_model
from heygemd.render.faces.topology import MESH_VERTEX_COUNT

Index = NDArray[np.int32]
Vector = NDArray[np.float64]

UPPER_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], np.int32)
LOWER_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308], np.int32)
"""The eleven columns of the mouth, from the corner at the left of the picture to the other; the ends are shared."""
COLUMNS = len(UPPER_INNER)
UPPER_OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291], np.int32)
LOWER_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291], np.int32)
UPPER_RED = np.array(
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292]
)
LOWER_RED = np.array(
    [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292]
)
"""The red of the lips between outer and inner contour."""
LIPS = np.unique(np.concatenate([UPPER_INNER, LOWER_INNER, UPPER_OUTER, LOWER_OUTER, UPPER_RED, LOWER_RED]))
LIP_OUTLINE = np.concatenate([UPPER_OUTER, LOWER_OUTER[-2:0:-1]])
"""Closed polygon around both lips."""

NOSE_TIP, NOSE_BASE, UPPER_LIP_EDGE = 1, 2, 0
UPPER_LIP_MIDDLE, LOWER_LIP_MIDDLE = 13, 14
LEFT_CORNER, RIGHT_CORNER = 61, 291
CHIN = 152
JAW_LINE = np.array(
    [454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234], np.int32
)
NOSE = np.array(
    [1, 2, 4, 5, 19, 94, 98, 97, 326, 327, 141, 370, 125, 354, 44, 274, 45, 275, 220, 440, 48, 278, 64, 294, 60, 290,
     99, 328, 20, 250, 238, 458, 241, 461, 242, 462]
)  # fmt: skip
NOSTRIL_FLOOR = np.array([2, 97, 326, 98, 327])
STABLE = np.array(
    [33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327, 10, 151, 9, 8, 108, 337, 67, 297, 69, 299, 104, 333, 54,
     284, 103, 332, 21, 251, 127, 356, 234, 454, 143, 372, 111, 340, 117, 346, 45, 275, 48, 278, 115, 344, 220, 440]
)  # fmt: skip
"""Eye corners, nose, forehead and temples: what tells the pose of the head because speech does not move it."""

LOWER_FACE_TOP = 0.30
"""Vertices further below the eye line than this belong to the moving mesh; those at its border stand still."""
MOST_STEPS = 4
"""Edges from the lips: as far as skin is kept off them."""
LEAST_CLEARANCE = 0.5
"""Part of the reference face's distance from the lips that the skin around them keeps."""
RING_SCALE = (1.12, 1.30)
"""Where the fixed ring lies: the jaw line, scaled about the tip of the nose, beside the ears and below the chin.

Beside the face lies background, which must not move; below the chin lies the neck, which has room to stretch."""
JAW_HINGE = (0.186, 0.606)
"""Height and depth of the axis about which the lower jaw turns: through the ears (vertices 234 and 454)."""
LEAST_EDGE = 0.02
"""Edges of the mesh shorter than this (across the closed lips) count as so long."""
TENSION = 0.05
"""How much of a rubber sheet the skin is, against a stiff plate; the plate alone would swing over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerFace:
    """The moving mesh."""

    vertices: Index
    """All vertices of its triangles, ring included."""
    ring: Index
    """Jaw vertices; ring vertex `MESH_VERTEX_COUNT + k` lies outside of `ring[k]`."""
    triangles: Index
    """int32[t, 3]: first `skin_count` triangles of skin and lips, then those of the mouth's interior."""
    skin_count: int
    facing: Vector
    """float64[skin_count]: sign of a triangle's area as seen from the front."""
    held: Index
    """int32[h]: the vertices whose movement is known: first the lips, then jaw line, nose and border."""
    membrane: Vector
    """float64[468, h]: how far each vertex follows each held one; the held ones themselves exactly."""
    jaw_turn: Vector
    """float64[468, 3]: movement of the jaw line when the chin drops by 1; 0 elsewhere."""
    outward: Vector
    """float64[468]: place between inner (0) and outer (1) contour of a lip; 0 off the lips."""
    nearest_column: Index
    """int32[468]: the mouth column nearest to each vertex, 0..10."""
    clearance: Vector
    """float64[468]: least distance above or below the outer lip contour of a vertex of the skin there; else NaN."""
    side: Vector
    """float64[468]: -1 for what belongs to the upper lip, +1 for the lower."""


@cache
def lower_face() -> LowerFace:
    """Build the moving mesh from the reference face; the same for everybody."""
    model = load_face_model()
    shape = np.asarray(model.mean_face, np.float64)[:MESH_VERTEX_COUNT]
    mesh = np.asarray(model.triangles, np.int32)
    low = shape[:, 1] > LOWER_FACE_TOP
    ring = JAW_LINE[low[JAW_LINE]]
    moving = low[mesh].all(axis=1)
    skin = np.concatenate([_ring_triangles(ring), mesh[moving]])
    triangles = np.concatenate([skin, np.asarray(model.interior_triangles, np.int32)])
    steps = _steps_from_lips(mesh)
    still = np.union1d(np.concatenate([NOSE, NOSTRIL_FLOOR]), mesh[~moving])
    held = np.concatenate([LIPS, JAW_LINE, np.setdiff1d(still, np.concatenate([LIPS, JAW_LINE]))]).astype(np.int32)
    column, side = _columns(shape, steps)
    return LowerFace(
        vertices=np.unique(triangles).astype(np.int32),
        ring=ring,
        triangles=triangles,
        skin_count=len(skin),
        facing=np.sign(signed_area(with_ring(shape[:, :2], ring), skin)),
        held=held,
        membrane=_membrane(shape, mesh, held),
        jaw_turn=_jaw_turn(shape),
        outward=_outward(shape, column, side),
        nearest_column=column,
        clearance=_clearance(shape, column, side, steps),
        side=side,
    )


def with_ring(points: Vector, ring: Index) -> Vector:
    """Append the fixed ring to the mesh vertices [468, 2]."""
    centre = points[NOSE_TIP]
    return np.concatenate([points[:MESH_VERTEX_COUNT], centre + (points[ring] - centre) * _ring_scale()[ring, None]])


@cache
def _ring_scale() -> Vector:
    """Scale of the ring at each vertex of the jaw line: float64[468]."""
    low, high = RING_SCALE
    shape = np.asarray(load_face_model().mean_face, np.float64)[:MESH_VERTEX_COUNT]
    return low + (high - low) * _jaw_turn(shape)[:, 1]


def _jaw_turn(shape: Vector) -> Vector:
    """Turn the jaw line about the ears, by the angle that drops the chin by 1: float64[468, 3].

    A point moves by its arm's length, so that the jaw's corners hardly move and the chin also goes back.
    """
    height, depth = JAW_HINGE
    arm = depth - shape[CHIN, 2]
    turn = np.zeros_like(shape)
    turn[JAW_LINE, 1] = np.clip((depth - shape[JAW_LINE, 2]) / arm, 0, 1)
    turn[JAW_LINE, 2] = np.clip((shape[JAW_LINE, 1] - height) / arm, 0, None)
    return turn


def _membrane(shape: Vector, mesh: Index, held: Index) -> Vector:
    """Find how skin moves between vertices that are held: float64[468, h].

    It takes the place of least bending and stretching, |L d|^2 + tension * d'L d with the mesh's Laplacian L, as a
    plate that is clamped along nose, border and jaw and pulled at the lips (after Botsch and Kobbelt 2004).
    """
    edges = np.unique(np.sort(np.concatenate([mesh[:, [0, 1]], mesh[:, [1, 2]], mesh[:, [2, 0]]]), axis=1), axis=0)
    a, b = edges.T
    laplacian = np.zeros((len(shape), len(shape)))
    laplacian[a, b] = laplacian[b, a] = -LEAST_EDGE / np.maximum(
        np.linalg.norm(shape[a] - shape[b], axis=1), LEAST_EDGE
    )
    np.fill_diagonal(laplacian, -laplacian.sum(axis=1))
    energy = laplacian @ laplacian + TENSION * laplacian
    free = np.setdiff1d(np.unique(mesh), held)
    membrane = np.zeros((len(shape), len(held)))
    membrane[held, np.arange(len(held))] = 1
    membrane[free] = -np.linalg.solve(energy[np.ix_(free, free)], energy[np.ix_(free, held)])
    return membrane


def signed_area(points: Vector, triangles: Index) -> Vector:
    """Twice the area of each triangle; the sign tells which way round its corners lie."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return np.asarray((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def _ring_triangles(ring: Index) -> Index:
    pairs = [
        ((ring[k], ring[k + 1], MESH_VERTEX_COUNT + k), (ring[k + 1], MESH_VERTEX_COUNT + k + 1, MESH_VERTEX_COUNT + k))
        for k in range(len(ring) - 1)
    ]
    return np.array(pairs, np.int32).reshape(-1, 3)


def _steps_from_lips(mesh: Index) -> Index:
    """Count the edges between each vertex and the lips: 0 on the lips, beyond `MOST_STEPS` not told apart."""
    edges = np.concatenate([mesh[:, [0, 1]], mesh[:, [1, 2]], mesh[:, [2, 0]]])
    steps = np.full(MESH_VERTEX_COUNT, MOST_STEPS + 1, np.int32)
    steps[LIPS] = 0
    for step in range(1, MOST_STEPS + 1):
        for a, b in (edges.T, edges.T[::-1]):
            reached = b[(steps[a] == step - 1) & (steps[b] > step)]
            steps[reached] = step
    return steps


def _outward(shape: Vector, column: Index, side: Vector) -> Vector:
    """Place each vertex of the lips between their inner (0) and outer (1) contour."""
    inner = np.where(side[:, None] < 0, shape[UPPER_INNER[column]], shape[LOWER_INNER[column]])[:, 1]
    outer = np.where(side[:, None] < 0, shape[UPPER_OUTER[column]], shape[LOWER_OUTER[column]])[:, 1]
    thickness = np.where(np.abs(outer - inner) > 0.01, outer - inner, np.inf)  # noqa: PLR2004  # corners have none
    outward = np.zeros(len(shape))
    outward[LIPS] = np.clip((shape[:, 1] - inner) / thickness, 0, 1)[LIPS]
    return outward


def _clearance(shape: Vector, column: Index, side: Vector, steps: Index) -> Vector:
    """Take half of the reference face's distances of skin vertices from the lips."""
    outer = np.where(side < 0, shape[UPPER_OUTER[column], 1], shape[LOWER_OUTER[column], 1])
    skin = (steps >= 1) & (steps <= MOST_STEPS) & (column > 0) & (column < COLUMNS - 1)
    distance = side * (shape[:, 1] - outer)
    return np.where(skin & (distance > 0), LEAST_CLEARANCE * distance, np.nan)


def _columns(shape: Vector, steps: Index) -> tuple[Index, Vector]:
    """Sort the vertices by nearest mouth column and by lip."""
    x = shape[UPPER_INNER, 0]
    middle = (shape[UPPER_INNER, 1] + shape[LOWER_INNER, 1]) / 2
    nearest = np.abs(x[None] - shape[:, :1]).argmin(axis=1)
    nearest[UPPER_INNER] = nearest[LOWER_INNER] = np.arange(COLUMNS)
    side = np.where(shape[:, 1] < middle[nearest], -1.0, 1.0)
    side[np.concatenate([LOWER_INNER[1:-1], LOWER_OUTER[1:-1], LOWER_RED])] = 1.0
    side[np.concatenate([UPPER_INNER[1:-1], UPPER_OUTER[1:-1], UPPER_RED])] = -1.0
    return nearest.astype(np.int32), side
