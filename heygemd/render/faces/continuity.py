"""Makes sure that a track shows one person per scene: nobody else's mouth may be moved.

The tracker follows a face until it is lost, and may then find another one. Nothing here recognises people; a face
that is suddenly elsewhere, farther than anyone could have moved in the time, belongs to somebody else.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import blocks, let_go
from heygemd.render.faces.track import FaceTrack

REACH_FACES = 1.0
"""How far, in face sides, a face may be from where it was one frame before."""
SPEED_FACES_PER_S = 5.0
"""How fast a walking person crosses the picture while no face is seen: about 1 m/s."""
STEP_BYTES = 256
"""What the comparison of two sightings takes for a moment."""
LARGEST_GROWTH = 1.6
"""Factor by which a face may grow or shrink from one frame to the next, and again in each second unseen."""


def strangers_in(track: FaceTrack) -> NDArray[np.intp]:
    """Find the frames, rising, that show another face than that of the person seen longest and largest in the scene."""
    frames = np.flatnonzero(track.present)
    if len(frames) == 0:
        return frames
    sightings = _sightings(track, frames)
    persons = _persons(sightings)
    prominence = np.bincount(persons, weights=sightings.side_px)
    kept = np.zeros(len(frames), np.bool_)
    # Scenes only count up, so the sightings of one lie side by side.
    edges = np.flatnonzero(np.diff(sightings.scene)) + 1
    for start, stop in pairwise([0, *edges.tolist(), len(frames)]):
        candidates = np.unique(persons[start:stop])
        kept[start:stop] = persons[start:stop] == candidates[prominence[candidates].argmax()]
    return frames[~kept]


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
    centre, side_px = np.empty((len(frames), 2)), np.empty(len(frames))
    for part in blocks(len(frames), track.points[:1].nbytes):
        points = track.points[frames[part]]
        low, high = points.min(axis=1), points.max(axis=1)
        centre[part] = (low + high) / 2
        side_px[part] = np.maximum((high - low).max(axis=1), 1)
        let_go(track.points)
    return _Sightings(
        frame=frames, pts_s=track.pts_s[frames], scene=track.scene[frames], centre=centre, side_px=side_px
    )


def _breaks(sightings: _Sightings) -> list[int]:
    """Find the sightings that cannot show the person of the one before."""
    found: list[int] = []
    for part in blocks(len(sightings.frame) - 1, STEP_BYTES):
        earlier = np.arange(part.start, part.stop)
        found += (earlier[~sightings.may_be_one_person(earlier, earlier + 1)] + 1).tolist()
    return found


def _persons(sightings: _Sightings) -> NDArray[np.intp]:
    """Give each sighting the number of a person, intp[n]: a new run continues the latest who could be there."""
    count, breaks = len(sightings.frame), _breaks(sightings)
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
