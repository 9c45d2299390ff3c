"""What cameras, light and codecs do to a picture, without moving anything in it."""

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = NDArray[np.uint8]
Rng = np.random.Generator

_NOISE = np.random.default_rng(9).standard_normal(1 << 20).astype(np.float32)
"""Drawn once: grain is a random part of it."""


def light(picture: Bgr, rng: Rng) -> Bgr:
    """Change exposure, contrast, colour and gamma; some pictures become grey, some dark."""
    value = np.arange(256, dtype=np.float32)
    gain = rng.uniform(0.5, 1.45) if rng.random() < 0.8 else 1.0
    lift = rng.uniform(-30, 30) if rng.random() < 0.8 else 0.0
    gamma = rng.uniform(0.55, 1.7) if rng.random() < 0.4 else 1.0
    if rng.random() < 0.08:
        gain, lift, gamma = rng.uniform(0.15, 0.4), rng.uniform(0, 12), min(gamma, 1.0)
    tint = rng.uniform(0.75, 1.25, 3) if rng.random() < 0.6 else np.ones(3)
    curves = [255 * (np.clip(value * gain * share + lift, 0, 255) / 255) ** gamma for share in tint]
    if rng.random() < 0.18:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.LUT(picture, np.stack(curves, axis=1).clip(0, 255).astype(np.uint8)[None])


def shadow(picture: Bgr, rng: Rng) -> Bgr:
    """Darken one side with a hard or soft edge."""
    height, width = picture.shape[:2]
    turn, edge = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
    x = np.cos(turn) * np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.sin(turn) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    dark = rng.uniform(0.2, 0.75) / (1 + np.exp(-(x + y + edge) * rng.uniform(3, 12)))
    return (picture * (1 - dark)[..., None]).astype(np.uint8)


def softened(picture: Bgr, rng: Rng) -> Bgr:
    """Blur as a lens out of focus or a moving camera does."""
    side_px = picture.shape[1]
    if rng.random() < 0.6:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.2) * side_px / 128)
    length = int(rng.integers(3, max(4, side_px // 10)))
    turn, middle = rng.uniform(0, np.pi), (length - 1) / 2
    reach = np.array([np.cos(turn), np.sin(turn)]) * middle
    kernel = np.zeros((length, length), np.float32)
    ends = np.rint(np.stack([middle - reach, middle + reach])).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1.0))


def shrunk(picture: Bgr, rng: Rng, least: float) -> Bgr:
    """Throw away detail, down to `least` of the size, as in a small face; sometimes coded at that size."""
    height, width = picture.shape[:2]
    share = float(rng.uniform(least, 0.9))
    small = (max(int(width * share), 8), max(int(height * share), 8))
    picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.35:
        picture = coded(picture, rng)
    way = cv2.INTER_CUBIC if rng.random() < 0.2 else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=way)


def grainy(picture: Bgr, rng: Rng) -> Bgr:
    """Add the noise of a sensor."""
    start = int(rng.integers(0, len(_NOISE) - picture.size))
    grain = _NOISE[start : start + picture.size].reshape(picture.shape) * rng.uniform(1, 11)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def coded(picture: Bgr, rng: Rng) -> Bgr:
    """Code and decode: blocks and lost chroma; sometimes smoothed as video codecs do."""
    quality = int(rng.uniform(12, 90))
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return cv2.medianBlur(picture, 3) if rng.random() < 0.2 else picture


def photographed(picture: Bgr, rng: Rng, *, least_detail: float = 0.2) -> Bgr:
    """Put a picture through a random camera and codec."""
    picture = light(picture, rng)
    if rng.random() < 0.2:
        picture = shadow(picture, rng)
    if rng.random() < 0.3:
        picture = softened(picture, rng)
    if rng.random() < 0.35:
        picture = shrunk(picture, rng, least_detail)
    if rng.random() < 0.3:
        picture = grainy(picture, rng)
    if rng.random() < 0.35:
        picture = coded(picture, rng)
    return picture


def retaken(picture: Bgr, rng: Rng) -> Bgr:
    """Take the same picture again, a moment later: other noise, other coding, hardly other light."""
    picture = cv2.convertScaleAbs(picture, alpha=rng.uniform(0.96, 1.04), beta=rng.uniform(-4, 4))
    picture = grainy(picture, rng) if rng.random() < 0.7 else picture
    return coded(picture, rng) if rng.random() < 0.5 else picture
