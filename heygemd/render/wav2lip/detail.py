"""Gives a painted mouth the fine texture that 96 pixels cannot carry: pores, stubble and grain of the same frame.

    source ─▶ averaged to 96 px ─▶ what the square carries ─┐
      └────────── minus ◀── enlarged ◀──────────────────────┤
            the rest: texture                               ▼
              │     painted ─▶ how did the skin move, and is it the same skin?
              └──▶ moved along ─▶ × trust ─▶ + painted, enlarged

Trusted is what the painted picture has in common with the source: cheeks, chin, lips that moved as a whole. Inside a
mouth of another shape nothing is, so no line of closed lips and no teeth of another pose shine through; there the
painted picture is sharpened by what the square itself took away, and only the source's grain is laid over it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heygemd.render.wav2lip.alignment import Flow, followed, movement, pulled, stillness
from heygemd.render.wav2lip.resample import Bytes, Floats, Plane, enlarged, merged, smoothed, smoothstep, spread

Yuv = NDArray[np.float32]
"""float32[48, 96, 3]: Y, U, V of the lower half of a face."""

TONE_PX = 3.0
"""What is smoother than this is always the painted picture's."""
NOISE_PX = 1.0
"""Pictures are compared after a blur of this: a soft painter paints the same skin, only softer."""
PLACE_PX = 1.5
"""Standard deviation of the window in which they are compared."""
FLATNESS = 4.0
"""Squared levels: where both pictures have less structure than this, they are alike."""
UNLIKE, ALIKE = 0.8, 0.97
"""Correlation of painted and source from which texture begins to be trusted, and wholly is."""
ALIEN, SAME = 5.0, 1.0
"""Levels by which their structure may differ: not at all trusted, wholly trusted."""
SHARPENING, SHARPENING_PX = 0.25, 1.0
"""What averaging to 96 pixels and enlarging again takes from the gradient of lips (7 to 14 %), given back."""
GRAIN = 1.4826
"""Median of the texture → standard deviation of its grain: no more of it is laid over a mouth of another shape."""
SAMPLED_ROWS = 24
"""The median is taken over about so many rows, and as many pixels of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What of the source belongs to the painted half, by pixels of the half."""

    source: Yuv
    """The source as the square carries it."""
    base: Yuv
    """The painted half, with the source's structure where skin lies still, and sharpened where nothing is trusted."""
    flow: Flow | None
    """Where the texture comes from; None where nothing moved."""
    trust: Plane
    """float32[48, 96] in 0..1: share of the texture."""
    steady: Plane
    """float32[48, 96] in 0..1: the same, where nothing moved."""


def compared(painted: Yuv, source: Yuv) -> Detail:
    """Compare a painted half with the averaged source's, in the tone of which it is painted."""
    luma = np.ascontiguousarray(painted[:, :, 0])
    flow = movement(luma, np.ascontiguousarray(source[:, :, 0]))
    still = stillness(flow)
    flow *= (1 - still)[:, :, None]
    moved = followed(source, flow)
    trust = _trust(luma, moved[:, :, 0])
    other = painted - moved
    steady = trust * trust * still
    base = painted - steady[:, :, None] * (other - smoothed(other, TONE_PX))
    base[:, :, 0] += SHARPENING * (1 - trust) * (luma - smoothed(luma, SHARPENING_PX))
    return Detail(source=source, base=base, flow=flow if flow.any() else None, trust=trust, steady=steady)


def textured(detail: Detail, values: Bytes, to_half: Floats) -> Plane:
    """Paint the pixels of the luma plane, float32[h, w]: the base, and the texture of `values` that belongs to it."""
    texture = _texture(detail, 0, values, to_half)
    grain = GRAIN * _strength(texture)
    laid = np.clip(texture, -grain, grain)
    own = _moved(texture, detail.flow, to_half)
    own -= laid
    own *= spread(detail.trust, to_half, _size(values))
    own += laid
    own += _enlarged(detail.base, 0, values, to_half)
    return own


def tinted(detail: Detail, channel: int, values: Bytes, to_half: Floats) -> Plane:
    """Paint the pixels of a chroma plane, float32[h, w]; it has half the pixels, and hardly any texture to be moved."""
    texture = _texture(detail, channel, values, to_half)
    texture *= spread(detail.steady, to_half, _size(values))
    texture += _enlarged(detail.base, channel, values, to_half)
    return texture


def _trust(painted: Plane, moved: Plane) -> Plane:
    """Tell where two luma pictures show the same thing, however softly: float32[h, w] in 0..1."""
    one, other = (smoothed(picture - smoothed(picture, TONE_PX), NOISE_PX) for picture in (painted, moved))
    off = one - other
    products = smoothed(merged(one * other, one * one, other * other, off * off), PLACE_PX)
    both, one_energy, other_energy, off_energy = cv2.split(products)
    alike = (both + FLATNESS) / (np.sqrt(one_energy * other_energy) + FLATNESS)
    near = (ALIEN - np.sqrt(off_energy)) / (ALIEN - SAME)
    shared = np.clip((alike - UNLIKE) / (ALIKE - UNLIKE), 0, 1) * np.clip(near, 0, 1)
    return smoothstep(np.asarray(shared, np.float32), 0, 1)


def _texture(detail: Detail, channel: int, values: Bytes, to_half: Floats) -> Plane:
    """Take from the plane what the square carries of it: float32[h, w]."""
    carried = _enlarged(detail.source, channel, values, to_half)
    return np.asarray(cv2.subtract(values, carried, carried, dtype=cv2.CV_32F), np.float32)


def _moved(texture: Plane, flow: Flow | None, to_half: Floats) -> Plane:
    """Move the texture along with the skin."""
    if flow is None:
        return texture.copy()
    size = (texture.shape[1], texture.shape[0])
    x, y = (spread(flow[:, :, axis] / float(to_half[axis, axis]), to_half, size) for axis in (0, 1))
    return pulled(texture, x, y, cv2.INTER_CUBIC)


def _enlarged(half: Yuv, channel: int, values: Bytes, to_half: Floats) -> Plane:
    return enlarged(np.ascontiguousarray(half[:, :, channel]), to_half, _size(values))


def _strength(texture: Plane) -> float:
    """Read the median size of a texture, in levels: edges are few, and it does not see them."""
    step = max(1, min(texture.shape) // SAMPLED_ROWS)
    return float(np.median(np.abs(texture[::step, ::step])))


def _size(values: Bytes) -> tuple[int, int]:
    return values.shape[1], values.shape[0]
