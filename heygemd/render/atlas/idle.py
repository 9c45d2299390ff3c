"""The life of a still portrait: it blinks, its head sways a little and nods with what it says.

All is one smooth displacement, strongest on the head, weaker on neck and shoulders, zero at the border of the picture,
so that nothing tears. It is a pure function of the film's frame number: any segment of the film is that of the whole.
"""

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.blink import Blinks, close_eye
from heygemd.render.atlas.eyelid import Eye, read_lids
from heygemd.render.atlas.ramp import smoothstep
from heygemd.render.atlas.shape import face_of

Vector = NDArray[np.float64]
Plane = NDArray[np.float32]

SWAY_HZ = (0.055, 0.11), (0.14, 0.24), (0.31, 0.47)
"""Ranges of the three oscillations of which a movement is made; no two movements share one."""
PARTS = np.array([0.55, 0.30, 0.15])
"""Their shares of the whole."""
ROLL_DEG = 0.8
SHIFT = (0.020, 0.010)
TURN = (0.022, 0.012)
"""Most that the head leans about the neck; that it moves (sideways, up and down); that the tip of the nose moves
against the ears when it turns and nods. Lengths are eye distances."""
NOD, NOD_LIFT = 0.016, 0.12
"""Most that a stressed syllable lowers the nose, and its growth with the opening."""
NOD_S, CALM_S = 0.16, 1.2
"""Half the time over which an opening is averaged for a nod, and over which the mean is that it stands out from."""
BREATH, BREATH_HZ = 0.006, (0.20, 0.30)
"""How far breathing lifts the shoulders, and how often."""
CENTRE = 0.18
"""The middle of the head lies so far below the eyes, in eye distances."""
HEAD = (1.15, 1.70)
"""Half width and half height of head and hair: all of it moves as one."""
STILL_AT = 2.4
"""At so many times that size nothing moves any more."""
SHOULDERS = 1.5
"""Below the head the movement reaches further by this factor: neck and shoulders follow."""
NECK = 1.55
"""The head leans about a point so far below the eyes."""
CALM_BORDER = 0.7
"""Distance from the border of the picture at which the movement is whole."""
CELLS_PER_EYE = 14
"""The displacement is computed for so many cells per eye distance."""
STRIP_ROWS = 64
"""Rows that are moved at once."""
ROUNDS = 4
"""In which the place of a moved point is found: the displacement varies little over its own length."""
EYES = ((33, 133), (362, 263))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sway:
    """Slow movements, each the sum of three oscillations."""

    hz: Vector
    phase: Vector
    """float64[m, 3]: of m movements."""

    @classmethod
    def of(cls, seed: int, movements: int) -> "Sway":
        """Choose the frequencies and phases by the seed."""
        random = np.random.default_rng(np.random.Philox(seed))
        low, high = np.array(SWAY_HZ).T
        hz = low + (high - low) * random.random((movements, len(PARTS)))
        return cls(hz=hz, phase=random.random((movements, len(PARTS))))

    def at(self, time_s: float) -> Vector:
        """All movements at one time: float64[m], -1..1."""
        return np.asarray(np.sin(2 * pi * (self.hz * time_s + self.phase)) @ PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Which part of the picture follows the head, in cells."""

    box: tuple[slice, slice]
    """The pixels that may move, on even borders."""
    step_px: int
    head: Plane
    """float32[h, w]: 0..1, how far a cell follows the head."""
    nearness: Plane
    """float32[h, w]: 0..1, how far it stands out of the head towards the camera."""
    chest: Plane
    """float32[h, w]: 0..1, how far it follows the breath."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleMotion:
    """How one still picture moves over the film."""

    field: Field
    sway: Sway
    blinks: Blinks
    breath_hz: float
    eyes: tuple[Eye, Eye]
    centre: Vector
    neck: Vector
    """float64[2]: pixels of the picture."""
    axes: Vector
    """float64[2, 2]: rows are right and down of the face, in pixels per eye distance."""
    opening: NDArray[np.floating]
    """float[frame_count]: wanted opening of the mouth; may be a map."""
    fps: float

    @classmethod
    def of(
        cls,
        points: NDArray[np.float32],
        *,
        size: tuple[int, int],
        fps: float,
        seed: int,
        frame_count: int,
        opening: NDArray[np.floating],
    ) -> "IdleMotion":
        """Settle the movements of the face with these points (float32[74, 2]) in a picture of `size` (h, w).

        `seed` is a number of the clip; `opening` (float[frame_count]) that of the mouth, in eye distances.
        """
        face = face_of(points)
        eyes = np.array([face.vertices[list(corners)].mean(axis=0) for corners in EYES]).mean(axis=0)
        down = face.down
        axes = np.stack([np.array([down[1], -down[0]]), down])
        centre, neck = eyes + CENTRE * down, eyes + NECK * down
        random = np.random.default_rng(np.random.Philox(seed + 1))
        return cls(
            field=_field(centre, axes, face.eye_px, size),
            sway=Sway.of(seed + 2, 5),
            blinks=Blinks.of(seed + 3, frame_count / fps),
            breath_hz=float(random.uniform(*BREATH_HZ)),
            eyes=Eye.both(face),
            centre=centre,
            neck=neck,
            axes=axes,
            opening=opening,
            fps=fps,
        )

    def apply(self, planes: NDArray[np.uint8], frame: int) -> None:
        """Move the still picture as in this frame of the film: I420 planes, uint8[h * 3 // 2, w], in place."""
        self._blink(planes, frame)
        shifts = self._displacement(frame)
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        _pull(planes[:height], self.field, shifts, shrink=1, way=cv2.INTER_CUBIC)
        for plane in planes[height:].reshape(2, height // 2, width // 2):
            _pull(plane, self.field, shifts, shrink=2, way=cv2.INTER_LINEAR)

    def moved(self, points: NDArray[np.float32], frame: int) -> NDArray[np.float32]:
        """Tell where points [n, 2] of the still lie in this frame: float32[n, 2]."""
        shifts = self._displacement(frame)
        (rows, columns), step = self.field.box, self.field.step_px
        corner = np.array([columns.start, rows.start])
        place = np.asarray(points, np.float64)
        for _ in range(ROUNDS):
            cells = ((place - corner - (step - 1) / 2) / step).astype(np.float32)[:, None]
            shift = [
                cv2.remap(plane, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for plane in shifts
            ]
            place = np.asarray(points - np.stack(shift, axis=-1)[:, 0], np.float64)
        return np.asarray(place, np.float32)

    def _blink(self, planes: NDArray[np.uint8], frame: int) -> None:
        closure = self.blinks.closure(frame / self.fps)
        if closure == 0:
            return
        lids = [read_lids(planes, eye) for eye in self.eyes]
        for lid in lids:
            # Nobody winks: both eyes or none.
            if lid is not None and None not in lids:
                close_eye(planes, lid, closure)

    def _displacement(self, frame: int) -> tuple[Plane, Plane]:
        """Find where each cell comes from, relative to itself, in pixels: two float32[h, w]."""
        time_s = frame / self.fps
        roll, right, down, turn, nod = self.sway.at(time_s)
        angle = np.radians(ROLL_DEG) * roll
        move = np.array([SHIFT[0] * right, SHIFT[1] * down]) @ self.axes
        turned = np.array([TURN[0] * turn, TURN[1] * nod + self._stress(frame)]) @ self.axes
        breath = -BREATH * np.sin(2 * pi * self.breath_hz * time_s) * self.axes[1]
        x, y = _cell_places(self.field)
        arm_x, arm_y = x - np.float32(self.neck[0]), y - np.float32(self.neck[1])
        head, nearness, chest = self.field.head, self.field.nearness, self.field.chest
        planes = []
        for axis, lean in ((0, angle * arm_y), (1, -angle * arm_x)):
            shift = head * (lean + np.float32(-move[axis])) - nearness * np.float32(turned[axis])
            planes.append(np.asarray(shift - chest * np.float32(breath[axis]), np.float32))
        return planes[0], planes[1]

    def _stress(self, frame: int) -> float:
        """Tell how far the nose sinks with a stressed syllable."""
        calm, near = round(CALM_S * self.fps), max(round(NOD_S * self.fps), 1)
        first = max(frame - calm, 0)
        around = np.asarray(self.opening[first : frame + calm + 1], np.float64)
        if len(around) == 0:
            return 0.0
        away = np.abs(np.arange(first, first + len(around)) - frame)
        weight = np.maximum(1 - away / (near + 1), 0)
        accent = float(around @ weight / max(weight.sum(), 1e-9) - around.mean())
        return float(NOD * np.tanh(NOD_LIFT * accent / NOD))


def _field(centre: Vector, axes: Vector, eye_px: float, size: tuple[int, int]) -> Field:
    """Find what follows the head around `centre` in a picture of `size` (h, w)."""
    right, down = axes / eye_px
    # Even, so that chroma has whole cells, too.
    step = 2 * max(round(eye_px / CELLS_PER_EYE / 2), 1)
    reach = STILL_AT * np.array([HEAD[0], HEAD[1] * SHOULDERS]) * eye_px
    arms = np.array([[sx * reach[0], sy * reach[1]] for sx in (-1, 1) for sy in (-1, 1)])
    corners = centre + arms[:, :1] * right + arms[:, 1:] * down
    low = np.clip(np.floor(corners.min(axis=0) / 2).astype(int) * 2, 0, (size[1], size[0]))
    high = np.clip(np.ceil(corners.max(axis=0) / 2).astype(int) * 2, 0, (size[1], size[0]))
    box = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    cells = tuple(-(-(part.stop - part.start) // step) for part in box)
    empty = Field(box=box, step_px=step, head=np.zeros(cells, np.float32), nearness=np.zeros(cells, np.float32),
                  chest=np.zeros(cells, np.float32))  # fmt: skip
    x, y = _cell_places(empty)
    inwards = np.minimum(np.minimum(x, size[1] - 1 - x), np.minimum(y, size[0] - 1 - y)) / eye_px
    border = smoothstep(inwards, 0.0, CALM_BORDER)
    across = ((x - centre[0]) * right[0] + (y - centre[1]) * right[1]) / eye_px / HEAD[0]
    along = ((x - centre[0]) * down[0] + (y - centre[1]) * down[1]) / eye_px / HEAD[1]
    distance = np.hypot(across, np.where(along > 0, along / SHOULDERS, along))
    head = smoothstep(distance, STILL_AT, 1.0) * border
    ball = np.sqrt(np.clip(1 - across**2 - along**2, 0, 1))
    nearness = cv2.blur(np.asarray(ball, np.float32), (5, 5), borderType=cv2.BORDER_REPLICATE) * border
    chest = smoothstep(along, 0.75, 1.6) * smoothstep(np.hypot(across / 1.6, along / 2), STILL_AT, 1.0) * border
    return Field(
        box=box,
        step_px=step,
        head=np.asarray(head, np.float32),
        nearness=np.asarray(nearness, np.float32),
        chest=np.asarray(chest, np.float32),
    )


def _cell_places(field: Field) -> tuple[Plane, Plane]:
    """Middles of the cells, in pixels of the picture: float32[1, w] and float32[h, 1]."""
    rows, columns = field.box
    middle = (field.step_px - 1) / 2
    x = columns.start + middle + np.arange(field.head.shape[1], dtype=np.float32) * field.step_px
    y = rows.start + middle + np.arange(field.head.shape[0], dtype=np.float32) * field.step_px
    return np.asarray(x[None], np.float32), np.asarray(y[:, None], np.float32)


def _pull(plane: NDArray[np.uint8], field: Field, shifts: tuple[Plane, Plane], *, shrink: int, way: int) -> None:
    """Take each pixel of a plane, `shrink` times smaller than the picture, from where the shifts say, in place.

    In strips: the places that a whole picture is taken from would not fit the cache.
    """
    rows, columns = (slice(part.start // shrink, part.stop // shrink) for part in field.box)
    source, step, last = plane.copy(), field.step_px // shrink, field.head.shape[0] - 1
    size = field.head.shape[1] * step, field.head.shape[0]
    width = columns.stop - columns.start
    wide = [cv2.resize(shift, size, interpolation=cv2.INTER_LINEAR)[:, :width] / np.float32(shrink) for shift in shifts]
    x = np.arange(columns.start, columns.stop, dtype=np.float32)
    for start in range(rows.start, rows.stop, STRIP_ROWS):
        y = np.arange(start, min(start + STRIP_ROWS, rows.stop), dtype=np.float32)[:, None]
        cell = np.clip((y - rows.start - (step - 1) / 2) / step, 0, last).astype(np.float32)
        above = cell[:, 0].astype(np.intp)
        part = cell - above[:, None].astype(np.float32)
        below = np.minimum(above + 1, last)
        across, along = (shift[above] + part * (shift[below] - shift[above]) for shift in wide)
        strip = cv2.remap(source, x + across, y + along, way, borderMode=cv2.BORDER_REPLICATE)
        plane[start : start + len(y), columns] = strip
