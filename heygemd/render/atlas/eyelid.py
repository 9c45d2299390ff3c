"""Eyelids of a still picture: where they are, and whether the eye can be shut.

An eye that is shut already, lies behind dark or shining glasses or is turned away is not read.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.shape import Face
from heygemd.render.colour import CENTRE

Vector = NDArray[np.float64]
Planes = NDArray[np.uint8]

UPPER_LIDS = np.array([[33, 246, 161, 160, 159, 158, 157, 173, 133], [362, 398, 384, 385, 386, 387, 388, 466, 263]])
LOWER_LIDS = np.array([[33, 7, 163, 144, 145, 153, 154, 155, 133], [362, 382, 381, 380, 374, 373, 390, 249, 263]])
"""Mesh vertices along the lids of both eyes, from the left of the picture to the right."""
BROWS = np.array([[46, 53, 52, 65, 55], [285, 295, 282, 283, 276]])
"""Lower edges of the brows, in the same order."""
COLUMNS, ROWS_PER_EYE = 41, 160
"""An eye is read in so many columns, and so many rows per eye distance."""
MOST_SKIN = 0.15
"""Height of skin above the lashes that is drawn down, at most; eye distances."""
LEAST_SKIN = 0.022
"""With less the brow lies on the lid, and would be drawn down with it."""
EDGE_OFF, EDGE_OFF_STEP, EDGE_TILTS = (-0.056, 0.026), 0.004, (-0.02, -0.01, 0.0, 0.01, 0.02)
"""The lash line is looked for so far above (negative) and below the tracked lid, and turned against it by so much from
its middle to its ends; eye distances."""
EDGE_NEAR = 0.010
"""Then every place of it finds its own edge so near."""
EDGE_DOUBT = 0.04
"""Distance from the tracked lid at which a line counts 1/e of one in its place."""
EDGE_ROWS = 3
"""Of each side are compared."""
STRONG_STEP = 0.30
"""A step of luma of this part of the skin's is as good as any stronger one."""
EVEN_LID = 2.8
"""Along a lid the brightest place is at most so many times brighter than the darkest (10th and 90th percentile)."""
LASH_HEIGHT = 0.018
"""Of the lash line, which moves in one piece."""
BROW_DARK, BROW_HALF = 0.80, 0.6
"""Luma of a brow relative to the skin's below it, at most; and how far up to that of the skin its edge lies."""
BELOW = 0.12
"""The rise of the lower lid fades over this distance."""
LEAST_GAP, LEAST_EYE_WIDTH, LEAST_EYE_PX = 0.045, 0.2, 40.0
"""Lids nearer than the first are shut already, an eye narrower than the second is turned away (eye distances), and
smaller faces have no lids to speak of."""
EYE_CONTRAST, PALER = 1.6, 0.42
"""Between open lids the brightest is at least so many times brighter than the darkest (5th and 95th percentile), and
the eye lacks this part of the skin's red. Open eyes had 1.9 and more, and lacked half and more; shut ones a third."""
GREY, GREY_CONTRAST = 4.0, 2.2
"""Skin with less red (of 255) is that of a grey picture, where the contrast alone must tell."""
INNER = (np.arange(COLUMNS) > COLUMNS // 8) & (np.arange(COLUMNS) < COLUMNS - COLUMNS // 8)
"""The columns that are looked at, without the corners."""
LEAST_SKIN_LUMA = 45.0
"""Skin below the eyes that is darker lies in a shadow, and the lids too."""
GLARE, GLARE_BOUNDS, MOST_GLARE = 1.6, (205.0, 226.0), 0.04
"""Luma of a reflection relative to the skin's, its bounds (white is 235), and part of eye and lids it may cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """Where an eye of a picture is: a frame of its own, along the corners of its lids and across."""

    origin: Vector
    """float64[2]: the corner at the left of the picture."""
    along: Vector
    down: Vector
    """float64[2]: unit vectors."""
    place: Vector
    """float64[COLUMNS]: pixels from the origin."""
    upper: Vector
    lower: Vector
    brow: Vector
    """float64[COLUMNS]: tracked lids and brow, pixels down."""
    eye_px: float

    @classmethod
    def both(cls, face: Face) -> tuple["Eye", "Eye"]:
        """Find the eyes of a face."""
        first, second = (cls._of(face, side) for side in (0, 1))
        return first, second

    @classmethod
    def _of(cls, face: Face, side: int) -> "Eye":
        lids = face.vertices[[UPPER_LIDS[side], LOWER_LIDS[side]]]
        origin, corner = lids[0, 0], lids[0, -1]
        width = max(float(np.linalg.norm(corner - origin)), 1e-6)
        along = (corner - origin) / width
        down = np.array([-along[1], along[0]])
        place = np.linspace(0, width, COLUMNS)

        def curve(points: Vector) -> Vector:
            arms = points - origin
            return np.asarray(np.interp(place, np.maximum.accumulate(arms @ along), arms @ down))

        upper, lower = curve(lids[0]), curve(lids[1])
        brow = np.minimum(curve(face.vertices[BROWS[side]]), upper - 1)
        return cls(
            origin=origin,
            along=along,
            down=down,
            place=place,
            upper=upper,
            lower=np.maximum(lower, upper),
            brow=brow,
            eye_px=face.eye_px,
        )

    @property
    def width_px(self) -> float:
        """Distance of its corners."""
        return float(self.place[-1])

    def box(self, size: tuple[int, int]) -> tuple[slice, slice] | None:
        """Cut its surroundings out of a picture (h, w), on even borders; None when they are not in it."""
        margin = 0.06 * self.eye_px
        low = self.upper.min() - MOST_SKIN * self.eye_px - margin
        high = self.lower.max() + BELOW * self.eye_px + margin
        corners = np.array([[x, y] for x in (-margin, self.width_px + margin) for y in (low, high)])
        points = self.origin + corners[:, :1] * self.along + corners[:, 1:] * self.down
        first, last = np.floor(points.min(axis=0) / 2).astype(int) * 2, np.ceil(points.max(axis=0) / 2).astype(int) * 2
        if (first < 0).any() or last[0] > size[1] or last[1] > size[0]:
            return None
        return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))

    def coordinates(self, box: tuple[slice, slice], step: int) -> tuple[Vector, Vector]:
        """Pixels along and down of the cells of `step` by `step` pixels in a box: each float64[h / step, w / step]."""
        middle = (step - 1) / 2
        y, x = (np.arange(part.start, part.stop, step) + middle for part in box)
        arms = np.stack(np.meshgrid(x, y), axis=-1) - self.origin
        return np.asarray(arms @ self.along), np.asarray(arms @ self.down)

    def pull(self, plane: Planes, x: Vector, y: Vector, step: int) -> Vector:
        """Read a plane, a cell of which covers `step` by `step` pixels, at pixels x along and y down of the eye."""
        points = self.origin + x[..., None] * self.along + y[..., None] * self.down
        cells = ((points - (step - 1) / 2) / step).astype(np.float32)
        pulled = cv2.remap(plane, cells[..., 0], cells[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(pulled, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lids:
    """What the picture shows of an eye that can be shut."""

    eye: Eye
    top: Vector
    """float64[COLUMNS]: where the skin begins that is drawn down; pixels down."""
    lashes: Vector
    """float64[COLUMNS]: the upper edge of the lash line."""
    lower: Vector
    """float64[COLUMNS]: the lower lid."""
    skin: float
    """Luma of the skin below the eye."""

    @property
    def lash_px(self) -> float:
        """Height of the lash line."""
        return LASH_HEIGHT * self.eye.eye_px


def read_lids(planes: Planes, eye: Eye) -> Lids | None:
    """Read the lids off I420 planes (uint8[h * 3 // 2, w]); None where the eye cannot be shut."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    gap = float((eye.lower - eye.upper).max())
    too_small = eye.eye_px < LEAST_EYE_PX or eye.width_px < LEAST_EYE_WIDTH * eye.eye_px
    if too_small or gap < LEAST_GAP * eye.eye_px or eye.box((height, width)) is None:
        return None
    y = np.arange(eye.brow.min(), eye.lower.max() + BELOW * eye.eye_px, eye.eye_px / ROWS_PER_EYE)
    grid = np.meshgrid(eye.place, y)
    luma = np.asarray(cv2.GaussianBlur(eye.pull(planes[:height], *grid, 1), (3, 3), 0), np.float64)
    red = eye.pull(planes[height:].reshape(2, height // 2, width // 2)[1], *grid, 2) - CENTRE
    skin = float(np.median(luma[y[:, None] > eye.lower + 0.4 * BELOW * eye.eye_px]))
    lashes = _lash_line(luma, eye, y)
    top = _skin_top(luma, eye, y, lashes)
    lids = Lids(eye=eye, top=top, lashes=lashes, lower=eye.lower, skin=skin)
    tall = float(np.median((lashes - top)[5:-5])) >= LEAST_SKIN * eye.eye_px
    if not tall or skin < LEAST_SKIN_LUMA or not (_is_clear(luma, lids, y) and _is_open(luma, red, lids, y)):
        return None
    return lids


def _lash_line(luma: Vector, eye: Eye, y: Vector) -> Vector:
    """Find the upper edge of the lashes, the step from bright to dark near the tracked lid: float64[COLUMNS]."""
    mean = cv2.blur(luma, (3, 2 * EDGE_ROWS + 1), borderType=cv2.BORDER_REPLICATE)
    step = np.zeros_like(luma)
    step[EDGE_ROWS + 1 : -EDGE_ROWS - 1] = mean[: -2 * EDGE_ROWS - 2] - mean[2 * EDGE_ROWS + 2 :]
    # A spark on the eye is a stronger step than any lid, but it is narrow.
    step = np.clip(step / np.percentile(luma, 75), 0, STRONG_STEP)
    u = np.linspace(-1, 1, COLUMNS)
    ends = smoothstep(1 - np.abs(u), 0.0, 0.25)

    def along(curve: Vector) -> Vector:
        rows = np.clip(np.rint((curve - y[0]) / (y[1] - y[0])).astype(int), 0, len(y) - 1)
        return np.asarray(step[rows, np.arange(COLUMNS)])

    best, steady = 0.0, eye.upper
    for off in np.arange(*EDGE_OFF, EDGE_OFF_STEP):
        for tilt in EDGE_TILTS:
            curve = eye.upper + (off + tilt * u) * ends * eye.eye_px
            doubt = np.exp(-((off / EDGE_DOUBT) ** 2) - (tilt / EDGE_DOUBT) ** 2)
            score = float(np.sqrt(along(curve)) @ ends) * doubt
            if score > best:
                best, steady = score, curve
    near = np.arange(-EDGE_NEAR, EDGE_NEAR + EDGE_OFF_STEP / 2, EDGE_OFF_STEP / 2)
    steps = np.stack([along(steady + off * eye.eye_px) for off in near]) + 1e-4
    finer = (near[:, None] * steps).sum(axis=0) / steps.sum(axis=0)
    finer = np.convolve(np.pad(finer, 4, mode="edge"), np.full(9, 1 / 9), "valid")
    return np.asarray(steady + finer * ends * eye.eye_px)


def _skin_top(luma: Vector, eye: Eye, y: Vector, lashes: Vector) -> Vector:
    """Find how far up from the lashes there is skin and no brow: float64[COLUMNS].

    Between brow and lashes there is a brightest row; above it, half way down to the dark of the brow, the skin ends.
    """
    rows = y[:, None]
    # The crease of a lid is a thin dark line; a brow is thick.
    thick = median_filter(luma, (max(round(0.03 * ROWS_PER_EYE), 3), 5), mode="nearest")
    between = (rows >= eye.brow) & (rows < lashes - 0.01 * eye.eye_px)
    bright = np.where(between, thick, -1.0)
    best, level = bright.argmax(axis=0), bright.max(axis=0)
    over = between & (np.arange(len(y))[:, None] < best)
    dark = np.where(over, thick, np.inf).min(axis=0)
    dark = np.where(np.isfinite(dark), dark, level)
    hair = over & (thick < (BROW_HALF * level + (1 - BROW_HALF) * dark)) & (dark < BROW_DARK * level)
    reached = np.where(hair, rows, -np.inf).max(axis=0)
    top = np.maximum(np.maximum(lashes - MOST_SKIN * eye.eye_px, eye.brow), reached)
    top = median_filter(np.minimum(top, lashes - 1.0), 11, mode="nearest")
    return np.asarray(cv2.blur(top[None], (11, 1), borderType=cv2.BORDER_REPLICATE)[0])


def _is_clear(luma: Vector, lids: Lids, y: Vector) -> bool:
    """Tell whether the lid is one even piece of skin and nothing shines before it."""
    eye, rows = lids.eye, y[:, None]
    around = luma[(rows > lids.top) & INNER]
    if float((around > np.clip(GLARE * lids.skin, *GLARE_BOUNDS)).mean()) > MOST_GLARE:
        return False
    band = (rows < lids.lashes - 0.004 * eye.eye_px) & (rows > lids.lashes - 0.022 * eye.eye_px)
    lid = np.where(band, luma, 0).sum(axis=0)[INNER] / np.maximum(band.sum(axis=0)[INNER], 1)
    low, high = np.percentile(lid, [10, 90])
    return bool(high <= EVEN_LID * max(float(low), 1.0))


def _is_open(luma: Vector, red: Vector, lids: Lids, y: Vector) -> bool:
    """Tell whether there is an eye between the lids: darker and brighter than skin, and less red."""
    eye, rows = lids.eye, y[:, None]
    ball = (rows > lids.lashes + lids.lash_px) & (rows < lids.lower - 0.01 * eye.eye_px) & INNER
    under = (rows > lids.lower + 0.4 * BELOW * eye.eye_px) & INNER
    if not ball.any() or not under.any():
        return False
    dark, bright = np.percentile(luma[ball], [5, 95])
    contrast = float(bright) / max(float(dark), 1.0)
    skin_red = float(np.median(red[under]))
    if skin_red < GREY:
        return contrast > GREY_CONTRAST
    return contrast > EYE_CONTRAST and float(np.median(red[ball])) < (1 - PALER) * skin_red
