"""Makes one film of a drive and its source beside it, both through the product's own encoder."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from measure.drives import Drive
from measure.material import Material
from measure.pixels import forbidden, worst_change
from measure.product import Curve, Mouth, Planes, Take, clip_of, heard, injected, silence_for, spoken, studied, writer
from numpy.typing import NDArray

from heygemd.render.engine import Likeness, Speech


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What was made, and what is known before it is looked at."""

    path: Path
    source: Path
    """The same frames, unpainted, through the same encoder."""
    wanted: Mouth
    effect: Curve
    speech: Speech | None
    settle_s: float
    """CPU seconds from what was learned of the person to the first frame that could be painted."""
    render_ms: float
    """CPU milliseconds a frame."""
    touched_frames: int
    changed_outside: int
    """Largest change of a byte outside the lower face, before encoding."""


def make(drive: Drive, folder: Path, *, idle: bool) -> Film:
    """Perform and encode."""
    speech = None if drive.sound is None else heard(drive.sound)
    likeness_of(drive.material, heard=drive.knows_voice)
    began = time.process_time()
    take = _take(drive, speech, idle=idle)
    settled = time.process_time()
    name = drive.name.replace(":", "-")
    film, source = folder / f"{name}.mp4", folder / f"{name}-source.mp4"
    painting_s, worst, touched = 0.0, 0, 0
    info = drive.material.info
    with writer(film, info) as after, writer(source, info) as before:
        for number, frame in enumerate(drive.frames.tolist()):
            planes: NDArray[np.uint8] = np.array(drive.material.frames[frame])
            before.write(planes)
            painted = planes.copy()
            start = time.process_time()
            touched += bool(take.performance.render(number, [painted])[0])
            painting_s += time.process_time() - start
            points = drive.material.track.points[frame]
            here = points if take.effect[number] > 0 else np.full_like(points, np.nan)
            worst = max(worst, worst_change(planes, painted, forbidden(here, (info.height_px, info.width_px))))
            after.write(painted)
    return Film(
        path=film,
        source=source,
        wanted=take.wanted,
        effect=take.effect,
        speech=speech,
        settle_s=settled - began,
        render_ms=1000 * painting_s / len(drive.frames),
        touched_frames=touched,
        changed_outside=worst,
    )


def _take(drive: Drive, speech: Speech | None, *, idle: bool) -> Take:
    material = drive.material
    said = silence_for(len(drive.frames), drive.fps) if speech is None else speech
    likeness = likeness_of(material, heard=drive.knows_voice)
    clip = clip_of(material.track, drive.frames, material.info, said, likeness, idle=idle)
    return spoken(clip) if drive.mouth is None else injected(clip, drive.mouth)


@lru_cache(maxsize=4)
def likeness_of(material: Material, *, heard: bool) -> Likeness:
    """Learn the person once for all drives of the same material."""

    def read(frames: Sequence[int]) -> Iterator[Planes]:
        return (np.array(material.frames[frame]) for frame in frames)

    return studied(material.track, material.info, read, material.sound if heard else None)
