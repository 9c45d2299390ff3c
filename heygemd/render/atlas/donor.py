"""The person's own upper teeth, cut out of the frame that shows them best, for all frames that do not show them.

Teeth are held by the skull, so they are cut once, in the plane of the teeth and along the arch of the jaw, and hang at
the same place of the head in every frame: the tooth that a lip uncovers lies where the tooth was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, gaussian_filter1d, label, median_filter

from heygemd.render.atlas.dentition import Dentition, along_arch, arch_depth, grow
from heygemd.render.atlas.gap import LUMA, FacePlane, Profile, sample
from heygemd.render.atlas.interior import Cavity, GrownTeeth, UpperTeeth
from heygemd.render.atlas.mesh import COLUMNS
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.shape import Face
from heygemd.render.atlas.shown import Light, light_of, toothness
from heygemd.render.colour import Bgr

log = structlog.get_logger(__name__)

Vector = NDArray[np.float64]

HALF_WIDTH = 0.34
"""Of the piece that is cut out, along the arch."""
ABOVE, BELOW = 0.05, 0.14
"""It reaches so far above the middle of the upper lip and below it; no tooth shows more than 12.5 mm."""
PIECE_PX = (40, 320)
"""Least and most pixels per eye distance of the piece."""
TOOTH = 0.5
"""Toothness from which on a pixel belongs to a tooth."""
UNDER_LIP = 0.012
"""So much below the lip's edge the lip still colours the tooth."""
FIRST_TOOTH = 0.022
"""A column's teeth begin this near to the lip, or it has none."""
LEAST_HEIGHT, LEAST_HALF = 0.022, 0.09
"""Visible height of the teeth, and half the width of their row, for a piece worth having: two whole incisors."""
LEAST_SEEN = 0.9
"""Of its columns; a gap between two teeth may be wide."""
LEAST_BELOW = 0.010
"""So much of the mouth must be seen below their edge, or the lower lip or lower teeth hide it."""
DARK_BELOW = 0.75
"""Luma of what lies below the edge, relative to the teeth's, at most."""
MOST_GAP = 0.025
"""Dark between two teeth, along the arch."""
OFF_LINE = (0.018, 0.008)
"""Edges of teeth lie so far above and below an even line."""
LINE_STIFFNESS = (0.0, 0.002, 0.0005)
"""Ridge weights of that line's level, slope and bend."""
LEAST_LUMA = 0.5
"""Of teeth, relative to the skin's."""
TALL, SOFT, RAGGED = 0.09, 0.01, 0.008
"""What makes a row good: no more than the first counts as height, and blur or an uneven edge of the others halve it."""
GAIN_BOUNDS = (0.6, 1.7)
"""A change of light is believed within these factors, for each colour."""
LEAST_HANG = -0.01
"""The edge lies at least so far below the upper lip, negative: hidden by it."""
LIP_RISE, HANG_DOUBT = 0.26, 0.012
"""The upper lip rises by this part of an opening, give or take the second."""
LEAST_EYE_PX = 40.0
"""Smaller faces show no teeth worth cutting."""


class Source(Protocol):
    """A mouth in a picture, see `mouth.MouthSource`."""

    @property
    def picture(self) -> Bgr:
        """The picture."""
        ...

    @property
    def face(self) -> Face:
        """The face in it, in its pixels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTeeth:
    """A row of upper teeth, cut out of a picture."""

    piece: NDArray[np.float32]
    """float32[h, w, 4]: blue, green, red, cover (0..1); along the arch, and downwards in the plane of the teeth."""
    step: float
    """Eye distances per pixel."""
    top: float
    """y of the first row."""
    edge: float
    """y of the longest tooth's end."""
    height: float
    """How far below the middle of the upper lip that was seen."""
    opening: float
    """How far the mouth was open."""
    midline: float
    """x of the middle column."""
    skin: Vector
    """float64[3]: colour of the skin in their light."""
    slope: float
    """Of that light."""
    soft: float
    """Standard deviation of the picture's blur, in eye distances."""
    half: float
    """Half the width of the row."""
    ragged: float
    """How far its edge is from an even line."""

    @property
    def shaded(self) -> float:
        """How far below the upper lip its shadow on them is still to be painted: they bring most of it along."""
        return UNDER_LIP

    @property
    def worth(self) -> float:
        """Prefer wide rows of tall teeth in sharp pictures."""
        return self.half * min(self.height, TALL) / (1 + self.soft / SOFT) / (1 + self.ragged / RAGGED)

    def hang(self, cavity: Cavity) -> float:
        """Tell how far below the middle of the upper lip the longest tooth ends: where the skull holds it.

        The pose of a head trembles more than a lip does: the place is believed near where the opening lets expect it.
        """
        return self.hang_at(cavity.top, cavity.opening)

    def hang_at(self, top: float, opening: float) -> float:
        """Tell the same of a mouth with the middle of its upper lip at `top` (y in the plane of the teeth)."""
        expected = self.height + LIP_RISE * (opening - self.opening)
        held = np.clip(self.edge - top, expected - HANG_DOUBT, expected + HANG_DOUBT)
        return float(np.clip(held, LEAST_HANG, self.height))

    def colour(self, light: Light) -> Vector:
        """Tell their colour in a light: float64[3] BGR."""
        tooth = self.piece[self.piece[..., 3] > TOOTH][:, :3]
        bright = tooth[tooth @ LUMA >= np.percentile(tooth @ LUMA, 60)]
        return np.asarray(bright.mean(axis=0) * self._gain(light), np.float64)

    def _gain(self, light: Light) -> Vector:
        return np.clip(light.skin / np.maximum(self.skin, 1.0), *GAIN_BOUNDS)

    def look(self, cavity: Cavity, hang: float) -> tuple[Vector, Vector]:
        """Cover (0..1, float64[n]) and colour (float64[n, 3]) of the teeth in full light, ending at `hang`."""
        t, y = along_arch(cavity.x - self.midline, cavity.y, cavity.slant)
        column = (t + HALF_WIDTH) / self.step
        row = (y - cavity.top - hang + self.edge - self.top) / self.step
        seen = sample(self._as_soft_as(cavity), np.stack([column, np.maximum(row, 0)], axis=-1))
        # The slope of the light is painted over everything: here only what their own light lacks.
        level = 1 / np.clip(1 + self.slope * (cavity.x - cavity.midline), 0.7, 1.3)
        outside = (np.abs(t) > HALF_WIDTH) | (row > self.piece.shape[0] - 1)
        cover = np.where(outside, 0.0, np.clip(seen[:, 3], 0, 1))
        return np.asarray(cover), np.asarray(np.clip(seen[:, :3], 0, 255) * self._gain(cavity.light) * level[:, None])

    def _as_soft_as(self, cavity: Cavity) -> NDArray[np.float32]:
        """Blur the piece when it is sharper than the picture it is for."""
        wanted = cavity.light.soft_px / cavity.eye_px
        if wanted <= 1.2 * self.soft:
            return self.piece
        sigma = np.sqrt(wanted**2 - self.soft**2) / self.step
        return np.asarray(cv2.GaussianBlur(self.piece, (0, 0), sigma), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bite:
    """The teeth of one person; without further knowledge somebody's."""

    dentition: Dentition = field(default_factory=lambda: grow(0))
    own: OwnTeeth | None = None
    """The upper ones, where a picture shows them."""

    @property
    def upper(self) -> UpperTeeth:
        """The upper row."""
        return self.own or GrownTeeth(dentition=self.dentition)

    @classmethod
    def of(cls, sources: Iterable[Source], *, seed: int) -> "Bite":
        """Take the best upper teeth that the sources show, or else grow some from the seed, a number of the clip."""
        dentition = grow(seed)
        cut = [teeth for teeth in map(cut_teeth, sources) if teeth is not None]
        if not cut:
            return cls(dentition=dentition)
        best = max(cut, key=lambda teeth: teeth.worth)
        log.info("atlas.teeth_cut", height=round(best.height, 3), half_width=round(best.half, 3))
        return cls(dentition=dentition, own=best)


def cut_teeth(source: Source) -> OwnTeeth | None:
    """Cut the upper teeth out of a mouth that shows them down to their edge; None where it does not."""
    face = source.face
    if face.eye_px < LEAST_EYE_PX:
        return None
    plane, light = FacePlane.of(face), light_of(source.picture, face)
    lips = Profile.of(face.vertices, plane)
    middle = COLUMNS // 2
    top, midline = float(lips.upper[middle - 1 : middle + 2].mean()), float(lips.x[middle])
    step = 1 / float(np.clip(face.eye_px, *PIECE_PX))
    t = np.arange(-HALF_WIDTH, HALF_WIDTH + step / 2, step)
    y = np.arange(top - ABOVE, top + BELOW, step)
    x, behind = t + midline + plane.slant[0] * arch_depth(t), plane.slant[1] * arch_depth(t)
    colour = sample(source.picture, plane.join(*np.broadcast_arrays(x, y[:, None] + behind)))
    upper, lower = (curve - behind for curve in lips.at(x))
    tooth = np.asarray(cv2.GaussianBlur(toothness(colour, light.lip, light.skin), (0, 0), 1.0), np.float64)
    ends, seen = _ends(tooth, t, y, upper, lower)
    if not _Row(t=t, upper=upper, lower=lower, ends=ends, seen=seen, skin_luma=float(light.skin @ LUMA)).is_whole(
        colour @ LUMA, y
    ):
        return None
    piece = _filled(colour, tooth, y, upper, ends)
    cover = smoothstep(ends - y[:, None], -step, 2 * step) * gaussian_filter1d(seen.astype(np.float64), 0.008 / step)
    # Dark between the tips of two teeth is not a tooth.
    cover *= np.where(y[:, None] > (upper + ends) / 2, smoothstep(tooth, 0.1, 0.4), 1.0)
    near = seen & (np.abs(t) < LEAST_HALF)
    edge = float(np.percentile(ends[near], 90))
    return OwnTeeth(
        piece=np.concatenate([piece, cover[..., None]], axis=2).astype(np.float32),
        step=step,
        top=float(y[0]),
        edge=edge,
        height=edge - top,
        opening=face.opening,
        midline=midline,
        skin=light.skin,
        slope=light.slope,
        soft=light.soft_px / face.eye_px,
        half=float(min(t[seen].max(), -t[seen].min())),
        ragged=float(np.std(ends[near])),
    )


def _ends(
    tooth: NDArray[np.floating], t: Vector, y: Vector, upper: Vector, lower: Vector
) -> tuple[Vector, NDArray[np.bool_]]:
    """Find the row (y, float64[w]) at which each column's upper tooth ends, and whether it has one (bool[w])."""
    inside = (y[:, None] > upper) & (y[:, None] < lower)
    hit = inside & (tooth > TOOTH)
    first = hit.argmax(axis=0)
    seen = hit.any(axis=0) & (y[first] < upper + FIRST_TOOTH)
    after = (np.arange(len(y))[:, None] > first) & ~hit
    ends = y[np.where(after.any(axis=0), after.argmax(axis=0), len(y) - 1)]
    seen = _around_middle(seen, round(MOST_GAP / (t[1] - t[0])))
    if seen.sum() < len(LINE_STIFFNESS) + 1:
        return ends, seen
    line = _edge_line(t, ends, seen)
    ends = np.clip(np.where(seen, ends, line), line - OFF_LINE[0], line + OFF_LINE[1])
    return np.asarray(gaussian_filter1d(median_filter(ends, 3, mode="nearest"), 0.003 / (t[1] - t[0]))), seen


def _around_middle(seen: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Keep the columns that hang together with the middle, closing gaps of up to `gap` columns between them."""
    closed = np.asarray(binary_closing(np.pad(seen, gap), np.ones(gap + 1)), np.bool_)[gap : len(seen) + gap]
    parts, count = label(closed | seen)
    if count == 0:
        return np.zeros_like(seen)
    columns = np.flatnonzero(parts)
    return np.asarray(parts == parts[columns[np.abs(columns - len(seen) // 2).argmin()]])


def _edge_line(t: Vector, ends: Vector, seen: NDArray[np.bool_]) -> Vector:
    """Lay an even curve along the edge of the row: where teeth touch lower ones, their ends are elsewhere."""
    shape = np.stack([np.ones_like(t), t / HALF_WIDTH, (t / HALF_WIDTH) ** 2], axis=1)
    line = np.full_like(t, np.median(ends[seen]))
    for _ in range(8):
        weight = seen / (1 + ((ends - line) / OFF_LINE[1]) ** 2)
        pull = shape.T * weight
        stiff = weight.sum() * np.diag(LINE_STIFFNESS)
        level, slope, bend = np.linalg.solve(pull @ shape + stiff, pull @ ends)
        # A row never ends lower at its sides than in its middle.
        line = shape @ np.array([level, slope, min(bend, 0.0)])
    return np.asarray(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Where a source's upper teeth lie; y of w columns, t (float64[w]) along the arch."""

    t: Vector
    upper: Vector
    lower: Vector
    """float64[w]: the lips."""
    ends: Vector
    seen: NDArray[np.bool_]
    """float64[w], bool[w]: where the teeth end, and where there are any."""
    skin_luma: float

    def is_whole(self, luma: Vector, y: Vector) -> bool:
        """Tell whether luma[h, w] shows whole teeth over darkness, and not lower teeth, a tongue or a shining lip."""
        near = np.abs(self.t) < LEAST_HALF
        if self.seen[near].mean() < LEAST_SEEN:
            return False
        here, rows = near & self.seen, y[:, None]
        tall = np.median((self.ends - self.upper)[here]) >= LEAST_HEIGHT
        free = np.median((self.lower - self.ends)[here]) >= LEAST_BELOW
        bright = luma[(rows < self.ends) & (rows > self.upper + UNDER_LIP) & here]
        under = np.minimum(self.ends + 3 * LEAST_BELOW, self.lower)
        dark = luma[(rows > self.ends + LEAST_BELOW / 2) & (rows < under) & here]
        if not (tall and free and len(bright) and len(dark)):
            return False
        level = float(np.median(bright))
        return bool(np.median(dark) < DARK_BELOW * level and level > LEAST_LUMA * self.skin_luma)


def _filled(colour: Vector, tooth: NDArray[np.floating], y: Vector, upper: Vector, ends: Vector) -> Vector:
    """Let each column's first clean rows stand for everything that the lip covers above them."""
    rows = y[:, None]
    from_lip = np.where(rows > upper + UNDER_LIP, tooth, 0.0)
    # Of the upper half of the tooth, the row that looks most like one.
    clean = np.where(rows < np.maximum((upper + ends) / 2, upper + 2 * UNDER_LIP), from_lip, 0.0).argmax(axis=0)
    taken = np.maximum(np.arange(len(y))[:, None], clean)
    filled = np.take_along_axis(colour, taken[..., None], axis=0)
    even = cv2.blur(filled, (5, 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.where((taken > np.arange(len(y))[:, None])[..., None], even, filled), np.float64)
