"""Pictures without a face, drawn: textures, lettering, things and hands. What the nets must not take for a face."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = NDArray[np.uint8]
Rng = np.random.Generator
Colour = tuple[int, int, int]

GLYPHS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&%?!@#"
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
CLOUD_COUNT, CLOUD_PX = 96, 384
OCTAVES_PX = (2, 4, 8, 16, 32, 64)
SKIN_TONES = ((60, 80, 125), (95, 125, 180), (130, 160, 215), (165, 190, 235), (40, 55, 90))
"""Blue, green, red of skin in plain light."""


def texture(rng: Rng, side_px: int) -> Bgr:
    """Take a part of a cloud of random colour: uint8[side, side, 3]."""
    clouds = _clouds()
    cloud = clouds[rng.integers(len(clouds))]
    part = int(rng.integers(CLOUD_PX // 4, CLOUD_PX + 1))
    x, y = (int(v) for v in rng.integers(0, CLOUD_PX - part + 1, 2))
    turned = np.rot90(cloud[y : y + part, x : x + part], int(rng.integers(4)))
    large = cv2.resize(np.ascontiguousarray(turned), (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[..., rng.permutation(3)])


@cache
def _clouds() -> list[Bgr]:
    """Make the clouds that textures are cut from: the same in every process."""
    rng = np.random.default_rng(17)
    return [_cloud(rng, CLOUD_PX) for _ in range(CLOUD_COUNT)]


def _cloud(rng: Rng, side_px: int) -> Bgr:
    """Add random colour over several octaves: uint8[side, side, 3]."""
    sum_ = np.zeros((side_px, side_px, 3), np.float32)
    for cells in OCTAVES_PX:
        cloud = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        weight = rng.uniform(0.1, 1.0) * (8 / cells) ** rng.uniform(0.2, 1.0)
        sum_ += weight * cv2.resize(cloud, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        sum_ = np.repeat(sum_.mean(axis=2, keepdims=True), 3, axis=2)
    return np.clip(128 + sum_ * rng.uniform(5, 60) + rng.uniform(-95, 95, 3), 0, 255).astype(np.uint8)


def colour(rng: Rng) -> Colour:
    """Any colour."""
    blue, green, red = (int(value) for value in rng.integers(0, 256, 3))
    return blue, green, red


def skin_colour(rng: Rng) -> Colour:
    """A colour of skin in some light."""
    tone = np.array(SKIN_TONES[rng.integers(len(SKIN_TONES))]) * rng.uniform(0.6, 1.2) + rng.normal(0, 8, 3)
    blue, green, red = (int(value) for value in np.clip(tone, 0, 255))
    return blue, green, red


def _place(rng: Rng, side_px: int) -> tuple[int, int]:
    return int(rng.uniform(-0.1, 1.1) * side_px), int(rng.uniform(-0.1, 1.1) * side_px)


def letter(picture: Bgr, rng: Rng) -> None:
    """Write a few lines of large or small type, in place."""
    side_px = len(picture)
    scale = float(np.exp(rng.uniform(np.log(0.3), np.log(5.0)))) * side_px / 128
    font, ink, weight = FONTS[rng.integers(len(FONTS))], colour(rng), max(1, round(scale * rng.uniform(0.6, 4)))
    x, y = _place(rng, side_px)
    for line in range(int(rng.integers(1, 5))):
        text = "".join(GLYPHS[k] for k in rng.integers(0, len(GLYPHS), int(rng.integers(1, 12))))
        cv2.putText(
            picture, text, (x - side_px // 3, y + int(line * 34 * scale)), font, scale, ink, weight, cv2.LINE_AA
        )


def things(picture: Bgr, rng: Rng) -> None:
    """Draw boxes, discs, rings, bars and polygons, some of them in pairs like eyes, in place."""
    side_px = len(picture)
    for _ in range(int(rng.integers(1, 12))):
        ink, at = colour(rng), _place(rng, side_px)
        radius = int(side_px * np.exp(rng.uniform(np.log(0.02), np.log(0.35))))
        fill = -1 if rng.random() < 0.6 else int(rng.integers(1, 7))
        match rng.integers(0, 6):
            case 0:
                cv2.rectangle(picture, at, _place(rng, side_px), ink, fill)
            case 1:
                axes = (max(radius, 1), max(int(radius * rng.uniform(0.3, 1.6)), 1))
                cv2.ellipse(picture, at, axes, rng.uniform(0, 180), 0, 360, ink, fill, cv2.LINE_AA)
            case 2:
                cv2.line(picture, at, _place(rng, side_px), ink, int(rng.integers(1, 12)), cv2.LINE_AA)
            case 3:
                corners = np.array(at) + rng.normal(0, radius + 2, (int(rng.integers(3, 8)), 2))
                cv2.fillPoly(picture, [corners.astype(np.int32)], ink, cv2.LINE_AA)
            case 4:
                gap = int(radius * rng.uniform(1.5, 4))
                for x in (at[0] - gap, at[0] + gap):
                    cv2.circle(picture, (x, at[1]), max(radius // 2, 1), ink, fill, cv2.LINE_AA)
            case _:
                for k in range(int(rng.integers(3, 9))):
                    y = at[1] + k * (radius + 3)
                    cv2.line(picture, (at[0], y), (at[0] + 6 * radius, y), ink, max(radius // 3, 1))


def hand(
    picture: Bgr, rng: Rng, *, at: NDArray[np.float64] | None = None, size_px: float | None = None
) -> NDArray[np.uint8]:
    """Draw a palm with shaded fingers, in place; returns its mask uint8[h, w] of 0 and 1.

    `at` is the middle of the fingers; without it the hand lies anywhere.
    """
    side_px = len(picture)
    size = size_px if size_px is not None else side_px * rng.uniform(0.2, 0.7)
    middle = at if at is not None else rng.uniform(0.1, 0.9, 2) * side_px
    turn = rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    thick = max(int(size * rng.uniform(0.14, 0.24)), 2)
    mask = np.zeros(picture.shape[:2], np.uint8)
    skin = np.array(skin_colour(rng), np.float64)
    shade = np.empty_like(picture)
    shade[:] = skin
    count = int(rng.integers(1, 5))
    for finger in range(count):
        start = middle + across * (finger - (count - 1) / 2) * thick * 1.08 + along * 0.5 * size
        tip = start - along * size * rng.uniform(0.85, 1.1)
        for canvas, ink, wide in ((mask, (1,), thick), (shade, tuple(skin * 0.55), 0)):
            ends = [tuple(int(v) for v in point + (across * thick / 2 if wide == 0 else 0)) for point in (start, tip)]
            cv2.line(
                canvas, ends[0], ends[1], ink, wide or max(thick // 6, 1), cv2.LINE_AA if wide == 0 else cv2.LINE_8
            )
    palm = tuple(int(v) for v in middle + along * 0.8 * size)
    cv2.circle(mask, palm, int(0.5 * size), (1,), -1)
    light = 1 + 0.3 * np.linspace(-1, 1, side_px) * rng.uniform(-1, 1)
    shade = np.clip(shade * light[None, :, None], 0, 255).astype(np.uint8)
    _lay(picture, cv2.GaussianBlur(shade, (0, 0), max(thick / 10, 0.3)), mask, rng)
    return mask


def _lay(picture: Bgr, cover: Bgr, mask: NDArray[np.uint8], rng: Rng) -> None:
    """Put `cover` over the picture where the mask is 1, with a soft edge, in place."""
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.4, 1.5))[..., None]
    np.copyto(picture, (picture * (1 - weight) + cover * weight).astype(np.uint8))


def faceless(rng: Rng, side_px: int) -> Bgr:
    """Draw a picture without a face: uint8[side, side, 3]."""
    picture = texture(rng, side_px)
    for painter, share in ((things, 0.5), (letter, 0.4), (hand, 0.25)):
        if rng.random() < share:
            painter(picture, rng)
    return picture


def _foam(mask: NDArray[np.uint8], rng: Rng, at: NDArray[np.float64], size: float) -> None:
    """A microphone: a ball on a stick."""
    x, y = (int(v) for v in at)
    cv2.ellipse(
        mask, (x, y), (max(int(size * 0.42), 1), max(int(size * rng.uniform(0.4, 0.6)), 1)), 0, 0, 360, (1,), -1
    )
    foot = (int(x + size * rng.normal(0, 0.6)), int(y + 3 * size))
    cv2.line(mask, (x, y), foot, (1,), max(int(size * rng.uniform(0.1, 0.3)), 1))


def _cup(mask: NDArray[np.uint8], rng: Rng, at: NDArray[np.float64], size: float) -> None:
    """A cup, a phone or a sheet: an upright or tilted box."""
    tall, broad = size * rng.uniform(0.5, 1.8), size * rng.uniform(0.5, 1.6)
    box = cv2.boxPoints(((float(at[0]), float(at[1] + tall * 0.2)), (broad, tall), rng.normal(0, 18)))
    cv2.fillConvexPoly(mask, box.astype(np.int32), (1,))


def _hair(mask: NDArray[np.uint8], rng: Rng, at: NDArray[np.float64], size: float) -> None:
    """Strands of hair: bent lines from above."""
    for _ in range(int(rng.integers(2, 14))):
        start = at + size * rng.normal((0, -2.2), (0.9, 0.4))
        end = at + size * rng.normal((0, 1.0), (0.7, 0.6))
        bend = (start + end) / 2 + size * rng.normal(0, 0.3, 2)
        share = np.linspace(0, 1, 9)[:, None]
        curve = (1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * end
        cv2.polylines(mask, [curve.astype(np.int32)], False, (1,), int(rng.integers(1, max(2, int(size * 0.12) + 2))))


def _patch(mask: NDArray[np.uint8], rng: Rng, at: NDArray[np.float64], size: float) -> None:
    corners = at + size * rng.normal(0, 0.5, (int(rng.integers(3, 7)), 2))
    cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), (1,))


OCCLUDERS: tuple[Callable[[NDArray[np.uint8], Rng, NDArray[np.float64], float], None], ...] = (
    _foam,
    _cup,
    _hair,
    _patch,
)


def occlude(picture: Bgr, rng: Rng, at: NDArray[np.float64], size_px: float) -> NDArray[np.uint8]:
    """Cover some of a picture around `at` with a thing of about `size_px`, in place.

    Returns its mask, uint8[h, w] of 0 and 1.
    """
    middle = at + size_px * rng.normal(0, 0.3, 2)
    if rng.random() < 0.35:
        return hand(picture, rng, at=middle, size_px=2 * size_px)
    mask = np.zeros(picture.shape[:2], np.uint8)
    shape = OCCLUDERS[rng.integers(len(OCCLUDERS))]
    shape(mask, rng, middle, size_px)
    side_px = len(picture)
    if rng.random() < 0.5:
        cover = texture(rng, side_px)
    else:
        cover = np.empty_like(picture)
        cover[:] = colour(rng) if rng.random() < 0.6 else tuple(int(v) for v in rng.uniform(5, 60, 3))
        if rng.random() < 0.5:
            letter(cover, rng)
    if rng.random() < 0.4:
        cover = cv2.GaussianBlur(cover, (0, 0), side_px * 0.05)
    _lay(picture, cover, mask, rng)
    return mask
