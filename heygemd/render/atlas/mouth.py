"""Layer B: a source mouth, warped so that its lips meet the target contour exactly, with its inside completed.

The source mouth is a value of its own (`MouthSource`): today always the frame's own mouth, later any frame of the
clip that fits better.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import Axes, Gap, Profile, dark_line, fill_plan, nearer_lip, sample, shut
from heygemd.render.atlas.interior import Cavity, paint_interior
from heygemd.render.atlas.lips import clean_contour, draw_line, meeting
from heygemd.render.atlas.mesh import (
    COLUMNS,
    LIP_OUTLINE,
    LIPS,
    LOWER_INNER,
    LOWER_LIP_MIDDLE,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    lower_face,
    with_ring,
)
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.shape import Face
from heygemd.render.atlas.warp import SUBPIXEL_BITS, affine_table, drawing_order, interpolate, triangle_numbers
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

REACH = 0.27
"""How far around the lips the layer is computed, in eye distances."""
BLEND = (0.05, 0.20)
"""Distance from the lips up to which only this layer is seen, and from which on it is not seen at all."""
SOFT_CONTOUR = 0.004
"""Width of the soft edge between lips and inside, on top of a pixel and a half."""
THIN_SLIT_PX = (0.3, 1.5)
"""A gap of up to the first shows nothing between the lips; from the second on all."""
LIP_SAMPLES = np.array([16, 315, 85, 15])
SKIN_SAMPLES = np.array([164, 393, 167, 18, 200, 313, 83])


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthSource:
    """A mouth to take pixels from."""

    picture: Bgr
    face: Face
    """The face in `picture`, in its pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle inside the region being painted."""

    x: int
    y: int
    width: int
    height: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of its pixels."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def paint_mouth(base: Bgr, source: MouthSource, after: Vector, *, eye_px: float) -> NDArray[np.bool_]:
    """Paint the source's mouth into `base`, in place, with its vertices at `after` (float64[v, 2], ring included).

    Returns bool[h, w]: the pixels painted.
    """
    painted = np.zeros(base.shape[:2], np.bool_)
    box = _box_around(after[LIPS], REACH * eye_px, base.shape[:2])
    if box is None:
        return painted
    origin = np.array([box.x, box.y], np.float64)
    after = after - origin
    mesh = lower_face()
    numbers = triangle_numbers(mesh, after, drawing_order(mesh, after), size=(box.height, box.width))
    contour = clean_contour(source.picture, source.face, opening=_opening(after, eye_px))
    layer = _warped(source, numbers, after, contour, origin=origin)
    _fill_gap(layer, source, numbers, after, contour, origin=origin, eye_px=eye_px)
    cover = _cover(after, numbers, eye_px=eye_px)
    below = base[box.window]
    below += cover[..., None] * (layer - below)
    painted[box.window] = cover > 0
    return painted


def _warped(source: MouthSource, numbers: NDArray[np.int32], after: Vector, contour: Vector, *, origin: Vector) -> Bgr:
    """Bring the source's lips and the skin around them into the box: float32[h, w, 3]."""
    mesh = lower_face()
    before = with_ring(contour, mesh.ring) - origin
    table = affine_table(mesh.triangles, after, before - after)
    height, width = numbers.shape
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    shift_x, shift_y = interpolate(table, numbers, x, y)
    x, y = x + shift_x + np.float32(origin[0]), y + shift_y + np.float32(origin[1])
    layer = cv2.remap(source.picture, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(layer, np.float32)


def _fill_gap(
    layer: Bgr,
    source: MouthSource,
    numbers: NDArray[np.int32],
    after: Vector,
    contour: Vector,
    *,
    origin: Vector,
    eye_px: float,
) -> None:
    """Put what is seen between the lips into the layer, in place."""
    axes = Axes.along(source.face.down)
    target, profile = Profile.of(after + origin, axes), Profile.of(source.face.vertices, axes)
    # One pixel more on each side, for the soft edge.
    between = cv2.dilate((numbers > lower_face().skin_count).astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(between)
    closing = meeting(source.face, opening=_opening(after, eye_px))
    if closing > 0:
        draw_line(layer, target, axes, origin, lip=_median_colour(source, LIP_SAMPLES), strength=closing, eye_px=eye_px)
    if len(rows) == 0:
        return
    pixels = np.stack([columns, rows], axis=1) + origin
    line = dark_line(source.picture, profile, axes)
    gap = fill_plan(pixels, target, profile, axes, line, opening=source.face.opening, eye_px=eye_px)
    inside = sample(source.picture, gap.kept)
    if gap.lower_share.any():
        inside += gap.lower_share[:, None] * (sample(source.picture, gap.lower) - inside)
    if gap.absent.any():
        painted = paint_interior(_cavity(gap, source, after, eye_px))
        inside += gap.absent[:, None] * (painted - inside)
    lip = sample(source.picture, nearer_lip(pixels, target, Profile.of(contour, axes), axes))
    within = numbers[rows, columns] > lower_face().skin_count
    lip[~within] = layer[rows, columns][~within]
    depth_px = np.minimum(gap.below_upper, gap.above_lower) * eye_px
    share = smoothstep(depth_px, -0.5, 1.0 + SOFT_CONTOUR * eye_px)
    # A slit thinner than a pixel would be a dotted line.
    share *= smoothstep((gap.below_upper + gap.above_lower) * eye_px, *THIN_SLIT_PX)
    layer[rows, columns] = lip + share[:, None] * (inside - lip)


def _cavity(gap: Gap, source: MouthSource, after: Vector, eye_px: float) -> Cavity:
    return Cavity(
        across=gap.across,
        below_upper=gap.below_upper,
        above_lower=gap.above_lower,
        teeth=shut(source.face.opening),
        opening=_opening(after, eye_px),
        mouth_width=float(np.linalg.norm(after[UPPER_INNER[-1]] - after[UPPER_INNER[0]])) / eye_px,
        lip_colour=_median_colour(source, LIP_SAMPLES),
        skin_colour=_median_colour(source, SKIN_SAMPLES),
    )


def _opening(vertices: Vector, eye_px: float) -> float:
    return float(np.linalg.norm(vertices[LOWER_LIP_MIDDLE] - vertices[UPPER_LIP_MIDDLE])) / eye_px


def _median_colour(source: MouthSource, vertices: NDArray[np.intp]) -> Vector:
    height, width = source.picture.shape[:2]
    x, y = np.rint(source.face.vertices[vertices]).astype(int).T
    return np.asarray(
        np.median(source.picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], axis=0), np.float64
    )


def _cover(after: Vector, numbers: NDArray[np.int32], *, eye_px: float) -> NDArray[np.float32]:
    """Weigh the layer against what lies below: float32[h, w], 1 at the lips, 0 far from them."""
    beyond = np.full(numbers.shape, 255, np.uint8)
    outline = np.round(after[LIP_OUTLINE] * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(beyond, [outline], 0, shift=SUBPIXEL_BITS)
    distance = np.asarray(cv2.distanceTransform(beyond, cv2.DIST_L2, 3), np.float32)
    cover = 1 - smoothstep(distance, BLEND[0] * eye_px, BLEND[1] * eye_px)
    cover[numbers == 0] = 0
    return np.asarray(cover, np.float32)


def _box_around(points: Vector, margin_px: float, size: tuple[int, int]) -> Box | None:
    low = np.maximum(np.floor(points.min(axis=0) - margin_px).astype(int), 0)
    high = np.minimum(np.ceil(points.max(axis=0) + margin_px).astype(int) + 1, (size[1], size[0]))
    if (high - low < 2).any():  # noqa: PLR2004  # a single row or column holds no mouth
        return None
    return Box(x=int(low[0]), y=int(low[1]), width=int(high[0] - low[0]), height=int(high[1] - low[1]))
