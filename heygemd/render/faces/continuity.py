"""Makes sure that a track shows one person per scene: nobody else's mouth may be moved.

The tracker follows a face until it is lost, and may then find another one. Nothing here recognises people; a face
that is suddenly elsewhere, farther than anyone could have moved in the time, belongs to somebody else.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.track import FaceTrack

REACH_FACES = 1.0
"""How far, in face sides, a face may be from where it was one frame before."""
SPEED_FACES_PER_S = 5.0
"""How fast a walking person crosses the picture while no face is seen: about 1 m/s."""
LARGEST_GROWTH = 1.6
"""Factor by which a face may grow or shrink from one frame to the next, and again in each second unseen."""


def one_face_per_scene(track: FaceTrack) -> FaceTrack:
    """Keep, in each scene, the person seen longest and largest; where another is seen, the face becomes absent."""
    frames = np.flatnonzero(track.present)
    if len(frames) == 0:
        return track
    sightings = _sightings(track, frames)
    persons = _persons(sightings)
    prominence = np.bincount(persons, weights=sightings.side_px)
    kept = np.zeros(len(frames), np.bool_)
    for scene in np.unique(sightings.scene):
        in_scene = sightings.scene == scene
        candidates = np.unique(persons[in_scene])
        kept |= persons == candidates[prominence[candidates].argmax()]
    if kept.all():
        return track
    points, confidence, lips_visible = track.points.copy(), track.confidence.copy(), track.lips_visible.copy()
    strangers = frames[~kept]
    points[strangers], confidence[strangers], lips_visible[strangers] = np.nan, 0, 0
    return replace(track, points=points, confidence=confidence, lips_visible=lips_visible)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sightings:
    """The frames with a face; arrays share their first axis."""

    frame: NDArray[np.intp]
    pts_s: NDArray[np.float64]
    scene: NDArray[np.int32]
    centre: NDArray[np.float64]
    side_px: NDArray[np.float64]

    def may_be_one_person(self, earlier: NDArray[np.intp], later: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each pair of sightings can show one person, who moved in between."""
        unseen_s = np.where(self.frame[later] - self.frame[earlier] > 1, self.pts_s[later] - self.pts_s[earlier], 0)
        larger_px = np.maximum(self.side_px[earlier], self.side_px[later])
        moved = np.linalg.norm(self.centre[later] - self.centre[earlier], axis=1) / larger_px
        growth = np.abs(np.log(self.side_px[later] / self.side_px[earlier]))
        is_near = moved <= REACH_FACES + SPEED_FACES_PER_S * unseen_s
        is_alike = growth <= np.log(LARGEST_GROWTH) * (1 + unseen_s)
        same: NDArray[np.bool_] = is_near & is_alike & (self.scene[later] == self.scene[earlier])
        return same


def _sightings(track: FaceTrack, frames: NDArray[np.intp]) -> _Sightings:
    low, high = track.points[frames].min(axis=1), track.points[frames].max(axis=1)
    return _Sightings(
        frame=frames,
        pts_s=track.pts_s[frames],
        scene=track.scene[frames],
        centre=((low + high) / 2).astype(np.float64),
        side_px=np.maximum((high - low).max(axis=1), 1).astype(np.float64),
    )


def _persons(sightings: _Sightings) -> NDArray[np.intp]:
    """Give each sighting the number of a person, intp[n]: a new run continues the latest who could be there."""
    count = len(sightings.frame)
    breaks = 1 + np.flatnonzero(~sightings.may_be_one_person(np.arange(count - 1), np.arange(1, count)))
    persons = np.empty(count, np.intp)
    last_seen: list[int] = []
    for start, stop in zip([0, *breaks], [*breaks, count], strict=True):
        known = np.array(last_seen, np.intp)
        possible = np.flatnonzero(sightings.may_be_one_person(known, np.full_like(known, start)))
        if len(possible) > 0:
            person = int(max(possible, key=lambda one: last_seen[one]))
        else:
            person = len(last_seen)
            last_seen.append(0)
        persons[start:stop] = person
        last_seen[person] = stop - 1
    return persons
