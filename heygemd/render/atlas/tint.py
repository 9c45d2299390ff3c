"""The light of one frame upon the mouth of another.

The tracker keeps the colour of 16 patches of skin around the mouth of every frame. Where target and source differ in
them, the light has changed: a head turned under a lamp, a cloud, a camera that adjusts itself. The source's colours are
multiplied by the ratio, direction by direction: light multiplies, so that lips, teeth and the dark of the mouth each
take their due.

A single frame's patches tremble with the film's compression. Each side is therefore a mean over its neighbours in the
clip, a window of fixed weights that ends at cuts: no frame depends on what was painted before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.gap import Axes
from heygemd.render.atlas.mesh import LIP_OUTLINE
from heygemd.render.atlas.warp import Grid, Plane
from heygemd.render.faces.ring import RING
from heygemd.render.faces.track import SKIN_PATCHES, FaceTrack

Vector = NDArray[np.float64]

WINDOW = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.0])
"""Weights of a frame and its four neighbours on both sides."""
LEAST_LEVEL = 8.0
"""Added to the levels, so that black hair does not ask for a hundredfold light."""
MOST_CHANGE = 0.6
"""Light is changed by at most this factor's logarithm (1.8 times, or to 55 %); beyond, a patch shows something else."""
MOST_APART = 0.25
"""Directions differ from their median by at most this logarithm: one in which a hand or hair comes up says no more."""
SPREAD = 0.12
"""Standard deviation, in eye distances, of the weight with which a patch counts at a point."""
FIELD_CELLS = 20
"""The light is computed for so many cells across the picture; between them it is interpolated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tint:
    """What multiplies the colours of each source."""

    change: Vector
    """float64[s, 16, 3]: logarithm of the factor on blue, green, red at each patch, for each of the s sources."""


def tint_of(track: FaceTrack, frame: int, sources: Sequence[int]) -> Tint | None:
    """Find the light of a source frame upon the mouths of other source frames; None where the skin is not known.

    A source frame that is the frame itself, or has no skin, stays as it is.
    """
    here = _skin(track, frame)
    if here is None:
        return None
    changes = [_change(here, None if source == frame else _skin(track, source)) for source in sources]
    return Tint(change=np.stack(changes))


def light_upon(change: Vector, grid: Grid, after: Vector, down: Vector) -> Plane:
    """Spread the light of the patches (float64[16, 3], logarithms) over the grid's rectangle: float32[h, w, 3] factors.

    `after` (float64[v, 2], its pixels) are the vertices of the mouth to be lit, `down` the face's downward direction in
    pixels per eye distance.
    """
    axes, eye_px = Axes.along(down), float(np.linalg.norm(down))
    patch_x, patch_y = _patches(axes, after, eye_px)
    coarse = Grid(width=grid.width, height=grid.height, step_px=max(-(-max(grid.width, grid.height) // FIELD_CELLS), 1))
    cells = np.stack(np.meshgrid(coarse.x, coarse.y[:, 0]), axis=-1).reshape(-1, 2).astype(np.float64)
    x, y = axes.split(cells)
    square = ((x[:, None] - patch_x) ** 2 + (y[:, None] - patch_y) ** 2) / (SPREAD * eye_px) ** 2
    # The nearest patch sets the scale, so that a far corner takes its colour instead of none.
    weight = np.exp(-(square - square.min(axis=1, keepdims=True)) / 2)
    field = np.exp(weight @ change / weight.sum(axis=1, keepdims=True))
    return coarse.enlarge(field.reshape(*coarse.cells, 3).astype(np.float32))


def _skin(track: FaceTrack, frame: int) -> Vector | None:
    """Average the skin of a frame and its neighbours in the same shot: float64[16, 3]; None where it has none."""
    reach = len(WINDOW) // 2
    frames = np.arange(max(frame - reach, 0), min(frame + reach + 1, len(track.scene)))
    skin = np.asarray(track.skin[frames[0] : frames[-1] + 1], np.float64)
    known = skin.any(axis=(1, 2)) & (track.scene[frames] == track.scene[frame])
    if not known[frame - frames[0]]:
        return None
    weight = WINDOW[frames - frame + reach] * known
    return np.asarray(np.tensordot(weight / weight.sum(), skin, axes=1))


def _change(here: Vector, there: Vector | None) -> Vector:
    """Compare the skin of target and source: float64[16, 3]."""
    if there is None:
        return np.zeros_like(here)
    change = np.log((here + LEAST_LEVEL) / (there + LEAST_LEVEL))
    middle = np.median(change, axis=0)
    return np.asarray(np.clip(middle + np.clip(change - middle, -MOST_APART, MOST_APART), -MOST_CHANGE, MOST_CHANGE))


def _patches(axes: Axes, after: Vector, eye_px: float) -> tuple[Vector, Vector]:
    """Place the patches on an ellipse around the lips, half-way through the ring: two float64[16], upright axes."""
    x, y = axes.split(after[LIP_OUTLINE])
    outside = sum(RING) / 2 * eye_px
    half_width, half_height = np.ptp(x) / 2 + outside, np.ptp(y) / 2 + outside
    angle = np.arange(SKIN_PATCHES) * 2 * np.pi / SKIN_PATCHES
    radius = 1 / np.hypot(np.cos(angle) / half_width, np.sin(angle) / half_height)
    return (x.max() + x.min()) / 2 + radius * np.cos(angle), (y.max() + y.min()) / 2 + radius * np.sin(angle)
