"""Where every vertex of the lower face goes when the mouth takes a given opening and width."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import COLUMNS, LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER, lower_face
from heygemd.render.atlas.motion import Pose, fit_pose, mouth_of
from heygemd.render.atlas.person import Person
from heygemd.render.faces.facemodel import load_face_model

Vector = NDArray[np.float64]

LIP_STRETCH = 0.25
"""Speech makes a lip thicker or thinner by at most this part of its thickness."""
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


def bent_vertices(face: Face, person: Person, *, opening: float, width: float) -> Vector:
    """Say where the face's vertices lie (float64[468, 2], pixels) when its mouth takes `opening` and `width`.

    The inner contour of the lips hits the opening exactly. Opening adds the person's own movement; closing scales
    the gap of every column alike, so that upper and lower lip meet everywhere at 0 and never cross.
    """
    mesh = lower_face()
    move = person.opening_mode * (opening - face.opening) + person.width_mode * (width - face.width)
    correction = _gap_correction(face, move, opening) / 2
    near = mesh.near
    shift = mesh.follow[:, None] * move
    shift[near, 1] += mesh.side[near] * mesh.contour[near] * correction[mesh.nearest_column[near]]
    for side, inner, outer in ((-1, UPPER_INNER, UPPER_OUTER), (1, LOWER_INNER, LOWER_OUTER)):
        here = near & (mesh.side == side)
        excess = _thickness_excess(face, shift, inner, outer)
        shift[here, 1] -= mesh.outward[here] * excess[mesh.nearest_column[here]]
    shift[:, 1] += _push_off_lips(face.shape + shift)
    to_picture = face.pose.scale[0] * face.pose.rotation[0, :2]
    return np.asarray(face.vertices + shift @ to_picture.T)


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


def _thickness_excess(face: Face, shift: Vector, inner: NDArray[np.int32], outer: NDArray[np.int32]) -> Vector:
    """Find by how much each column of a lip would grow thicker or thinner than lips do: float64[11]."""
    thickness = np.abs(face.shape[outer, 1] - face.shape[inner, 1])
    change = shift[outer, 1] - shift[inner, 1]
    most = LIP_STRETCH * thickness
    return np.asarray(change - np.clip(change, -most, most))


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
