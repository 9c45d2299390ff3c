"""The person's own mouths: a bounded choice of source frames, their lower faces kept at native resolution.

    motion ─▶ variety.choose_frames ─▶ gather (reads those frames once) ─▶ arrays of likeness.npz ─▶ Gallery.source(k)

One flat array of bytes holds all crops, each as the three planes of its rectangle; workers map it together.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.jobs.job import VideoInfo
from heygemd.render.arrays import let_go, spooled
from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.mouth import MouthSource
from heygemd.render.atlas.shape import face_of
from heygemd.render.atlas.traits import THUMBNAIL_PX, Look, Traits, blurred_frames, covered_frames, look_at
from heygemd.render.atlas.variety import CROP_MARGIN
from heygemd.render.colour import Region, YuvCoding, coding_of, read_bgr, region_around
from heygemd.render.engine import Footage
from heygemd.render.faces.topology import LIP_ROWS
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pulse import Pulse, unheard

log = structlog.get_logger(__name__)

Vector = NDArray[np.float64]

KEPT_SOURCES = 6
"""Decoded crops: two of a cross-fade, and those that a film going to and fro comes back to."""


def gather(
    footage: Footage, motion: HeadMotion, frames: NDArray[np.int32], pulse: Pulse = unheard
) -> dict[str, NDArray[Any]]:
    """Read these source frames (rising) once and keep their lower faces.

    Blurred frames and those where something covers the skin around the mouth are left out. The crops lie in an
    unnamed file in the footage's folder.
    """
    video = footage.video
    coding = coding_of(video.colour, width_px=video.width_px, height_px=video.height_px)
    points = motion.points(frames.astype(np.intp))
    places = [_region(*face, video) for face in zip(points, motion.eye_px[frames].tolist(), strict=True)]
    regions = [region for region in places if region is not None]
    inside = np.array([region is not None for region in places], np.bool_)
    frames, points = frames[inside], points[inside]
    offsets = np.cumsum([0, *map(_size, regions)])
    pixels = spooled(footage.folder, (int(offsets[-1]),), np.uint8)
    looks = []
    for k, planes in enumerate(footage.read(frames.tolist())):
        crop = _cut(planes, regions[k])
        pixels[offsets[k] : offsets[k + 1]] = crop.reshape(-1)
        let_go(pixels)
        looks.append(look_at(read_bgr(crop, _whole(regions[k]), coding), face_of(points[k]), regions[k].origin))
        pulse()
    traits = _traits(motion, footage.track, frames, looks)
    good = _good_rows(traits)
    return {
        **traits.rows(good).to_arrays(),
        "gallery_points": points[good],
        "gallery_region": np.array([(r.x, r.y, r.width, r.height) for r in regions], np.int32).reshape(-1, 4)[good],
        "gallery_offset": offsets[:-1].astype(np.int64)[good],
        "gallery_pixels": pixels,
    }


def _region(points: NDArray[np.float32], eye_px: float, video: VideoInfo) -> Region | None:
    return region_around(
        points[LIP_ROWS].astype(np.float64),
        margin_px=CROP_MARGIN * eye_px,
        width_px=video.width_px,
        height_px=video.height_px,
    )


def _good_rows(traits: Traits) -> NDArray[np.intp]:
    blurred, covered = blurred_frames(traits), covered_frames(traits)
    good = np.flatnonzero(~(blurred | covered))
    log.info("atlas.gallery_gathered", frames=len(good), blurred=int(blurred.sum()), covered=int(covered.sum()))
    return good


def _size(region: Region) -> int:
    """Bytes of its three planes."""
    return region.width * region.height * 3 // 2


def _whole(region: Region) -> Region:
    """The same rectangle in its own pixels."""
    return Region(x=0, y=0, width=region.width, height=region.height)


def _cut(planes: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Copy the region out of an I420 picture: uint8[height * 3 // 2, width], I420 again."""
    width, height = planes.shape[1], planes.shape[0] * 2 // 3
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    x, y, x_end, y_end = region.x, region.y, region.x + region.width, region.y + region.height
    half = chroma[:, y // 2 : y_end // 2, x // 2 : x_end // 2]
    flat = np.concatenate([planes[y:y_end, x:x_end].reshape(-1), half.reshape(-1)])
    return flat.reshape(region.height * 3 // 2, region.width)


def _traits(motion: HeadMotion, track: FaceTrack, frames: NDArray[np.int32], looks: list[Look]) -> Traits:
    return Traits(
        frames=frames,
        time_s=track.pts_s[frames],
        scene=track.scene[frames],
        opening=motion.opening[frames],
        width=motion.width[frames],
        eye_px=motion.eye_px[frames],
        yaw_deg=motion.yaw_deg[frames],
        pitch_deg=motion.pitch_deg[frames],
        roll_deg=motion.roll_deg[frames],
        sharpness=np.array([look.sharpness for look in looks], np.float64),
        aperture=np.array([look.aperture for look in looks], np.float64),
        teeth=np.array([look.teeth for look in looks], np.float64),
        thumbnail=np.array([look.thumbnail for look in looks], np.uint8).reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX, 3),
    )


class Gallery:
    """The person's mouths, each a source to paint from. Keeps a few decoded crops and nothing else."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], coding: YuvCoding) -> None:
        self.traits = Traits.from_arrays(arrays)
        self._points = np.array(arrays["gallery_points"])
        self._regions = np.array(arrays["gallery_region"])
        self._offsets = np.array(arrays["gallery_offset"])
        self._pixels = arrays["gallery_pixels"]
        self._coding = coding
        self._sources: OrderedDict[int, MouthSource] = OrderedDict()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], coding: YuvCoding) -> "Gallery":
        """Take what `gather` gave, mapped or not; KeyError where something is missing."""
        return cls(arrays, coding)

    def __len__(self) -> int:
        return len(self.traits)

    @property
    def frames(self) -> NDArray[np.int32]:
        """int32[m]: the source frame of each mouth, rising."""
        return self.traits.frames

    def source(self, k: int) -> MouthSource:
        """Decode mouth `k`: its crop, and the face in the crop's pixels; the same whenever it is asked for."""
        if k not in self._sources:
            self._sources[k] = self._decode(k)
            if len(self._sources) > KEPT_SOURCES:
                self._sources.popitem(last=False)
        self._sources.move_to_end(k)
        return self._sources[k]

    def _decode(self, k: int) -> MouthSource:
        x, y, width, height = self._regions[k].tolist()
        region, start = Region(x=x, y=y, width=width, height=height), int(self._offsets[k])
        planes = np.array(self._pixels[start : start + _size(region)]).reshape(height * 3 // 2, width)
        let_go(self._pixels)
        face = face_of(self._points[k])
        return MouthSource(
            picture=read_bgr(planes, _whole(region), self._coding),
            face=replace(face, vertices=face.vertices - region.origin),
        )
