"""What is measured: a clip, or a still, decoded once into a file that is mapped, with its face and its own sound."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from measure.product import SOUND_HZ, Mouth, Planes, decoded, followed, info_of, mouth_in, sound_of
from numpy.typing import NDArray

from heygemd.errors import HeygemdError
from heygemd.jobs.job import VideoInfo
from heygemd.render.faces.track import FaceTrack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """One source."""

    name: str
    path: Path
    info: VideoInfo
    frames: Planes
    """uint8[n, height * 3 // 2, width], mapped."""
    track: FaceTrack
    mouth: Mouth
    """The person's own mouth, as our tracker sees it."""
    sound: NDArray[np.float32] | None
    """Its own sound, 16 kHz; None where it has none."""

    @property
    def fps(self) -> float:
        """Frames a second of the film."""
        return float(self.info.fps)

    def first(self, count: int) -> "Material":
        """Cut off all but the first frames: what lies behind must not be known."""
        columns = {name: getattr(self.track, name) for name in fields_of(self.track)}
        known = {name: column[:count] for name, column in columns.items() if column is not None}
        track = replace(self.track, **known)
        return replace(self, frames=self.frames[:count], track=track, mouth=self.mouth.of(np.arange(count)))


def fields_of(track: FaceTrack) -> tuple[str, ...]:
    return tuple(track.__dataclass_fields__)


def load(path: Path, *, seconds: float, scratch: Path) -> Material:
    """Decode and track the first seconds of a picture file."""
    info = info_of(path)
    raw = scratch / f"{path.stem}.i420"
    with raw.open("wb") as file:

        def keep() -> Iterator[tuple[float, Planes]]:
            for pts_s, planes in decoded(path, info):
                if pts_s >= seconds:
                    return
                file.write(planes.tobytes())
                yield pts_s, planes

        track = followed(keep())
    frames = np.memmap(raw, np.uint8, "r", shape=(len(track.pts_s), info.height_px * 3 // 2, info.width_px))
    return Material(
        name=path.stem,
        path=path,
        info=info,
        frames=frames,
        track=track,
        mouth=mouth_in(track),
        sound=_own_sound(path, info, seconds, scratch),
    )


def _own_sound(path: Path, info: VideoInfo, seconds: float, scratch: Path) -> NDArray[np.float32] | None:
    if info.is_still:
        return None
    try:
        sound = sound_of(path, scratch)
    except HeygemdError:
        return None
    return sound[: round(min(seconds, 1e6) * SOUND_HZ)]


def sharp_still(material: Material, folder: Path) -> Path:
    """Write the first sharp frame of a clip as a picture of its own: one that is no more blurred than the median."""
    luma = material.info.height_px
    sharpness = np.array(
        [
            cv2.Laplacian(np.ascontiguousarray(planes[:luma]), cv2.CV_32F).var() if seen else -1.0
            for planes, seen in zip(material.frames, material.track.present, strict=True)
        ]
    )
    good = sharpness >= np.median(sharpness[material.track.present])
    frame = int(np.flatnonzero(good)[0])
    path = folder / f"{material.name}-still.png"
    picture = cv2.cvtColor(np.ascontiguousarray(material.frames[frame]), cv2.COLOR_YUV2BGR_I420)
    if not cv2.imwrite(os.fspath(path), picture):
        raise OSError(f"{path} cannot be written")
    return path
