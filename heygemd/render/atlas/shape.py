"""Where every vertex of the lower face goes when the mouth takes a given opening and width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import (
    CHIN,
    COLUMNS,
    LIPS,
    LOWER_INNER,
    LOWER_OUTER,
    NOSTRIL_FLOOR,
    UPPER_INNER,
    UPPER_OUTER,
    lower_face,
)
from heygemd.render.atlas.motion import Pose, fit_pose, mouth_of
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.person import Person
from heygemd.render.faces.facemodel import load_face_model

Vector = NDArray[np.float64]

LIP_STRETCH = 0.25
"""Speech makes a lip thicker or thinner by at most this part of its thickness."""
PRESSED_THINNER = 0.15
"""Lips that are pressed together roll in and show so much less of their red."""
TUCKED_THINNER = 0.25
"""The lower lip at the edge of the teeth shows so much less."""
LIPTEETH_OPENING = 0.028
"""Gap of f and v: the edge of the upper teeth stands in it."""
LIPTEETH_RAISE = 0.015
"""Both lips go up by so much, the upper off the teeth and the lower to them."""
LEAST_OPENING = 1e-3
"""Keeps ratios of openings finite for closed mouths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One face in one picture."""

    vertices: Vector
    """float64[468, 2]: pixels."""
    pose: Pose
    """Of this one face: arrays of length 1."""
    shape: Vector
    """float64[468, 3]: the mesh in the face frame."""
    opening: float
    width: float

    @property
    def eye_px(self) -> float:
        """Pixels per eye distance: the unit of every length in the face."""
        return float(self.pose.scale[0])

    @property
    def down(self) -> Vector:
        """float64[2]: the face's own downward direction in the picture, in pixels per eye distance."""
        return np.asarray(self.pose.scale[0] * self.pose.rotation[0, :2, 1])


def face_of(points: NDArray[np.float32]) -> Face:
    """Lift 74 tracked points (float32[74, 2]) to a face."""
    lifted = load_face_model().lift(points[None])
    pose = fit_pose(lifted)
    shape = pose.to_face(lifted)
    opening, width = mouth_of(shape)
    push = _push_off_lips(shape[0])
    shape[0, :, 1] += push
    vertices = lifted[0, :, :2] + push[:, None] * pose.scale[0] * pose.rotation[0, :2, 1]
    return Face(vertices=vertices, pose=pose, shape=shape[0], opening=float(opening[0]), width=float(width[0]))


def shown_opening(wanted: Mouth) -> float:
    """Say how far the lips are apart in the picture: pressed they meet, at the teeth they leave the teeth's edge."""
    touching = wanted.opening * (1 - wanted.closure)
    return touching + wanted.lipteeth * (LIPTEETH_OPENING - touching)


def placed_vertices(face: Face, person: Person, wanted: Mouth, sources: Sequence[tuple[Face, float]]) -> Vector:
    """Say where the face's vertices lie (float64[468, 2], pixels) when it wears the sources' mouths, bent to `wanted`.

    `sources` are faces with weights that add up to 1; the face itself may be one. Each one's lips are bent to the
    wanted mouth in the face frame, where head and camera are taken away, so that their mean meets it too. The jaw
    turns by the change of the face's own opening. All skin between lips, jaw line, nose and the border of the moving
    part follows as a membrane; so it moves smoothly whatever mouth is put there.
    """
    mesh = lower_face()
    shift = mesh.jaw_turn * (person.opening_mode[CHIN, 1] * (shown_opening(wanted) - face.opening))
    shift[LIPS] = sum(
        weight * (_bent_lips(source, face, person, wanted) - face.shape[LIPS]) for source, weight in sources
    )
    shift = mesh.membrane @ shift[mesh.held]
    shift[:, 1] += _push_off_lips(face.shape + shift)
    to_picture = face.pose.scale[0] * face.pose.rotation[0, :2]
    return np.asarray(face.vertices + shift @ to_picture.T)


def _bent_lips(source: Face, face: Face, person: Person, wanted: Mouth) -> Vector:
    """Bend the lips of `source` to the wanted mouth: float64[l, 3], vertices `LIPS` in the face frame of `face`.

    The inner contour hits the opening exactly. Opening adds the person's own movement; closing scales the gap of every
    column alike, so that upper and lower lip meet everywhere at 0 and never cross.
    """
    mesh, opening = lower_face(), shown_opening(wanted)
    shift = person.opening_mode * (opening - source.opening) + person.width_mode * (wanted.width - source.width)
    column, side, outward = mesh.nearest_column, mesh.side, mesh.outward
    shift[:, 1] += side * (_gap_correction(source, shift, opening) / 2)[column]
    for lip, inner, outer, thinner in (
        (-1, UPPER_INNER, UPPER_OUTER, PRESSED_THINNER * wanted.closure),
        (1, LOWER_INNER, LOWER_OUTER, PRESSED_THINNER * wanted.closure + TUCKED_THINNER * wanted.lipteeth),
    ):
        here = side == lip
        excess = _thickness_excess(source, shift, lip, inner, outer, thinner=thinner)
        shift[here, 1] -= outward[here] * excess[column[here]]
    shift[:, 1] -= LIPTEETH_RAISE * wanted.lipteeth
    # The face frame rests on few tracked points; the base of the nose says how far two of them disagree here.
    apart = (face.shape[NOSTRIL_FLOOR] - source.shape[NOSTRIL_FLOOR]).mean(axis=0)
    return np.asarray((source.shape + shift)[LIPS] + apart)


def _push_off_lips(shape: Vector) -> Vector:
    """Find how far skin vertices must move up or down (float64[468]) so that none lies on a lip.

    Lift and shape model are linear: of a mouth opened very wide they leave the skin around the lips behind, and a
    folded mesh would show the lips twice.
    """
    mesh = lower_face()
    lacking = np.zeros(len(shape))
    skin = np.isfinite(mesh.clearance)
    side, column = mesh.side[skin], mesh.nearest_column[skin]
    outer = np.where(side < 0, shape[UPPER_OUTER[column], 1], shape[LOWER_OUTER[column], 1])
    lacking[skin] = side * np.maximum(mesh.clearance[skin] - side * (shape[skin, 1] - outer), 0)
    return lacking


def _thickness_excess(
    face: Face, shift: Vector, side: int, inner: NDArray[np.int32], outer: NDArray[np.int32], *, thinner: float
) -> Vector:
    """Find by how much each column of a lip would grow thicker or thinner than it should: float64[11].

    Lips keep about their thickness; those that are to be `thinner` lose that part of it.
    """
    thickness = np.abs(face.shape[outer, 1] - face.shape[inner, 1])
    thicker = side * (shift[outer, 1] - shift[inner, 1])
    most = LIP_STRETCH * thickness
    return np.asarray(side * (thicker - np.clip(thicker, -most, most) + thinner * thickness))


def _gap_correction(face: Face, move: Vector, opening: float) -> Vector:
    """Find how much further each mouth column must open than the shape model says: float64[11]."""
    gap = face.shape[LOWER_INNER, 1] - face.shape[UPPER_INNER, 1]
    moved = gap + move[LOWER_INNER, 1] - move[UPPER_INNER, 1]
    wanted = np.maximum(moved, 0)
    if opening < face.opening:
        inside = slice(1, COLUMNS - 1)
        share = max(opening, 0) / max(face.opening, LEAST_OPENING)
        wanted[inside] = np.maximum(gap[inside], 0) * share
    return np.asarray(wanted - moved)
