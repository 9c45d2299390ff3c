"""Blinks of a still picture: when they happen, and how a lid is drawn over the eye.

The lash line comes down in one piece; the skin above it, up to below the brow, is drawn after it. The lower lid rises a
little.

    brow ─────────            ─────────
         top of the lid │     (the same skin, longer)
         skin           │ drawn down
    ═════ lashes        ▼
         eye                  ═════ lashes
    ───── lower lid           ───── rises a little
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.atlas.eyelid import BELOW, Lids, Planes
from heygemd.render.atlas.ramp import smoothstep, soft_step

Vector = NDArray[np.float64]

PAUSE_S = (2.0, 6.0)
"""Between blinks of people who speak or listen (Bentivoglio et al. 1997: 17 a minute at rest, 26 in talk)."""
CLOSING_S, SHUT_S, OPENING_S = (0.10, 0.15), (0.02, 0.05), (0.15, 0.25)
"""Durations of the phases."""
DOUBLE_SHARE, DOUBLE_PAUSE_S = 0.08, (0.10, 0.22)
"""How often a second blink follows at once, and after what pause."""
FIRST_S = 0.6
"""No film begins with a blink."""
LASH_DARK = 0.55
"""Nothing in the lash line of a shut eye is brighter than this part of the skin: no white and no spark of the eye."""
LID_TRAVEL = 0.90
"""Part of the gap that the upper lid travels; the lower one comes up the rest."""
SKIN_FEEDS = 0.75
"""How much of the lid's skin near the lashes is stretched, relative to even stretching."""
LINE_WIDTH, LINE_DARKNESS = 0.006, 0.35
"""Line between shut lids: half width in eye distances, and what it takes of the luma."""
LID_SHADE = 0.05
"""A shut lid is a ball: its upper and outer parts are so much darker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinks:
    """When the eyes blink, for one film."""

    start_s: Vector
    closing_s: Vector
    shut_s: Vector
    opening_s: Vector
    """float64[n] each."""

    @classmethod
    def of(cls, seed: int, length_s: float) -> "Blinks":
        """Lay them over a film of that length; the same for the same seed, however long the film is."""
        random = np.random.default_rng(np.random.Philox(seed))
        now, rows = float(random.uniform(FIRST_S, PAUSE_S[1])), []
        while now < length_s:
            phases = [float(random.uniform(*span)) for span in (CLOSING_S, SHUT_S, OPENING_S)]
            rows.append((now, *phases))
            double = random.random() < DOUBLE_SHARE
            pause_s, again_s = random.uniform(*PAUSE_S), random.uniform(*DOUBLE_PAUSE_S)
            now += sum(phases) + float(again_s if double else pause_s)
        table = np.array(rows, np.float64).reshape(-1, 4)
        return cls(start_s=table[:, 0], closing_s=table[:, 1], shut_s=table[:, 2], opening_s=table[:, 3])

    def closure(self, time_s: float) -> float:
        """Tell how far the eyes are shut: 0 open .. 1 shut."""
        k = int(np.searchsorted(self.start_s, time_s, side="right")) - 1
        if k < 0:
            return 0.0
        since = time_s - float(self.start_s[k])
        closing, shut = float(self.closing_s[k]), float(self.shut_s[k])
        return soft_step(since, 0, closing) * (1 - soft_step(since - closing - shut, 0, float(self.opening_s[k])))


def close_eye(planes: Planes, lids: Lids, closure: float) -> None:
    """Shut one eye by `closure` (0..1) in I420 planes (uint8[h * 3 // 2, w]), in place."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    box = lids.eye.box((height, width))
    if box is None or closure <= 0:
        return
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    _draw_down(planes[:height], lids, box, closure, step=1)
    for plane in chroma:
        _draw_down(plane, lids, box, closure, step=2)


def _draw_down(plane: Planes, lids: Lids, box: tuple[slice, slice], closure: float, *, step: int) -> None:
    """Move the lids in one plane, a cell of which covers `step` by `step` pixels."""
    eye = lids.eye
    x, y = eye.coordinates(box, step)
    top, lashes, lower = (np.interp(x, eye.place, curve) for curve in (lids.top, lids.lashes, lids.lower))
    gap = np.where((x > 0) & (x < eye.width_px), np.maximum(lower - lashes, 0), 0.0)
    thick = np.minimum(lids.lash_px, gap / 2)
    fall = closure * np.maximum(LID_TRAVEL * gap - thick / 2, 0)
    rise = closure * (1 - LID_TRAVEL) * gap
    lid = eye.pull(plane, x, _lid_source(y, top, lashes, fall), step)
    ball = eye.pull(plane, x, y + rise * smoothstep(lower - rise - y, -BELOW * eye.eye_px, 0.0), step)
    if step == 1:
        in_lashes = smoothstep((y - lashes - fall) / (thick + 0.5), 0.0, 1.0) * closure
        lid -= in_lashes * np.maximum(lid - LASH_DARK * lids.skin, 0)
    over = smoothstep(lashes + fall + thick - y, -0.6 * step, 0.6 * step) * smoothstep(gap, 0.0, 0.03 * eye.eye_px)
    mixed = ball + over * (lid - ball)
    if step == 1:
        mixed *= _shade(lids, x, y - lashes - fall - thick, gap, closure)
    moving = (gap > 0) & (y > top) & (y < lower + BELOW * eye.eye_px)
    part = plane[tuple(slice(span.start // step, span.stop // step) for span in box)]
    np.copyto(part, np.clip(np.rint(mixed), 0, 255).astype(np.uint8), where=moving)


def _lid_source(y: Vector, top: Vector, lashes: Vector, fall: Vector) -> Vector:
    """Find where (pixels down) a lid whose lashes have come down by `fall` takes each cell from."""
    skin = np.maximum(lashes - top, 1.0)
    longer = skin + fall
    t = np.clip((y - top) / longer, 0, 1)
    # A cubic that leaves the top as it is and stretches the skin evenly below.
    start = np.minimum(longer / skin, 2.4)
    share = (t**3 - 2 * t**2 + t) * start + (3 * t**2 - 2 * t**3) + (t**3 - t**2) * SKIN_FEEDS
    return np.where(y < top, y, np.where(y > top + longer, y - fall, top + skin * share))


def _shade(lids: Lids, x: Vector, below: Vector, gap: Vector, closure: float) -> Vector:
    """Darken the line between the lids, and round the lid; `below` counts from the line."""
    eye = lids.eye
    width = LINE_WIDTH * eye.eye_px + 0.4
    open_gap = max(float(gap.max()), 1.0)
    line = np.exp(-((below / width) ** 2)) * smoothstep(gap / open_gap, 0.0, 0.5)
    above = np.clip(-below / open_gap, 0, 1.6)
    ball = smoothstep(above, 0.0, 0.3) * smoothstep(above, 1.6, 0.8) * (gap / open_gap)
    side = (2 * x / max(eye.width_px, 1.0) - 1) ** 2
    rounded = LID_SHADE * ball * (side + above**2 - 0.5)
    return np.asarray((1 - LINE_DARKNESS * closure**2 * line) * (1 - closure * rounded))
