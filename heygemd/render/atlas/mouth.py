"""Layer B: source mouths, warped so that their lips meet the target contour exactly, with their inside completed.

A source is a value of its own (`MouthSource`): the frame's own mouth, or that of any other frame of the clip.

    source ─▶ contour cleaned ─▶ lips and skin around them, each triangle from its own place ─▶ its light ┐
    second source ─▶ the same ────────────────────────────────────────────────────────────────────────────┴▶ mixed
    heavier source ─▶ what is seen between the lips ─▶ over it
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.donor import Bite
from heygemd.render.atlas.gap import Axes, Profile
from heygemd.render.atlas.inside import paint_inside
from heygemd.render.atlas.lips import clean_contour, draw_line, meeting, nearer_lip
from heygemd.render.atlas.mesh import LIP_OUTLINE, LIPS, lower_face, signed_area, with_ring
from heygemd.render.atlas.mouthshape import Mouth
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.shape import Face, shown_opening
from heygemd.render.atlas.tint import light_upon
from heygemd.render.atlas.warp import (
    SUBPIXEL_BITS,
    Grid,
    Plane,
    affine_table,
    corner_bounds,
    drawing_order,
    interpolate,
    triangle_numbers,
)
from heygemd.render.colour import Bgr

Vector = NDArray[np.float64]

REACH = 0.21
"""How far around the lips the layer is computed, in eye distances."""
RESTORED = 0.12
"""Part of the finest detail (above a Gaussian of one pixel) that is added to a borrowed mouth: between pixels every
interpolation takes some. Over four people it brought the sharpness of the lips from .88 to .97 of the source's."""
FACE_EDGE = 0.04
"""Width, in eye distances, of the fade where the face ends beside the lips."""
BLEND = (0.05, 0.20)
"""Distance from the lips up to which only this layer is seen, and from which on it is not seen at all."""
GRID_STEPS_PER_EYE = 60
"""Away from the lips, the warp and the blend are computed for about so many cells per eye distance."""
RIM = 0.015
"""Around the lips by this, the warp is computed for every pixel: it jumps where lips meet."""
MOST_SHRINK = 1.5
"""A source larger than the target by more than this is made smaller first, or it would glitter."""
SHARP_UP_TO_PX = 250
"""Eye distance up to which Lanczos keeps detail of the lips that cubic interpolation loses; larger faces have none so
fine."""
SOFT_CONTOUR = 0.004
"""Width of the soft edge between lips and inside, on top of a pixel and a half."""
THIN_SLIT_PX = (0.3, 1.5)
"""A gap of up to the first shows nothing between the lips; from the second on all."""
LIP_SAMPLES = np.array([16, 315, 85, 15])


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthSource:
    """A mouth to take pixels from."""

    picture: Bgr
    face: Face
    """The face in `picture`, in its pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worn:
    """A source as the target wears it."""

    source: MouthSource
    weight: float
    """Part of it in the mixture; those of a frame add up to 1."""
    light: Vector | None = None
    """float64[16, 3]: how the target's light changes its colours, see `tint.py`; None: not at all."""
    is_own: bool = False
    """The frame's own mouth, which hardly leaves its pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a mouth is painted; coordinates are pixels of the box being painted."""

    face: Face
    """The target's own."""
    after: Vector
    """float64[v, 2]: where the vertices go, ring included."""
    wanted: Mouth
    grid: Grid
    """Of the box."""
    bite: Bite
    """The person's teeth."""

    @property
    def eye_px(self) -> float:
        """Pixels per eye distance."""
        return self.face.eye_px

    @property
    def opening(self) -> float:
        """How far the lips are apart there, in eye distances."""
        return shown_opening(self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The target's mesh as triangle numbers, see `triangle_numbers`."""

    cells: NDArray[np.int32]
    """Those of the grid's cells."""
    rim: tuple[slice, slice]
    """Rows and columns of the box in which the lips lie."""
    pixels: NDArray[np.int32]
    """Those of the pixels in it."""

    @property
    def corner(self) -> NDArray[np.intp]:
        """x, y of the rim's first pixel."""
        return np.array([self.rim[1].start, self.rim[0].start])


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The heaviest source, of which the inside of the mouth is seen."""

    source: MouthSource
    contour: Vector
    """float64[468, 2]: its vertices with a cleaned inner contour."""
    light: Plane
    """float32[h, w, 3]: what multiplies its colours in the rim."""
    drawn: Drawn


def paint_mouth(
    base: Bgr, face: Face, after: Vector, *, wanted: Mouth, worn: Sequence[Worn], bite: Bite
) -> NDArray[np.bool_]:
    """Paint the mouths worn into `base`, in place, with their vertices at `after` (float64[v, 2], ring included).

    `face` is the target's own face; its and `after`'s coordinates are pixels of `base`. Returns bool[h, w]: the pixels
    painted.
    """
    height, width = base.shape[:2]
    step = max(round(face.eye_px / GRID_STEPS_PER_EYE), 1)
    grid = Grid(width=width, height=height, step_px=step)
    place = Place(face=face, after=after, wanted=wanted, grid=grid, bite=bite)
    fitted = [replace(one, source=_no_larger(one.source, face.eye_px)) for one in worn]
    drawn = _draw(place)
    layer = _layer(place, drawn, fitted)
    cover = place.grid.enlarge(_cover(place, drawn))
    base += cover[..., None] * (layer - base)
    return np.asarray(cover > 0)


def _no_larger(source: MouthSource, eye_px: float) -> MouthSource:
    """Shrink a source that is much larger than the target."""
    share = eye_px / source.face.eye_px
    if share * MOST_SHRINK >= 1:
        return source
    height, width = source.picture.shape[:2]
    size = max(round(width * share), 1), max(round(height * share), 1)
    scale = np.array(size) / (width, height)
    pose = replace(source.face.pose, scale=source.face.pose.scale * scale.mean())
    face = replace(source.face, pose=pose, vertices=(source.face.vertices + 0.5) * scale - 0.5)
    picture = cv2.resize(source.picture, size, interpolation=cv2.INTER_AREA)
    return MouthSource(picture=np.asarray(picture, np.float32), face=face)


def _layer(place: Place, drawn: Drawn, worn: Sequence[Worn]) -> Bgr:
    """Paint lips, the skin around them, and what is between them: float32[h, w, 3]."""
    contours = [clean_contour(one.source.picture, one.source.face, opening=place.opening) for one in worn]
    lights = [_light(place, one) for one in worn]
    layer = np.zeros((place.grid.height, place.grid.width, 3), np.float32)
    for one, contour, light in zip(worn, contours, lights, strict=True):
        layer += (np.float32(one.weight) * light) * _lips(place, drawn, one, contour)
    heaviest = max(range(len(worn)), key=lambda k: worn[k].weight)
    if drawn.pixels.size > 0:
        front = Front(
            source=worn[heaviest].source, contour=contours[heaviest], light=lights[heaviest][drawn.rim], drawn=drawn
        )
        _close_lips(layer[drawn.rim], place, front)
        _fill_gap(layer[drawn.rim], place, front)
    return layer


def _light(place: Place, worn: Worn) -> Plane:
    """Find what multiplies a source's colours: float32[h, w, 3] of the box."""
    grid = place.grid
    if worn.light is None:
        return np.broadcast_to(np.float32(1), (grid.height, grid.width, 3))
    return light_upon(worn.light, grid, place.after, place.face.down)


def _draw(place: Place) -> Drawn:
    """Draw the target's mesh: in cells where the warp is smooth, in pixels at the lips."""
    mesh, grid = lower_face(), place.grid
    margin = RIM * place.eye_px + 2
    low = np.floor(place.after[LIPS].min(axis=0) - margin).astype(int)
    high = np.ceil(place.after[LIPS].max(axis=0) + margin).astype(int) + 1
    x0, x1 = np.clip((low[0], high[0]), 0, grid.width).tolist()
    y0, y1 = np.clip((low[1], high[1]), 0, grid.height).tolist()
    rim = slice(y0, y1), slice(x0, x1)
    order = drawing_order(mesh, place.after)
    cells = triangle_numbers(mesh, place.after, order, size=grid.cells, step_px=grid.step_px)
    if grid.step_px == 1:
        return Drawn(cells=cells, rim=rim, pixels=cells[rim])
    pixels = triangle_numbers(mesh, place.after - (x0, y0), order, size=(y1 - y0, x1 - x0))
    return Drawn(cells=cells, rim=rim, pixels=pixels)


def _lips(place: Place, drawn: Drawn, worn: Worn, contour: Vector) -> Bgr:
    """Bring the source's lips and the skin around them into the box: float32[h, w, 3].

    `contour` are the source's vertices with a cleaned inner contour.
    """
    mesh, grid, rim, source = lower_face(), place.grid, drawn.rim, worn.source
    before = with_ring(contour, mesh.ring)
    table, bounds = affine_table(mesh.triangles, place.after, before), corner_bounds(mesh.triangles, before)
    x, y = (grid.enlarge(plane) for plane in interpolate(table, drawn.cells, grid.x, grid.y, bounds))
    layer = cv2.remap(source.picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if drawn.pixels.size > 0:
        columns = np.arange(rim[1].start, rim[1].stop, dtype=np.float32)
        rows = np.arange(rim[0].start, rim[0].stop, dtype=np.float32)[:, None]
        way = cv2.INTER_LANCZOS4 if place.eye_px <= SHARP_UP_TO_PX else cv2.INTER_CUBIC
        x, y = interpolate(table, drawn.pixels, columns, rows, bounds)
        layer[rim] = cv2.remap(source.picture, x, y, way, borderMode=cv2.BORDER_REPLICATE)
    if worn.is_own:
        return np.asarray(layer, np.float32)
    return np.asarray(layer + np.float32(RESTORED) * (layer - cv2.GaussianBlur(layer, (0, 0), 1.0)), np.float32)


def _close_lips(layer: Bgr, place: Place, front: Front) -> None:
    """Draw the line between lips that were open in the source into the rim's part of the layer, in place."""
    strength = meeting(front.source.face, opening=place.opening)
    if strength > 0:
        axes = Axes.along(place.face.down)
        target = Profile.of(place.after, axes)
        lip = _median_colour(front.source, LIP_SAMPLES) * front.light.mean(axis=(0, 1))
        draw_line(layer, target, axes, front.drawn.corner, lip=lip, strength=strength, eye_px=place.eye_px)


def _fill_gap(layer: Bgr, place: Place, front: Front) -> None:
    """Put what is seen between the lips into the rim's part of the layer, in place."""
    source, drawn = front.source, front.drawn
    # One pixel more on each side, for the soft edge.
    between = cv2.dilate((drawn.pixels > lower_face().skin_count).astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(between)
    if len(rows) == 0:
        return
    pixels = np.asarray(np.stack([columns, rows], axis=1) + drawn.corner, np.float64)
    inside = paint_inside(
        pixels,
        place.after,
        face=place.face,
        picture=source.picture,
        source=source.face,
        wanted=place.wanted,
        bite=place.bite,
    )
    lit = front.light[rows, columns]
    lip = nearer_lip(source.picture, front.contour, place.after, place.face.down, pixels) * lit
    on_lip = drawn.pixels[rows, columns] <= lower_face().skin_count
    lip[on_lip] = layer[rows[on_lip], columns[on_lip]]
    depth_px = np.minimum(inside.below_upper, inside.above_lower) * place.eye_px
    share = smoothstep(depth_px, -0.5, 1.0 + SOFT_CONTOUR * place.eye_px)
    # A slit thinner than a pixel would be a dotted line.
    share = share * smoothstep((inside.below_upper + inside.above_lower) * place.eye_px, *THIN_SLIT_PX)
    layer[rows, columns] = lip + share[:, None] * (inside.colour * lit - lip)


def _median_colour(source: MouthSource, vertices: NDArray[np.intp]) -> Vector:
    """Take the median colour of the source at some vertices: float64[3] BGR."""
    height, width = source.picture.shape[:2]
    x, y = np.rint(source.face.vertices[vertices]).astype(int).T
    pixels = source.picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(np.median(pixels, axis=0), np.float64)


def _cover(place: Place, drawn: Drawn) -> Plane:
    """Weigh the layer against what lies below, for each cell: float32[h, w].

    1 at the lips, 0 far from them and beyond the border of the face, which is near the lips of a head that is turned.
    """
    grid = place.grid
    # Lips beyond the border of the picture count, too.
    margin = int(BLEND[1] * place.eye_px / grid.step_px) + 2
    beyond = np.full((grid.cells[0] + 2 * margin, grid.cells[1] + 2 * margin), 255, np.uint8)
    outline = (place.after[LIP_OUTLINE] - (grid.step_px - 1) / 2) / grid.step_px + margin
    cv2.fillPoly(beyond, [np.round(outline * (1 << SUBPIXEL_BITS)).astype(np.int32)], (0,), shift=SUBPIXEL_BITS)
    distance = cv2.distanceTransform(beyond, cv2.DIST_L2, 3)[margin:-margin, margin:-margin]
    distance_px = distance * np.float32(grid.step_px)
    cover = 1 - smoothstep(distance_px, BLEND[0] * place.eye_px, BLEND[1] * place.eye_px)
    side = max(int(FACE_EDGE * place.eye_px / grid.step_px) | 1, 3)
    on_face = np.asarray(cv2.blur(_faces_camera(place.after, drawn.cells).astype(np.float32), (side, side)), np.float32)
    # What lies beside the last cell of the face has no place in the source: no mixture of the two may be seen.
    return np.asarray(cover * smoothstep(on_face, 0.75, 1.0), np.float32)


def _faces_camera(after: Vector, numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell where the mesh lies and is not seen from behind: bool[h, w]."""
    mesh = lower_face()
    towards = np.ones(len(mesh.triangles) + 1, np.bool_)
    towards[0] = False
    towards[1 : mesh.skin_count + 1] = signed_area(after, mesh.triangles[: mesh.skin_count]) * mesh.facing > 0
    return np.asarray(towards[numbers])
