"""The picture of one film: crops of the lower face, source above film, and the wanted and the measured openings."""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from measure.drives import Drive
from measure.film import Film
from measure.product import Curve, decoded, info_of
from numpy.typing import NDArray

from heygemd.render.faces import topology

Picture = NDArray[np.uint8]

CROPS = 12
COLUMNS = 6
CROP_PX = 256
REACH = 0.72
"""Half of a crop's side, in eye distances."""
PLOT_PX = 190
COLOURS = {"wanted": (60, 220, 60), "tracker": (60, 160, 255), "ruler": (255, 120, 120), "source": (140, 140, 140)}
"""BGR of each curve."""
CHIN_SHARE = 0.45
"""How far the middle of a crop lies from the lips towards the chin."""


def chosen(film: Film, drive: Drive) -> list[int]:
    """Choose film frames: the middles of equal parts and, by turns, the frame in which the mouth was moved most."""
    count = len(drive.frames)
    own = np.nan_to_num(drive.material.mouth.opening[drive.frames])
    moved = np.abs(film.wanted.opening - own) * film.effect
    edges = np.linspace(0, count, min(CROPS, count) + 1).astype(int)
    parts = [(int(start), int(stop)) for start, stop in pairwise(edges)]
    return [
        (start + stop - 1) // 2 if number % 2 == 0 else start + int(moved[start:stop].argmax())
        for number, (start, stop) in enumerate(parts)
    ]


def draw(path: Path, drive: Drive, film: Film, found: Mapping[str, Curve], title: str) -> Picture:
    """Write the sheet as PNG and return it; `found` are openings by ruler."""
    numbers = chosen(film, drive)
    cells = []
    for number, source, made in _frames(film, numbers):
        frame = int(drive.frames[number])
        points = drive.material.track.points[frame]
        own = float(drive.material.mouth.opening[frame])
        seen = " ".join(f"{name[0]} {curve[number]:.2f}" for name, curve in found.items() if number < len(curve))
        above = _crop(source, points, f"{number}: own {own:.2f}")
        below = _crop(made, points, f"wanted {film.wanted.opening[number]:.2f} {seen}")
        cells.append(np.vstack([above, below]))
    while len(cells) % COLUMNS:
        cells.append(np.zeros_like(cells[0]))
    rows = [np.hstack(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    own = drive.material.mouth.opening[drive.frames]
    curves = {"source": own, "wanted": np.where(film.effect > 0, film.wanted.opening, np.nan), **found}
    sheet = np.vstack([_title(title, rows[0].shape[1]), *rows, plot(curves, rows[0].shape[1])])
    save(path, sheet)
    return sheet


def save(path: Path, picture: Picture) -> None:
    if not cv2.imwrite(os.fspath(path), picture):
        raise OSError(f"{path} cannot be written")


def _frames(film: Film, numbers: Sequence[int]) -> list[tuple[int, Picture, Picture]]:
    wanted, found = set(numbers), []
    both = zip(*(decoded(path, info_of(path)) for path in (film.source, film.path)), strict=True)
    for number, ((_, source), (_, made)) in enumerate(both):
        if number in wanted:
            pictures = [np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8) for planes in (source, made)]
            found.append((number, pictures[0], pictures[1]))
    return found


def _crop(picture: Picture, points: NDArray[np.float32], words: str) -> Picture:
    """Cut the lower face out, black where the picture ends."""
    cell = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
    if np.isfinite(points).all():
        lips, chin = points[topology.LIP_ROWS].mean(0), points[topology.CHIN_ROW]
        middle = lips + CHIN_SHARE * (chin - lips)
        half = REACH * float(topology.eye_distance(points))
        scale = CROP_PX / (2 * half)
        matrix = np.array([[scale, 0, -scale * (middle[0] - half)], [0, scale, -scale * (middle[1] - half)]])
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        cell = np.asarray(cv2.warpAffine(picture, matrix, (CROP_PX, CROP_PX), flags=flags), np.uint8)
    _write(cell, words, (5, 14))
    return cell


def _title(text: str, width: int) -> Picture:
    bar = np.full((24, width, 3), 40, np.uint8)
    _write(bar, text, (6, 17))
    return bar


def _write(picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int] = (255, 255, 255)) -> None:
    """Write on a dark ground."""
    (width, height), low = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    x, y = at
    cv2.rectangle(picture, (x - 2, y - height - 2), (x + width + 2, y + low), (24, 24, 24), cv2.FILLED)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def plot(curves: Mapping[str, Curve], width_px: int) -> Picture:
    """Draw curves of openings over the frames of the film."""
    picture = np.full((PLOT_PX, width_px, 3), 24, np.uint8)
    highest = max(0.1, *(float(np.nanmax(curve, initial=0)) for curve in curves.values()))
    count = max(len(curve) for curve in curves.values())
    for level in np.arange(0, highest, 0.05):
        y = _y(level, highest)
        cv2.line(picture, (0, y), (width_px, y), (60, 60, 60), 1)
    for place, (name, curve) in enumerate(curves.items()):
        colour = COLOURS.get(name, (255, 255, 255))
        x = np.arange(len(curve)) * (width_px - 1) / max(count - 1, 1)
        seen = np.isfinite(curve)
        for start in np.flatnonzero(seen[:-1] & seen[1:]):
            ends = [(round(float(x[k])), _y(float(curve[k]), highest)) for k in (start, start + 1)]
            cv2.line(picture, *ends, colour, 1, cv2.LINE_AA)
        _write(picture, name, (8 + 90 * place, 14), colour)
    _write(picture, f"lines .05 apart, top {highest:.2f} eye distances", (8 + 90 * len(curves), 14))
    return picture


def _y(value: float, highest: float) -> int:
    return round(PLOT_PX - 6 - (PLOT_PX - 26) * value / highest)
