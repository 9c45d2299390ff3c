"""The pixels between the lips: which source pixel each shows, and which no source pixel can show.

Teeth do not bend with the lips: the skull holds them. Source and target meet in the plane of the teeth (`FacePlane`),
where a pixel of the one lies over a pixel of the other however the head is turned and wherever it stands. What the
source shows between its lips is one stiff piece there, and the target's lips slide over it. It goes up with the middle
of a rising upper lip, since nobody has seen what lies higher; lower teeth go down with the lower lip; what is missing
then is painted.

    source        closing         opening
    ─────────                     ─────────   upper lip
    teeth         ─────────       teeth
    ▒▒▒▒▒▒▒▒▒     teeth           ▒▒▒▒▒▒▒▒▒   dark line
    lower teeth   ─────────       painted
    ─────────                     lower teeth
                                  ─────────   lower lip
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.mesh import COLUMNS, LOWER_INNER, STABLE, UPPER_INNER
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.atlas.shape import Face
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

GROWTH = (0.005, 0.03)
"""Eye distances that a column opens beyond the source where painting begins, and where it is complete."""
PARTING = (0.001, 0.010)
"""The same for lips that were shut: the least gap between them is dark."""
BARE_GROWTH = (0.008, 0.06)
"""The same where the source shows no upper teeth, and painted ones take the place of what it shows."""
SHUT = (0.025, 0.05)
"""A source opening of up to the first shows nothing worth keeping; from the second on it does."""
LIP_EDGE = 0.008
"""Rows this close to the source's lips show the lip."""
SOFT_EDGE = 0.02
"""Height over which kept pixels give way to painted ones."""
CORNER = (0.01, 0.05)
"""A source column of up to the first height is a corner of the mouth; from the second on it shows the inside."""
CLEAR_LINE = (0.3, 0.8)
"""How clear the dark line must be for what lies below it to be kept, too."""
TEETH_DEPTH = -0.19
"""Where the front teeth stand in the face frame: a little behind the inner edge of the upper lip (z = -0.21)."""
LUMA = np.array([0.114, 0.587, 0.299])
SAMPLE_COLUMNS = 64
"""Points are read in rows of so many."""
MIDDLE = slice(3, COLUMNS - 3)
"""The columns that stand for the mouth as a whole."""


class Coordinates(Protocol):
    """Two coordinates for the points of a picture: x to its right, y down along the face."""

    def split(self, points: Vector) -> tuple[Vector, Vector]:
        """Coordinates x, y of picture points [..., 2]."""
        ...

    def join(self, x: Vector, y: Vector) -> Vector:
        """Picture points [..., 2] of coordinates x, y."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The picture turned so that the head is upright; in pixels."""

    right: Vector
    down: Vector
    """float64[2]: unit vectors in the picture."""

    @classmethod
    def along(cls, down: Vector) -> "Axes":
        """Build them from the face's downward direction in the picture."""
        unit = down / np.linalg.norm(down)
        return cls(right=np.array([unit[1], -unit[0]]), down=unit)

    def split(self, points: Vector) -> tuple[Vector, Vector]:
        """Coordinates x, y of picture points [..., 2]."""
        return np.asarray(points @ self.right), np.asarray(points @ self.down)

    def join(self, x: Vector, y: Vector) -> Vector:
        """Picture points [..., 2] of coordinates x, y."""
        return np.asarray(x[..., None] * self.right + y[..., None] * self.down)


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePlane:
    """The plane in which the front teeth stand, held by the skull: x, y of the face frame, in eye distances.

    A point of it is the same point of the head in every picture of the person.
    """

    matrix: Vector
    """float64[2, 2]: picture = matrix @ plane + shift."""
    shift: Vector
    """float64[2]."""
    slant: Vector
    """float64[2]: how far what stands one eye distance behind the plane is seen beside its place."""

    @classmethod
    def of(cls, face: Face) -> "FacePlane":
        """Lay it through a face; the face's vertices may be those of a cut-out, whatever its pose says."""
        turn = face.pose.scale[0] * face.pose.rotation[0, :2]
        corner = (face.vertices[STABLE] - face.shape[STABLE] @ turn.T).mean(axis=0)
        matrix, depth = turn[:, :2], turn[:, 2]
        return cls(matrix=matrix, shift=corner + TEETH_DEPTH * depth, slant=np.linalg.solve(matrix, depth))

    def split(self, points: Vector) -> tuple[Vector, Vector]:
        """Coordinates x, y of picture points [..., 2]."""
        plane = (points - self.shift) @ np.linalg.inv(self.matrix).T
        return np.asarray(plane[..., 0]), np.asarray(plane[..., 1])

    def join(self, x: Vector, y: Vector) -> Vector:
        """Picture points [..., 2] of coordinates x, y."""
        return np.asarray(np.stack([x, y], axis=-1) @ self.matrix.T + self.shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The inner contour of a mouth as two curves over x."""

    x: Vector
    upper: Vector
    lower: Vector
    """float64[11] each: the mouth's columns."""

    @classmethod
    def of(cls, vertices: Vector, axes: Coordinates) -> "Profile":
        """Read it off the face's vertices [v, 2]."""
        upper_x, upper = axes.split(vertices[UPPER_INNER])
        lower_x, lower = axes.split(vertices[LOWER_INNER])
        # A column's two ends need not lie above each other, and a turned head may even swap neighbours.
        x = np.maximum.accumulate((upper_x + lower_x) / 2 + np.arange(COLUMNS) * 1e-6)
        return cls(x=x, upper=upper, lower=np.maximum(lower, upper))

    def at(self, x: Vector) -> tuple[Vector, Vector]:
        """Upper and lower contour at x; beyond the corners those of the corner."""
        return np.interp(x, self.x, self.upper), np.interp(x, self.x, self.lower)

    def columns(self, x: Vector) -> Vector:
        """Mouth column (0..10) at x."""
        return np.interp(x, self.x, np.arange(COLUMNS))


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkLine:
    """The darkest row between upper and lower teeth of a source mouth."""

    row: float
    """0 at the upper lip .. 1 at the lower."""
    clearness: float
    """0: no dark line is seen, the teeth fill the mouth; 1: surely one."""
    worth_below: float
    """0: a mouth without teeth, dark on both sides of the line; 1: what lies below it is worth keeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The n pixels between the target's lips; lengths in eye distances."""

    x: Vector
    y: Vector
    """float64[n]: where they lie in the plane of the teeth."""
    across: Vector
    """float64[n]: -1 at the left corner of the mouth .. 1 at the right."""
    below_upper: Vector
    above_lower: Vector
    """float64[n]: distance from each lip; negative on the lip."""
    top: float
    """The middle of the upper lip, in the plane; the corners lie far below it."""
    kept: Vector
    """float64[n, 2]: source point that the skull holds here."""
    lower: Vector
    """float64[n, 2]: source point that goes down with the lower lip."""
    lower_share: Vector
    """float64[n]: 0..1, how much of the latter is seen."""
    absent: Vector
    """float64[n]: 0..1, how much must be painted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lips:
    """The inner contour of a mouth, in the plane of its teeth."""

    plane: FacePlane
    profile: Profile


def fill_plan(pixels: Vector, target: Lips, source: Lips, line: DarkLine, *, opening: float, teeth: float) -> Gap:
    """Decide for each pixel [n, 2] between the target's lips what it shows.

    `opening` is the source's own, `teeth` (0..1) how surely it shows its upper teeth.
    """
    x, y = target.plane.split(pixels)
    lips, seen = target.profile, source.profile
    (upper, lower), (source_upper, source_lower) = lips.at(x), seen.at(x)
    height = source_lower - source_upper
    rise = max(float((seen.upper - lips.upper)[MIDDLE].mean()), 0.0)
    taller = _taller(lips, seen, x)
    beyond = np.maximum(seen.x[0] - x, x - seen.x[-1])
    closed = shut(opening)
    growth = closed * smoothstep(taller, *PARTING) + (1 - closed) * smoothstep(taller, *GROWTH)
    growth = np.maximum(growth, smoothstep(beyond, 0.0, SOFT_EDGE))
    edge = np.minimum(LIP_EDGE, height / 2)
    cut = source_upper + line.row * height
    # At the source's corners and beside them there are only lips and skin.
    shows = smoothstep(height, *CORNER)
    from_lower, from_upper = y - (lower - source_lower), y + rise
    lower_share = smoothstep(from_lower - cut, 0.0, SOFT_EDGE) * growth * shows
    lower_share = lower_share * soft_step(line.clearness, *CLEAR_LINE) * line.worth_below
    above_cut = shows * smoothstep(cut - from_upper, 0.0, SOFT_EDGE)
    absent = growth * np.maximum(closed, (1 - above_cut) * (1 - lower_share))
    bare = (1 - teeth) * smoothstep(taller, *BARE_GROWTH) * (1 - lower_share)
    return Gap(
        x=x,
        y=y,
        across=2 * lips.columns(x) / (COLUMNS - 1) - 1,
        below_upper=y - upper,
        above_lower=lower - y,
        top=float(lips.upper[MIDDLE].mean()),
        kept=source.plane.join(x, np.clip(from_upper, source_upper + edge, source_lower - edge)),
        lower=source.plane.join(x, np.clip(from_lower, source_upper + edge, source_lower - edge)),
        lower_share=np.asarray(lower_share, np.float64),
        absent=np.asarray(np.maximum(absent, bare), np.float64),
    )


def _taller(target: Profile, source: Profile, x: Vector) -> Vector:
    """Tell how much taller, at x, the mouth is than the source, there or on the whole: float64[n]."""
    whole = (target.lower - target.upper - source.lower + source.upper)[MIDDLE].mean()
    (target_upper, target_lower), (source_upper, source_lower) = target.at(x), source.at(x)
    return np.asarray(np.maximum(whole, target_lower - target_upper - source_lower + source_upper))


def nearer_lip(
    pixels: Vector, target: Profile, source: Profile, axes: Coordinates, source_axes: Coordinates | None = None
) -> Vector:
    """Find the point of the source's contour that belongs to each pixel's column and nearer lip: float64[n, 2].

    `source_axes` are those of another picture; without them the source lies in the target's.
    """
    x, y = axes.split(pixels)
    upper, lower = target.at(x)
    column = target.columns(x)
    at_column = [np.interp(column, np.arange(COLUMNS), curve) for curve in (source.x, source.upper, source.lower)]
    nearer = np.where(y - upper < lower - y, at_column[1], at_column[2])
    return (source_axes or axes).join(at_column[0], nearer)


def shut(opening: float) -> float:
    """Tell how far (0..1) a source mouth is too shut to show anything of its inside."""
    return 1 - soft_step(opening, *SHUT)


def sample(picture: Bgr, points: Vector) -> Vector:
    """Read the picture, of any number c of channels, at points [..., 2]: float64[..., c]."""
    channels = picture.shape[2]
    flat = points.reshape(-1, 2).astype(np.float32)
    # cv2.remap takes a plane, and none with 32,768 rows.
    height = -(-len(flat) // SAMPLE_COLUMNS)
    plane = np.zeros((height * SAMPLE_COLUMNS, 2), np.float32)
    plane[: len(flat)] = flat
    x, y = (plane[:, axis].reshape(height, SAMPLE_COLUMNS) for axis in (0, 1))
    pixels = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pixels, np.float64).reshape(-1, channels)[: len(flat)].reshape(*points.shape[:-1], channels)
