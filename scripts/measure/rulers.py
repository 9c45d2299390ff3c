"""Measures a finished film: by our own tracker, and by an outside program that shares nothing with the product.

The outside one is called as `PYTHON RULER measure FILM --out NPZ`; its arrays are `opening width eye_px gap`, one
entry a frame, NaN where it sees no face.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from measure.curves import LEAST_FRAMES
from measure.pixels import gap
from measure.product import Curve, Mouth, decoded, followed, info_of, mouth_in
from numpy.typing import NDArray

from heygemd.render.faces.track import FaceTrack

LEAST_MOTION = 0.01
"""Standard deviation of the opening of a mouth that speaks, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a ruler saw in a film: float64[n] each."""

    opening: Curve
    width: Curve
    gap: Curve
    """Area between the lips that has not their colour, in square eye distances."""

    def of(self, frames: slice | NDArray[np.int32]) -> "Reading":
        """Take part of it."""
        return Reading(opening=self.opening[frames], width=self.width[frames], gap=self.gap[frames])


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideRuler:
    """The command of an outside ruler, and where curves of sources are kept."""

    python: Path
    program: Path
    cache: Path | None = None

    def of_film(self, film: Path) -> Reading:
        """Measure a film that was just made."""
        return self._measured(film, film.with_suffix(".ruler.npz"))

    def of_source(self, source: Path) -> Reading:
        """Measure a clip, or take what was measured before."""
        kept = None if self.cache is None else self.cache / f"{source.stem}.npz"
        if kept is not None and kept.is_file():
            return _reading(kept)
        return self._measured(source, kept or source.with_suffix(".ruler.npz"))

    def _measured(self, film: Path, out: Path) -> Reading:
        out.parent.mkdir(parents=True, exist_ok=True)
        argv = [str(self.python), str(self.program), "measure", str(film), "--out", str(out)]
        subprocess.run(argv, check=True, capture_output=True)
        return _reading(out)


def in_our_measure(outside: Reading, source: Reading, ours: Mouth) -> Curve | None:
    """Bring the openings of an outside ruler to our tracker's measure, by the line that fits both on the source.

    Two rulers place the edge of a lip differently; that is no error of a film. None where the source's mouth does not
    move enough for a line.
    """
    count = min(len(source.opening), len(ours.opening))
    theirs, own = source.opening[:count], ours.opening[:count]
    seen = np.isfinite(theirs) & np.isfinite(own)
    if seen.sum() < LEAST_FRAMES or theirs[seen].std() < LEAST_MOTION:
        return None
    slope, start = np.polyfit(theirs[seen], own[seen], 1)
    return np.asarray(slope * outside.opening + start, np.float64)


def _reading(path: Path) -> Reading:
    with np.load(path) as arrays:
        return Reading(**{name: np.array(arrays[name], np.float64) for name in ("opening", "width", "gap")})


def tracked(film: Path) -> tuple[FaceTrack, Reading]:
    """Measure a film by our own tracker."""
    info = info_of(film)
    track = followed(decoded(film, info))
    mouth = mouth_in(track)
    gaps = np.full(len(track.pts_s), np.nan)
    for row, (_, planes) in enumerate(decoded(film, info)):
        if track.present[row]:
            picture = np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
            gaps[row] = gap(picture, track.points[row])
    return track, Reading(opening=mouth.opening, width=mouth.width, gap=gaps)
