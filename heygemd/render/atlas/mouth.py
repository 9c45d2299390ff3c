"""Layer B: a source mouth, warped so that its lips meet the target contour exactly, with its inside completed.

The source mouth is a value of its own (`MouthSource`): today always the frame's own mouth, later any frame of the
clip that fits better.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import Axes, Gap, Profile, fill_plan, nearer_lip, sample, shut
from heygemd.render.atlas.interior import Cavity, paint_interior
from heygemd.render.atlas.lips import clean_contour, draw_line, meeting
from heygemd.render.atlas.mesh import (
    LIP_OUTLINE,
    LIPS,
    LOWER_LIP_MIDDLE,
    UPPER_INNER,
    UPPER_LIP_MIDDLE,
    lower_face,
    with_ring,
)
from heygemd.render.atlas.ramp import smoothstep, soft_step
from heygemd.render.atlas.shape import Face
from heygemd.render.atlas.shown import look_inside
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
LENGTHENED = (0.15, 0.45)
"""Doubt in the source's teeth from which on painted ones are seen, and from which on wholly."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A source mouth and where it goes; all coordinates are pixels of the region being painted."""

    source: MouthSource
    after: Vector
    """float64[v, 2]: where its vertices go, ring included."""
    eye_px: float
    """Pixels per eye distance of the target."""
    box: Box
    numbers: NDArray[np.int32]
    """int32[box.height, box.width]: triangle numbers of the target, see `triangle_numbers`."""

    @property
    def opening(self) -> float:
        """Wanted opening in eye distances."""
        return float(np.linalg.norm(self.after[LOWER_LIP_MIDDLE] - self.after[UPPER_LIP_MIDDLE])) / self.eye_px

    @property
    def mouth_width(self) -> float:
        """Wanted width of the gap in eye distances."""
        return float(np.linalg.norm(self.after[UPPER_INNER[-1]] - self.after[UPPER_INNER[0]])) / self.eye_px

    @property
    def axes(self) -> Axes:
        """The upright axes of the face."""
        return Axes.along(self.source.face.down)


def paint_mouth(base: Bgr, source: MouthSource, after: Vector, *, eye_px: float) -> NDArray[np.bool_]:
    """Paint the source's mouth into `base`, in place, with its vertices at `after` (float64[v, 2], ring included).

    Returns bool[h, w]: the pixels painted.
    """
    painted = np.zeros(base.shape[:2], np.bool_)
    box = _box_around(after[LIPS], REACH * eye_px, base.shape[:2])
    if box is None:
        return painted
    mesh = lower_face()
    order = drawing_order(mesh, after)
    numbers = triangle_numbers(mesh, after - (box.x, box.y), order, size=(box.height, box.width))
    placement = Placement(source=source, after=after, eye_px=eye_px, box=box, numbers=numbers)
    contour = clean_contour(source.picture, source.face, opening=placement.opening)
    layer = _lips(placement, contour)
    _close_lips(layer, placement)
    _fill_gap(layer, placement, contour)
    cover = _cover(placement)
    below = base[box.window]
    below += cover[..., None] * (layer - below)
    painted[box.window] = cover > 0
    return painted


def _lips(placement: Placement, contour: Vector) -> Bgr:
    """Bring the source's lips and the skin around them into the box: float32[h, w, 3].

    `contour` are the source's vertices with a cleaned inner contour.
    """
    mesh, box = lower_face(), placement.box
    before = with_ring(contour, mesh.ring)
    table = affine_table(mesh.triangles, placement.after, before - placement.after)
    x = np.arange(box.x, box.x + box.width, dtype=np.float32)
    y = np.arange(box.y, box.y + box.height, dtype=np.float32)[:, None]
    shift_x, shift_y = interpolate(table, placement.numbers, x, y)
    picture = placement.source.picture
    layer = cv2.remap(picture, x + shift_x, y + shift_y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(layer, np.float32)


def _close_lips(layer: Bgr, placement: Placement) -> None:
    """Draw the line between lips that were open in the source, in place."""
    strength = meeting(placement.source.face, opening=placement.opening)
    if strength > 0:
        axes, box = placement.axes, placement.box
        target = Profile.of(placement.after, axes)
        lip = _median_colour(placement.source, LIP_SAMPLES)
        draw_line(layer, target, axes, (box.x, box.y), lip=lip, strength=strength, eye_px=placement.eye_px)


def _fill_gap(layer: Bgr, placement: Placement, contour: Vector) -> None:
    """Put what is seen between the lips into the layer, in place."""
    skin_count, eye_px = lower_face().skin_count, placement.eye_px
    # One pixel more on each side, for the soft edge.
    between = cv2.dilate((placement.numbers > skin_count).astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(between)
    if len(rows) == 0:
        return
    pixels = np.stack([columns + placement.box.x, rows + placement.box.y], axis=1).astype(np.float64)
    axes = placement.axes
    target = Profile.of(placement.after, axes)
    gap, inside = _inside(placement, pixels, target)
    lip = sample(placement.source.picture, nearer_lip(pixels, target, Profile.of(contour, axes), axes))
    on_lip = placement.numbers[rows, columns] <= skin_count
    lip[on_lip] = layer[rows[on_lip], columns[on_lip]]
    depth_px = np.minimum(gap.below_upper, gap.above_lower) * eye_px
    share = smoothstep(depth_px, -0.5, 1.0 + SOFT_CONTOUR * eye_px)
    # A slit thinner than a pixel would be a dotted line.
    share = share * smoothstep((gap.below_upper + gap.above_lower) * eye_px, *THIN_SLIT_PX)
    layer[rows, columns] = lip + share[:, None] * (inside - lip)


def _inside(placement: Placement, pixels: Vector, target: Profile) -> tuple[Gap, Vector]:
    """Colour the inside of the mouth at pixels [n, 2]: float64[n, 3]; also tells how they lie in it."""
    source, axes = placement.source, placement.axes
    profile = Profile.of(source.face.vertices, axes)
    lip, skin = _median_colour(source, LIP_SAMPLES), _median_colour(source, SKIN_SAMPLES)
    opening, eye_px = source.face.opening, placement.eye_px
    shown = look_inside(source.picture, profile, axes, opening=opening, lip=lip, skin=skin)
    gap = fill_plan(pixels, target, profile, axes, shown.line, opening=opening, teeth=shown.teeth, eye_px=eye_px)
    inside = sample(source.picture, gap.kept)
    if gap.lower_share.any():
        inside += gap.lower_share[:, None] * (sample(source.picture, gap.lower) - inside)
    if gap.absent.any():
        cavity = Cavity(
            across=gap.across,
            below_upper=gap.below_upper,
            above_lower=gap.above_lower,
            below_top=gap.below_top,
            # Where the source's own teeth begin to fade, the painted ones lengthen them; half of both would be grey.
            teeth=max(shut(opening), soft_step(1 - shown.teeth, *LENGTHENED)),
            opening=placement.opening,
            mouth_width=placement.mouth_width,
            lip_colour=lip,
            skin_colour=skin,
            dark_luma=shown.cavity_luma,
            dark_share=shown.cavity_share * (1 - shut(opening)),
        )
        inside += gap.absent[:, None] * (paint_interior(cavity) - inside)
    return gap, inside


def _median_colour(source: MouthSource, vertices: NDArray[np.intp]) -> Vector:
    """Take the median colour of the source at some vertices: float64[3] BGR."""
    height, width = source.picture.shape[:2]
    x, y = np.rint(source.face.vertices[vertices]).astype(int).T
    pixels = source.picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(np.median(pixels, axis=0), np.float64)


def _cover(placement: Placement) -> NDArray[np.float32]:
    """Weigh the layer against what lies below: float32[h, w], 1 at the lips, 0 far from them."""
    box, numbers, eye_px = placement.box, placement.numbers, placement.eye_px
    beyond = np.full(numbers.shape, 255, np.uint8)
    outline = (placement.after[LIP_OUTLINE] - (box.x, box.y)) * (1 << SUBPIXEL_BITS)
    cv2.fillPoly(beyond, [np.round(outline).astype(np.int32)], (0,), shift=SUBPIXEL_BITS)
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
