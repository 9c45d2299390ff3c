"""Makes sure that one number means one person: nobody else's mouth may be moved.

The tracker follows a face without a break (a *strand*) until it is lost, and begins another strand when it finds one
again. Strands of a scene are joined where they can show one person who moved in between. Nothing here recognises
people; a face that is suddenly elsewhere, farther than anyone could have moved in the time, belongs to somebody else,
and of several who could have, the likest goes on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heygemd.render.arrays import blocks, let_go
from heygemd.render.faces.crowd import Crowd

REACH_FACES = 1.0
"""How far, in face sides, a face may be from where it was one frame before."""
SPEED_FACES_PER_S = 5.0
"""How fast a walking person crosses the picture while no face is seen: about 1 m/s."""
LONGEST_WALK_S = 2.0
"""Who was unseen for longer may have gone, and another have come: then only the place tells."""
PLACE_FACES = 2.5
"""How near to where a face was lost one must be to be taken for it after so long."""
LARGEST_GROWTH = 1.6
"""Factor by which a face may grow or shrink from one frame to the next, and again in each second unseen."""
OTHER_SKIN = 45.0
"""Mean difference of the colours around the mouth, in levels of 255, that nobody shows within a scene."""
SKIN_FACES = 40.0
"""So great a difference counts as much as one face side of distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the face of each sighting is; arrays share their first axis."""

    centre: NDArray[np.float64]
    """float64[m, 2] in pixels."""
    side_px: NDArray[np.float64]


def places_of(crowd: Crowd) -> Places:
    """Box every sighting; the points themselves are not held."""
    count = len(crowd.frame)
    centre, side_px = np.empty((count, 2)), np.empty(count)
    for part in blocks(count, crowd.points[:1].nbytes):
        points = crowd.points[part]
        low, high = points.min(axis=1), points.max(axis=1)
        centre[part] = (low + high) / 2
        side_px[part] = np.maximum((high - low).max(axis=1), 1)
        let_go(crowd.points)
    return Places(centre=centre, side_px=side_px)


def persons_of(crowd: Crowd, places: Places) -> NDArray[np.int32]:
    """Join the strands, which `crowd.person` numbers so far, to persons: int32[m], numbered by their first sighting."""
    persons = np.full(len(crowd.frame), -1, np.int32)
    count, here = 0, dict[int, _Strand]()
    for rows in _unbroken(crowd, places):
        strand = _strand(crowd, places, rows)
        # Strands begin in the order of time, so whoever was in a scene before is not met again.
        here = {number: person for number, person in here.items() if person.last.scene == strand.first.scene}
        costs = {number: _cost(person, strand) for number, person in here.items()}
        number = min(costs, key=lambda one: costs[one], default=count)
        if costs.get(number, np.inf) == np.inf:
            number, count = count, count + 1
        here[number] = here[number].continued_by(strand) if number in here else strand
        persons[rows] = number
    return persons


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """A person at one moment."""

    frame: int
    pts_s: float
    scene: int
    centre: NDArray[np.float64]
    side_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strand:
    """A face from first to last sighting."""

    first: _End
    last: _End
    skin: NDArray[np.float64]
    """float64[3]: mean colour around the mouth."""
    frames: int

    def continued_by(self, later: "_Strand") -> "_Strand":
        frames = self.frames + later.frames
        skin = (self.skin * self.frames + later.skin * later.frames) / frames
        return _Strand(first=self.first, last=later.last, skin=skin, frames=frames)


def _cost(person: _Strand, strand: _Strand) -> float:
    """How unlikely it is that the strand goes on with a person: infinite where that cannot be."""
    before, after = person.last, strand.first
    if before.scene != after.scene or before.frame >= after.frame:
        return float("inf")
    unseen_s = after.pts_s - before.pts_s if after.frame - before.frame > 1 else 0.0
    reach = REACH_FACES + SPEED_FACES_PER_S * unseen_s if unseen_s <= LONGEST_WALK_S else PLACE_FACES
    largest_growth = float(np.log(LARGEST_GROWTH)) * (1 + min(unseen_s, LONGEST_WALK_S))
    moved = float(np.linalg.norm(after.centre - before.centre)) / max(before.side_px, after.side_px)
    growth = abs(float(np.log(after.side_px / before.side_px)))
    other = float(np.abs(person.skin - strand.skin).mean())
    if moved > reach or growth > largest_growth:
        return float("inf")
    if unseen_s and other > OTHER_SKIN:
        return float("inf")
    return moved + growth + other / SKIN_FACES


def _unbroken(crowd: Crowd, places: Places) -> list[NDArray[np.intp]]:
    """Rows of each strand, in the order they begin; a strand that jumps is cut there."""
    order = np.argsort(crowd.person, kind="stable")
    new = np.diff(crowd.person[order]) != 0
    earlier, later = order[:-1], order[1:]
    larger_px = np.maximum(places.side_px[earlier], places.side_px[later])
    moved = np.linalg.norm(places.centre[later] - places.centre[earlier], axis=1) / larger_px
    growth = np.abs(np.log(places.side_px[later] / places.side_px[earlier]))
    new |= (moved > REACH_FACES) | (growth > np.log(LARGEST_GROWTH))
    strands = np.split(order, np.flatnonzero(new) + 1) if len(order) else []
    return sorted(strands, key=lambda rows: int(rows[0]))


def _strand(crowd: Crowd, places: Places, rows: NDArray[np.intp]) -> _Strand:
    def end(row: int) -> _End:
        frame = int(crowd.frame[row])
        return _End(
            frame=frame,
            pts_s=float(crowd.pts_s[frame]),
            scene=int(crowd.scene[frame]),
            centre=places.centre[row],
            side_px=float(places.side_px[row]),
        )

    total = np.zeros(3)
    for part in blocks(len(rows), crowd.skin[:1].nbytes):
        total += crowd.skin[rows[part]].mean(axis=1).sum(axis=0)
        let_go(crowd.skin)
    return _Strand(first=end(int(rows[0])), last=end(int(rows[-1])), skin=total / len(rows), frames=len(rows))
