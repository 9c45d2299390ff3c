"""Follows every face through a clip, a few frames at once, with memory that holds nothing but the points.

first frame, loss, cut, now and then ─▶ search ─▶ points
every frame:  square around the last points ─▶ landmark net ─▶ still a face? ─▶ lip net, colours around the mouth
at the end:   unbroken strands ─▶ persons; lips that something covers
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.render.faces.choice import choose
from heygemd.render.faces.continuity import persons_of, places_of
from heygemd.render.faces.covering import judged_lips
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.cuts import CutDetector
from heygemd.render.faces.follower import FaceTracker
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.record import CrowdRecord
from heygemd.render.faces.track import FaceTrack

log = structlog.get_logger(__name__)

AHEAD_FRAMES = 4
"""Frames that are read together: a batch of four takes little more than half the time of four batches of one."""


def unheard_frames(frames_done: int) -> None:
    """Stand in for a `progress` that nobody wants to hear."""
    del frames_done


def track_crowd(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    progress: Callable[[int], None] = unheard_frames,
    *,
    scratch: Path | None = None,
    device: str = "cpu",
) -> Crowd:
    """Follow every face through all frames of a clip.

    `frames` yields pts in seconds and uint8[h * 3 // 2, w] (I420 planes, even sizes), each its receiver's own; no more
    than AHEAD_FRAMES are kept. `progress` hears the number of frames done. The points lie in unnamed files in
    `scratch` (650 bytes a sighting), or where the system has room for such. `device` is torch's name of where the nets
    run.
    """
    tracker = FaceTracker(device)
    with CrowdRecord(scratch) as record:
        for shot in _shots(frames):
            if shot.begins_scene:
                tracker.forget()
            for pts_s, picture, sightings in zip(shot.pts_s, shot.pictures, tracker.follow(shot.pictures), strict=True):
                record.add_frame(pts_s, shot.scene, (picture.width_px, picture.height_px))
                for strand, reading in sightings:
                    record.add(strand, reading)
                progress(len(record))
        crowd = record.crowd()
    return finished(crowd)


def finished(crowd: Crowd) -> Crowd:
    """Turn strands, which `person` numbers so far, into people, and judge whose lips are covered."""
    crowd = replace(crowd, person=persons_of(crowd, places_of(crowd)))
    crowd = replace(crowd, lips_visible=judged_lips(crowd))
    log.info(
        "faces.crowd_tracked",
        frames=len(crowd.pts_s),
        sightings=len(crowd.frame),
        people=crowd.person_count,
        scenes=int(crowd.scene[-1]) + 1 if len(crowd.scene) else 0,
    )
    return crowd


def track_clip(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    progress: Callable[[int], None] = unheard_frames,
    *,
    rule: str = "main",
    scratch: Path | None = None,
    device: str = "cpu",
) -> FaceTrack:
    """Follow the face that `rule` means (see `faces/choice.py`); the rest is that of `track_crowd`."""
    return choose(track_crowd(frames, progress, scratch=scratch, device=device), rule, scratch=scratch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shot:
    """A few frames of one scene."""

    scene: int
    begins_scene: bool
    pts_s: Sequence[float]
    pictures: Sequence[Picture]


def _shots(frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Iterator[_Shot]:
    """Cut a clip into runs of at most AHEAD_FRAMES frames that no cut divides."""
    cuts, scene, begins = CutDetector(), 0, True
    pts: list[float] = []
    pictures: list[Picture] = []
    for pts_s, planes in frames:
        picture = Picture.of_planes(planes)
        is_cut = cuts.is_cut(picture.luma)
        if pictures and (is_cut or len(pictures) == AHEAD_FRAMES):
            yield _Shot(scene=scene, begins_scene=begins, pts_s=pts, pictures=pictures)
            pts, pictures, begins = [], [], is_cut
        scene += is_cut
        pts.append(pts_s)
        pictures.append(picture)
    if pictures:
        yield _Shot(scene=scene, begins_scene=begins, pts_s=pts, pictures=pictures)
