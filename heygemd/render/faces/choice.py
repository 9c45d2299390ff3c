"""Chooses whose mouth is moved: one person per scene, by the rule of the job.

    main       the largest, most central one, seen longest
    largest    the largest face
    left       the one farthest to the left of the picture; right: to the right
    index:2    the second from the left, of those who are seen for long enough to count

Within a scene nobody else is ever taken. From scene to scene it is the same human being where one is clearly more
alike than the others in place, size, proportions and skin; else the rule decides again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.render.arrays import let_go
from heygemd.render.faces.continuity import Places, places_of
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.topology import EYE_ROWS, NOSE_ROWS, OUTER_EYE_CORNER_ROWS
from heygemd.render.faces.track import FaceTrack

log = structlog.get_logger(__name__)

COUNTING_SHARE = 0.2
"""A person counts by place or size when seen in so large a share of the frames of the one seen longest."""
CENTRE_LOSS = 0.5
"""How much less a face in a corner counts than one in the middle."""
LOOKED_AT = 64
"""Sightings, spread over the scene, from which proportions and skin are taken."""
PLACE_FACES, GROWTH, SHAPE, SKIN_LEVELS = 1.0, 0.35, 0.035, 20.0
"""Differences of two persons that count the same: face sides, logarithm of sizes, eye distances, levels of 255."""
ALIKE_BELOW = 1.5
"""Mean of the four differences, in those units, below which two persons may be one."""
DECISIVE = 1.6
"""The likest must be so many times as like as the next."""

_INDEX = re.compile(r"index:([1-9]\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person in one scene."""

    number: int
    scene: int
    frames: int
    centre: NDArray[np.float64]
    """float64[2]: mean place, in pixels."""
    side_px: float
    prominence: float
    """Frames x face side x closeness to the middle: only to compare."""
    shape: NDArray[np.float64]
    """float64[15, 2]: eyes and nose relative to the eye corners, in eye distances."""
    skin: NDArray[np.float64]
    """float64[3]: mean colour around the mouth."""


Rule = Callable[[Sequence[Person]], Person | None]


def choose(crowd: Crowd, rule: str, *, scratch: Path | None = None) -> FaceTrack:
    """Follow the person that `rule` means through all scenes.

    Of a clip without any face the track is empty. Raises InputError E131 where `index:N` asks for a face that no
    scene has, and ValueError for a rule that does not exist. The points then lie in an unnamed file in `scratch`.
    """
    chooses = _rule(rule)
    people = persons_in(crowd)
    scenes = [list(group) for _, group in groupby(people, key=lambda person: person.scene)]
    named = [person for scene in scenes if (person := chooses(scene)) is not None]
    if people and not named:
        most = max(len(_counting(scene)) for scene in scenes)
        raise InputError("E131", f"face {rule} was asked for, but no scene shows more than {most}")
    if not named:
        return crowd.track_of(np.zeros(0, np.intp))
    example = max(named, key=lambda person: person.prominence)
    taken = [_alike(example, scene) or chooses(scene) for scene in scenes]
    numbers = [person.number for person in taken if person is not None]
    track = crowd.track_of(np.flatnonzero(np.isin(crowd.person, numbers)), scratch=scratch)
    log.info("faces.person_chosen", rule=rule, people=len(people), scenes=len(scenes), frames=int(track.present.sum()))
    return track


def persons_in(crowd: Crowd) -> list[Person]:
    """Describe everybody, scene by scene."""
    places = places_of(crowd)
    order = np.argsort(crowd.person, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(crowd.person[order])) + 1) if len(order) else []
    return sorted((_person(crowd, places, rows) for rows in groups), key=lambda one: (one.scene, one.number))


def _person(crowd: Crowd, places: Places, rows: NDArray[np.intp]) -> Person:
    looked_at = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(np.intp))]
    points, skin = crowd.points[looked_at].astype(np.float64), crowd.skin[looked_at]
    let_go(crowd.points, crowd.skin)
    centre, side_px = places.centre[rows].mean(axis=0), float(np.median(places.side_px[rows]))
    middle = np.maximum(crowd.size_px, 1) / 2
    off_centre = min(float(np.linalg.norm(centre - middle) / np.linalg.norm(middle)), 1.0)
    return Person(
        number=int(crowd.person[rows[0]]),
        scene=int(crowd.scene[crowd.frame[rows[0]]]),
        frames=len(rows),
        centre=centre,
        side_px=side_px,
        prominence=len(rows) * side_px * (1 - CENTRE_LOSS * off_centre),
        shape=np.median(_proportions(points), axis=0),
        skin=np.median(skin.mean(axis=1), axis=0),
    )


def _proportions(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eyes and nose of float64[k, 74, 2] as seen from the eye corners: float64[k, 15, 2], the corners at -.5 and .5."""
    plane = points[..., 0] + 1j * points[..., 1]
    left, right = plane[:, OUTER_EYE_CORNER_ROWS].T
    rows = np.r_[EYE_ROWS, NOSE_ROWS]
    relative = (plane[:, rows] - ((left + right) / 2)[:, None]) / (right - left)[:, None]
    return np.stack([relative.real, relative.imag], axis=-1)


def _rule(rule: str) -> Rule:
    rules: dict[str, Rule] = {
        "main": lambda scene: max(scene, key=lambda one: one.prominence),
        "largest": lambda scene: max(_counting(scene), key=lambda one: one.side_px),
        "left": lambda scene: _counting(scene)[0],
        "right": lambda scene: _counting(scene)[-1],
    }
    if rule in rules:
        return rules[rule]
    index = _INDEX.fullmatch(rule)
    if index is None:
        raise ValueError(f"{rule!r} is no rule to choose a face")
    place = int(index[1]) - 1
    return lambda scene: dict(enumerate(_counting(scene))).get(place)


def _counting(scene: Sequence[Person]) -> list[Person]:
    """Those who are seen for long enough, from left to right."""
    longest = max(one.frames for one in scene)
    return sorted(
        (one for one in scene if one.frames >= COUNTING_SHARE * longest), key=lambda one: float(one.centre[0])
    )


def _alike(example: Person, scene: Sequence[Person]) -> Person | None:
    """Who of a scene is clearly the person of the example, or None."""
    differences = sorted(((_difference(example, one), one.number, one) for one in scene), key=lambda entry: entry[:2])
    best = differences[0]
    is_clear = len(differences) == 1 or differences[1][0] > DECISIVE * best[0]
    return best[2] if best[0] < ALIKE_BELOW and is_clear else None


def _difference(one: Person, other: Person) -> float:
    side_px = (one.side_px + other.side_px) / 2
    return float(
        np.mean(
            [
                np.linalg.norm(one.centre - other.centre) / side_px / PLACE_FACES,
                abs(np.log(one.side_px / other.side_px)) / GROWTH,
                np.linalg.norm(one.shape - other.shape, axis=1).mean() / SHAPE,
                np.abs(one.skin - other.skin).mean() / SKIN_LEVELS,
            ]
        )
    )
