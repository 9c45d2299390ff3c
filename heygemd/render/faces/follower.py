"""Follows several faces from frame to frame, a few frames at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heygemd.render.faces.detector import FaceDetector
from heygemd.render.faces.picture import Picture
from heygemd.render.faces.reader import SMALLEST_FACE_PX, FaceReader, Reading
from heygemd.render.faces.search import (
    AGREEMENT_TOLERANCE,
    find_face_near,
    glance_for_faces,
    is_known,
    search_for_faces,
)
from heygemd.render.faces.square import Square, face_square
from heygemd.render.faces.topology import nose_offset

MOST_FACES = 4
"""Followed at once."""
LOST_BELOW = 0.5
"""Belief in a face under which it counts as lost."""
GLANCE_PAUSES_FRAMES = (3, 6, 12)
"""From one glance without result to the next; the last is repeated."""
SEARCH_EVERY_FRAMES = 250
"""How often a scene without a face is searched thoroughly, which takes up to a second; the first time at once."""
NEWCOMERS_EVERY_FRAMES = 24
"""How often more faces are looked for while there are some."""
LOOK_BACK_FRAMES = 50
"""How long a lost face is looked for in every frame where it was last seen."""
AGREEMENT_EVERY_FRAMES = 25
"""How often differently framed crops must agree, so that the track does not stick to a thing."""
AGREEMENT_SLACK = 2.0
"""A followed face, in motion, may disagree by so many times the tolerance for a new one."""
STRAYED = 0.06
"""Shift or growth, in face sides, since the frame the square is from, beyond which a frame is read again."""
TURNED_AWAY = 0.5
"""Offset of the nose (see `topology.nose_offset`) beyond which a face is seen from the side, and the nets drift."""

Points = NDArray[np.float64]
Sighting = tuple[int, Reading]
"""Number of the strand, and what is seen of it."""


@dataclass(slots=True, kw_only=True)
class _Followed:
    """A face without a break."""

    strand: int
    points: Points
    """The landmark net's own: it was trained to follow itself."""
    reads: int = 0


@dataclass(slots=True, kw_only=True)
class _Missed:
    """A face that was lost."""

    points: Points
    frames: int = 0


class FaceTracker:
    """Every face from frame to frame. A strand is one face without a break; found again it begins another."""

    def __init__(self, device: str = "cpu") -> None:
        self._reader = FaceReader(device)
        self._detector = FaceDetector()
        self._strands = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew with a search: the next frame shows another scene."""
        self._followed: list[_Followed] = []
        self._missed: list[_Missed] = []
        self._failed_glances = 0
        self._pause_frames = 0
        self._unsearched_frames = SEARCH_EVERY_FRAMES

    def follow(self, pictures: Sequence[Picture]) -> list[list[Sighting]]:
        """Read the faces in the next frames of the scene; one list for each frame."""
        found: list[list[Sighting]] = []
        while len(found) < len(pictures):
            self._find(pictures[len(found)])
            # What was lost is looked for in every frame, and nothing is read beyond the next search.
            ahead = 1 if self._missed else max(self._pause_frames, 1)
            found += self._advance(pictures[len(found) : len(found) + ahead])
        seen = [(frame, sighting) for frame, sightings in enumerate(found) for sighting in sightings]
        if not seen:
            return found
        refined = self._reader.refine_lips([(pictures[frame], reading) for frame, (_, reading) in seen])
        answer: list[list[Sighting]] = [[] for _ in found]
        for (frame, (strand, _)), reading in zip(seen, refined, strict=True):
            answer[frame].append((strand, reading))
        return answer

    def _find(self, picture: Picture) -> None:
        """Look where faces were last seen, in every frame, and everywhere, now and then."""
        for missed in list(self._missed):
            missed.frames += 1
            is_back = not self._is_followed(missed.points) and self._welcome(
                find_face_near(self._reader, picture, missed.points)
            )
            if is_back or missed.frames >= LOOK_BACK_FRAMES:
                self._missed.remove(missed)
        if self._pause_frames > 0:
            return
        if len(self._followed) < MOST_FACES:
            for points in self._look_everywhere(picture):
                self._welcome(points)
        if self._followed and not self._missed:
            self._failed_glances, self._pause_frames = 0, NEWCOMERS_EVERY_FRAMES
        else:
            self._pause_frames = GLANCE_PAUSES_FRAMES[min(self._failed_glances, len(GLANCE_PAUSES_FRAMES) - 1)]
            self._failed_glances += 1

    def _look_everywhere(self, picture: Picture) -> list[Points]:
        known = [one.points for one in self._followed]
        found = glance_for_faces(self._reader, self._detector, picture, known)
        if found or known or self._unsearched_frames < SEARCH_EVERY_FRAMES:
            return found
        self._unsearched_frames = 0
        return search_for_faces(self._reader, picture)

    def _is_followed(self, points: Points) -> bool:
        return is_known(points, [one.points for one in self._followed])

    def _welcome(self, points: Points | None) -> bool:
        """Follow a face that was found, if nobody else is followed there."""
        if points is None or is_turned_away(points) or len(self._followed) == MOST_FACES or self._is_followed(points):
            return False
        self._followed.append(_Followed(strand=self._strands, points=points))
        self._strands += 1
        return True

    def _advance(self, pictures: Sequence[Picture]) -> list[list[Sighting]]:
        """Read every followed face in these frames, up to the first frame in which one is lost."""
        readings = [self._ahead(one, pictures) for one in self._followed]
        self._part(readings)
        count = min([len(pictures), *(max(len(own), 1) for own in readings)])
        found: list[list[Sighting]] = [[] for _ in range(count)]
        for one, own in zip(list(self._followed), readings, strict=True):
            if not own and not self._caught_up(one, pictures[0], found[0]):
                self._lose(one)
            for frame, reading in enumerate(own[:count]):
                found[frame].append((one.strand, reading))
                one.points = reading.points
        self._pause_frames = max(0, self._pause_frames - count)
        self._unsearched_frames += count
        return found

    def _caught_up(self, one: _Followed, picture: Picture, found: list[Sighting]) -> bool:
        """Look once more, and closer, for a face that moved too far since the last frame."""
        points = find_face_near(self._reader, picture, one.points)
        if points is None or is_known(points, [other.points for other in self._followed if other is not one]):
            return False
        (reading,) = self._reader.read([(picture, face_square(points))])
        if not self._is_trusted(picture, reading, one):
            return False
        found.append((one.strand, reading))
        one.points = reading.points
        return True

    def _part(self, readings: list[list[Reading]]) -> None:
        """Where two strands read the same face, let the one that jumped there end before it."""
        for one, other in combinations(range(len(readings)), 2):
            for frame in range(min(len(readings[one]), len(readings[other]))):
                if is_known(readings[one][frame].points, [readings[other][frame].points]):
                    jumps = [self._jump(index, readings[index], frame) for index in (one, other)]
                    # Of two that stand equally still the older is the one that was there.
                    del readings[one if jumps[0] > jumps[1] else other][frame:]
                    break

    def _jump(self, index: int, own: Sequence[Reading], frame: int) -> float:
        before = own[frame - 1].points if frame else self._followed[index].points
        return float(np.linalg.norm(face_square(own[frame].points).centre - face_square(before).centre))

    def _lose(self, one: _Followed) -> None:
        self._followed.remove(one)
        self._missed.append(_Missed(points=one.points))

    def _ahead(self, one: _Followed, pictures: Sequence[Picture]) -> list[Reading]:
        """Read one face in these frames, until it is lost."""
        square = face_square(one.points)
        if square.side_px < SMALLEST_FACE_PX:
            return []
        readings = self._reader.read([(picture, square) for picture in pictures])
        trusted: list[Reading] = []
        for picture, reading in zip(pictures, readings, strict=True):
            again = reading
            if trusted and _strayed(square, face_square(reading.points)):
                (again,) = self._reader.read([(picture, face_square(trusted[-1].points))])
            if not self._is_trusted(picture, again, one):
                break
            trusted.append(again)
        return trusted

    def _is_trusted(self, picture: Picture, reading: Reading, one: _Followed) -> bool:
        if reading.face < LOST_BELOW or is_turned_away(reading.points):
            return False
        one.reads += 1
        if one.reads % AGREEMENT_EVERY_FRAMES:
            return True
        return self._reader.disagreement(picture, reading.points) < AGREEMENT_SLACK * AGREEMENT_TOLERANCE


def is_turned_away(points: Points) -> bool:
    """Whether a face is seen so much from the side that its points cannot be trusted."""
    return abs(float(nose_offset(points))) > TURNED_AWAY


def _strayed(before: Square, after: Square) -> bool:
    shift = float(np.linalg.norm(after.centre - before.centre)) / before.side_px
    return shift > STRAYED or abs(after.side_px / before.side_px - 1) > STRAYED
