"""Texture of the source comes back where the painted mouth shows the same skin, and nowhere else.

The painters here are as good as 96 pixels allow: they show a picture that is known at full size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.jobs.job import ColourTags
from heygemd.render.colour import YuvCoding, coding_of
from heygemd.render.wav2lip.network import LOWER_ROW
from heygemd.render.wav2lip.paste import lower_face_mask, put_mouth, window
from heygemd.render.wav2lip.resample import averaged

WIDTH, HEIGHT = 400, 440
BOX = np.array([49.7, 30.2, 349.7, 410.6])
MOUTH = (200, 300)
Planes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def coding() -> YuvCoding:
    return coding_of(ColourTags(matrix="bt709"), width_px=WIDTH, height_px=HEIGHT)


def jaw() -> NDArray[np.float64]:
    angle = np.linspace(0, np.pi, 13)
    return np.stack([200 - 135 * np.cos(angle), 215 + 180 * np.sin(angle)], axis=1)


def skin(drop_px: float = 0.0, seed: int = 0) -> Floats:
    """Luma of skin with folds and pores, float32; what lies below the mouth hangs lower by `drop_px`."""
    rng = np.random.default_rng(seed)
    folds = cv2.resize(
        rng.uniform(-25, 25, (30, 28)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    pores = cv2.GaussianBlur(rng.normal(0, 9, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 0.8)
    picture = 140 + folds + pores
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    down = np.clip((y - MOUTH[1]) / 40, 0, 1) * drop_px
    return np.asarray(cv2.remap(picture, x, y - down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)


def planes_of(luma: Floats) -> Planes:
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planes[:HEIGHT] = np.clip(np.round(luma), 16, 235)
    return planes


def closed(luma: Floats) -> Floats:
    """Lips that are shut: a sharp dark line, two pixels high."""
    picture = luma.copy()
    cv2.line(picture, (MOUTH[0] - 55, MOUTH[1]), (MOUTH[0] + 55, MOUTH[1]), 45.0, thickness=2)
    return picture


def opened(luma: Floats) -> Floats:
    picture = luma.copy()
    cv2.ellipse(picture, MOUTH, (55, 24), 0, 0, 360, 70.0, thickness=-1)
    return picture


def painted_as(planes: Planes, *, blur_px: float = 0.0) -> Floats:
    """What the best network would paint: this picture, averaged to the lower half of the square, as BGR."""
    lower = window(BOX, width_px=WIDTH, height_px=HEIGHT, rows=(LOWER_ROW, 96))
    assert lower is not None
    region, half = lower.region, lower.maps(LOWER_ROW)[0]
    luma = planes[region.y : region.y + region.height, region.x : region.x + region.width]
    yuv = np.full((48, 96, 3), 128, np.float32)
    yuv[:, :, 0] = averaged(luma, half, (96, 48))
    if blur_px:
        yuv = cv2.GaussianBlur(yuv, (0, 0), blur_px)
    return np.asarray(cv2.transform(yuv, coding().to_bgr), np.float32)


@dataclass
class Zone:
    """A rectangle of luma, well inside the mask."""

    x: int
    y: int
    width: int = 40
    height: int = 40

    def of(self, planes: Planes) -> Floats:
        return planes[self.y : self.y + self.height, self.x : self.x + self.width].astype(np.float32)


CHEEK = Zone(90, 262)
CHIN = Zone(170, 345, 60, 24)
INSIDE = Zone(165, 292, 70, 17)


def film(source: Floats, painted: Floats, *, detail: bool) -> Planes:
    planes = planes_of(source)
    assert put_mouth(planes, BOX, coding(), painted, lower_face_mask(jaw(), BOX), strength=1.0, detail=detail)
    return planes


def gradient(values: Floats) -> float:
    return float(np.hypot(cv2.Sobel(values, -1, 1, 0), cv2.Sobel(values, -1, 0, 1)).mean())


def fine(values: Floats) -> Floats:
    return np.asarray(values - cv2.GaussianBlur(values, (0, 0), 3.0), np.float32)


def likeness(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(fine(one).ravel(), fine(other).ravel())[0, 1])


@pytest.mark.parametrize(("blur_px", "alike"), [(0.0, 0.97), (0.8, 0.8)])
def test_still_skin_gets_all_its_texture_back(blur_px: float, alike: float) -> None:
    source = closed(skin())
    painted = painted_as(planes_of(opened(skin())), blur_px=blur_px)
    whole, plain = film(source, painted, detail=True), film(source, painted, detail=False)
    sharpness = gradient(CHEEK.of(planes_of(source)))
    assert gradient(CHEEK.of(plain)) / sharpness < 0.7
    assert 0.9 < gradient(CHEEK.of(whole)) / sharpness < 1.1
    assert likeness(CHEEK.of(whole), CHEEK.of(planes_of(source))) > alike


def test_painter_that_changes_nothing_leaves_every_byte() -> None:
    source = closed(skin())
    assert (film(source, painted_as(planes_of(source)), detail=True) == planes_of(source)).all()


def test_chin_that_drops_takes_its_texture_along() -> None:
    source, wanted = closed(skin()), opened(skin(drop_px=9.0))
    painted = painted_as(planes_of(wanted))
    whole, plain = film(source, painted, detail=True), film(source, painted, detail=False)
    real, stale = CHIN.of(planes_of(wanted)), CHIN.of(planes_of(source))
    assert likeness(CHIN.of(whole), real) > 0.85 > likeness(CHIN.of(plain), real)
    assert likeness(CHIN.of(whole), real) > likeness(CHIN.of(whole), stale) + 0.5
    assert 0.8 < gradient(CHIN.of(whole)) / gradient(real) < 1.15


def line(planes: Planes) -> float:
    """How much darker than around it the row is where closed lips would meet."""
    rows = INSIDE.of(planes).mean(axis=1)
    middle = MOUTH[1] - INSIDE.y
    return float((rows[middle - 6] + rows[middle + 6]) / 2 - rows[middle - 1 : middle + 2].min())


def steepest(values: Floats) -> float:
    """The largest step from one row to the next but one, over the width."""
    rows = values.mean(axis=1)
    return float(np.abs(rows[2:] - rows[:-2]).max())


def test_line_of_closed_lips_does_not_shine_through_an_open_mouth() -> None:
    source = closed(skin())
    whole = film(source, painted_as(planes_of(opened(skin()))), detail=True)
    assert line(planes_of(source)) > 60
    assert line(whole) < 0.08 * line(planes_of(source))


def test_open_mouth_does_not_shine_through_closed_lips() -> None:
    source, wanted = opened(skin()), closed(skin())
    whole = film(source, painted_as(planes_of(wanted)), detail=True)
    plain = film(source, painted_as(planes_of(wanted)), detail=False)
    edge = Zone(170, 266, 60, 18)  # above the line, where the mouth of the source begins to open
    step, wanted_step = steepest(edge.of(planes_of(source))), steepest(edge.of(planes_of(wanted)))
    assert step > 40
    assert abs(steepest(edge.of(whole)) - wanted_step) < 0.08 * step
    assert abs(steepest(edge.of(plain)) - wanted_step) < 0.08 * step


def test_skin_comes_nearer_to_the_one_that_the_painter_meant() -> None:
    source, wanted = closed(skin()), planes_of(opened(skin(drop_px=5.0)))
    whole, plain = (film(source, painted_as(wanted), detail=detail) for detail in (True, False))
    for zone in (CHEEK, CHIN):
        left, before = (np.square(zone.of(planes) - zone.of(wanted)).mean() for planes in (whole, plain))
        assert left < 0.75 * before


def test_mouth_that_has_no_texture_of_its_own_keeps_the_grain_of_the_film() -> None:
    grain = np.random.default_rng(9).normal(0, 4, (HEIGHT, WIDTH)).astype(np.float32)
    source, wanted = closed(skin()) + grain, opened(skin())
    painted = painted_as(planes_of(wanted))
    whole, plain = film(source, painted, detail=True), film(source, painted, detail=False)
    assert fine(INSIDE.of(plain)).std() < 2
    assert 2.5 < fine(INSIDE.of(whole)).std() < 6


def test_another_tone_is_matched_and_texture_stays() -> None:
    source = closed(skin())
    planes = planes_of(source)
    whole = film(source, painted_as(planes) + np.float32([8, 8, 8]), detail=True)
    assert np.abs(whole.astype(np.int16) - planes).max() <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_painter_that_paints_nonsense_gets_no_texture_but_grain(seed: int) -> None:
    nonsense = np.random.default_rng(seed).uniform(0, 255, (48, 96, 3)).astype(np.float32)
    source = closed(skin())
    whole, plain = film(source, nonsense, detail=True), film(source, nonsense, detail=False)
    assert (whole == film(source, nonsense, detail=True)).all()
    assert np.abs(whole.astype(np.float32) - plain)[:HEIGHT].mean() < 12
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[220:412, 48:352] = False
    assert (whole[:HEIGHT][outside] == planes_of(source)[:HEIGHT][outside]).all()
